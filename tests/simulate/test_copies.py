"""Simulations can be copied and pickled in the middle, and go on to the same bits."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import eventsnn as es
from eventsnn.errors import SimulationError


def make_chain():
    return es.Network(
        es.Input(6, bias_interval=7.0),
        es.Dense(8, threshold=2.0, delay=1.5),
        es.Dense(3, threshold=1.0),
        seed=1,
    )


def make_loop():
    return es.Network(
        es.Input(6),
        es.Dense(8, threshold=2.0),
        es.Dense(3, threshold=1.0),
        connections=[es.Connection("hidden", "hidden", delay=1.0, initial_weight=0.5)],
        seed=1,
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("make", "engine"), [(make_chain, "sweep"), (make_loop, "queue"), (make_loop, "twin")]
)
@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_goes_on_alone(make, engine, dtype, copied):
    dtype = "float64" if engine == "twin" else dtype
    rng = np.random.default_rng(5)
    times, inputs = np.sort(np.round(rng.uniform(0, 60, 300), 1)), rng.integers(6, size=300)
    run = es.Simulation(make(), engine=engine, dtype=dtype, t_stop=80.0)
    run.feed((times[:150], inputs[:150]))
    other = copied(run)
    assert (other.t_complete, other.events, other.held) == (run.t_complete, run.events, run.held)
    first = run.feed((times[150:], inputs[150:])), run.finish()
    assert other.events == 150  # the one has not moved the other
    second = other.feed((times[150:], inputs[150:])), other.finish()
    for a, b in zip(first, second, strict=True):
        for name in ("hidden", "output"):
            assert a[name].times.tolist() == b[name].times.tolist()
            assert a[name].neurons.tolist() == b[name].neurons.tolist()
    assert {name: n.tolist() for name, n in run.counts.items()} == {
        name: n.tolist() for name, n in other.counts.items()
    }
    assert sum(n.sum() for n in run.counts.values()) > 0


def test_a_finished_one_can_be_copied():
    run = es.Simulation(make_chain())
    run.feed(([1.0, 2.0], [0, 1]))
    run.finish()
    other = copy.deepcopy(run)
    assert other.summary() == run.summary()
    assert repr(other) == repr(run)
    assert "it is finished" in repr(run)
    with pytest.raises(SimulationError, match="it is finished"):
        other.feed(([3.0], [0]))


def test_names_of_classes_do_not_matter_to_a_saved_state(tmp_path):
    network = make_chain()
    run = es.Simulation(network)
    run.feed(([1.0, 2.0], [0, 1]))
    run.save(tmp_path / "state.npz")
    named = network.with_classes(["ant", "bee"])
    assert "class" in es.Simulation.resume(tmp_path / "state.npz", named).summary()
