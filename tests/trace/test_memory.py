"""What is recorded in memory is what a trace file holds."""

from __future__ import annotations

import importlib
import pickle

import numpy as np
import pytest

import eventsnn as es
from eventsnn.errors import NetworkError, SimulationError, TraceError
from eventsnn.trace import quantities


def make():
    return es.Network(
        es.Input(12),
        es.Dense(7, threshold=2.0, refractory=1.0),
        es.Dense(3, threshold=1.0, lateral_inhibition=0.5, delay=0.5),
        connections=[es.Connection("hidden", "hidden", delay=2.0, initial_weight=0.3)],
        seed=3,
    )


def events():
    rng = np.random.default_rng(2)
    return np.sort(rng.uniform(0, 40, 150)), rng.integers(12, size=150)


EVERYTHING = ("spikes", "potential", "spsp")


def test_the_same_as_in_a_file(tmp_path):
    network = make()
    run = es.simulate(network, events(), t_stop=60.0, record=EVERYTHING, potential_step=0.5)
    es.simulate(
        network, events(), t_stop=60.0, record=EVERYTHING, potential_step=0.5, trace=tmp_path / "t.h5"
    )
    with es.Trace(tmp_path / "t.h5") as trace:
        for layer in network.names:
            ours, theirs = run.potential(layer), trace.potential(layer)
            assert len(ours.times) > 7 * 120 or layer == "output"
            assert ours.times.tolist() == theirs.times.tolist()
            assert ours.neurons.tolist() == theirs.neurons.tolist()
            assert ours.kinds.tolist() == theirs.kinds.tolist()
            assert ours.values.astype(theirs.values.dtype).tolist() == theirs.values.tolist()
        compared = 0
        for p in network.projections:
            layer = network.names[p.target]
            for a, b in zip(
                run.spsp_total(layer, projection=p.key),
                trace.spsp_total(layer, projection=p.key),
                strict=True,
            ):
                assert a.tolist() == b.tolist()
            for neuron in range(network[layer].neurons):
                for spike in range(len(run[layer].of(neuron))):
                    one = run.spsp(layer, neuron, spike, projection=p.key)
                    other = trace.spsp(layer, neuron, spike, projection=p.key)
                    assert [x.tolist() for x in one] == [x.tolist() for x in other]
                    compared += 1
        assert compared > 20


def test_potentials_reach_the_threshold_at_spikes():
    run = es.simulate(make(), events(), t_stop=60.0, record=("potential",), potential_layers=["hidden"])
    potential = run.potential("hidden")
    before = potential.kinds == 1
    assert potential.times[before].tolist() == run["hidden"].times.tolist()
    assert np.allclose(potential.values[before], 2.0, rtol=1e-9, atol=0)
    with pytest.raises(TraceError, match="no membrane potential of layer 'output' was recorded"):
        run.potential("output")
    with pytest.raises(TraceError, match="no S-PSPs were recorded"):
        run.spsp("hidden", 0, 0)
    assert pickle.loads(pickle.dumps(run)).potential("hidden").values.tolist() == potential.values.tolist()


def test_what_was_not_recorded():
    run = es.simulate(make(), events(), t_stop=60.0)
    with pytest.raises(SimulationError, match=r"holds spikes only; simulate with record=\('potential',\)"):
        run.potential("hidden")
    with pytest.raises(SimulationError, match=r"record=\('spsp',\)"):
        run.spsp_total("hidden")
    run = es.simulate(make(), events(), t_stop=60.0, record=("spsp",))
    with pytest.raises(
        TraceError, match="no projection 'x' into layer 'hidden'; there are hidden, hidden->hidden"
    ):
        run.spsp("hidden", 0, 0, projection="x")
    with pytest.raises(TraceError, match=r"has the neurons 0\.\.6, got 7"):
        run.spsp("hidden", 7, 0)
    with pytest.raises(TraceError, match="no spike 99: neuron 0 of 'hidden'"):
        run.spsp("hidden", 0, 99)


def test_mistakes_are_told_before_the_simulation(monkeypatch):
    module = importlib.import_module("eventsnn.simulate.run")
    monkeypatch.setattr(module, "run_whole", lambda *_: pytest.fail("it was simulated"))
    with pytest.raises(
        TraceError,
        match="record: no option 'voltage'; there are spikes, potential, current, spsp, spsp_total",
    ):
        es.simulate(make(), events(), t_stop=60.0, record=("voltage",))
    with pytest.raises(TraceError, match="potential_step must be a finite number of ms > 0, got 0"):
        es.simulate(make(), events(), t_stop=60.0, record=("potential",), potential_step=0)
    with pytest.raises(TraceError, match="record 'spsp'"):
        es.simulate(make(), events(), t_stop=60.0, record=("spsp",), engine="clocked", dtype="float32")
    with pytest.raises(NetworkError, match="no layer 'hiden'"):
        es.simulate(make(), events(), t_stop=60.0, record=("potential",), potential_layers=["hiden"])


def test_what_does_not_fit_into_memory_is_refused(monkeypatch):
    monkeypatch.setattr(quantities, "LARGEST", 1000)
    with pytest.raises(TraceError, match=r"the membrane potentials take 0\.0 GiB of memory; choose a larger"):
        es.simulate(make(), events(), t_stop=60.0, record=("potential",))
