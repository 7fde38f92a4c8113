"""Our networks through NIR and back: the same bit by bit, in every dialect, through a file too."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from eventsnn import simulate
from eventsnn.errors import ConversionWarning, NetworkError
from eventsnn.model import Connection, Conv, Dense, Input, Network, Pool, Readout, Reservoir, RunSettings
from eventsnn.model.sparse import is_sparse
from tests.strategies import chains, recurrent_networks, sparse_networks

nir = pytest.importorskip("nir")

from eventsnn.model.nir import DIALECTS, export_network, import_network, save_graph  # noqa: E402

NETWORKS = st.one_of(
    chains(lateral=True), recurrent_networks(biases=(0.0, 3.5)), sparse_networks(synaptic=True)
)


def assert_same(one: Network, other: Network) -> None:
    """Equal descriptions, run settings, weights and delays, to the last bit."""
    assert one.to_table() == other.to_table()
    assert one.settings == other.settings
    assert list(one.weights) == list(other.weights)
    for key, weights in one.weights.items():
        back = other.weights[key]
        assert is_sparse(weights) == is_sparse(back)
        assert weights.dtype == back.dtype
        if is_sparse(weights):
            assert np.array_equal(weights.indices, back.indices)
            assert np.array_equal(weights.indptr, back.indptr)
            weights, back = weights.data, back.data
        assert weights.tobytes() == back.tobytes()
    assert list(one.delays) == list(other.delays)
    for key, each in one.delays.items():
        assert each.tobytes() == other.delays[key].tobytes()


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=6, suppress_health_check=[HealthCheck.too_slow])
@given(network=NETWORKS)
def test_random_networks_come_back_exactly(network: Network, dialect: str, tmp_path_factory) -> None:
    # Spyx reads chains, and loops of a layer onto itself.
    assume(dialect != "spyx" or all(c.source == c.target for c in network.connections))
    graph, _ = export_network(network, dialect)
    path = tmp_path_factory.getbasetemp() / "model.nir"
    nir.write(path, graph)
    found = import_network(path)
    assert found.losses == []
    assert_same(found.network, network)
    # nir's own check of shapes agrees with the graph.
    assert nir.read(path, type_check=True).check_types()


def spatial_network(**more) -> Network:
    """Maps, a pool whose windows overlap, a dense layer; neurons of all layers differ."""
    return Network(
        Input(9, 7, 2, **more),
        Conv(3, (3, 2), stride=(2, 1), padding=(1, 0), name="conv", threshold=2.0, tau_m=20.0, tau_s=3.0),
        Pool(2, 1, name="pool", threshold=1.5, tau_m=9.0, tau_s=9.0),
        Dense(4, name="output", threshold=1.0, resting=0.2),
        seed=3,
    )


SPECIAL = {
    "spatial": spatial_network(),
    "spatial with biases": spatial_network(bias_interval=2.0),
    "square kernel": Network(Input(6, 6, 1), Conv(2, 3), Dense(3), seed=1, classes=("a", "b", "c")),
    "readout": Network(Input(3), Dense(4), Readout(2, value="mean"), seed=1),
    "reservoir": Network(Input(3), Reservoir(grid=(2, 2, 2)), Dense(2), seed=1),
    "own names": Network(
        Input(3), Dense(2, name="été -> 1"), Dense(2, name="if"), Dense(2, name="2"), seed=1
    ),
    "delays": Network(Input(3), Dense(2, delay=[0.5, 1.0, 0.0], name="a"), Dense(2, delay=3.0), seed=1),
    "clock": Network(Input(3), Dense(2), seed=1).with_settings(RunSettings("clocked", 0.6, 300.0)),
    "into maps": Network(
        Input(4, 4),
        Conv(2, 2, name="conv"),
        Dense(3, name="output"),
        connections=[Connection("output", "conv", 1.0), Connection("input", "output")],
        seed=1,
    ),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_special_networks_come_back_exactly(name: str, tmp_path: Path) -> None:
    network = SPECIAL[name]
    save_graph(export_network(network)[0], tmp_path / "model.nir")
    assert_same(Network.from_nir(tmp_path / "model.nir"), network)


@settings(max_examples=10)
@given(network=NETWORKS, data=st.data())
def test_without_our_metadata_the_spikes_are_the_same(network: Network, data) -> None:
    """NIR says all of a network but what the list of losses names, and reading it needs no help of ours."""
    assume(not network.delays and not network.input.has_bias)
    network = _without_refractory(network)
    # Excitatory loops without a refractory period fire faster and faster.
    loops = {p.key for p in network.projections if p.source >= p.target}
    network = network.with_weights({k: -abs(w) if k in loops else w for k, w in network.weights.items()})
    graph, losses = export_network(network)
    assert losses == []
    graph.metadata = {}
    found = import_network(graph, unit="ms")
    assert found.losses == []
    seed = data.draw(st.integers(0, 1000))
    generator = np.random.default_rng(seed)
    times = np.sort(generator.uniform(0.0, 40.0, 30))
    events = times, generator.integers(0, network.input.neurons, 30)
    before, after = (simulate(n, events, t_stop=60.0) for n in (network, found.network))
    for one, other in zip(before.layers.values(), after.layers.values(), strict=True):
        assert one.neurons.tolist() == other.neurons.tolist()
        # Thresholds and resting potentials are rounded once each way.
        assert np.allclose(one.times, other.times, rtol=0.0, atol=1e-6)


def _without_refractory(network: Network) -> Network:
    for name in network.names:
        network = network.replace(name, refractory=0.0)
    return network


@pytest.mark.parametrize("dialect", ["portable", "snntorch"])
def test_maps_stay_maps_without_our_metadata(dialect: str) -> None:
    network = _without_refractory(spatial_network()).replace("output", resting=0.0)
    graph, _ = export_network(network, dialect)
    graph.metadata = {}
    found = import_network(graph).network
    assert [type(layer) for layer in found.layers] == [Conv, Pool, Dense]
    assert [layer.neurons for layer in found.layers] == [layer.neurons for layer in network.layers]
    for key, weights in network.weights.items():
        assert np.array_equal(weights, found.weights[key])
    for before, after in zip(network.layers, found.layers, strict=True):
        for field in ("threshold", "tau_m", "tau_s"):
            assert getattr(after, field) == pytest.approx(getattr(before, field), rel=1e-9)


def test_a_graph_that_has_changed_is_read_as_it_is() -> None:
    network = Network(Input(3), Dense(2, name="output", refractory=0.0), seed=1)
    graph, _ = export_network(network)
    graph.nodes["output"].v_threshold = graph.nodes["output"].v_threshold * 2.0
    found = import_network(graph)
    assert found.network.output.threshold == pytest.approx(30.0)
    assert any("changed since eventsnn wrote it" in note for note in found.notes)


def test_losses_are_told_once_and_refused_when_strict(tmp_path: Path) -> None:
    network = Network(Input(3, bias_interval=5.0), Dense(2, name="output"), seed=1)
    with pytest.warns(ConversionWarning, match="refractory period of 'output'.*biases") as caught:
        network.to_nir()
    assert len(caught) == 1
    with pytest.raises(NetworkError, match="refractory period"):
        network.to_nir(strict=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _without_refractory(Network(Input(3), Dense(2), seed=1)).to_nir(strict=True)


@pytest.mark.parametrize(
    ("dialect", "dt", "text"),
    [
        ("snntorch", 1e-3, "a step of 0.0001 s only"),
        ("portable", 1e-3, "has no time step"),
        ("norse", 0.0, "must be a time above 0"),
        ("norse", float("nan"), "must be a time above 0"),
        ("sinabs", None, "dialect must be one of portable, snntorch"),
    ],
)
def test_wrong_dialects_and_steps(dialect: str, dt: float | None, text: str) -> None:
    with pytest.raises(NetworkError, match=text):
        Network(Input(3), Dense(2), seed=1).to_nir(dialect, dt)


def test_what_a_program_cannot_read_is_refused() -> None:
    with pytest.raises(NetworkError, match="is a readout, and snnTorch"):
        export_network(SPECIAL["readout"], "snntorch")
    with pytest.raises(NetworkError, match="Rockpool reads no convolutions"):
        export_network(SPECIAL["spatial"], "rockpool")
    with pytest.raises(NetworkError, match="NIR cannot turn the result of a matrix into maps"):
        export_network(
            Network(
                Input(5, 5),
                Conv(1, 2, name="conv"),
                Pool(2, name="output"),
                connections=[Connection("output", "conv")],
                seed=1,
            )
        )
