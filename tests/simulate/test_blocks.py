"""What only blocks of neurons and searches for candidates can get wrong: ties, and refractory neurons."""

from __future__ import annotations

import numpy as np
import pytest

from eventsnn.model import LIF
from eventsnn.simulate.engines.arrivals import Arrivals
from eventsnn.simulate.engines.layer_run import run_layer
from eventsnn.simulate.engines.packed import PackedNetwork
from tests.oracle import neuron_run
from tests.simulate.helpers import ENGINES, assert_exact, assert_same_bits, drive, one_layer

each_engine = pytest.mark.parametrize("engine", ENGINES)


@each_engine
def test_neurons_that_fire_together_are_in_order(engine):
    """Equal neurons in three blocks, with others in between that fire at times of their own."""
    weights = np.full((80, 1), 9.0)
    weights[::7] = np.linspace(6.0, 12.0, 12)[:, None]
    record = drive(engine, one_layer(LIF(1.0, 20.0, 5.0, 2.0), weights), [1.0, 3.0], [0, 0])
    times, neurons = record.output.times, record.output.neurons
    together = times == record.output.of(1)[0]
    assert neurons[together].tolist() == [n for n in range(80) if n % 7]
    order = np.lexsort((neurons, times))
    assert np.array_equal(order, np.arange(len(times)))


# A long refractory period, in which the synaptic current swings from one sign to the other.
SLOW_TO_RECOVER = LIF(20.0, 64.0, 8.0, 30.0)


@each_engine
@pytest.mark.parametrize("end_first", [False, True], ids=["within", "after"])
def test_inhibition_in_the_refractory_period_does_not_count(engine, end_first):
    """The potential is held at 0 while the current is negative: a free one would be far below, and not fire.

    The last but one input comes within the refractory period, or after its end.
    """
    first = float(drive("twin", one_layer(SLOW_TO_RECOVER, [[80.0]]), [0.0], [0]).output.times[0])
    times = [0.0, first + 1.0, first + (31.0 if end_first else 29.0), first + 38.0, first + 200.0]
    weights = np.array([[80.0, -400.0, 90.0, 0.0, 0.0]])
    expected, margin = neuron_run(times, weights[0], SLOW_TO_RECOVER)
    assert margin > 1e-6
    assert first + 31.0 < expected[1] < first + 38.0, "the example should fire before its fourth input"
    network = one_layer(SLOW_TO_RECOVER, weights)
    record = drive(engine, network, times, range(5))
    assert_exact(record.output.times, expected)
    assert_same_bits(record, drive("twin", network, times, range(5)))


@each_engine
def test_excitation_in_the_refractory_period_counts_from_its_end(engine):
    """A small input just after the end must not make the engine forget what has gathered since."""
    first = float(drive("twin", one_layer(SLOW_TO_RECOVER, [[80.0]]), [0.0], [0]).output.times[0])
    times = [0.0, first + 29.0, first + 36.0, first + 36.8, first + 300.0]
    weights = np.array([[80.0, 42.0, 0.1, 0.1, 0.0]])
    expected, margin = neuron_run(times, weights[0], SLOW_TO_RECOVER)
    assert margin > 1e-6
    network = one_layer(SLOW_TO_RECOVER, weights)
    record = drive(engine, network, times, range(5))
    assert_exact(record.output.times, expected)
    assert first + 36.0 < expected[1] < first + 36.8, "the example should fire between these two inputs"


def test_neurons_that_fire_together_are_in_order_in_every_sample():
    """The sweep engine takes several recordings at once, empty ones among them."""
    packed = PackedNetwork(one_layer(LIF(1.0, 20.0, 5.0, 2.0), np.full((70, 2), 9.0)), np.float64)
    trains = [(np.array([1.0]), np.zeros(1, np.int32)), (np.empty(0), np.empty(0, np.int32))] * 2
    trains.append((np.array([2.0, 2.5]), np.array([1, 0], np.int32)))
    (run,) = run_layer(packed, 0, Arrivals.join(trains), np.inf)
    found = run.spikes
    assert len(found) == 5
    for number, train in enumerate(trains):
        alone = drive("queue", packed.network, *train).output
        times, neurons = found.sample(number)
        assert np.array_equal(times, alone.times)
        assert np.array_equal(neurons, alone.neurons)
