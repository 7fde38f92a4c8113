"""What the engines refuse at their door, what t_stop means, and what a record offers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from eventsnn.errors import EventStreamError, SimulationError
from eventsnn.events import EventStream
from eventsnn.model import LIF, Connection, Dense, Input, Network
from eventsnn.simulate.engines import sweep
from eventsnn.simulate.engines.arguments import check_dtype, check_input, in_order
from eventsnn.simulate.run import simulate
from eventsnn.trace.record import ExitReason, LayerSpikes, SpikeRecord, decide, decide_all
from tests.simulate.helpers import ENGINES, assert_same_bits, drive, one_layer

LIF_FAST = LIF(1.0, 20.0, 5.0, 2.0)


def network(**more) -> Network:
    return Network(Input(4), Dense(3, threshold=1.0), Dense(2, threshold=1.0), seed=0, **more)


def recurrent() -> Network:
    return network(connections=[Connection("hidden", "hidden", delay=1.0)])


REFUSALS = {
    "events: times (3,) and input neurons (2,) must be one-dimensional, equally long": ([0, 1, 2], [0, 1]),
    "events: times (1, 2) and input neurons (1, 2) must be one-dimensional": ([[0, 1]], [[0, 1]]),
    "events: input neurons must be whole numbers, got dtype float64": ([0.0], [1.0]),
    "events: event 1 has time nan ms; times must be finite and >= 0": ([0.0, math.nan], [0, 0]),
    "events: event 0 has time inf ms; times must be finite and >= 0": ([math.inf, 0.0], [0, 0]),
    "events: event 2 has time -1.0 ms; times must be finite and >= 0": ([0.0, 1.0, -1.0, -2.0], [0, 0, 0, 0]),
    "events: event 1 has input neuron 4; the network has 4": ([0.0, 1.0], [3, 4]),
    "events: event 0 has input neuron -1; the network has 4": ([0.0, 1.0], [-1, 4]),
    # Would be input 0 if it were cast to 32 bits before it is checked.
    "events: event 0 has input neuron 4294967296; the network has 4": ([0.0], [2**32]),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("text", REFUSALS)
def test_input_that_makes_no_sense(engine, text):
    times, indices = REFUSALS[text]
    with pytest.raises(SimulationError) as caught:
        simulate(network(), (np.array(times), np.array(indices)), engine=engine)
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize("t_stop", [-1.0, math.nan, -math.inf])
def test_a_t_stop_that_makes_no_sense(t_stop):
    with pytest.raises(SimulationError, match=r"t_stop must be a time >= 0 ms, got (-1\.0|nan|-inf)"):
        simulate(network(), (np.zeros(1), np.zeros(1, int)), t_stop=t_stop)


@pytest.mark.parametrize("engine", ["queue", "twin", "auto"])
def test_recurrent_networks_need_a_t_stop(engine):
    with pytest.raises(SimulationError, match="recurrent connections may fire for ever; give t_stop in ms"):
        simulate(recurrent(), (np.zeros(1), np.zeros(1, int)), engine=engine)


@pytest.mark.parametrize("dtype", ["float16", "int32", "double precision", 7])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(SimulationError, match="dtype must be 'float32' or 'float64', got"):
        simulate(network(), (np.zeros(0), np.zeros(0, int)), dtype=dtype)


def test_dtypes_by_any_of_their_names():
    assert check_dtype("float32") is np.float32
    assert check_dtype(np.float64) is np.float64
    assert check_dtype("f4") is np.float32


def test_unknown_engines_are_refused():
    with pytest.raises(SimulationError, match="auto, queue, sweep, gpu, twin, clocked, got 'brian'"):
        simulate(network(), (np.zeros(0), np.zeros(0, int)), engine="brian")


def test_the_twin_computes_in_float64_only():
    with pytest.raises(SimulationError, match="engine 'twin' computes in float64 only"):
        simulate(network(), (np.zeros(0), np.zeros(0, int)), engine="twin", dtype="float32")


def test_the_sweep_engine_says_what_it_cannot_run(monkeypatch):
    empty = (np.zeros(0), np.zeros(0, int))
    with pytest.raises(SimulationError, match=r"'hidden->hidden' makes .*; use engine='queue'"):
        simulate(recurrent(), empty, engine="sweep", t_stop=1.0)
    assert simulate(recurrent(), empty, t_stop=1.0).engine == "queue"
    assert simulate(network(), empty).engine == "sweep"
    monkeypatch.setattr(sweep, "MAX_EVENTS", 2)
    three = (np.arange(3.0), np.zeros(3, int))
    with pytest.raises(SimulationError, match="takes up to 2 events at once, got 3; use engine='queue'"):
        simulate(network(), three, engine="sweep")
    assert simulate(network(), three).engine == "queue"


def test_recordings_of_another_sensor_are_refused():
    stream = EventStream.from_arrays([0], [0], [0], [0], sensor_size=(2, 1, 2))
    with pytest.raises(SimulationError, match="sensor is 2 x 1 x 2, the network's input is 4 x 1 x 1"):
        simulate(network(), stream)
    with pytest.raises(SimulationError, match=r"a tuple must be \(times_ms, indices\), got 3 items"):
        simulate(network(), (np.zeros(1), np.zeros(1), np.zeros(1)))
    others = ([stream], [stream, stream], {"t": [1]}, "a.bin", None, [[1], [1, 2]], iter([stream]))
    for events in others:
        with pytest.raises(
            SimulationError, match=r"must be one recording, .* got \w+; read\(path\) reads a file"
        ):
            simulate(network(), events)
    with pytest.raises(SimulationError, match="some are masked"):
        simulate(network(), (np.ma.masked_array([1.0, 2.0], [0, 1]), np.zeros(2, int)))
    outside = np.array([(0, 9, 0, 0)], dtype=[("t", "i8"), ("x", "i8"), ("y", "i8"), ("p", "i8")])
    with pytest.raises(EventStreamError, match="x"):
        simulate(network(), outside)


def test_streams_structured_arrays_and_pairs_are_the_same():
    net = Network(Input(3, 2, 2), Dense(5, threshold=1.0), seed=0)
    rng = np.random.default_rng(0)
    t, x, y, p = np.sort(rng.integers(50_000, size=80)), *(rng.integers(n, size=80) for n in (3, 2, 2))
    stream = EventStream.from_arrays(t, x, y, p, sensor_size=(3, 2, 2))
    run = simulate(net, stream)
    assert len(run.output) > 5
    assert_same_bits(run, simulate(net, stream.events))
    assert_same_bits(run, simulate(net, (t / 1000.0, p * 6 + y * 3 + x)))


@pytest.mark.parametrize("engine", ENGINES)
def test_unsorted_input_is_sorted_input(engine):
    rng = np.random.default_rng(1)
    times, indices = np.round(rng.uniform(0, 50, 120)), rng.integers(0, 4, 120)
    order = np.lexsort((indices, times))
    one = drive(engine, network(), times, indices)
    two = drive(engine, network(), times[order], indices[order])
    assert len(one.output) > 0
    assert_same_bits(one, two)
    assert np.array_equal(one.input.times, times[order])
    assert np.array_equal(one.input.neurons, indices[order])


@pytest.mark.parametrize("wrong", [None, np.nan, np.inf, -np.inf, -0.5, "low", "high"])
@pytest.mark.parametrize("ordered", ["strictly", "tied", "not"])
@pytest.mark.parametrize("n", [0, 1, 2, 17])
def test_the_compiled_check_does_what_the_plain_one_does(wrong, ordered, n):
    """Neurons of other dtypes than int32 and int64 are checked in Python."""
    rng = np.random.default_rng(n)
    times = (
        np.sort(rng.uniform(0.0, 9.0, n)) if ordered == "strictly" else rng.integers(0, 5, n).astype(float)
    )
    times = np.sort(times) if ordered == "tied" else times
    indices = rng.integers(0, 4, n)
    if n and wrong is not None:
        where = int(rng.integers(0, n))
        if isinstance(wrong, str):
            indices[where] = {"low": -1, "high": 4}[wrong]
        else:
            times[where] = wrong

    def outcome(dtype):
        try:
            found = check_input(network(), times, indices.astype(dtype))
        except SimulationError as error:
            return str(error)
        return [each.tolist() for each in found]

    plain = outcome(np.int16)
    assert isinstance(plain, str) == bool(n and wrong is not None)
    assert outcome(np.int32) == outcome(np.int64) == plain


def test_input_is_left_as_it_was():
    times, indices = np.array([2.0, 1.0]), np.array([1, 0])
    found = check_input(network(), times, indices)
    assert found[0].tolist() == [1.0, 2.0]
    assert found[1].tolist() == [0, 1]
    assert found[1].dtype == np.int32
    assert (times.tolist(), indices.tolist()) == ([2.0, 1.0], [1, 0])


@pytest.mark.parametrize("engine", ENGINES)
def test_t_stop_is_included_and_later_input_is_not(engine):
    net = one_layer(LIF_FAST, [[9.0]])
    whole = drive(engine, net, [5.0, 20.0], [0, 0])
    second = float(whole.output.times[1])
    assert second < 20.0, "the example should fire twice before its second input"
    at = drive(engine, net, [5.0, 20.0], [0, 0], t_stop=second)
    assert at.output.times.tolist() == whole.output.times[:2].tolist()
    assert (at.t_end, at.exit_reason) == (second, ExitReason.T_STOP)
    assert at.input.times.tolist() == [5.0]
    before = drive(engine, net, [5.0, 20.0], [0, 0], t_stop=math.nextafter(second, 0.0))
    assert before.output.times.tolist() == whole.output.times[:1].tolist()
    with_input = drive(engine, net, [5.0, 20.0], [0, 0], t_stop=20.0)
    assert with_input.input.times.tolist() == [5.0, 20.0]
    assert_same_bits(
        drive(engine, net, [5.0, 20.0], [0, 0], t_stop=19.0), drive(engine, net, [5.0], [0], t_stop=19.0)
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_t_stop_at_zero(engine):
    run = drive(engine, one_layer(LIF_FAST, [[9.0]]), [0.0, 1.0], [0, 0], t_stop=0.0)
    assert len(run.output) == 0
    assert run.input.times.tolist() == [0.0]
    assert (run.t_end, run.exit_reason) == (0.0, ExitReason.T_STOP)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("t_stop", "reason"), [(None, ExitReason.QUIET), (7.0, ExitReason.T_STOP)])
def test_an_empty_recording(engine, t_stop, reason):
    run = drive(engine, network(), [], [], t_stop=t_stop)
    assert [len(run[name]) for name in ("input", "hidden", "output")] == [0, 0, 0]
    assert run.exit_reason is reason
    assert run.t_end == (math.inf if t_stop is None else t_stop)
    assert run.decision is None
    assert run.summary() == {
        "decision": None,
        "counts": [0, 0],
        "layers": {"hidden": {"spikes": 0}, "output": {"spikes": 0}},
    }


def make_record(neurons: list[int]) -> SpikeRecord:
    times = np.arange(float(len(neurons)))
    output = LayerSpikes("output", 4, times, np.array(neurons, np.int32))
    hidden = LayerSpikes("hidden", 2, np.array([1.0, 2.0]), np.array([1, 1], np.int32))
    inputs = LayerSpikes("input", 3, np.zeros(0), np.zeros(0, np.int32))
    return SpikeRecord(
        {"hidden": hidden, "output": output}, inputs, 9.0, ExitReason.T_STOP, "queue", "float64"
    )


def test_what_a_record_offers():
    record = make_record([2, 3, 2, 1])
    assert record.output is record["output"]
    assert record["input"] is record.input
    assert record["output"].counts.tolist() == [0, 1, 2, 1]
    assert record["hidden"].counts.tolist() == [0, 2]
    assert record["output"].of(2).tolist() == [0.0, 2.0]
    assert record["output"].of(0).tolist() == []
    assert len(record["output"]) == 4
    assert record.decision == 2
    assert record.summary() == {
        "decision": 2,
        "counts": [0, 1, 2, 1],
        "layers": {"hidden": {"spikes": 2}, "output": {"spikes": 4}},
    }
    with pytest.raises(SimulationError, match="no layer 'hiden' in this record; there are hidden, output"):
        record["hiden"]


@pytest.mark.parametrize(
    ("counts", "decision"), [([0, 0, 0], None), ([0, 2, 2], 1), ([3, 1, 3], 0), ([0, 0, 1], 2)]
)
def test_decisions(counts, decision):
    found = decide(np.array(counts))
    assert found == decision
    assert found is None or type(found) is int
    together = decide_all(np.array([counts, [1, 0, 0]]))
    assert together.tolist() == [-1 if decision is None else decision, 0]


def test_in_order_is_the_order_of_time_and_neuron():
    rng = np.random.default_rng(0)
    for _ in range(500):
        n = int(rng.integers(0, 12))
        times, neurons = rng.integers(0, 6, n) * 1.0, rng.integers(0, 5, n).astype(np.int32)
        if rng.random() < 0.7:
            times.sort()
        before = times.copy(), neurons.copy()
        order = np.lexsort((neurons, times))
        found = in_order(times, neurons)
        assert np.array_equal(found[0], times[order])
        assert np.array_equal(found[1], neurons[order])
        assert np.array_equal(times, before[0])  # the caller's arrays stay as they are
        assert np.array_equal(neurons, before[1])
