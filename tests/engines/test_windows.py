"""The windowed schedule: the bits of its own twin, the spikes of the independent one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array, eye_array, random_array

from eventsnn._ext import block
from eventsnn._ext.engine_windows import run_windows
from eventsnn.engines import queue, twin, windows, windows_twin
from eventsnn.engines.record import SpikeRecord
from eventsnn.errors import SimulationError
from eventsnn.network import Connection, Dense, Input, Network
from tests.engines.helpers import NEURONS, assert_layer_exact, assert_same_bits
from tests.oracle import network_run
from tests.strategies import sparse_networks, trains

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def simulations(draw, most_neurons: int = 6):
    network = draw(sparse_networks(most_neurons))
    return (network, *draw(trains(network.input.neurons)))


def run_or_refuse(module, *arguments, **more) -> SpikeRecord | str:
    """The record, or the error of a network that fires for ever at one instant."""
    try:
        return module.run(*arguments, **more)
    except SimulationError as error:
        assert "fires again" in str(error)
        return str(error)


def assert_close(a: SpikeRecord, b: SpikeRecord, tolerance_ms: float = 1e-9) -> None:
    """The same spikes of every neuron, in times that differ by rounding only."""
    for name in a.layers:
        assert np.array_equal(a[name].counts, b[name].counts)
        for neuron in range(a[name].size):
            np.testing.assert_allclose(
                a[name].of(neuron), b[name].of(neuron), rtol=0.0, atol=tolerance_ms
            )


@quick
@given(simulations(), st.floats(0.0, 40.0))
def test_the_bits_of_the_twin(simulation, t_stop):
    assert windows.refusal(simulation[0]) is None
    ours = run_or_refuse(windows, *simulation, t_stop=t_stop)
    theirs = run_or_refuse(windows_twin, *simulation, t_stop=t_stop)
    if isinstance(ours, str) or isinstance(theirs, str):
        assert isinstance(ours, str) == isinstance(theirs, str)
    else:
        assert_same_bits(ours, theirs)


@quick
@given(simulations(most_neurons=4))
def test_the_spikes_of_the_oracle(simulation):
    try:
        expected = network_run(*simulation, t_stop=12.0, most_spikes=150)
    except AssertionError:
        assume(False)
    assume(expected.margin > 1e-6)
    record = windows.run(*simulation, t_stop=12.0)
    for name in record.layers:
        assert_layer_exact(record[name], expected.layers[name])
    assert_close(record, twin.run(*simulation, t_stop=12.0))
