"""The first output spike decides where a model says so: in every engine, in parts, in traces, in files."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

import eventsnn as es
from eventsnn.cli.explain import most_active
from eventsnn.errors import NetworkError
from eventsnn.model import RunSettings
from eventsnn.trace.record import decide_all, first_votes
from tests.train.test_predictions import toy_data
from tests.train.toy import toy_network

DATA = toy_data(24)


def network(decision="first"):
    net = toy_network(lateral_inhibition=0.0)
    rng = np.random.default_rng(2)
    net = net.with_weights({k: rng.normal(0.3, 0.9, s) for k, s in net.weight_shapes().items()})
    return net.with_settings(RunSettings(decision=decision))


def first(record):
    """By its definition: the neuron of the earliest spike, the lowest at the same instant."""
    spikes = list(zip(record.output.times.tolist(), record.output.neurons.tolist(), strict=True))
    return min(spikes)[1] if spikes else None


def test_the_first_spike_decides_and_not_the_count():
    net = network()
    records = [es.simulate(net, DATA.stream(k)) for k in range(len(DATA))]
    expected = [first(record) for record in records]
    assert [record.decision for record in records] == expected
    counts = [replace(record, decides="count").decision for record in records]
    assert counts != expected, "the example does not tell them apart"
    assert [es.simulate(network("count"), DATA.stream(k)).decision for k in range(len(DATA))] == counts
    for engine in ("auto", "sweep", "queue", "twin"):
        found = es.evaluate(net, DATA, engine=engine, threads=2).predictions
        assert found.decisions.tolist() == expected, engine
        assert (found.counts.sum(axis=1) == 1).all()


def test_on_the_clock():
    """Where several neurons fire in the first step, the lowest decides."""
    net = network()
    records = [es.simulate(net, DATA.stream(k), engine="clocked", step_ms=2.0) for k in range(len(DATA))]
    found = es.evaluate(net, DATA, engine="clocked", step_ms=2.0, threads=2).predictions
    assert found.decisions.tolist() == [first(record) for record in records]


def test_ties_and_silence():
    """Sample 0 has two neurons at its first instant, sample 1 is silent, sample 2 has one spike."""
    times, neurons = np.array([1.0, 1.0, 2.0, 0.5]), np.array([1, 3, 0, 2], np.int32)
    votes = first_votes(times, neurons, np.array([0, 3, 3, 4]), 4)
    assert votes.tolist() == [[0, 1, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0]]
    assert decide_all(votes).tolist() == [1, -1, 2]


def test_in_parts_with_a_saved_state_and_a_copy(tmp_path):
    net = network()
    for k in range(6):
        events = DATA.stream(k).events
        whole = es.simulate(net, DATA.stream(k))
        run = es.Simulation(net, origin_us=0)
        run.feed(events[:30])
        run.save(tmp_path / "state.h5")
        again = es.Simulation.resume(tmp_path / "state.h5", net)
        for one in (run, again):
            one.feed(events[30:])
            one.finish()
            assert one.decision == whole.decision
            assert copy.deepcopy(one).decision == whole.decision


def test_traces_keep_it(tmp_path):
    net = network()
    expected = [es.simulate(net, DATA.stream(k), trace=tmp_path / f"{k}.h5").decision for k in range(6)]
    for k, decision in enumerate(expected):
        with es.Trace(tmp_path / f"{k}.h5") as trace:
            assert trace.samples[0].prediction == decision
            assert trace.record().decision == decision
            assert most_active(trace, "output", 0) == decision
            assert most_active(trace, "hidden", 0) == trace.record()["hidden"].counts.argmax()


def test_models_keep_it(tmp_path):
    net = network()
    net.save(tmp_path / "net.h5")
    assert es.Network.load(tmp_path / "net.h5").settings.decision == "first"
    with pytest.raises(NetworkError, match="decision must be one of count, first, got 'last'"):
        RunSettings(decision="last")


def test_training_measures_the_first_spike(tmp_path):
    rule = es.EventProp(scale=4.0)
    fit = es.train(
        toy_network(lateral_inhibition=0.0),
        DATA,
        rule=rule,
        epochs=2,
        batch_size=4,
        out=tmp_path / "run",
        valid=DATA,
        dtype="float64",
    )
    model = es.Network.load(tmp_path / "run" / "model.h5")
    assert model.settings.decision == "first"
    assert es.evaluate(model, DATA, dtype="float64").accuracy == fit.valid_accuracy
