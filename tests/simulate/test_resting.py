"""A resting potential other than 0: spikes against the oracle, engines against each other, traces."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from eventsnn.errors import NetworkError, SimulationError
from eventsnn.model import LIF, Connection, Conv, Dense, Input, Network, Pool
from eventsnn.reference import clocked as clocked_twin
from eventsnn.simulate.engines import clocked, queue, sweep, twin, windows
from eventsnn.simulate.run import simulate
from eventsnn.simulate.simulation import Simulation
from eventsnn.trace import explain
from eventsnn.trace.potential import membrane_potential, replay_layer
from tests.oracle import network_run
from tests.simulate.helpers import NEURONS, assert_exact, assert_layer_exact, assert_same_bits, drive

RESTING = (-1.5, 0.5, 0.97)  # of the threshold


def make_layer(lif: LIF, resting: float, name: str, neurons: int = 4) -> Dense:
    return Dense(
        neurons,
        name=name,
        threshold=lif.threshold,
        tau_m=lif.tau_m,
        tau_s=lif.tau_s,
        refractory=lif.refractory,
        resting=resting * lif.threshold,
    )


def make_network(lif: LIF, resting: float, *, sparse: bool = False) -> Network:
    layers = make_layer(lif, resting, "a"), make_layer(lif, -0.3, "b", 3)
    network = Network(Input(5), *layers, connections=[Connection("a", "a", delay=1.5)])
    rng = np.random.default_rng(3)
    weights = {k: lif.threshold * rng.normal(0.6, 1.2, s) for k, s in network.weight_shapes().items()}
    if sparse:
        weights = {key: csr_array(w * (w > 0.0)) for key, w in weights.items()}
    return network.with_weights(weights)


def make_train() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(6)
    return np.sort(rng.uniform(5.0, 35.0, 40)), rng.integers(0, 5, 40).astype(np.int32)


@pytest.mark.parametrize("engine", ["twin", "queue"])
@pytest.mark.parametrize("resting", RESTING)
@pytest.mark.parametrize("name", NEURONS)
def test_spikes_of_the_oracle(engine, resting, name):
    network = make_network(NEURONS[name], resting)
    expected = network_run(network, *make_train(), t_stop=25.0, most_spikes=5000)
    assert expected.margin > 1e-8
    record = drive(engine, network, *make_train(), t_stop=25.0)
    assert resting < 0.0 or len(record["a"]) > 1
    for layer in record.layers:
        assert_layer_exact(record[layer], expected.layers[layer])


@pytest.mark.parametrize("resting", RESTING)
def test_the_same_bits(resting):
    network = make_network(NEURONS["published"], resting)
    arguments = (network, *make_train())
    assert_same_bits(twin.run(*arguments, t_stop=60.0), queue.run(*arguments, t_stop=60.0))


def test_a_neuron_at_rest_just_below_its_threshold_needs_little():
    """From rest at 0.99 of the threshold one weak input fires it; without input it stays silent for ever."""
    layer = Dense(1, name="n", threshold=10.0, tau_m=20.0, tau_s=2.0, resting=9.9)
    network = Network(Input(1), layer, weights={"n": np.array([[0.5]])})
    assert len(simulate(network, (np.empty(0), np.empty(0, int)), t_stop=1e4).output) == 0
    late, early = simulate(network, ([500.0], [0])).output, simulate(network, ([5.0], [0])).output
    assert (len(late), len(early)) == (1, 0)
    expected = network_run(network, [500.0], [0])
    assert_exact(late.times, [t for t, _ in expected.layers["n"]])


def test_what_it_must_not_be():
    for value in (15.0, 16.0):
        with pytest.raises(NetworkError, match=r"resting must be below the threshold 15\.0.*fire for ever"):
            Dense(3, threshold=15.0, resting=value)
    with pytest.raises(NetworkError, match="resting must be a finite number, got nan"):
        Dense(3, resting=float("nan"))


def make_chain(lif: LIF, resting: float, *, spatial: bool = False) -> Network:
    """A chain of layers, the first a convolution and a pooling layer if `spatial`."""
    layers: list = [make_layer(lif, resting, "a", 40), make_layer(lif, -0.3, "b", 3)]
    if spatial:
        numbers = {"tau_m": lif.tau_m, "tau_s": lif.tau_s, "refractory": lif.refractory}
        conv = Conv(
            3, 2, name="c", padding=1, threshold=lif.threshold, resting=resting * lif.threshold, **numbers
        )
        pool = Pool(2, name="p", threshold=0.5, resting=0.3 * resting, **numbers)
        layers = [conv, pool, *layers]
    network = Network(Input(4, 4, 1) if spatial else Input(16), *layers)
    rng = np.random.default_rng(3)
    weights = {k: lif.threshold * rng.normal(0.4, 0.7, s) for k, s in network.weight_shapes().items()}
    return network.with_weights(weights)


def make_train_of(neurons: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(6)
    return np.sort(rng.uniform(5.0, 35.0, 60)), rng.integers(0, neurons, 60).astype(np.int32)


@pytest.mark.parametrize("resting", RESTING)
@pytest.mark.parametrize("name", NEURONS)
def test_the_sweep_gives_the_spikes_of_the_oracle(resting, name):
    network, train = make_chain(NEURONS[name], resting), make_train_of(16)
    expected = network_run(network, *train, t_stop=25.0, most_spikes=20000)
    assert expected.margin > 1e-9
    record = sweep.run(network, *train, t_stop=25.0)
    assert resting < 0.0 or len(record["b"]) > 1
    for layer in record.layers:
        assert_layer_exact(record[layer], expected.layers[layer])


@pytest.mark.parametrize("real", ["float32", "float64"])
@pytest.mark.parametrize("resting", RESTING)
@pytest.mark.parametrize("name", ["published", "close", "no refractory period"])
def test_sweep_and_queue_have_the_same_bits(name, resting, real):
    arguments = (make_chain(NEURONS[name], resting), *make_train_of(16))
    record = sweep.run(*arguments, t_stop=60.0, dtype=real)
    assert_same_bits(record, queue.run(*arguments, t_stop=60.0, dtype=real))
    assert simulate(arguments[0], arguments[1:], t_stop=60.0, dtype=real).engine == "sweep"
    if real == "float64":
        assert_same_bits(record, twin.run(*arguments, t_stop=60.0))


@pytest.mark.parametrize("resting", RESTING)
def test_convolutions_and_pooling_in_sweep_and_queue(resting):
    arguments = (make_chain(NEURONS["published"], resting, spatial=True), *make_train_of(16))
    record, expected = sweep.run(*arguments, t_stop=60.0), queue.run(*arguments, t_stop=60.0)
    assert resting < 0.0 or len(record["p"]) > 1
    for layer in record.layers:
        np.testing.assert_array_equal(record[layer].neurons, expected[layer].neurons)
        np.testing.assert_allclose(record[layer].times, expected[layer].times, rtol=0.0, atol=1e-9)


@pytest.mark.parametrize("spatial", [False, True])
def test_the_sweep_in_parts(spatial):
    """Cut before the first input, between two, and after the last."""
    network, (times, neurons) = make_chain(NEURONS["published"], 0.97, spatial=spatial), make_train_of(16)
    whole = sweep.run(network, times, neurons, t_stop=60.0)
    parts = Simulation(network, engine="sweep", dtype="float64", t_stop=60.0)
    found: dict[str, list[np.ndarray]] = {name: [] for name in whole.layers}
    for until in (3.0, 10.0, 20.0, 50.0):
        part = times < until
        for record in (parts.feed((times[part], neurons[part]), until=until),):
            for name, spikes in record.layers.items():
                found[name].append(spikes.times)
        times, neurons = times[~part], neurons[~part]
    for name, spikes in parts.finish().layers.items():
        found[name].append(spikes.times)
    for name, spikes in whole.layers.items():
        np.testing.assert_array_equal(np.concatenate(found[name]), spikes.times)


@pytest.mark.parametrize("resting", RESTING)
def test_windows_give_the_spikes_of_the_oracle(resting):
    network = make_network(NEURONS["published"], resting, sparse=True)
    expected = network_run(network, *make_train(), t_stop=25.0, most_spikes=20000)
    record = windows.run(network, *make_train(), t_stop=25.0)
    assert resting < 0.0 or len(record["a"]) > 1
    for layer in record.layers:
        assert_layer_exact(record[layer], expected.layers[layer])


@pytest.mark.parametrize("spatial", [False, True])
@pytest.mark.parametrize("resting", RESTING)
def test_on_the_clock(resting, spatial):
    network, train = make_chain(NEURONS["published"], resting, spatial=spatial), make_train_of(16)
    record = clocked.run(network, *train, t_stop=60.0)
    assert resting < 0.0 or len(record["b"]) > 1
    trains = clocked_twin.run(network, *train, 61)
    for layer, (times, neurons) in zip(record.layers, trains, strict=True):
        np.testing.assert_array_equal(record[layer].times, times)
        np.testing.assert_array_equal(record[layer].neurons, neurons)


def test_steps_with_a_resting_potential_written_out_by_hand():
    # tau_m 4, tau_s 2, weight 8, resting 2, one input spike in step 1, where v is 0 + 2/4 = 0.5. Then I is 8,
    # 4 and v is 0.5 - 0.125 + 0.5 + 4 = 4.875, 4.875 - 1.21875 + 0.5 + 2 = 6.15625.
    layer = Dense(1, name="output", threshold=6.0, tau_m=4.0, tau_s=2.0, resting=2.0)
    network = Network(Input(1), layer, weights={"output": np.array([[8.0]])})
    run = clocked.run(network, np.array([1.0]), np.array([0]), t_stop=3.0)
    np.testing.assert_array_equal(run["output"].times, [3.0])


def test_a_resting_potential_that_float32_takes_for_the_threshold():
    network = Network(Input(1), Dense(2, resting=np.nextafter(15.0, 0.0)))
    with pytest.raises(SimulationError, match=r"layer 'output': resting = .* would fire without input"):
        clocked.run(network, np.array([1.0]), np.array([0]), t_stop=3.0)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("resting", RESTING)
def test_potentials_and_explanations(resting, sparse, tmp_path):
    network, times = make_network(NEURONS["published"], resting, sparse=sparse), np.linspace(0.0, 60.0, 121)
    record = simulate(network, make_train(), t_stop=60.0, trace=tmp_path / "t.h5")
    threshold = network["a"].threshold
    grid = replay_layer(network, record, "a", times)
    for neuron in range(4):
        spikes = record["a"].of(neuron)
        at_spikes = membrane_potential(network, record, "a", neuron, spikes)
        np.testing.assert_allclose(at_spikes, threshold, rtol=1e-9)
        own = grid.values[(grid.kinds == 0) & (grid.neurons == neuron)]
        potential = membrane_potential(network, record, "a", neuron, times)
        np.testing.assert_allclose(potential, own, rtol=0.0, atol=1e-9 * threshold)
        before = times < 5.0  # nothing has arrived: the potential leaves 0 for its resting potential
        free = network["a"].resting * -np.expm1(-times[before] / 64.0)
        np.testing.assert_allclose(potential[before], free, atol=1e-12 * threshold)
    neuron = int(np.argmax(record.output.counts))
    for layer, number in (("a", int(record["a"].neurons[-1])), ("b", neuron)):
        e = explain(tmp_path / "t.h5", layer=layer, neuron=number, spike=len(record[layer].of(number)) - 1)
        assert e.sum == pytest.approx(e.threshold, rel=1e-8)
        direct = e.direct_input + e.direct_resting + e.causes["contribution"].sum()
        assert direct == pytest.approx(e.threshold, rel=1e-8)
        assert e.resting != 0.0
