"""Exact spike times at full length: a real recording against the oracle, thousands of odd networks."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from eventsnn.events import read
from eventsnn.model import Dense, Input, Network
from tests.oracle import network_run, neuron_run, quick_run
from tests.real_data import real_data
from tests.simulate.helpers import assert_agree, assert_exact, assert_layer_exact, assert_same_bits, drive
from tests.simulate.test_engines_agree import simulations
from tests.strategies import chains, recurrent_networks

many = settings(
    max_examples=1500,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.fixture(scope="module")
def recording():
    events = read(real_data("nmnist-1k", "Train", "0", "00002.bin"))
    layers = Dense(800, threshold=15.0), Dense(10, threshold=15.0, lateral_inhibition=1.0)
    network = Network(Input(34, 34, 2), *layers, seed=2)
    times, indices = events.times_ms(), events.input_indices()
    return network, times, indices, drive("queue", network, times, indices)


@pytest.mark.parametrize("neuron", np.linspace(0, 799, 24, dtype=int).tolist())
def test_hidden_neurons_of_a_real_recording(recording, neuron):
    network, times, indices, record = recording
    expected, margin = neuron_run(times, network.weights["hidden"][neuron, indices], network["hidden"].lif)
    assert margin > 1e-9
    assert_exact(record["hidden"].of(neuron), expected)


def test_output_layer_of_a_real_recording(recording):
    """The output layer, given the hidden spikes of the engine, with its lateral inhibition."""
    network, _, _, record = recording
    alone = Network(Input(800), network.output, weights={"output": network.weights["output"]})
    expected = network_run(alone, record["hidden"].times, record["hidden"].neurons, most_spikes=10**6)
    assert expected.margin > 1e-9
    assert len(record.output) > 0
    assert_layer_exact(record.output, expected.layers["output"])


def test_engines_agree_on_a_real_recording(recording):
    network, times, indices, record = recording
    assert_same_bits(record, drive("sweep", network, times, indices))


@many
@given(simulations(chains(lateral=True)))
def test_chains(simulation):
    assert_agree(simulation, "queue", "sweep")


@many
@given(simulations(recurrent_networks()), st.floats(0.0, 100.0))
def test_recurrent_networks(simulation, t_stop):
    assert_agree(simulation, "queue", t_stop=t_stop)


@settings(many, max_examples=300)
@given(simulations(recurrent_networks(most_neurons=4)))
def test_recurrent_networks_against_the_oracle(simulation):
    expected = quick_run(*simulation, t_stop=25.0)
    assume(expected.margin > 1e-6)
    assume(expected.gap > 1e-6)
    record = drive("queue", *simulation, t_stop=25.0)
    for name in record.layers:
        assert_layer_exact(record[name], expected.layers[name])
