"""However its input is cut, wherever it is saved and taken up: a simulation gives the bits of one run."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import eventsnn as es
from eventsnn.errors import SimulationError
from eventsnn.model import Conv, Dense, Input, Network, Pool
from eventsnn.simulate import Simulation
from eventsnn.trace.record import ExitReason, SpikeRecord
from tests.strategies import chains, recurrent_networks, sparse_networks, trains

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def cuts(draw, times: np.ndarray) -> list[tuple[int, float | None]]:
    """Where a train is cut: (events up to here, the time that is known to have passed)."""
    places = sorted(draw(st.lists(st.integers(0, len(times)), max_size=8)))
    parts: list[tuple[int, float | None]] = []
    for place in [*places, len(times)]:
        known = None
        last = float(times[place - 1]) if place else 0.0
        after = float(times[place]) if place < len(times) else last + 50.0
        if draw(st.booleans()):
            known = draw(st.sampled_from([last, after, 0.5 * (last + after)]))
        parts.append((place, known))
    return parts


@st.composite
def cut_simulations(draw, networks):
    network = draw(networks)
    times, indices = draw(trains(network.input.neurons))
    return network, times, indices, draw(cuts(times))


def run_in_parts(network, times, indices, parts, *, reload=None, **options) -> list[SpikeRecord]:
    """Feed the parts; `reload` is a path that the state goes through between them."""
    run = Simulation(network, **options)
    found, start = [], 0
    for end, until in parts:
        found.append(run.feed((times[start:end], indices[start:end]), until=until))
        start = end
        if reload is not None:
            run.save(reload)
            run = Simulation.resume(reload, network, t_stop=options.get("t_stop"))
    found.append(run.finish())
    return found


def assert_parts_are(parts: list[SpikeRecord], whole: SpikeRecord) -> None:
    """The parts hold the spikes of the whole, each before what its part says is complete."""
    for name in whole.layers:
        assert np.array_equal(np.concatenate([p[name].times for p in parts]), whole[name].times), name
        assert np.array_equal(np.concatenate([p[name].neurons for p in parts]), whole[name].neurons), name
        for n, part in enumerate(parts[:-1]):
            later = np.concatenate([p[name].times for p in parts[n + 1 :]])
            assert (later >= part.t_end).all()
            assert (part[name].times < part.t_end).all()
    assert np.array_equal(np.concatenate([p.input.times for p in parts]), whole.input.times)
    assert np.array_equal(np.concatenate([p.input.neurons for p in parts]), whole.input.neurons)
    assert all(part.exit_reason is ExitReason.PART for part in parts[:-1])
    assert parts[-1].exit_reason is whole.exit_reason


@pytest.mark.parametrize("engine", ["twin", "queue", "sweep"])
@quick
@given(cut_simulations(chains(biases=(0.0,))))
def test_chains_in_parts_give_the_bits_of_one_run(engine, simulation):
    network, times, indices, parts = simulation
    whole = es.simulate(network, (times, indices), engine="twin")
    assert_parts_are(run_in_parts(network, times, indices, parts, engine=engine), whole)


@pytest.mark.parametrize("engine", ["twin", "queue", "sweep"])
@quick
@given(cut_simulations(chains(most_layers=2, lateral=True, biases=(0.0,))))
def test_lateral_inhibition_in_parts_gives_the_bits_of_one_run(engine, simulation):
    network, times, indices, parts = simulation
    whole = es.simulate(network, (times, indices), engine="twin")
    assert_parts_are(run_in_parts(network, times, indices, parts, engine=engine), whole)


@pytest.mark.parametrize("engine", ["twin", "sweep"])
@pytest.mark.parametrize("saved", [False, True])
@settings(quick, max_examples=40)
@given(
    cut_simulations(chains(lateral=True, biases=(250.0, 700.0))), st.one_of(st.none(), st.floats(0.0, 60.0))
)
def test_biases_in_parts_give_the_bits_of_one_run(tmp_path_factory, engine, saved, simulation, t_stop):
    network, times, indices, parts = simulation
    whole = es.simulate(network, (times, indices), engine="twin", t_stop=t_stop)
    path = tmp_path_factory.mktemp("state") / "run.npz" if saved else None
    found = run_in_parts(network, times, indices, parts, engine=engine, reload=path, t_stop=t_stop)
    if t_stop is None:
        assert_parts_are(found, whole)
    for name in whole.layers:
        assert np.array_equal(np.concatenate([p[name].times for p in found]), whole[name].times)
        assert np.array_equal(np.concatenate([p[name].neurons for p in found]), whole[name].neurons)
    assert np.array_equal(np.concatenate([p["bias"].times for p in found]), whole["bias"].times)


def assert_parts_stop_as(parts: list[SpikeRecord], whole: SpikeRecord, t_stop: float) -> None:
    """`assert_parts_are`, but input after `t_stop` is taken and does nothing."""
    for part in parts:
        keep = part.input.times <= t_stop
        object.__setattr__(part.input, "times", part.input.times[keep])
        object.__setattr__(part.input, "neurons", part.input.neurons[keep])
    assert_parts_are(parts, whole)


@pytest.mark.parametrize("engine", ["twin", "queue"])
@quick
@given(cut_simulations(recurrent_networks()), st.floats(0.0, 60.0))
def test_recurrent_networks_in_parts_give_the_bits_of_one_run(engine, simulation, t_stop):
    network, times, indices, parts = simulation
    whole = es.simulate(network, (times, indices), engine="twin", t_stop=t_stop)
    found = run_in_parts(network, times, indices, parts, engine=engine, t_stop=t_stop)
    assert_parts_stop_as(found, whole, t_stop)


@pytest.mark.parametrize("engine", ["twin", "queue"])
@pytest.mark.parametrize("saved", [False, True])
@settings(quick, max_examples=40)
@given(cut_simulations(recurrent_networks(biases=(3.0, 25.0))), st.floats(0.0, 60.0))
def test_loops_with_biases_in_parts_give_the_bits_of_one_run(
    tmp_path_factory, engine, saved, simulation, t_stop
):
    network, times, indices, parts = simulation
    whole = es.simulate(network, (times, indices), engine="twin", t_stop=t_stop)
    path = tmp_path_factory.mktemp("state") / "run.npz" if saved else None
    found = run_in_parts(network, times, indices, parts, engine=engine, reload=path, t_stop=t_stop)
    assert_parts_stop_as(found, whole, t_stop)
    assert np.array_equal(np.concatenate([p["bias"].times for p in found]), whole["bias"].times)


@pytest.mark.parametrize("saved", [False, True])
@settings(quick, max_examples=100)
@given(cut_simulations(sparse_networks()), st.floats(0.0, 60.0))
def test_sparse_networks_in_parts_give_the_bits_of_one_run(tmp_path_factory, saved, simulation, t_stop):
    """Windows, which begin at the same times however the input is cut."""
    network, times, indices, parts = simulation
    path = tmp_path_factory.mktemp("state") / "run.npz" if saved else None
    options = {"engine": "queue", "t_stop": t_stop}
    try:
        whole = es.simulate(network, (times, indices), **options)
    except SimulationError:
        with pytest.raises(SimulationError, match="fires again"):
            run_in_parts(network, times, indices, parts, reload=path, **options)
        return
    assert_parts_stop_as(run_in_parts(network, times, indices, parts, reload=path, **options), whole, t_stop)


@pytest.mark.parametrize("engine", ["twin", "queue", "sweep"])
@settings(quick, max_examples=15)
@given(cut_simulations(chains(lateral=True, biases=(0.0,))))
def test_a_run_that_is_saved_and_taken_up_again_gives_the_bits_of_one_run(
    tmp_path_factory, engine, simulation
):
    network, times, indices, parts = simulation
    path = tmp_path_factory.mktemp("state") / "run.npz"
    whole = es.simulate(network, (times, indices), engine="twin")
    assert_parts_are(run_in_parts(network, times, indices, parts, engine=engine, reload=path), whole)
    assert [file.name for file in path.parent.iterdir()] == ["run.npz"]


@settings(quick, max_examples=15)
@given(cut_simulations(recurrent_networks()))
def test_a_recurrent_run_taken_up_again_gives_the_bits_of_one_run(tmp_path_factory, simulation):
    network, times, indices, parts = simulation
    path = tmp_path_factory.mktemp("state") / "run.npz"
    stop = float(times[-1]) + 10.0 if len(times) else 10.0
    whole = es.simulate(network, (times, indices), engine="queue", t_stop=stop)
    found = run_in_parts(network, times, indices, parts, engine="queue", reload=path, t_stop=stop)
    assert_parts_are(found, whole)


def busy(n_inputs: int, n: int, seed: int, step_ms: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
    """`n` events, whole microseconds, several at an instant."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(0, int(n * step_ms * 1000), n)) / 1000.0
    indices = rng.integers(0, n_inputs, n).astype(np.int32)
    order = np.lexsort((indices, times))
    return times[order], indices[order]


def spatial_network(bias: float = 0.0, seed: int = 3) -> Network:
    return Network(
        Input(9, 8, 2, bias_interval=bias),
        Conv(5, kernel=3, padding=1, threshold=2.0, delay=0.3),
        Pool(2, threshold=0.6),
        Dense(40, threshold=3.0),
        Dense(6, threshold=2.0, lateral_inhibition=0.5),
        seed=seed,
    )


def biased_spatial_network() -> Network:
    return spatial_network(bias=2.5, seed=12)


def wide_lateral_network() -> Network:
    return Network(
        Input(30), Dense(70, threshold=2.0, lateral_inhibition=0.05), Dense(5, threshold=1.0), seed=4
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", [spatial_network, biased_spatial_network, wide_lateral_network])
@pytest.mark.parametrize("seed", range(3))
def test_larger_networks_in_parts(make, dtype, seed, tmp_path):
    """Patches, blocks that inhibit each other (the queue inside the sweep), both precisions."""
    network = make()
    times, indices = busy(network.input.neurons, 3000, seed)
    whole = es.simulate(network, (times, indices), engine="sweep", dtype=dtype)
    assert all(len(whole[name]) > 20 for name in network.names)
    places = np.sort(np.random.default_rng(seed).integers(0, len(times), 12))
    parts = [(int(place), None) for place in [*places, len(times)]]
    options = {"engine": "sweep", "dtype": dtype, "reload": tmp_path / "run.npz"}
    assert_parts_are(run_in_parts(network, times, indices, parts, **options), whole)


def test_parts_of_bounded_size_are_made_of_what_is_fed_at_once(monkeypatch):
    module = importlib.import_module("eventsnn.simulate.simulation")
    monkeypatch.setattr(module, "MOST_EVENTS", 16)
    monkeypatch.setattr(module, "FEWEST_EVENTS", 1)
    network = Network(Input(20), Dense(40, threshold=2.0), Dense(5, threshold=1.0), seed=1)
    times, indices = busy(20, 500, 1)
    times[100:180] = times[100]  # more at one instant than a part holds
    order = np.lexsort((indices, times))
    times, indices = times[order], indices[order]
    whole = es.simulate(network, (times, indices))
    assert_parts_are(run_in_parts(network, times, indices, [(len(times), None)]), whole)


def test_far_from_time_zero_nothing_is_different():
    """A run that begins late: tables of arrivals count from the part's beginning, not from 0."""
    network = Network(Input(20), Dense(40, threshold=2.0), Dense(5, threshold=1.0), seed=1)
    times, indices = busy(20, 2000, 2)
    whole = es.simulate(network, (times + 2.0**32, indices), engine="queue", origin_us=0)
    parts = [(n, None) for n in range(100, 2001, 100)]
    found = run_in_parts(network, times + 2.0**32, indices, parts, engine="sweep", origin_us=0)
    assert_parts_are(found, whole)


def test_counts_and_decision_are_those_of_one_run():
    network = Network(Input(20), Dense(40, threshold=2.0), Dense(5, threshold=1.0), seed=1)
    times, indices = busy(20, 500, 1)
    whole = es.simulate(network, (times, indices))
    run = Simulation(network)
    run.feed((times[:200], indices[:200]))
    run.feed((times[200:], indices[200:]))
    run.finish()
    assert run.summary() == whole.summary()
    assert run.events == 500


def test_an_event_stream_is_taken():
    events = es.EventStream.from_arrays([5, 5, 2000], [1, 0, 1], [0, 0, 1], [1, 0, 1], sensor_size=(2, 2, 2))
    network = Network(Input(2, 2, 2), Dense(3, threshold=0.2), seed=5)
    run = Simulation(network)
    parts = [run.feed(part) for part in events.chunks(1)]
    assert [len(part.input) for part in parts] == [0, 0, 2]
    assert run.t_complete == 2.0
    assert len(run.finish().input) == 1


# -- errors ------------------------------------------------------------------------------------------------


def small() -> Network:
    return Network(Input(2), Dense(2, threshold=0.5), seed=1)


def test_events_that_come_too_late_are_refused_and_change_nothing():
    run = Simulation(small())
    run.feed(([1.0, 3.0], [0, 1]))
    with pytest.raises(SimulationError, match=r"one at 2\.000000 ms comes after 3\.000000 ms"):
        run.feed(([2.0, 4.0], [0, 1]))
    assert run.events == 2
    run.feed(([3.0, 4.0], [0, 1]))


@pytest.mark.parametrize("until", [math.nan, math.inf, -1.0])
def test_until_must_be_a_time(until):
    with pytest.raises(SimulationError, match="until must be a time >= 0 ms"):
        Simulation(small()).feed(([], []), until=until)


def test_nothing_can_be_fed_after_the_end(tmp_path):
    run = Simulation(small())
    run.finish()
    for call in (run.finish, lambda: run.feed(([1.0], [0])), lambda: run.save(tmp_path / "x.npz")):
        with pytest.raises(SimulationError, match="cannot go on: it is finished"):
            call()


@pytest.mark.parametrize("engine", ["queue", "sweep"])
def test_a_run_that_failed_cannot_go_on(engine):
    network = Network(Input(1), Dense(1, threshold=1.0, refractory=0.0), weights={"output": [[1e300]]})
    run = Simulation(network, engine=engine)
    with pytest.raises(SimulationError, match="give its layer a refractory period"):
        run.feed(([1.0, 1.0, 5.0], [0, 0, 0]))
    with pytest.raises(SimulationError, match="broken off in the middle"):
        run.feed(([6.0], [0]))


def test_a_recurrent_network_needs_an_end_only_to_finish():
    network = Network(Input(2), Dense(2, name="a"), connections=[es.Connection("a", "a", delay=1.0)], seed=1)
    run = Simulation(network)
    run.feed(([1.0], [0]), until=20.0)
    with pytest.raises(SimulationError, match="give t_stop"):
        run.finish()


@pytest.mark.parametrize("seed", range(5))
def test_biases_at_the_instants_of_events(seed):
    rng = np.random.default_rng(seed)
    times, indices = np.sort(rng.integers(0, 40, 60)).astype(float), rng.integers(0, 3, 60).astype(np.int32)
    layers = Dense(5, threshold=0.7, delay=1.0), Dense(4, threshold=0.5, delay=0.1)
    network = Network(Input(3, bias_interval=2.0), *layers, seed=seed)
    network = network.with_weights(
        {key: rng.normal(0.5, 1.0, shape) for key, shape in network.weight_shapes().items()}
    )
    whole = es.simulate(network, (times, indices), engine="queue")
    assert len(whole["output"]) > 10
    for known in (None, 41.5):
        parts = [*((end, None) for end in range(7, 60, 7)), (60, known)]
        assert_parts_are(run_in_parts(network, times, indices, parts, engine="sweep"), whole)


def test_biases_are_certain_up_to_the_first_that_may_not_come():
    run = Simulation(Network(Input(1, bias_interval=5.0), Dense(1)))
    first = run.feed((np.array([7.0]), np.array([0])), until=100.0)
    assert (first.t_end, first["bias"].times.tolist()) == (10.0, [5.0])
    second = run.feed((np.array([21.0]), np.array([0])))
    assert (second.t_end, second["bias"].times.tolist()) == (21.0, [10.0, 15.0, 20.0])
    assert run.feed((np.empty(0), np.empty(0, np.int32)), until=30.0).t_end == 25.0
    assert len(run.finish()["bias"]) == 0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"engine": "clock"}, "engine must be one of auto, queue, sweep, gpu, twin, clocked, got 'clock'"),
        ({"engine": "clocked", "dtype": "float64"}, "engine 'clocked' computes in float32 only"),
        ({"engine": "queue", "step_ms": 1.0}, "step_ms is for engine 'clocked'"),
        ({"engine": "twin", "dtype": "float32"}, "computes in float64 only"),
        ({"t_stop": -1.0}, "t_stop must be a time >= 0 ms"),
    ],
)
def test_wrong_options(options, text):
    with pytest.raises(SimulationError, match=text):
        Simulation(small(), **options)


def test_states_that_cannot_be_taken_up(tmp_path):
    path = tmp_path / "run.npz"
    Simulation(small()).save(path)
    with pytest.raises(SimulationError, match="another network"):
        Simulation.resume(path, Network(Input(2), Dense(2, threshold=0.5), seed=2))
    data = path.read_bytes()
    for damaged in (b"", b"nothing", data[: len(data) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(SimulationError, match=r"run\.npz: no saved state"):
            Simulation.resume(path, small())
    with pytest.raises(SimulationError, match="cannot be read"):
        Simulation.resume(tmp_path / "none.npz", small())
    with pytest.raises(SimulationError, match="cannot be written"):
        Simulation(small()).save(tmp_path / "no folder" / "x.npz")
