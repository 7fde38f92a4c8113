"""Spike times of every engine against the high-precision oracle: none missing or extra, |error| <= 1e-9 ms.

Float64 carries a relative rounding error of some 1e-15 in u; where u passes the threshold at a slope of the
order of threshold / tau this is below 1e-12 ms. Grazing maxima are flat: tolerances are stated where they
are tested.
"""

import functools

import numpy as np
import pytest
from mpmath import mp, mpf

from eventsnn.errors import SimulationError
from eventsnn.events import read
from eventsnn.model import LIF, Connection, Dense, Input, Network
from eventsnn.trace.record import ExitReason
from tests.oracle import network_run, neuron_run, spike_times
from tests.real_data import real_data
from tests.simulate.helpers import ENGINES, NEURONS, assert_exact, assert_layer_exact, drive, one_layer

pytestmark = pytest.mark.parametrize("engine", ENGINES)


def random_train(seed: int, n_inputs: int, n_events: int, duration: float):
    generator = np.random.default_rng(seed)
    return np.sort(generator.uniform(0.0, duration, n_events)), generator.integers(0, n_inputs, n_events)


@pytest.mark.parametrize("name", NEURONS)
def test_random_neurons(engine, name):
    lif = NEURONS[name]
    times, indices = random_train(1, 20, 120, 150.0)
    weights = lif.threshold * np.random.default_rng(2).normal(0.25, 0.6, (6, 20))
    record = drive(engine, one_layer(lif, weights), times, indices)
    assert len(record.output) > 20
    for neuron in range(6):
        expected, margin = neuron_run(times, weights[neuron, indices], lif)
        assert margin > 1e-7, "the example is too close to call in float64"
        assert_exact(record.output.of(neuron), expected)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_late_times_lose_nothing_but_their_last_digits(engine, offset):
    lif = NEURONS["published"]
    times, indices = random_train(3, 5, 60, 80.0)
    weights = np.random.default_rng(4).uniform(-4.0, 16.0, (3, 5)).astype(np.float32)
    record = drive(engine, one_layer(lif, weights), times + offset, indices)
    assert len(record.output) > 0
    for neuron in range(3):
        assert_exact(record.output.of(neuron), spike_times(times + offset, weights[neuron, indices], lif))


# eps has its maximum 1/2 at tau_m ln 2 for tau_m = 2 tau_s: weight 6 touches the threshold 3, exactly.
TOUCHING = LIF(threshold=3.0, tau_m=16.0, tau_s=8.0, refractory=2.0)


def test_a_maximum_equal_to_the_threshold_fires(engine):
    record = drive(engine, one_layer(TOUCHING, [[6.0]]), [1.0], [0])
    # Within 4 ulp of a maximum the place is known to sqrt(2 * 9e-16 * tau_m * tau_s) = 5e-7 ms.
    assert_exact(record.output.times, spike_times([1.0], [6.0], TOUCHING), tolerance_ms=1e-6)


@pytest.mark.parametrize("name", NEURONS)
def test_a_maximum_equal_to_the_threshold_but_for_its_rounding_fires(engine, name):
    """One neuron for each of 40 weights, each with a layer of its own, its threshold the rounded maximum."""
    neuron = NEURONS[name]
    weights = np.random.default_rng(9).uniform(1.0, 100.0, 40)
    _, margin = neuron_run([1.0], [1.0], LIF(1e3, neuron.tau_m, neuron.tau_s, 0.0))
    for weight in weights:
        with mp.workdps(50):
            maximum = float(mpf(weight) * 1000 * (1 - margin))
        lif = LIF(maximum, neuron.tau_m, neuron.tau_s, neuron.refractory)
        record = drive(engine, one_layer(lif, [[weight]]), [1.0], [0])
        assert len(record.output) == 1


@pytest.mark.parametrize("excess", [-1e-6, -1e-9, -1e-12, 1e-12, 1e-9, 1e-6])
def test_grazing_maxima(engine, excess):
    weight = 6.0 * (1.0 + excess)
    record = drive(engine, one_layer(TOUCHING, [[weight]]), [1.0], [0])
    expected = spike_times([1.0], [weight], TOUCHING)
    assert len(expected) == (excess > 0)
    # The slope at the crossing is sqrt(2 excess / (tau_m tau_s)) of the threshold, the error of u some 4 ulp.
    assert_exact(record.output.times, expected, tolerance_ms=max(1e-9, 2e-14 / abs(excess) ** 0.5))


@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize("excess", [-1e-11, 1e-11])
def test_grazing_maximum_of_a_random_train(engine, name, excess):
    """The threshold is put next to the highest potential that a neuron ever reaches."""
    lif = NEURONS[name]
    times, indices = random_train(5, 6, 40, 60.0)
    weights = np.random.default_rng(6).uniform(-0.5, 1.0, 6)
    far = LIF(1e3, lif.tau_m, lif.tau_s, lif.refractory)
    silent, margin = neuron_run(times, weights[indices], far)
    assert silent == []
    with mp.workdps(50):
        highest = 1000 * (1 - margin)
        grazed = LIF(float(highest / (1 + mpf(excess))), lif.tau_m, lif.tau_s, lif.refractory)
    expected = spike_times(times, weights[indices], grazed)
    assert bool(expected) == (excess > 0)
    record = drive(engine, one_layer(grazed, weights[None, :]), times, indices)
    assert_exact(record.output.times, expected, tolerance_ms=1e-7)


def test_simultaneous_inputs_are_applied_together(engine):
    lif = NEURONS["published"]
    weights = np.array([[60.0, -60.0, 80.0, -30.0, 7.0]])
    times = [0.0, 0.0, 5.0, 5.0, 5.0, 5.0, 9.0]
    indices = [0, 1, 2, 2, 3, 4, 4]
    record = drive(engine, one_layer(lif, weights), times, indices)
    assert len(record.output) > 1
    assert_exact(record.output.times, spike_times(times, weights[0, indices], lif))
    silent = drive(engine, one_layer(lif, weights), [0.0, 0.0], [0, 1])
    assert len(silent.output) == 0


def test_the_order_of_simultaneous_inputs_does_not_matter(engine):
    lif = NEURONS["published"]
    network = one_layer(lif, np.random.default_rng(7).uniform(0.0, 20.0, (3, 6)))
    forward = drive(engine, network, np.zeros(6), np.arange(6))
    backward = drive(engine, network, np.zeros(6), np.arange(6)[::-1])
    assert len(forward.output) > 0
    assert np.array_equal(forward.output.times, backward.output.times)


@pytest.mark.parametrize("weight", [8.0, -8.0])
@pytest.mark.parametrize("refractory", [0.0, 1e-9, 2.0, 50.0])
def test_input_around_the_refractory_period(engine, refractory, weight):
    """Inputs at the spike and just after, within the refractory period, exactly at its end and just after."""
    lif = LIF(2.0, 20.0, 5.0, refractory)
    spike = float(spike_times([0.0], [8.0], lif)[0])
    if weight < 0:
        # An inhibitory input within an ulp of the spike may or may not prevent it: either would be right.
        spike += 1e-8
    end = spike + refractory
    times = sorted(
        [0.0, spike, np.nextafter(spike, 99.0), 0.5 * (spike + end), end, end, np.nextafter(end, 99.0)]
    )
    indices = [0, 1, 1, 1, 1, 1, 1]
    weights = np.array([[8.0, weight]])
    expected, margin = neuron_run(times, weights[0, indices], lif)
    assert margin > 1e-9
    assert_exact(drive(engine, one_layer(lif, weights), times, indices).output.times, expected)


def test_no_refractory_period_under_strong_drive(engine):
    lif = LIF(1.0, 20.0, 5.0, 0.0)
    expected = spike_times([0.0, 10.0], [40.0, -3.0], lif)
    assert len(expected) > 20
    assert_exact(drive(engine, one_layer(lif, [[40.0, -3.0]]), [0.0, 10.0], [0, 1]).output.times, expected)


def test_refractory_period_bounds_the_rate(engine):
    lif = LIF(1.0, 20.0, 5.0, 3.0)
    record = drive(engine, one_layer(lif, [[1e4]]), [0.0], [0])
    expected = spike_times([0.0], [1e4], lif)
    assert len(expected) > 5
    assert_exact(record.output.times, expected)
    assert np.diff(record.output.times).min() >= 3.0


def test_negative_weights_never_fire(engine):
    times, indices = random_train(8, 4, 50, 20.0)
    record = drive(engine, one_layer(NEURONS["published"], -np.ones((3, 4)) * 50.0), times, indices)
    assert len(record.output) == 0
    assert record.exit_reason is ExitReason.QUIET


def test_recovery_from_deep_inhibition(engine):
    lif = LIF(1.0, 20.0, 5.0, 1.0)
    times, weights = [0.0, 1.0, 30.0, 31.0], np.array([[-200.0, 60.0, 100.0, 400.0]])
    expected = spike_times(times, weights[0], lif)
    assert expected
    assert_exact(drive(engine, one_layer(lif, weights), times, range(4)).output.times, expected)


def test_empty_recording(engine):
    record = drive(engine, one_layer(NEURONS["published"], np.ones((3, 2))), [], [])
    assert len(record.output) == 0
    assert len(record.input) == 0
    assert record.exit_reason is ExitReason.QUIET
    assert record.t_end == np.inf
    assert record.decision is None


def test_spikes_after_the_last_input_are_found(engine):
    lif = NEURONS["published"]
    record = drive(engine, one_layer(lif, [[70.0]]), [0.0], [0])
    expected = spike_times([0.0], [70.0], lif)
    assert_exact(record.output.times, expected)
    cut = float(expected[0]) + 1e-9
    stopped = drive(engine, one_layer(lif, [[70.0]]), [0.0], [0], t_stop=cut)
    assert_exact(stopped.output.times, expected[:1])
    assert stopped.t_end >= cut
    before = drive(engine, one_layer(lif, [[70.0]]), [0.0], [0], t_stop=float(expected[0]) - 1e-9)
    assert len(before.output) == 0
    assert before.exit_reason is ExitReason.T_STOP


def chain(seed: int, lateral: float = 0.0, connections=()) -> Network:
    hidden = Dense(6, name="hidden", threshold=3.0, tau_m=30.0, tau_s=6.0, refractory=1.0)
    middle = Dense(5, name="middle", threshold=4.0, tau_m=10.0, tau_s=10.0, refractory=0.0, delay=1.25)
    output = Dense(3, name="output", threshold=5.0, tau_m=8.0, tau_s=12.0, lateral_inhibition=lateral)
    network = Network(Input(8), hidden, middle, output, connections=connections)
    generator = np.random.default_rng(seed)
    weights = {key: generator.normal(0.9, 1.6, shape) for key, shape in network.weight_shapes().items()}
    return network.with_weights(weights)


WITH_DELAYS = (
    Connection("output", "hidden", delay=3.5),
    Connection("hidden", "hidden", delay=0.5),
    Connection("input", "output", delay=2.0),
)
WITHOUT_DELAY = (Connection("middle", "middle"),)


@functools.cache
def oracle(seed: int, lateral: float = 0.0, connections=(), n_events: int = 40, t_stop: float | None = None):
    """The network, its input and its true spikes, computed once for all engines."""
    network = chain(seed, lateral, connections)
    times, indices = random_train(seed + 20, 8, n_events, 1.5 * n_events)
    expected = network_run(network, times, indices, t_stop)
    # Else the example would be too close to call in float64: a grazing maximum, two spikes at once.
    assert expected.margin > 1e-7
    assert expected.gap > 1e-7
    return network, times, indices, expected


@pytest.mark.parametrize("seed", [0, 2, 6])
def test_deep_chain_with_delays(engine, seed):
    network, times, indices, expected = oracle(seed)
    record = drive(engine, network, times, indices)
    assert len(record.output) > 0
    for name in network.names:
        assert_layer_exact(record[name], expected.layers[name])


@pytest.mark.parametrize("seed", [0, 2, 6])
def test_lateral_inhibition(engine, seed):
    network, times, indices, expected = oracle(seed, lateral=2.0)
    free = drive(engine, chain(seed), times, indices)
    record = drive(engine, network, times, indices)
    assert 0 < len(record.output) < len(free.output)
    for name in network.names:
        assert_layer_exact(record[name], expected.layers[name])


@pytest.mark.parametrize("refractory", [0.0, 2.0])
def test_equal_neurons_fire_together_in_spite_of_their_inhibition(engine, refractory):
    lif = LIF(3.0, 16.0, 8.0, refractory)
    network = one_layer(lif, np.full((3, 1), 9.0), lateral_inhibition=50.0)
    expected = network_run(network, [0.0], [0]).layers["output"]
    assert [i for _, i in expected] == [0, 1, 2]
    record = drive(engine, network, [0.0], [0])
    assert_layer_exact(record.output, expected)
    assert len(set(record.output.times)) == 1


def check_recurrence(engine, case, connection, more_than):
    """Exact spike times, and enough of them in some layers; the sweep refuses the connection."""
    network, times, indices, expected = case
    if engine == "sweep":
        with pytest.raises(SimulationError, match=f"{connection}.*use engine='queue'"):
            drive(engine, network, times, indices, t_stop=50.0)
        return
    record = drive(engine, network, times, indices, t_stop=50.0)
    for name, least in more_than.items():
        assert len(record[name]) > least
    for name in network.names:
        assert_layer_exact(record[name], expected.layers[name])


def test_recurrence_with_delays(engine):
    case = oracle(4, 1.0, WITH_DELAYS, n_events=20, t_stop=50.0)
    check_recurrence(engine, case, "'output->hidden'", {"hidden": 20, "output": 1})


def test_recurrence_without_delay(engine):
    case = oracle(8, 0.0, WITHOUT_DELAY, n_events=20, t_stop=50.0)
    check_recurrence(engine, case, "'middle->middle'", {"middle": 20})


@functools.cache
def recording():
    """One N-MNIST recording (times in ms, input neurons) and a network of the published size."""
    events = read(real_data("nmnist-1k", "Train", "0", "00002.bin"))
    network = Network(Input(34, 34, 2), Dense(800, threshold=15.0), Dense(10, threshold=15.0), seed=1)
    return events.times_ms(), events.input_indices(), network


@functools.cache
def true_spikes(neuron: int):
    times, indices, network = recording()
    weights = network.weights["hidden"][neuron, indices]
    expected, margin = neuron_run(times, weights, network["hidden"].lif)
    assert margin > 1e-9
    return expected


# The twin takes minutes for 800 neurons; the compiled engines equal it to the last bit.
@pytest.mark.parametrize("neuron", [2, 17, 25])
def test_neurons_of_a_real_recording(engine, neuron):
    times, indices, network = recording()
    if engine == "twin":
        lif, weights = network["hidden"].lif, network.weights["hidden"][neuron : neuron + 1]
        found = drive(engine, one_layer(lif, weights), times, indices).output.times
    else:
        found = drive(engine, network, times, indices)["hidden"].of(neuron)
    assert len(found) > 0
    assert_exact(found, true_spikes(neuron))


def test_firing_without_end_at_one_instant_is_refused(engine):
    """A weight so large that, without a refractory period, the time to the next spike rounds to nothing."""
    network = Network(Input(1), Dense(1, name="n", refractory=0.0), weights={"n": np.array([[1e20]])})
    with pytest.raises(SimulationError, match=r"neuron 0 fires again at .* ms.*refractory period"):
        drive(engine, network, np.array([50.0]), np.array([0]))
