"""The windowed schedule: the bits of its own twin, the spikes of the independent one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array, eye_array, random_array

from eventsnn._ext import block
from eventsnn._ext.engine_windows import run_windows
from eventsnn.errors import SimulationError
from eventsnn.model import Connection, Dense, Input, Network
from eventsnn.reference import windows as windows_twin
from eventsnn.simulate.engines import Settings, queue, twin, windows
from eventsnn.simulate.engines.arguments import check_input, endless
from eventsnn.trace.record import SimulationInterrupted, SpikeRecord, make_record
from tests.oracle import quick_run
from tests.simulate.helpers import NEURONS, assert_layer_exact, assert_same_bits
from tests.strategies import sparse_networks, trains

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def simulations(draw, most_neurons: int = 6):
    network = draw(sparse_networks(most_neurons, synaptic=draw(st.booleans())))
    return (network, *draw(trains(network.input.neurons)))


def run_twin(network: Network, times: np.ndarray, neurons: np.ndarray, t_stop: float) -> SpikeRecord:
    """What the plain-Python schedule fires, as a record."""
    times, neurons = check_input(network, times[times <= t_stop], neurons[times <= t_stop])
    try:
        fired = windows_twin.WindowsTwin(network).advance((times, neurons), np.inf, t_stop)
    except OverflowError as error:
        raise endless(error) from None
    return make_record(network, fired, (times, neurons), t_stop, "queue", "float64")


def run_or_refuse(run, *arguments, **more) -> SpikeRecord | str:
    """The record, or the error of a network that fires for ever at one instant."""
    try:
        return run(*arguments, **more)
    except SimulationError as error:
        if "fires again" not in str(error):
            raise
        return str(error)


def assert_close(a: SpikeRecord, b: SpikeRecord, tolerance_ms: float = 1e-9) -> None:
    """The same spikes of every neuron, in times that differ by rounding only."""
    for name in a.layers:
        assert np.array_equal(a[name].counts, b[name].counts)
        for neuron in range(a[name].size):
            np.testing.assert_allclose(a[name].of(neuron), b[name].of(neuron), rtol=0.0, atol=tolerance_ms)


@quick
@given(simulations(), st.floats(0.0, 40.0))
def test_the_bits_of_the_twin(simulation, t_stop):
    assert windows.refusal(simulation[0]) is None
    ours = run_or_refuse(windows.run, *simulation, t_stop=t_stop)
    theirs = run_or_refuse(run_twin, *simulation, t_stop=t_stop)
    if isinstance(ours, str) or isinstance(theirs, str):
        assert isinstance(ours, str) == isinstance(theirs, str)
    else:
        assert_same_bits(ours, theirs)


@quick
@given(simulations(), st.floats(0.0, 40.0), st.lists(st.floats(0.0, 60.0), max_size=5))
def test_the_bits_of_the_twin_in_parts(simulation, t_stop, horizons):
    """What either gives up to a horizon, one after the other, twin and kernel in turn the same."""
    network, times, neurons = simulation
    ours = windows.ENGINE.start(network, Settings("float64"))
    theirs, start = windows_twin.WindowsTwin(network), 0
    for horizon in [*sorted(horizons), np.inf]:
        end = int(np.searchsorted(times, horizon))
        given = times[start:end], neurons[start:end]
        try:
            expected = theirs.advance(given, horizon, t_stop)
        except OverflowError:
            with pytest.raises(OverflowError):
                ours.advance(given, horizon, t_stop)
            return
        for a, b in zip(ours.advance(given, horizon, t_stop), expected, strict=True):
            assert np.array_equal(a[0], b[0])
            assert np.array_equal(a[1], b[1])
        start = end


@quick
@given(simulations(most_neurons=4))
def test_the_spikes_of_the_oracle(simulation):
    expected = quick_run(*simulation, t_stop=12.0, most_spikes=150)
    assume(expected.margin > 1e-6)
    record = windows.run(*simulation, t_stop=12.0)
    for name in record.layers:
        assert_layer_exact(record[name], expected.layers[name])
    assert_close(record, twin.run(*simulation, t_stop=12.0))


def make_network(refractory: float = 2.0, delay: float = 1.5, n: int = 150) -> Network:
    """Excitation and inhibition, an input of its own for every neuron, a dense output layer."""
    layer = Dense(n, name="n", threshold=10.0, tau_m=20.0, tau_s=2.0, refractory=refractory, resting=7.0)
    network = Network(
        Input(n), layer, Dense(3, threshold=5.0), connections=[Connection("n", "n", delay=delay, name="loop")]
    )
    rng = np.random.default_rng(8)
    loop = random_array((n, n), density=0.1, rng=rng, format="csr")
    loop.data = rng.normal(0.1, 1.0, loop.nnz)
    weights = {"n": eye_array(n, format="coo") * 1.5, "loop": loop, "output": rng.normal(1.0, 2.0, (3, n))}
    return network.with_weights(weights)


def make_train(duration: float, n: int = 150, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    count = rng.poisson(n * 1.5 * duration)
    # On a grid, so that many arrive at once.
    times, neurons = np.round(rng.uniform(0.0, duration, count), 2), rng.integers(0, n, count)
    order = np.lexsort((neurons, times))
    return times[order], neurons[order].astype(np.int32)


def test_as_the_queue_of_certificates(monkeypatch):
    network, train = make_network(), make_train(40.0)
    record = queue.run(network, *train, t_stop=40.0)
    monkeypatch.setattr(windows, "refusal", lambda network: "a test wants it dense")
    dense = queue.run(network, *train, t_stop=40.0)
    assert record.engine == dense.engine == "queue"
    assert min(len(record["n"]), len(record.output)) > 10
    assert_close(record, dense)
    assert not np.array_equal(record["n"].times, dense["n"].times), "both ran the same way"


@pytest.mark.parametrize("refractory", [0.0, 2.0, 30.0])
@pytest.mark.parametrize("delay", [0.03, 0.5, 1.5, 40.0])
def test_refractory_periods_and_delays(refractory, delay):
    network, train = make_network(refractory, delay), make_train(30.0)
    record = windows.run(network, *train, t_stop=30.0)
    assert len(record["n"]) > 20
    assert_same_bits(record, run_twin(network, *train, t_stop=30.0))
    assert_close(record, twin.run(network, *train, t_stop=30.0))


@pytest.mark.parametrize("name", NEURONS)
def test_time_constants_in_any_relation(name):
    """Also close ones and equal ones, for which the two exponentials alone would cancel."""
    lif, n = NEURONS[name], 40
    layer = Dense(
        n, name="n", threshold=lif.threshold, tau_m=lif.tau_m, tau_s=lif.tau_s, refractory=lif.refractory
    )
    network = Network(Input(n), layer, connections=[Connection("n", "n", delay=1.0, probability=0.2)], seed=2)
    scale = np.random.default_rng(1).uniform(0.0, 0.6 * lif.threshold, n)
    feed = csr_array((scale, (np.arange(n), np.arange(n))))
    network = network.with_weights({"n": feed, "n->n": network.weights["n->n"]})
    train = make_train(30.0, n)
    record = windows.run(network, *train, t_stop=30.0)
    assert len(record["n"]) > 20
    assert_same_bits(record, run_twin(network, *train, t_stop=30.0))
    assert_close(record, twin.run(network, *train, t_stop=30.0))


def test_chunks_do_not_matter():
    network, train = make_network(), make_train(25.0)
    whole = windows.make_state(network, windows.window_length(network))
    assert run_windows(whole, *train, np.inf, 25.0, 10**9)
    pieces, calls = windows.make_state(network, windows.window_length(network)), 1
    while not run_windows(pieces, *train, np.inf, 25.0, 1):
        calls += 1
    assert calls > 20
    for layer in range(2):
        for a, b in zip(whole.spikes(layer), pieces.spikes(layer), strict=True):
            assert len(a) > 0
            assert np.array_equal(a, b)


def test_every_instruction_set_gives_the_same_bits():
    network, train, before = make_network(), make_train(25.0), block.selected
    try:
        block.select("baseline")
        expected = windows.run(network, *train, t_stop=25.0)
        for name in block.supported():
            block.select(name)
            assert_same_bits(windows.run(network, *train, t_stop=25.0), expected)
    finally:
        block.select(before)


@pytest.mark.parametrize("t_stop", [0.0, 7.3, 12.5])
def test_t_stop_changes_nothing_before(t_stop):
    network, train = make_network(), make_train(25.0)
    whole = windows.run(network, *train, t_stop=25.0)
    cut = windows.run(network, *train, t_stop=t_stop)
    for name in whole.layers:
        keep = whole[name].times <= t_stop
        assert np.array_equal(cut[name].times, whole[name].times[keep])
        assert np.array_equal(cut[name].neurons, whole[name].neurons[keep])


def test_sparse_layers_without_loops_end_by_themselves():
    network = Network(
        Input(20), Dense(30, threshold=1.0, probability=0.3, initial_weight=9.0), Dense(4), seed=1
    )
    record = queue.run(network, *make_train(20.0, 20))
    assert len(record["hidden"]) > 20
    assert record.t_end == np.inf
    assert_close(record, twin.run(network, *make_train(20.0, 20)))


def test_pauses_are_leapt_over():
    network, (times, neurons) = make_network(), make_train(5.0)
    times = np.concatenate([times, times + 1e6])
    record = windows.run(network, times, np.concatenate([neurons, neurons]), t_stop=1e6 + 20.0)
    assert (record["n"].times > 1e6).any()
    assert_same_bits(record, run_twin(network, times, np.concatenate([neurons, neurons]), t_stop=1e6 + 20.0))


def test_firing_without_end_at_one_instant_is_refused():
    layer = Dense(1, name="n", refractory=0.0)
    network = Network(Input(1), layer, weights={"n": csr_array(np.array([[1e20]]))})
    with pytest.raises(SimulationError, match=r"neuron 0 fires again at .* ms.*refractory period"):
        queue.run(network, np.array([50.0]), np.array([0]))


@pytest.mark.parametrize("more", [{"delay": 0.0}, {"lateral": 1.0}])
def test_loops_that_take_no_time_run_on_dense_weights(more, monkeypatch):
    lateral = more.pop("lateral", 0.0)
    layer = Dense(30, name="n", threshold=2.0, lateral_inhibition=lateral)
    loops = [Connection("n", "n", probability=0.1, **more)]
    network = Network(Input(10), layer, connections=loops, seed=4)
    train = make_train(10.0, 10)
    record = queue.run(network, *train, t_stop=20.0)
    assert_same_bits(record, twin.run(network, *train, t_stop=20.0))
    monkeypatch.setattr(queue, "DENSE_LIMIT", 4000)
    with pytest.raises(SimulationError, match="must be made dense"):
        queue.run(network, *train, t_stop=20.0)


def test_times_too_late_for_the_delays_are_refused():
    with pytest.raises(SimulationError, match="resolution of float64"):
        queue.run(make_network(), np.array([1e18]), np.array([0]), t_stop=2e18)


def test_ctrl_c_keeps_the_spikes_so_far(monkeypatch):
    network, train = make_network(), make_train(25.0)
    whole = windows.run(network, *train, t_stop=25.0)
    calls = []

    def stopped(*arguments):
        calls.append(1)
        if len(calls) > 5:
            raise KeyboardInterrupt
        return run_windows(*arguments)

    monkeypatch.setattr(windows, "run_windows", stopped)
    monkeypatch.setattr(windows, "CHUNK", 1000)
    with pytest.raises(SimulationInterrupted) as caught:
        queue.run(network, *train, t_stop=25.0)
    record = caught.value.record
    assert 0.0 < record.t_end < 25.0
    for name in whole.layers:
        n = len(record[name])
        assert np.array_equal(record[name].times, whole[name].times[:n])
        assert (whole[name].times[n:] >= record.t_end).all()
