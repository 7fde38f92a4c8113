"""Graphs of other programs: their structure, and what is refused of it, by name."""

import io
from pathlib import Path

import h5py
import numpy as np
import pytest

from eventsnn import simulate
from eventsnn.errors import NetworkError
from eventsnn.model import Conv, Dense, Network, Pool, Readout

nir = pytest.importorskip("nir")

from eventsnn.model.nir import import_network  # noqa: E402


def cuba(size, threshold: float = 1.0, tau: float = 10.0):
    """Neurons of one kind; `size` is their number or their shape."""
    shape = (size,) if isinstance(size, int) else size
    one = np.ones(shape)
    return nir.CubaLIF(tau / 2 * one, tau * one, one, 0 * one, threshold * one, 0 * one, tau / 2 * one)


def graph_of(nodes: dict, edges: list, size=3, out: int = 2):
    """A graph with ends: an edge from "input", and one to "output"."""
    shape = (size,) if isinstance(size, int) else size
    ends = {
        "input": nir.Input({"input": np.array(shape)}),
        "output": nir.Output({"output": np.array([out])}),
    }
    return nir.NIRGraph({**ends, **nodes}, edges, type_check=False)


CHAIN = [("input", "w"), ("w", "n"), ("n", "output")]


def dense(post: int, pre: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.2, 1.0, (post, pre))


def test_skips_loops_and_subgraphs() -> None:
    """Every edge is a projection: the chain's, a skip from the input, a loop within a subgraph."""
    inner = nir.NIRGraph(
        {
            "input": nir.Input({"input": np.array([4])}),
            "lif": cuba(4),
            "w_rec": nir.Linear(dense(4, 4, 1)),
            "output": nir.Output({"output": np.array([4])}),
        },
        [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")],
    )
    nodes = {
        "w1": nir.Linear(dense(4, 3)),
        "rec": inner,
        "delay": nir.Delay(np.full(4, 2.0)),
        "w2": nir.Linear(dense(2, 4)),
        "skip": nir.Linear(dense(2, 3, 2)),
        "out": cuba(2),
    }
    edges = [("input", "w1"), ("w1", "rec"), ("rec", "delay"), ("delay", "w2"), ("w2", "out")]
    edges += [("input", "skip"), ("skip", "out"), ("out", "output")]
    found = import_network(graph_of(nodes, edges))
    network = found.network
    assert network.names == ("rec.lif", "out")
    assert [c.key for c in network.connections] == ["rec.lif->rec.lif", "input->out"]
    assert network["out"].delay == 2.0
    assert network.connections[0].delay == 0.0
    assert "the loop rec.lif->rec.lif has no delay" in " ".join(found.notes)
    assert np.array_equal(network.weights["input->out"], dense(2, 3, 2))
    assert found.losses == []


def test_layers_without_a_way_from_the_one_before() -> None:
    """Two populations side by side: one follows the other in our chain, and no synapse leads there."""
    nodes = {f"w{n}": nir.Linear(dense(2, 3, n)) for n in (1, 2)} | {f"n{n}": cuba(2) for n in (1, 2)}
    nodes |= {"v1": nir.Linear(dense(2, 2, 3)), "v2": nir.Linear(dense(2, 2, 4)), "out": cuba(2)}
    edges = [("input", "w1"), ("input", "w2"), ("w1", "n1"), ("w2", "n2"), ("n1", "v1"), ("n2", "v2")]
    edges += [("v1", "out"), ("v2", "out"), ("out", "output")]
    network = import_network(graph_of(nodes, edges)).network
    assert network.names == ("n1", "n2", "out")
    assert network.weights["n2"].nnz == 0
    assert np.array_equal(network.weights["input->n2"], dense(2, 3, 2))
    run = simulate(network, (np.arange(1.0, 7.0), np.tile(np.arange(3), 2)))
    alone = import_network(graph_of({"w": nodes["w2"], "n": cuba(2)}, CHAIN)).network
    assert run["n2"].times == pytest.approx(
        simulate(alone, (run.input.times, run.input.neurons)).output.times
    )


def test_linear_nodes_in_a_row_are_one_matrix() -> None:
    nodes = {
        "scale": nir.Scale(np.array([1.0, 2.0, 0.5])),
        "a": nir.Affine(dense(4, 3), np.array([0.1, 0.0, 0.0, -0.1])),
        "b": nir.Linear(dense(2, 4)),
        "n": cuba(2),
    }
    edges = [("input", "scale"), ("scale", "a"), ("a", "b"), ("b", "n"), ("n", "output")]
    network = import_network(graph_of(nodes, edges)).network
    expected = dense(2, 4) @ dense(4, 3) @ np.diag([1.0, 2.0, 0.5])
    assert network.weights["n"].toarray()[:, :3] == pytest.approx(expected)
    assert network.weights["n"].toarray()[:, 3] == pytest.approx(dense(2, 4) @ [0.1, 0.0, 0.0, -0.1])
    assert network.input.bias_interval == 1.0


def test_convolutions_pools_and_what_comes_between() -> None:
    """Conv1d, groups, averages, and a pool without neurons after it, against PyTorch's definitions."""
    weight = np.random.default_rng(1).uniform(0.1, 1.0, (4, 1, 3, 3))
    nodes = {
        "conv": nir.Conv2d((6, 6), weight, 1, 0, 1, 2, np.zeros(4)),
        "n1": cuba((4, 4, 4)),
        "pool": nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flat": nir.Flatten({"input": np.array([4, 2, 2])}, 0, -1),
        "w": nir.Linear(dense(2, 16)),
        "n2": cuba(2),
    }
    edges = [("input", "conv"), ("conv", "n1"), ("n1", "pool"), ("pool", "flat"), ("flat", "w"), ("w", "n2")]
    network = import_network(graph_of(nodes, [*edges, ("n2", "output")], (2, 6, 6))).network
    grouped = network.weights["n1"].toarray().reshape(4, 4, 4, 2, 6, 6)
    # Channel 3 is of the second group: it sees channel 1 of the input alone, at (y, x) rows y .. y + 2.
    assert np.array_equal(grouped[3, 1, 2, 1, 1:4, 2:5], weight[3, 0])
    assert not grouped[3, :, :, 0].any()
    averaged = network.weights["n2"].toarray().reshape(2, 4, 4, 4)
    assert averaged[1, 2, 3, 1] == pytest.approx(dense(2, 16)[1, 2 * 4 + 1 * 2 + 0] / 4)
    line = {"w": nir.Conv1d(8, dense(6, 3).reshape(2, 3, 3), 2, 1, 1, 1, np.zeros(2)), "n": cuba((2, 4))}
    found = import_network(graph_of(line, CHAIN, (3, 8))).network
    assert isinstance(found.layers[0], Conv)
    assert found.input.shape == (3, 1, 8)
    assert found.layers[0].shape == (2, 1, 4)
    assert found.layers[0].padding == (0, 1)


@pytest.mark.parametrize(("kind", "threshold"), [("SumPool2d", 2.0), ("AvgPool2d", 8.0)])
def test_pools_with_neurons(kind: str, threshold: float) -> None:
    """A spike in an average counts a quarter: the threshold is four times as high."""
    pool = getattr(nir, kind)(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
    network = import_network(graph_of({"w": pool, "n": cuba((1, 2, 2), 1.0)}, CHAIN, (1, 4, 4))).network
    layer = network.layers[0]
    assert isinstance(layer, Pool)
    assert layer.threshold == pytest.approx(threshold)


def test_neurons_that_never_fire_are_a_readout() -> None:
    one = np.ones(2)
    node = nir.CubaLI(5.0 * one, 10.0 * one, one, 0.0 * one, 5.0 * one)
    found = import_network(graph_of({"w": nir.Linear(dense(2, 3)), "n": node}, CHAIN))
    assert isinstance(found.network.output, Readout)
    assert "highest potential is read out" in found.losses[0]


def test_thresholds_that_differ_become_weights() -> None:
    node = cuba(2)
    node.v_threshold = np.array([1.0, 4.0])
    network = import_network(graph_of({"w": nir.Linear(np.ones((2, 3))), "n": node}, CHAIN)).network
    assert network.weights["n"] == pytest.approx(np.array([[1.0] * 3, [0.25] * 3]))


def test_delays_that_differ() -> None:
    """Before the matrix: one for each source neuron; after it: one for each synapse."""
    for edges, size in (
        ([("input", "d"), ("d", "w"), ("w", "n"), ("n", "output")], 3),
        ([("input", "w"), ("w", "d"), ("d", "n"), ("n", "output")], 2),
    ):
        delays = np.arange(1.0, size + 1)
        nodes = {"w": nir.Linear(10 * np.ones((2, 3))), "n": cuba(2), "d": nir.Delay(delays)}
        network = import_network(graph_of(nodes, edges)).network
        run = simulate(network, (np.array([0.0]), np.array([1])))
        alone = simulate(import_network(graph_of(nodes, CHAIN)).network, (np.array([0.0]), np.array([1])))
        shift = [2.0, 2.0] if size == 3 else [1.0, 2.0]
        for neuron in (0, 1):
            assert run.output.of(neuron) == pytest.approx(alone.output.of(neuron) + shift[neuron])


def _broken(what: str):
    nodes, edges, size = {"w": nir.Linear(dense(2, 3)), "n": cuba(2)}, list(CHAIN), 3
    if what == "nan":
        nodes["w"].weight[1, 2] = np.nan
    elif what == "tau":
        nodes["n"].tau_mem[1] = -1.0
    elif what == "taus":
        nodes["n"].tau_mem[1] = 3.0
    elif what == "threshold":
        nodes["n"].v_threshold[0] = 0.0
    elif what == "r":
        nodes["n"].r[0] = 0.0
    elif what == "missing":
        edges.append(("w", "nowhere"))
    elif what == "shape":
        size = 5
    elif what == "flatten":
        size = (1, 3, 1)
    elif what == "unconnected":
        edges.remove(("input", "w"))
    elif what == "no output":
        edges.remove(("n", "output"))
    elif what == "linear output":
        nodes["last"] = nir.Linear(dense(2, 2))
        edges = [*CHAIN[:2], ("n", "last"), ("last", "output")]
    elif what == "loop":
        nodes["back"] = nir.Linear(dense(3, 2))
        edges += [("w", "back"), ("back", "w")]
    elif what == "integrator":
        nodes["n"] = nir.I(np.ones(2))
    elif what == "threshold node":
        nodes["n"] = nir.Threshold(np.ones(2))
    elif what == "two inputs":
        nodes["more"] = nir.Input({"input": np.array([3])})
    elif what == "parameters":
        nodes["n"] = cuba(4)
    elif what == "text":
        nodes["w"].weight = "weights"
    return graph_of(nodes, edges, size)


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("nan", r"node 'w': weight\[1, 2\] is nan"),
        ("tau", "node 'n': tau_mem must be above 0"),
        ("taus", "node 'n': tau_mem is 3 to 10; all neurons of a layer must have the same"),
        ("threshold", "node 'n': v_threshold of neuron 0 is 0, and must be above v_reset, 0"),
        ("r", "node 'n': r and w_in must be above 0"),
        ("missing", "edge w -> nowhere: there is no node 'nowhere'; there are"),
        ("shape", r"node 'w': weight of shape \(2, 3\) does not fit shape \(5,\)"),
        ("flatten", "a Flatten is missing before it"),
        ("unconnected", "no way leads from the input 'input' to the output 'n'"),
        ("no output", "nothing leads to node 'output'"),
        ("linear output", "the output comes from node 'last' of type Linear; it must come from neurons"),
        ("loop", "is part of a loop without neurons"),
        ("integrator", "node 'n' is of type I: an integrator without a threshold"),
        ("threshold node", "node 'n' is of type Threshold: a threshold without a neuron"),
        ("two inputs", "a network has one Input node, and the graph has 2: 'input', 'more'"),
        ("parameters", r"node 'n' has parameters of shape \(4,\), and what comes in has \(2,\)"),
        ("text", "node 'w': weight must be numbers|node 'w'"),
    ],
)
def test_what_makes_no_network_is_refused_by_name(what: str, text: str) -> None:
    with pytest.raises(NetworkError, match=text):
        import_network(_broken(what), unit="ms")


def test_files_that_hold_no_graph(tmp_path: Path) -> None:
    path = tmp_path / "model.nir"
    for content, text in ((b"", "not an HDF5 file"), (b"weights", "not an HDF5 file")):
        path.write_bytes(content)
        with pytest.raises(NetworkError, match=f"model.nir: {text}"):
            import_network(path)
    with h5py.File(path, "w") as file:
        file["other"] = 1
    with pytest.raises(NetworkError, match="holds no NIR graph"):
        import_network(path)
    with h5py.File(path, "w") as file:
        file["node/type"] = "NIRGraph"
    with pytest.raises(NetworkError, match=r"the package nir .* cannot read its graph"):
        import_network(path)
    with h5py.File(path, "w") as file:
        file["node"] = h5py.ExternalLink("elsewhere.h5", "/node")
    with pytest.raises(NetworkError, match="link to somewhere else"):
        import_network(path)
    Network(__import__("eventsnn").Input(2), Dense(2), seed=1).save(path)
    with pytest.raises(NetworkError, match="a model of eventsnn already"):
        import_network(path)
    with pytest.raises(NetworkError, match="no such file"):
        import_network(tmp_path / "missing.nir")


def test_damaged_files_end_in_one_error(tmp_path: Path) -> None:
    """Whatever byte is wrong: a network, or an error that names the file; never a traceback from inside."""
    written = io.BytesIO()
    nir.write(written, graph_of({"w": nir.Linear(dense(2, 3)), "n": cuba(2)}, CHAIN), compression=None)
    whole = written.getvalue()
    generator, path = np.random.default_rng(7), tmp_path / "damaged.nir"
    for n in range(60):
        damaged = bytearray(whole)
        for place in generator.integers(0, len(whole), 1 + n % 4):
            damaged[place] = generator.integers(256)
        path.write_bytes(bytes(damaged) if n % 6 else whole[: generator.integers(len(whole))])
        text = str(path)
        try:
            import_network(path)
        except NetworkError as error:
            text = str(error)
        assert text.startswith(str(path))
