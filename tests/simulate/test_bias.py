"""Biases: one more neuron that fires regularly and reaches every layer."""

from __future__ import annotations

import numpy as np
import pytest

import eventsnn as es
from eventsnn._util.threads import Pool
from eventsnn.errors import NetworkError, SimulationError
from eventsnn.model import Dense, Input, Network
from eventsnn.model.bias import insert, spike_times
from eventsnn.model.layers import BIAS
from eventsnn.simulate.engines.arrivals import Arrivals
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.train.learner import run_forward

RNG = np.random.default_rng(6)
# Multiples of half a bias interval: many events meet a spike of the bias neuron.
TIMES = np.sort(RNG.integers(1, 60, 80)) * 1.25
NEURONS = RNG.integers(0, 5, 80)
NEURONS = NEURONS[np.lexsort((NEURONS, TIMES))]


def make_network(bias: float, outputs: int = 4, lateral: float = 0.0) -> Network:
    layers = (Dense(6, threshold=3.0, delay=1.25), Dense(outputs, threshold=4.0, lateral_inhibition=lateral))
    network = Network(Input(5, bias_interval=bias), *layers)
    weights = {key: RNG.normal(0.7, 1.0, shape) for key, shape in network.weight_shapes().items()}
    return network.with_weights(weights)


def without_bias_neuron(network: Network) -> tuple[Network, np.ndarray, np.ndarray]:
    """The same as a network whose input has the bias neuron as its last, and its spikes among the events."""
    times = spike_times(network.input, float(TIMES[-1]))
    skip = np.zeros((network.output.neurons, 6))
    skip[:, -1] = network.weights["output"][:, -1]
    plain = Network(
        Input(6),
        *network.layers,
        connections=[es.Connection("input", "output", name="bias")],
        weights={
            "hidden": network.weights["hidden"],
            "output": network.weights["output"][:, :-1],
            "bias": skip,
        },
    )
    return plain, np.concatenate([TIMES, times]), np.concatenate([NEURONS, np.full(len(times), 5)])


@pytest.mark.parametrize(("outputs", "lateral"), [(4, 0.0), (4, 0.5), (40, 0.2)])
def test_engines_agree(outputs: int, lateral: float) -> None:
    network = make_network(2.5, outputs, lateral)
    twin = es.simulate(network, (TIMES, NEURONS), engine="twin")
    assert len(twin["output"].times) > 10
    for engine in ("queue", "sweep"):
        run = es.simulate(network, (TIMES, NEURONS), engine=engine)
        for name in network.names:
            np.testing.assert_array_equal(run[name].times, twin[name].times)
            np.testing.assert_array_equal(run[name].neurons, twin[name].neurons)
        np.testing.assert_array_equal(run["bias"].times, spike_times(network.input, float(TIMES[-1])))
    assert len(twin.input) == len(TIMES)  # the bias neuron is none of the input's


def spatial_network(bias: float = 2.5) -> Network:
    """Biases of a padded and of a wide convolution; none of pooling and of a layer that does without."""
    network = Network(
        Input(6, 5, 2, bias_interval=bias),
        es.Conv(3, 3, padding=1, threshold=1.5, delay=1.25),
        es.Pool(2, threshold=0.7),
        es.Conv(35, 2, threshold=2.0),
        Dense(6, threshold=2.0, bias=False),
        Dense(4, threshold=1.5, lateral_inhibition=0.3),
    )
    rng = np.random.default_rng(8)
    return network.with_weights({k: rng.normal(0.3, 1.0, s) for k, s in network.weight_shapes().items()})


def test_engines_agree_on_convolutions() -> None:
    network = spatial_network()
    assert [p.key for p in network.projections if p.source == BIAS] == [
        "conv:bias",
        "conv2:bias",
        "output:bias",
    ]
    assert network.weights["conv"].shape == (3, 2 * 9 + 1)
    neurons = RNG.integers(0, 60, len(TIMES))
    twin = es.simulate(network, (TIMES, neurons), engine="twin")
    for engine in ("queue", "sweep"):
        run = es.simulate(network, (TIMES, neurons), engine=engine)
        for name in network.names:
            assert len(twin[name]) > 10
            np.testing.assert_allclose(run[name].times, twin[name].times, rtol=0, atol=1e-9)
            np.testing.assert_array_equal(run[name].neurons, twin[name].neurons)
    # The bias counts: without it other spikes.
    silent = spatial_network(0.0).with_weights(
        {
            k: w[:, :-1].reshape(s) if w.shape != s else w
            for (k, w), s in zip(
                network.weights.items(), spatial_network(0.0).weight_shapes().values(), strict=True
            )
        }
    )
    assert len(es.simulate(silent, (TIMES, neurons))["conv"]) != len(twin["conv"])


def test_training_has_the_spikes_of_the_engines() -> None:
    network = make_network(2.5)
    short = slice(0, 30)
    samples = [(TIMES, NEURONS), (np.empty(0), np.empty(0, int)), (TIMES[short], NEURONS[short])]
    arrivals = Arrivals.join([(t, n.astype(np.int32)) for t, n in samples])
    with Pool(1) as pool:
        run = run_forward(PackedNetwork(network, np.float64), arrivals, pool)
    for number, sample in enumerate(samples):
        expected = es.simulate(network, sample, engine="queue").output
        np.testing.assert_array_equal(run.layer_spikes(-1).sample(number)[0], expected.times)
        np.testing.assert_array_equal(run.layer_spikes(-1).sample(number)[1], expected.neurons)


def test_it_is_a_regularly_firing_input_neuron() -> None:
    network = make_network(2.5)
    run = es.simulate(network, (TIMES, NEURONS), engine="queue")
    plain, times, neurons = without_bias_neuron(network)
    other = es.simulate(plain, (times, neurons), engine="queue")
    for name in network.names:
        assert run[name].counts.tolist() == other[name].counts.tolist()
        # The skip connection carries the other inputs' spikes, too, with weight 0: more roundings.
        np.testing.assert_allclose(run[name].times, other[name].times, rtol=0, atol=1e-9)


def test_spikes_of_the_bias_neuron() -> None:
    sensor = Input(5, bias_interval=2.5)
    assert spike_times(sensor, 10.0).tolist() == [2.5, 5.0, 7.5, 10.0]
    assert spike_times(sensor, 9.99).tolist() == [2.5, 5.0, 7.5]
    assert spike_times(sensor, 0.0).tolist() == []
    assert spike_times(Input(5, bias_interval=0.1), 0.3).tolist() == [0.1, 0.2]  # 3 * 0.1 > 0.3
    assert spike_times(Input(5), 10.0).tolist() == []


@pytest.mark.parametrize("engine", ["twin", "queue", "sweep"])
def test_a_stop_changes_nothing_before(engine: str) -> None:
    network = make_network(2.5)
    whole = es.simulate(network, (TIMES, NEURONS), engine=engine)
    cut = es.simulate(network, (TIMES, NEURONS), engine=engine, t_stop=31.3)
    keep = whole.output.times <= 31.3
    assert keep.any()
    np.testing.assert_array_equal(cut.output.times, whole.output.times[keep])


def test_number_of_weights_and_file(tmp_path) -> None:
    network = Network(Input(28, 28, bias_interval=10.0), Dense(800), Dense(47), seed=1)
    assert sum(array.size for array in network.weights.values()) == 665_647  # Jin, Zhang & Li, 2018
    assert network.weights["hidden"].shape == (800, 785)
    network.save(tmp_path / "a.h5")
    assert Network.load(tmp_path / "a.h5").input == network.input
    assert "bias_interval" not in Network(Input(3), Dense(2)).to_table()["input"]


def test_refusals() -> None:
    with pytest.raises(NetworkError, match="bias_interval must be a finite number >= 0, got -1"):
        Input(3, bias_interval=-1)
    network = make_network(2.5)
    with pytest.raises(SimulationError, match="input neuron 5; the network has 5"):
        es.simulate(network, ([1.0], [5]))
    with pytest.raises(NetworkError, match="layer 'bias': the name is the bias neuron's"):
        Network(Input(3, bias_interval=1.0), Dense(2, name="bias"))


def test_delivery_is_what_inserting_gives() -> None:
    """The kernel, and its twin, at many equal times; also without spikes, without biases and without both."""
    rng = np.random.default_rng(4)
    samples = [np.sort(rng.integers(0, 30, n)) * 0.5 for n in (40, 0, 25, 0)]
    trains = [np.arange(1.0, 1.0 + n) for n in (12, 9, 0, 0)]
    spikes = Arrivals.join([(t, rng.integers(0, 5, len(t)).astype(np.int32)) for t in samples])
    times, neurons, ptr = insert(spikes.times + 0.5, spikes.neurons, spikes.ptr, trains, 5)
    found, stage = spikes.delivered(0.5, trains, 5)
    stage()
    np.testing.assert_array_equal(found.ptr, ptr)
    np.testing.assert_array_equal(found.times, times)
    np.testing.assert_array_equal(found.neurons, neurons)
