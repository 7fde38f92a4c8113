"""snnTorch and Norse: their files are read, they read ours, and `verify` says how the two differ.

Skipped where the simulators are not installed.
"""

import warnings
from pathlib import Path

import numpy as np
import pytest

from eventsnn import simulate
from eventsnn.errors import NetworkError, SimulationError
from eventsnn.model import Connection, Conv, Dense, Input, Network, Pool

pytest.importorskip("nir")
torch = pytest.importorskip("torch")
pytest.importorskip("nirtorch")

from eventsnn.interop.verify import Recording, verify  # noqa: E402
from eventsnn.interop.verify_text import format_verification  # noqa: E402
from eventsnn.model.nir import export_network, import_network, save_graph  # noqa: E402

QUIET = {"refractory": 0.0, "tau_m": 20.0, "tau_s": 5.0}
SIMULATORS = ["snntorch", "norse"]


def events(neurons: int, seed: int = 1, count: int = 80) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return np.sort(generator.uniform(1.0, 60.0, count)), generator.integers(0, neurons, count)


def recordings(neurons: int, count: int = 80) -> list[Recording]:
    return [Recording(f"random {seed}", events(neurons, seed, count), seed % 2) for seed in (1, 2)]


def positive(network: Network, scale: float) -> Network:
    """The same network with weights that make its neurons fire."""
    return network.with_weights({key: scale * abs(w) for key, w in network.weights.items()})


CHAIN = positive(
    Network(Input(6), Dense(5, threshold=8.0, **QUIET), Dense(3, threshold=2.0, **QUIET), seed=2), 2.1
)
MAPS = positive(
    Network(
        Input(6, 6, 2),
        Conv(2, 3, threshold=4.0, name="conv", **QUIET),
        Pool(2, threshold=1.0, name="pool", **QUIET),
        Dense(3, threshold=1.0, name="output", **QUIET),
        seed=1,
    ),
    2.7,
)
SKIP = positive(
    Network(
        Input(4),
        Dense(3, threshold=2.0, name="hidden", **QUIET),
        Dense(2, threshold=2.0, name="output", **QUIET),
        connections=[Connection("input", "output")],
        seed=1,
    ),
    1.5,
)


@pytest.mark.parametrize("against", SIMULATORS)
@pytest.mark.parametrize("network", [CHAIN, MAPS, SKIP], ids=["chain", "maps", "skip"])
def test_spikes_differ_by_the_step_and_less_with_a_shorter_one(network: Network, against: str) -> None:
    pytest.importorskip(against)
    found = verify(network, recordings(network.input.neurons), against, [1e-3, 1e-4])
    coarse, fine = found.rows()
    assert (coarse["dt_s"], fine["dt_s"]) == (1e-3, 1e-4)
    assert 10 < fine["spikes"] < 500
    # Not in proportion to the step: a spike that comes or goes moves those that follow it.
    assert fine["moved_mean_ms"] < coarse["moved_mean_ms"]
    # Before their first spike, neurons of the first layer have no history: events come up to a step early
    # there, and a spike is listed up to a step late.
    exact, other = (layers[network.names[0]] for layers in found.shown)
    fired = np.unique(exact.neurons[exact.times < 60.0])
    assert len(fired) > 1
    for neuron in fired:
        assert other.of(neuron)[0] == pytest.approx(exact.of(neuron)[0], abs=0.2)
    assert abs(fine["spikes_other"] - fine["spikes"]) < 0.1 * fine["spikes"]
    assert found.comparisons[1e-4].layers["input"].differs is False
    text = format_verification(found)
    assert "first spike that differs" in text
    assert against in text


@pytest.mark.parametrize("against", SIMULATORS)
def test_loops_take_one_step(against: str) -> None:
    """The first spike of a loop's target follows one step after ours."""
    pytest.importorskip(against)
    network = Network(
        Input(1),
        Dense(2, name="output", threshold=1.0, **QUIET),
        connections=[Connection("output", "output", 0.1)],
        weights={
            "output": np.array([[30.0], [0.0]]),
            "output->output": np.array([[0.0, 0.0], [40.0, 0.0]]),
        },
    )
    given = [Recording("one", (np.array([2.0]), np.array([0])))]
    found = verify(network, given, against, [1e-4])
    exact, other = found.shown
    assert len(exact.output.of(1)) > 0
    first = [layers.of(1)[0] for layers in (exact.output, other["output"])]
    assert first[1] == pytest.approx(first[0], abs=0.35)


@pytest.mark.parametrize("against", SIMULATORS)
def test_what_the_graph_does_not_say_is_noted(tmp_path: Path, against: str) -> None:
    """Of a network and of its file, at the file's step and at another."""
    pytest.importorskip(against)
    network = CHAIN.replace("hidden", refractory=2.0)
    path = tmp_path / "model.nir"
    save_graph(export_network(network, against)[0], path)
    for source in (network, path):
        for dt in (None, [2e-3]):
            found = verify(source, recordings(6), against, dt)
            assert any(note.startswith("refractory period of 'hidden' (2 ms)") for note in found.notes)
            assert format_verification(found).count("note: refractory period of 'hidden' (2 ms)") == 1
    assert not verify(CHAIN, recordings(6), against).notes


@pytest.mark.parametrize("bias", [False, True])
def test_a_file_of_snntorch(tmp_path: Path, bias: bool) -> None:
    """Written by snnTorch itself; the spikes are those of its own run up to its step."""
    snn = pytest.importorskip("snntorch")
    export = pytest.importorskip("snntorch.export_nir")
    torch.manual_seed(3)

    def neurons(size: int, **more):
        alpha, beta, threshold = (torch.full((size,), value) for value in (0.98, 0.995, 150.0))
        options = {"init_hidden": True, "reset_mechanism": "zero", "reset_delay": False}
        return snn.Synaptic(alpha, beta, threshold=threshold, **options, **more)

    module = torch.nn.Sequential(
        torch.nn.Linear(6, 5, bias=bias),
        neurons(5),
        torch.nn.Linear(5, 3, bias=False),
        neurons(3, output=True),
    )
    for n in (0, 2):
        module[n].weight.data.abs_().mul_(3.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = export.export_to_nir(module, torch.zeros(6))
    path = tmp_path / "theirs.nir"
    save_graph(graph, path)
    found = import_network(path)
    assert "read as snnTorch" in found.notes[0]
    assert bool(found.losses) == bias
    tau_s, tau_m = (-0.1 / np.log(factor) for factor in (0.98, 0.995))
    for layer in found.network.layers:
        assert (layer.tau_s, layer.tau_m) == pytest.approx((tau_s, tau_m), rel=1e-4)
    times, pixels = events(6)
    ours = simulate(found.network, (times, pixels), t_stop=80.0)
    theirs = []
    for n in range(800):
        batch = torch.zeros(1, 6)
        here = pixels[(np.floor(times / 0.1 + 1e-9)).astype(int) == n]
        batch.index_put_((torch.zeros(len(here), dtype=int), torch.as_tensor(here)), torch.ones(1), True)
        spikes = module(batch)[0]
        theirs += [(0.1 * (n + 1), int(k)) for k in spikes[0].nonzero().flatten()]
    assert len(theirs) > 10
    counts = np.bincount([k for _, k in theirs], minlength=3)
    # Each of their spikes loses what a potential has beyond the threshold.
    assert (np.abs(ours.output.counts - counts) <= 1 + 0.1 * counts).all()
    assert ours.output.times[0] == pytest.approx(theirs[0][0], abs=0.25)


@pytest.mark.parametrize("all_to_all", [True, False])
def test_a_recurrent_file_of_snntorch(tmp_path: Path, all_to_all: bool) -> None:
    """RSynaptic becomes a loop of one step; the spikes are those of snnTorch's own run up to its step."""
    snn = pytest.importorskip("snntorch")
    export = pytest.importorskip("snntorch.export_nir")
    torch.manual_seed(4)
    recurrent = {"linear_features": 5} if all_to_all else {"V": torch.full((5,), -10.0)}

    class Recurrent(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            alpha, beta = torch.full((5,), 0.98), torch.full((5,), 0.995)
            self.linear = torch.nn.Linear(6, 5, bias=False)
            self.neurons = snn.RSynaptic(
                alpha,
                beta,
                threshold=torch.full((5,), 150.0),
                reset_mechanism="zero",
                all_to_all=all_to_all,
                **recurrent,
            )
            self.linear.weight.data.abs_().mul_(5.0)
            if all_to_all:
                self.neurons.recurrent.weight.data.abs_().mul_(-2.0)
                self.neurons.recurrent.bias.data.zero_()
            self.state = torch.zeros(3, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            # Without init_hidden: with it, version 1.0.0 fails on its first step.
            state = (each.expand(*x.shape[:-1], 5) for each in self.state)
            spikes, *more = self.neurons(self.linear(x), *state)
            self.after = torch.stack([each.reshape(5) for each in (spikes, *more)])
            return spikes

    module = Recurrent()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save_graph(export.export_to_nir(module, torch.zeros(6)), tmp_path / "theirs.nir")
    found = import_network(tmp_path / "theirs.nir")
    assert not found.losses
    (loop,) = found.network.connections
    assert loop.delay == pytest.approx(0.1)
    times, pixels = events(6, count=200)
    theirs = []
    with torch.no_grad():
        for n in range(800):
            here = pixels[np.floor(times / 0.1 + 1e-9).astype(int) == n]
            spikes = module(torch.from_numpy(np.bincount(here, minlength=6)).float()[None])
            module.state = module.after
            theirs += [(0.1 * (n + 1), int(k)) for k in spikes[0].nonzero().flatten()]
    counts = np.bincount([k for _, k in theirs], minlength=5)
    ours = simulate(found.network, (times, pixels), t_stop=80.0).output
    assert counts.sum() > 20
    # Each of their spikes takes up to two steps more: its own, and that of the reset, which comes one later.
    assert (np.abs(ours.counts - counts) <= 1 + 0.15 * counts).all()
    assert ours.times[0] == pytest.approx(theirs[0][0], abs=0.25)
    # The loop inhibits: without it there are more spikes by far.
    weights = dict(found.network.weights)
    weights[loop.key] = 0.0 * weights[loop.key]
    without = simulate(found.network.with_weights(weights), (times, pixels), t_stop=80.0).output
    assert without.counts.sum() > 1.3 * counts.sum()


def test_norse_writes_no_recurrent_cells() -> None:
    """It leaves a hole where the cell was; the error names the place."""
    norse = pytest.importorskip("norse.torch")
    module = norse.SequentialState(torch.nn.Linear(4, 3), norse.LIFRecurrentCell(3, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = norse.to_nir(module, torch.zeros(1, 4))
    with pytest.raises(NetworkError, match="node '1'"):
        import_network(graph, dialect="norse", dt_s=0.001)


def test_a_file_of_norse(tmp_path: Path) -> None:
    """Norse writes time constants times dt; `dialect` and `dt` undo it."""
    norse = pytest.importorskip("norse.torch")
    module = norse.SequentialState(
        torch.nn.Linear(4, 3, bias=False), norse.LIFCell(norse.LIFParameters(v_th=torch.tensor(0.4)))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = norse.to_nir(module, torch.zeros(1, 4), dt=0.001)
    found = import_network(graph, dialect="norse", dt_s=0.001)
    layer = found.network.output
    parameters = norse.LIFParameters()
    assert layer.tau_m == pytest.approx(1000.0 / float(parameters.tau_mem_inv), rel=1e-5)
    assert layer.tau_s == pytest.approx(1000.0 / float(parameters.tau_syn_inv), rel=1e-5)
    # A spike adds its weight to the current: v = u tau_s / tau_m.
    assert layer.threshold == pytest.approx(0.4 * layer.tau_m / layer.tau_s, rel=1e-5)


def test_what_cannot_be_verified() -> None:
    with pytest.raises(SimulationError, match="against must be one of"):
        verify(CHAIN, recordings(6), "brian2")
    with pytest.raises(SimulationError, match="no recordings"):
        verify(CHAIN, [], "norse")
    with pytest.raises(SimulationError, match="dt must be a time of 1e-6 to 1 s"):
        verify(CHAIN, recordings(6), "norse", [0.0])
    with pytest.raises(SimulationError, match="within_ms must be a finite number of ms > 0"):
        verify(CHAIN, recordings(6), "norse", within_ms=-1.0)


def test_the_command(tmp_path: Path) -> None:
    """A table, a picture, and the graph as it is."""
    pytest.importorskip("snntorch")
    pytest.importorskip("matplotlib")
    import json

    from click.testing import CliRunner

    import eventsnn as es
    from eventsnn.cli.app import commands

    network = CHAIN.replace("input", width=3, height=2)
    save_graph(export_network(network, "snntorch")[0], tmp_path / "model.nir")
    for label in (0, 1):
        times, neurons = events(6, label)
        stream = es.EventStream.from_arrays(
            (times * 1000).astype(int), neurons % 3, neurons // 3, np.zeros(80, int), sensor_size=(3, 2, 1)
        )
        (tmp_path / "data" / str(label)).mkdir(parents=True)
        es.write(tmp_path / "data" / str(label) / "a.csv", stream)
    arguments = ["verify", tmp_path / "model.nir", tmp_path / "data", "--against", "snntorch", "--json"]
    arguments += ["--plot", tmp_path / "error.png"]
    outcome = CliRunner().invoke(commands, list(map(str, arguments)), catch_exceptions=False)
    result = json.loads(outcome.output)
    assert result["rows"][0]["recordings"] == 2
    assert result["rows"][0]["dt_s"] == pytest.approx(1e-4)
    assert (tmp_path / "error.png").stat().st_size > 10_000
