"""What-if simulation: the bits of a fresh run, what is said to have changed, and edits that cannot be."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import eventsnn as es
from eventsnn._ext.spike_trains import find_changed
from eventsnn.errors import NetworkError, SimulationError, TraceError
from eventsnn.model import Conv, Dense, Input, Network, Pool, Readout
from eventsnn.reference import spike_trains as twin
from eventsnn.reference.spike_trains import match
from eventsnn.simulate import what_if as module
from eventsnn.simulate.differences import Difference, format_difference
from eventsnn.simulate.engines import sweep_redo
from eventsnn.simulate.flip import flip_decision, format_flip
from eventsnn.trace.record import ExitReason, SpikeRecord
from tests.trace.graphs import make_graph


def run_of(kind: str, seed: int = 0, **options: Any) -> tuple[Network, SpikeRecord]:
    network, given = make_graph(kind, seed)
    return network, es.simulate(network, given, t_stop=55.0, **options)


def fresh(network: Network, record: SpikeRecord, times: np.ndarray, neurons: np.ndarray) -> SpikeRecord:
    """A run of its own with the same engine and precision."""
    return es.simulate(network, (times, neurons), t_stop=55.0, engine=record.engine, dtype=record.dtype)


def assert_bits(found: SpikeRecord, expected: SpikeRecord) -> None:
    for name in ("input", "bias", *expected.layers):
        np.testing.assert_array_equal(found[name].times, expected[name].times)
        np.testing.assert_array_equal(found[name].neurons, expected[name].neurons)
    assert found.decision == expected.decision
    assert (found.t_end, found.exit_reason) == (expected.t_end, expected.exit_reason)


CASES = [
    ("chain", {}),
    ("chain", {"dtype": "float32"}),
    ("chain", {"engine": "queue"}),
    ("chain", {"engine": "twin"}),
    ("recurrent", {}),
    ("lateral", {}),
    ("biases", {}),
    ("sparse", {}),
    ("spatial", {}),
    ("spatial", {"engine": "queue"}),
    ("reservoir", {}),
    ("everything", {}),
]


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_the_bits_of_a_fresh_run(kind: str, options: dict[str, Any]) -> None:
    """Removals and moves all over the recording, in an order that goes back and forth in time."""
    network, record = run_of(kind, 0, **options)
    study = es.WhatIf(record, network=network)
    n = len(record.input)
    for event in (n * 9 // 10, 3, n // 2, n - 1, 0):
        left = np.arange(n) != event
        found = study.run(remove=event)
        assert_bits(found.after, fresh(network, record, record.input.times[left], record.input.neurons[left]))
        times = record.input.times.copy()
        times[event] = 0.5 * times[event] + 3.0
        moved = study.run(move={event: float(times[event])})
        assert_bits(moved.after, fresh(network, record, times, record.input.neurons))
        assert moved.from_ms == min(times[event], record.input.times[event])
    assert_bits(study.run().after, record)
    assert study.run().first is None


def random_chain(seed: int) -> tuple[Network, tuple[np.ndarray, np.ndarray], dict[str, Any]]:
    """A chain that the sweep runs: convolutions, pooling, delays of all kinds, inhibition among more neurons
    than a block has, a readout; events on a grid or not.
    """
    rng = np.random.default_rng([19, seed])

    def lif(**more: Any) -> dict[str, Any]:
        taus = {"tau_m": rng.uniform(5, 25), "tau_s": rng.uniform(2, 6)}
        delay = float(rng.choice([0.0, 0.0, 1.0, rng.uniform(0.1, 3.0)]))
        return {"threshold": 1.0, **taus, "refractory": rng.choice([0.5, 2.0]), "delay": delay, **more}

    sensor = Input(int(rng.integers(8, 14)), int(rng.integers(8, 14)), int(rng.integers(1, 3)))
    layers: list[Any] = []
    if seed % 4:
        size = {"padding": int(rng.integers(0, 2)), "stride": int(rng.integers(1, 3))}
        layers = [
            Conv(int(rng.integers(1, 40)), 3, **size, **lif()),
            Pool(2, stride=1 + seed % 2, **lif(threshold=0.5)),
        ]
    layers.append(Dense(int(rng.integers(33, 60)), lateral_inhibition=0.1 * (seed % 3 == 0), **lif()))
    limit = {"t_stop": 50.0} if seed % 5 == 1 else {}
    if seed % 5 == 0:
        layers.append(Readout(4))
    elif limit:
        layers.append(Dense(4, **lif()))
    else:
        layers.append(Dense(4, **lif(delay=tuple(rng.choice([0.0, 0.7, 2.0], layers[-1].neurons)))))
    network = Network(sensor, *layers, seed=seed)
    strength = rng.choice([0.4, 2.0])
    weights = {
        key: rng.normal(strength, 2.0, shape) / np.sqrt(np.prod(shape[1:]))
        for key, shape in network.weight_shapes().items()
    }
    times = np.sort(rng.uniform(0.0, 60.0, 200))
    given = np.round(times) if seed % 2 else times, rng.integers(0, sensor.neurons, 200)
    return network.with_weights(weights), given, {"dtype": rng.choice(["float32", "float64"]).item(), **limit}


@pytest.mark.parametrize("seed", range(20))
def test_the_sweep_redoes_what_is_reached(seed: int) -> None:
    network, given, options = random_chain(seed)
    record = es.simulate(network, given, engine="sweep", **options)
    assert len(record[network.names[0]])
    study = es.WhatIf(record, network=network)
    rng = np.random.default_rng(seed)
    n = len(record.input)
    for _ in range(4):
        events = rng.choice(n, int(rng.choice([1, 3])), replace=False)
        left = np.delete(np.arange(n), events)
        expected = es.simulate(
            network, (record.input.times[left], record.input.neurons[left]), engine="sweep", **options
        )
        found = study.run(remove=events)
        assert_bits(found.after, expected)
        if expected.readout is not None:
            np.testing.assert_array_equal(found.after.readout, expected.readout)
        times = record.input.times.copy()
        times[events[0]] = 20.0
        expected = es.simulate(network, (times, record.input.neurons), engine="sweep", **options)
        assert_bits(study.run(move={int(events[0]): 20.0}).after, expected)


def test_few_positions_of_a_convolution_are_simulated_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """One event is in 9 patches of 3 x 3; where those fire as before nothing below is simulated."""
    network = Network(Input(20, 20), Conv(2, 3, threshold=0.6), Dense(3, threshold=5.0), seed=0)
    network = network.with_weights({key: np.full_like(w, 0.5) for key, w in network.weights.items()})
    rng = np.random.default_rng(0)
    given = np.sort(rng.uniform(0, 100, 400)), rng.integers(0, 400, 400)
    # The last event comes to cells that nothing came to for long, which it does not make fire.
    given = np.append(given[0], 500.0), np.append(given[1], 210)
    record = es.simulate(network, given, engine="sweep")
    study = es.WhatIf(record, network=network)
    ran: list[tuple[int, int]] = []
    sweep_all = sweep_redo.sweep_all

    def note(packed: Any, number: int, ready: Any, *rest: Any, **options: Any) -> Any:
        ran.append((number, len(ready.arrivals)))
        return sweep_all(packed, number, ready, *rest, **options)

    monkeypatch.setattr(sweep_redo, "sweep_all", note)
    assert study.run(remove=400).first is None
    assert ran == [(0, 9)]
    ran.clear()
    assert study.run(remove=100).first is not None
    assert [number for number, _ in ran] == [0, 1]
    assert ran[0][1] <= 9


def test_it_goes_on_from_a_state_before_the_edit() -> None:
    network, record = run_of("spatial", 0)
    study = es.WhatIf(record, network=network)
    event = len(record.input) * 9 // 10
    found = study.run(remove=event)
    assert 0.8 * record.input.times[event] < found.simulated_from_ms <= record.input.times[event]
    assert study.run(remove=0).simulated_from_ms == 0.0
    assert study.run(weights={"output": network.weights["output"] * 1.1}).simulated_from_ms == 0.0


def test_states_are_made_once_where_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    network, record = run_of("chain", 0)
    made: list[float] = []
    advance = module._Prefix._advance

    def note(self: Any, run: Any, state: Any, mark: float) -> Any:
        assert state.time < mark
        made.append(mark)
        return advance(self, run, state, mark)

    monkeypatch.setattr(module._Prefix, "_advance", note)
    es.what_if(record, remove=140, network=network)
    assert made == sorted(made)
    assert len(made) == 5  # half way each time
    times = record.input.times
    assert times[130] < made[-1] <= times[140]
    for event in (60, 140, 149, 60, 100):
        known = len(made)
        es.what_if(record, remove=event, network=network)
        assert len(made) - known <= 5
    assert len(made) == len(set(made)) <= module.STATES
    known = len(made)
    for event in (60, 140, 149, 60, 100):
        es.what_if(record, remove=event, network=network)
    assert len(made) == known


def test_states_take_no_more_memory_than_is_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    network, record = run_of("chain", 0)
    monkeypatch.setattr(module, "STATES_BYTES", 1)
    found = es.WhatIf(record, network=network).run(remove=149)
    times = record.input.times
    assert found.simulated_from_ms == times[75]
    assert_bits(found.after, fresh(network, record, times[:149], record.input.neurons[:149]))


def test_a_trace_by_path_object_and_run(tmp_path: Path) -> None:
    network, given = make_graph("chain", 1)
    record = es.simulate(network, given, t_stop=55.0, trace=tmp_path / "t.h5")
    expected = es.what_if(record, remove=[5, 6], network=network)
    with es.Trace(tmp_path / "t.h5") as trace:
        for source in (trace, tmp_path / "t.h5", str(tmp_path / "t.h5")):
            found = es.what_if(source, remove=[5, 6])
            assert_bits(found.after, expected.after)
            assert found.to_dict() == expected.to_dict()
    # Another trace in the file's place is another simulation.
    es.simulate(network, (given[0] + 1.0, given[1]), t_stop=56.0, trace=tmp_path / "t.h5")
    assert es.what_if(tmp_path / "t.h5", remove=5).before.t_end == 56.0


@pytest.mark.parametrize(
    "events", [[3, 4, 9], (3, 4, 9), np.array([9, 3, 4]), np.isin(np.arange(150), [3, 4, 9]), slice(3, 5)]
)
def test_ways_to_name_events(events: Any) -> None:
    network, record = run_of("chain", 0)
    numbers = [3, 4] if isinstance(events, slice) else [3, 4, 9]
    found = es.what_if(record, remove=events, network=network)
    np.testing.assert_array_equal(found.after.input.times, np.delete(record.input.times, numbers))
    assert found.from_ms == record.input.times[3]


@pytest.mark.parametrize(
    "kind", ["chain", "recurrent", "lateral", "biases", "sparse", "spatial", "reservoir"]
)
def test_a_silenced_neuron_never_fires_and_nothing_else_is_touched(kind: str) -> None:
    """As if all that it sends were taken away, and it with it."""
    network, record = run_of(kind, 1)
    layer = network.names[0]
    neuron = int(record[layer].counts.argmax())
    found = es.what_if(record, silence={layer: [neuron]}, network=network)
    assert found.after[layer].counts[neuron] == 0
    own = found.changes[layer]
    lost = own[own["neuron"] == neuron]
    np.testing.assert_array_equal(lost["before_ms"], record[layer].of(neuron))
    assert np.isnan(lost["after_ms"]).all()
    assert found.first[:2] == (layer, neuron)
    if kind in ("chain", "biases", "spatial"):
        assert len(own) == len(lost)  # the neurons beside it do not hear it
    if kind == "chain":
        deaf = network.weights["second"].copy()
        deaf[:, neuron] = 0.0
        expected = es.simulate(
            network.with_weights({**network.weights, "second": deaf}),
            (record.input.times, record.input.neurons),
            t_stop=55.0,
        )
        # Arrivals of weight 0 divide the time otherwise: rounding errors are others.
        np.testing.assert_allclose(found.after.output.times, expected.output.times, rtol=0, atol=1e-9)
    pairs = es.what_if(record, silence=[(layer, neuron)], network=network)
    assert_bits(pairs.after, found.after)


def deaf(network: Network, silence: dict[str, list[int]]) -> Network:
    """The network of dense layers in which nothing hears these neurons of a chain."""
    lowered = network.lowered
    weights = dict(lowered.weights)
    for name, neurons in silence.items():
        following = lowered.index(name) + 1
        if following < len(lowered.layers):
            key = lowered.names[following]
            weights[key] = weights[key].copy()
            if isinstance(weights[key], np.ndarray):
                weights[key][:, neurons] = 0.0
            else:
                weights[key].data = np.where(np.isin(weights[key].indices, neurons), 0.0, weights[key].data)
    return lowered.with_weights(weights)


def assert_silenced(found: SpikeRecord, network: Network, silence: dict[str, list[int]], limit: Any) -> None:
    """As if nothing heard the neurons, which are listed no more."""
    given = found.input.times, found.input.neurons
    expected = es.simulate(deaf(network, silence), given, engine="queue", **limit)
    for name in network.names:
        heard = ~np.isin(expected[name].neurons, silence.get(name, []))
        trains = [
            (found[name].times, found[name].neurons),
            (expected[name].times[heard], expected[name].neurons[heard]),
        ]
        (times, neurons), (own, own_neurons) = (
            tuple(column[np.lexsort(train)] for column in train) for train in trains
        )
        np.testing.assert_array_equal(neurons, own_neurons)
        np.testing.assert_allclose(times, own, rtol=0, atol=1e-7)


@pytest.mark.parametrize("seed", [s for s in range(20) if s % 5])
def test_the_sweep_leaves_out_what_is_silenced(seed: int) -> None:
    """Neurons of several layers, with and without other edits, whatever was asked before."""
    network, given, options = random_chain(seed)
    options["dtype"] = "float64"
    limit = {key: value for key, value in options.items() if key == "t_stop"}
    record = es.simulate(network, given, engine="sweep", **options)
    study = es.WhatIf(record, network=network)
    rng = np.random.default_rng(seed)
    quiet = [layer for layer in network.layers if not layer.lateral_inhibition]
    for _ in range(2):
        chosen = rng.choice(len(quiet), min(2, len(quiet)), replace=False)
        silence = {}
        for layer in (quiet[k] for k in chosen):
            # One of those that fire, in most cases, and one that may not.
            fired = record[layer.name].neurons if len(record[layer.name]) else np.arange(layer.neurons)
            silence[layer.name] = [int(rng.choice(fired)), int(rng.integers(layer.neurons))]
        event = int(rng.integers(len(record.input)))
        for edits in ({}, {"remove": event}, {"move": {event: 20.0}}):
            found = study.run(silence=silence, **edits)
            assert_silenced(found.after, network, silence, limit)
            own = [record[name].of(n).min(initial=math.inf) for name, each in silence.items() for n in each]
            if not edits:
                assert found.from_ms == min(own)
                # Not a bit changes of what nothing reaches.
                first = min(network.index(name) for name in silence)
                for name in network.names[:first]:
                    assert found.after[name] is record[name] or not found.changes[name].size
                    np.testing.assert_array_equal(found.after[name].times, record[name].times)


def test_silenced_with_biases_and_other_weights() -> None:
    """Whole runs, convolutions included."""
    network = Network(
        Input(9, 9, bias_interval=7.0), Conv(3, 3, threshold=1.0, bias=True), Dense(4, threshold=1.0), seed=3
    )
    rng = np.random.default_rng(3)
    weights = {key: rng.normal(0.3, 0.4, shape) for key, shape in network.weight_shapes().items()}
    network = network.with_weights(weights)
    record = es.simulate(network, (np.sort(rng.uniform(0, 60, 200)), rng.integers(0, 81, 200)), t_stop=80.0)
    neuron = int(record["conv"].counts.argmax())
    other = {**weights, "output": weights["output"] * 1.1}
    study = es.WhatIf(record, network=network)
    for edits, edited in (({}, network), ({"weights": other}, network.with_weights(other))):
        found = study.run(silence={"conv": [neuron]}, **edits).after
        assert found.engine == "sweep"
        assert_silenced(found, edited, {"conv": [neuron]}, {"t_stop": 80.0})
        alone = study.run(**edits).after["conv"]
        left = alone.neurons != neuron
        np.testing.assert_array_equal(found["conv"].times, alone.times[left])
    assert len(found.output) > 5


@pytest.mark.parametrize("kind", ["chain", "spatial"])
def test_silenced_on_the_clock(kind: str) -> None:
    network = make_graph(kind, 1)[0]
    for layer in network.layers:
        network = network.replace(layer.name, refractory=2.0, delay=1.0)
    given = make_graph(kind, 1)[1]
    record = es.simulate(network, given, t_stop=55.0, engine="clocked")
    layer = network.names[0]
    neuron = int(record[layer].counts.argmax())
    found = es.what_if(record, silence={layer: [neuron]}, network=network).after
    expected = es.simulate(deaf(network, {layer: [neuron]}), given, t_stop=55.0, engine="clocked")
    left = record[layer].neurons != neuron
    assert not left.all()
    np.testing.assert_array_equal(found[layer].times, record[layer].times[left])
    for name in network.names[1:]:
        np.testing.assert_array_equal(found[name].counts, expected[name].counts)
    assert len(found.output)


def test_a_run_of_a_graphics_card_needs_none() -> None:
    network, record = run_of("spatial", 0, engine="sweep", dtype="float32")
    study = es.WhatIf(replace(record, engine="gpu", origin_us=7), network=network)
    assert (study.record.engine, study.record.origin_us) == ("sweep", 7)
    assert_bits(study.record, record)
    assert_bits(study.run(remove=3).after, es.WhatIf(record, network=network).run(remove=3).after)


def test_other_weights() -> None:
    network, record = run_of("sparse", 0)
    first, second = network.weights["first"].copy(), network.weights["second"].copy()
    first[2, 5] = 3.0
    rows, columns = second.nonzero()
    second.data[0] = -1.0
    found = es.what_if(
        record,
        weights={"first": {(2, 5): 3.0}, "second": {(int(rows[0]), int(columns[0])): -1.0}},
        network=network,
    )
    changed = network.with_weights({**network.weights, "first": first, "second": second})
    assert_bits(found.after, fresh(changed, record, record.input.times, record.input.neurons))
    assert found.from_ms == 0.0
    whole = es.what_if(record, weights={"first": first, "second": second}, network=network)
    assert_bits(whole.after, found.after)


def test_biases_end_with_the_last_event() -> None:
    """Without the last event the bias neuron falls silent earlier: before the time of that event."""
    network, record = run_of("biases", 0)
    times = record.input.times
    last = np.arange(len(times)) == len(times) - 1
    late = np.where(last, 54.0, times)
    record = es.simulate(network, (late, record.input.neurons), t_stop=55.0)
    found = es.what_if(record, remove=last, network=network)
    assert len(found.after.bias) < len(record.bias)
    assert found.from_ms == times[-2]
    assert_bits(found.after, fresh(network, record, late[~last], record.input.neurons[~last]))
    assert found.first is not None


def test_on_the_clock() -> None:
    network = Network(Input(40), Dense(6, threshold=1.0), Dense(3, threshold=1.0), seed=2)
    network = network.with_weights({key: w + 0.5 for key, w in network.weights.items()})
    given = np.arange(150.0) / 3.0, np.arange(150) * 7 % 40
    record = es.simulate(network, given, engine="clocked", step_ms=0.5)
    assert len(record.output) > 5
    found = es.what_if(record, remove=149, network=network)
    expected = es.simulate(network, (given[0][:149], given[1][:149]), engine="clocked", step_ms=0.5)
    for name in network.names:
        np.testing.assert_array_equal(found.after[name].times, expected[name].times)


# -- what is said to have changed


def trains(*spikes: tuple[str, list[tuple[float, int]]]) -> SpikeRecord:
    """A record with these spikes of two layers of three neurons."""
    layers = {
        name: es.LayerSpikes(name, 3, np.array([t for t, _ in own]), np.array([n for _, n in own], np.int32))
        for name, own in spikes
    }
    nothing = es.LayerSpikes("input", 1, np.empty(0), np.empty(0, np.int32))
    return SpikeRecord(layers, nothing, math.inf, ExitReason.QUIET, "queue", "float64")


def test_lost_new_moved() -> None:
    before = trains(
        ("hidden", [(1.0, 0), (2.0, 1), (4.0, 0), (9.0, 2)]), ("output", [(3.0, 1), (5.0, 1), (20.0, 0)])
    )
    after = trains(
        ("hidden", [(1.0, 0), (2.5, 1), (4.0 + 5e-10, 0), (9.0, 1)]),
        ("output", [(5.2, 1), (40.0, 0), (41.0, 0)]),
    )
    found = Difference(before, after)
    assert found.changes["hidden"].tolist()[:1] == [(1, 2.0, 2.5)]
    assert [(n, math.isnan(b), math.isnan(a)) for n, b, a in found.changes["hidden"].tolist()[1:]] == [
        (1, True, False),
        (2, False, True),
    ]
    # The second spike of neuron 1 moved by 0.2 ms, and not the first by 2.2 ms.
    assert [(n, b, a) for n, b, a in found.changes["output"].tolist() if b == 5.0] == [(1, 5.0, 5.2)]
    assert found.first == ("hidden", 1, 2.0)
    assert (found.before.decision, found.after.decision, found.flips) == (1, 0, True)
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert {key: plain["layers"]["output"][key] for key in ("lost", "new", "moved")} == {
        "lost": 2,
        "new": 2,
        "moved": 1,
    }
    assert plain["layers"]["output"]["moved_most_ms"] == pytest.approx(0.2)
    assert plain["first"] == {"layer": "hidden", "neuron": 1, "t_ms": 2.0}
    text = format_difference(found, top=1)
    assert "the decision flips from 1 to 0" in text
    assert "first spike that differs: neuron 1 of 'hidden' at 2.0000 ms" in text
    assert "output: 2 lost, 2 new, 1 moved (median 0.2 ms, at most 0.2 ms)" in text
    assert "and 4 more" in text


def best_match(before: list[float], after: list[float], within: float) -> float:
    """What the best pairing saves, by trying all."""
    if not before or not after:
        return 0.0
    rest = max(best_match(before[1:], after, within), best_match(before, after[1:], within))
    return max(rest, within - abs(before[0] - after[0]) + best_match(before[1:], after[1:], within))


@pytest.mark.parametrize("seed", range(20))
def test_pairs_save_most(seed: int) -> None:
    rng = np.random.default_rng(seed)
    before, after = (np.sort(rng.uniform(0, 30, rng.integers(0, 6))).tolist() for _ in range(2))
    pairs = match(before, after, 5.0)
    assert sorted(b for b, _ in pairs if b == b) == before
    assert sorted(a for _, a in pairs if a == a) == after
    moved = [(b, a) for b, a in pairs if a == a and b == b]
    assert all(abs(a - b) < 5.0 for b, a in moved)
    assert sorted(moved) == sorted(moved, key=lambda pair: pair[1])
    assert sum(5.0 - abs(a - b) for b, a in moved) == pytest.approx(best_match(before, after, 5.0))


@pytest.mark.parametrize("seed", range(30))
def test_whose_spikes_are_others(seed: int) -> None:
    """The kernel and its twin: trains that share spikes, some twice, and on a grid many at one time."""
    rng = np.random.default_rng([8, seed])
    size = int(rng.integers(1, 12))
    shared = rng.uniform(0, 60, 20), rng.integers(0, size, 20)

    def train() -> tuple[np.ndarray, np.ndarray]:
        more = int(rng.integers(0, 4))
        times = np.append(rng.uniform(0, 60, more), shared[0])
        neurons = np.append(rng.integers(0, size, more), shared[1]).astype(np.int32)
        times = np.round(times) if seed % 3 == 0 else times
        order = np.lexsort((neurons, times))
        return times[order], neurons[order]

    before, after = train(), train()
    changed = np.zeros(size, np.uint8)
    first = find_changed(*before, *after, changed)
    pairs = [list(zip(*(a.tolist() for a in spikes), strict=True)) for spikes in (before, after)]
    assert (first, set(np.flatnonzero(changed).tolist())) == twin.find_changed(*pairs)
    assert find_changed(*before, *before, changed) == math.inf


# -- the few events that a decision hangs on


@pytest.mark.parametrize("by", ["contribution", "sensitivity"])
def test_a_flip(by: str) -> None:
    network, record = run_of("chain", 2)
    found = es.find_flip(record, by=by, network=network)
    assert found is not None
    left = np.delete(np.arange(len(record.input)), found.events)
    after = fresh(network, record, record.input.times[left], record.input.neurons[left])
    assert after.decision not in (record.decision, None)
    assert found.difference.flips
    assert (np.diff(found.events) > 0).all()
    assert len(found.events) < len(record.input) // 2
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["events"] == found.events.tolist()
    text = format_flip(found, network, top=1)
    assert f"without {len(found.events)} of 150 events the decision {record.decision} becomes" in text


def test_a_flip_of_one_event() -> None:
    """Two neurons, three events; without the last one the other wins."""
    weights = {"output": np.array([[6.0, 0.0], [0.0, 6.0]])}
    network = Network(
        Input(2), Dense(2, threshold=1.0, tau_m=20.0, tau_s=5.0, refractory=100.0), weights=weights
    )
    given = (np.array([0.0, 1.0, 200.0]), np.array([0, 1, 1]))
    record = es.simulate(network, given)
    assert record.decision == 1
    found = es.find_flip(record, network=network)
    assert found is not None
    assert (len(found.events), found.difference.after.decision) == (1, 0)


def test_no_flip() -> None:
    silent = Network(Input(2), Dense(2, threshold=100.0), seed=0)
    record = es.simulate(silent, (np.arange(3.0), np.array([0, 1, 0])))
    assert es.find_flip(record, network=silent) is None
    # The other neuron cannot fire: there is nobody to flip to.
    weights = {"output": np.array([[6.0], [0.0]])}
    lonely = Network(Input(1), Dense(2, threshold=1.0, tau_m=20.0, tau_s=5.0), weights=weights)
    record = es.simulate(lonely, (np.arange(3.0), np.zeros(3, int)))
    assert record.decision == 0
    assert es.find_flip(record, network=lonely) is None
    with pytest.raises(SimulationError, match="contribution, sensitivity"):
        flip_decision(es.WhatIf(record, network=lonely), "chance")


# -- at the door


@pytest.mark.parametrize(
    ("edits", "text"),
    [
        ({"remove": 150}, r"remove: no event 150; the sample has the events 0\.\.149"),
        ({"remove": [-1]}, "remove: no event -1"),
        ({"remove": [0.5]}, "remove: give numbers of input events"),
        ({"remove": [True, False]}, "remove: give numbers of input events .* a mask of 150"),
        ({"remove": "all"}, "remove: give numbers"),
        ({"move": [(1, 2.0)]}, "move: give a mapping of event to its new time"),
        (
            {"move": {3: math.nan}},
            "move: the new time of event 3 must be a finite number of ms >= 0, got nan",
        ),
        ({"move": {3: -1.0}}, "must be a finite number of ms >= 0, got -1.0"),
        ({"move": {200: 1.0}}, "move: no event 200"),
        ({"move": {3: 1.0}, "remove": [3]}, "move: event 3 is removed"),
        ({"silence": {"hidden": [0]}}, "silence: no layer 'hidden'; there are first, second, output"),
        ({"silence": {"first": [7]}}, r"silence: layer 'first' has the neurons 0\.\.6"),
        ({"silence": {"first": 0.5}}, r"silence: layer 'first' has the neurons 0\.\.6"),
        ({"silence": 3}, "silence: give a mapping of layer to neurons"),
        ({"weights": {"hidden": {}}}, "weights: no weights 'hidden'; there are first, second, output"),
        ({"weights": {"output": {(3, 0): 1.0}}}, r"weights: 'output' has the shape \(3, 5\), and no place"),
        ({"weights": {"output": {0: 1.0}}}, "and no place 0"),
        ({"weights": {"output": {(0, 0): "x"}}}, r"weights: 'output' at \(0, 0\) must be a number"),
        ({"weights": 3.0}, "weights: give a mapping of key"),
    ],
)
def test_edits_that_cannot_be(edits: dict[str, Any], text: str) -> None:
    network, record = run_of("chain", 0)
    with pytest.raises(SimulationError, match=text):
        es.what_if(record, network=network, **edits)


def test_weights_of_another_shape() -> None:
    network, record = run_of("chain", 0)
    with pytest.raises(NetworkError, match="output"):
        es.what_if(record, weights={"output": np.zeros((2, 2))}, network=network)


def test_traces_that_cannot_be_simulated_again() -> None:
    network, record = run_of("chain", 0)
    with pytest.raises(TraceError, match="was interrupted; simulate it to its end first"):
        es.what_if(replace(record, exit_reason=ExitReason.INTERRUPTED), remove=0, network=network)
    other = network.with_weights({key: 1.01 * w for key, w in network.weights.items()})
    with pytest.raises(TraceError, match="is not one of this network and engine"):
        es.WhatIf(record, network=other).run(remove=149)
