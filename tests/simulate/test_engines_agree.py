"""Whatever the network and the input, the engines give the same bits; small ones fire as the oracle does."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from eventsnn.model import LIF, Dense, Input, Network
from eventsnn.reference.lif import constants, respond
from tests.oracle import quick_run
from tests.simulate.helpers import assert_agree, assert_layer_exact, assert_same_bits, drive, one_layer
from tests.strategies import chains, recurrent_networks, simulations

quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
few = settings(quick, max_examples=10)


@quick
@given(simulations(chains()))
def test_chains_give_the_same_bits(simulation):
    assert_agree(simulation, "queue", "sweep")


@quick
@given(simulations(chains(most_layers=2, lateral=True)))
def test_lateral_inhibition_gives_the_same_bits(simulation):
    assert_agree(simulation, "queue", "sweep")


@quick
@given(simulations(recurrent_networks()), st.floats(0.0, 60.0))
def test_recurrent_networks_give_the_same_bits(simulation, t_stop):
    assert_agree(simulation, "queue", t_stop=t_stop)


@quick
@given(simulations(chains()), st.floats(0.0, 300.0))
def test_t_stop_cuts_a_run_and_changes_nothing_before(simulation, t_stop):
    whole = drive("queue", *simulation)
    for engine in ("twin", "queue", "sweep"):
        cut = drive(engine, *simulation, t_stop=t_stop)
        for name in whole.layers:
            keep = whole[name].times <= t_stop
            assert np.array_equal(cut[name].times, whole[name].times[keep])
            assert np.array_equal(cut[name].neurons, whole[name].neurons[keep])


def thresholds_met_at_arrivals():
    """Simulations, and the instant of arrivals at which the potential is the threshold to the last bit: a
    spike then, or just before.
    """
    rng = np.random.default_rng(5)
    lif = LIF(1.0, 64.0, 8.0, 2.0)
    for _ in range(300):
        t, weight = float(rng.uniform(0.01, 10.0)), float(rng.uniform(5.0, 50.0))
        level = weight * respond(constants(lif), t)[1]
        inhibition, together = float(rng.uniform(-400.0, 0.0)), int(rng.integers(1, 4))
        times = np.array([0.0, *[t] * together, t + rng.uniform(0.0, 3.0), t + 30.0, t + 60.0])
        sources = np.array([0, *[1] * together, 0, 0, 0])
        yield one_layer(replace(lif, threshold=level), [[weight, inhibition]]), times, sources, t


def test_a_threshold_met_at_arrivals_of_one_instant_gives_the_same_bits():
    at_the_arrival = 0
    for network, times, sources, t in thresholds_met_at_arrivals():
        twin = drive("twin", network, times, sources)
        assert_same_bits(twin, drive("queue", network, times, sources))
        assert_same_bits(twin, drive("sweep", network, times, sources))
        at_the_arrival += int(twin["output"].times[0] == t)
    assert at_the_arrival > 30


@quick
@given(simulations(chains(most_layers=1)), st.integers(0, 2**32 - 1))
def test_the_order_in_which_events_are_given_does_not_matter(simulation, seed):
    network, times, indices = simulation
    order = np.random.default_rng(seed).permutation(len(times))
    for engine in ("twin", "queue", "sweep"):
        assert_same_bits(
            drive(engine, network, times, indices), drive(engine, network, times[order], indices[order])
        )


def decidable(run) -> bool:
    """Neither a grazing maximum nor two spikes at (nearly) the same time, which rounding may reorder."""
    return bool(run.margin > 1e-6 and run.gap > 1e-6)


@few
@given(simulations(chains(most_layers=2, most_neurons=4)))
def test_chains_fire_when_the_oracle_says(simulation):
    expected = quick_run(*simulation)
    assume(expected.margin > 1e-6)
    record = drive("queue", *simulation)
    for name in record.layers:
        assert_layer_exact(record[name], expected.layers[name])


@few
@given(simulations(chains(most_layers=1, most_neurons=4, lateral=True)))
def test_lateral_inhibition_is_what_the_oracle_says(simulation):
    expected = quick_run(*simulation)
    assume(decidable(expected))
    record = drive("queue", *simulation)
    for name in record.layers:
        assert_layer_exact(record[name], expected.layers[name])


@few
@given(simulations(recurrent_networks(most_neurons=3)))
def test_recurrent_networks_fire_when_the_oracle_says(simulation):
    expected = quick_run(*simulation, t_stop=15.0)
    assume(decidable(expected))
    record = drive("queue", *simulation, t_stop=15.0)
    for name in record.layers:
        assert_layer_exact(record[name], expected.layers[name])


@pytest.mark.parametrize("n_neurons", [1, 15, 16, 17, 33, 100])
def test_layers_of_any_size_give_the_same_bits(n_neurons):
    """Layers are worked on in blocks; sizes around a block's must not matter."""
    generator = np.random.default_rng(n_neurons)
    network = Network(Input(50), Dense(n_neurons, threshold=5.0), Dense(7, threshold=3.0), seed=n_neurons)
    times, indices = np.sort(generator.uniform(0.0, 200.0, 600)), generator.integers(0, 50, 600)
    twin = drive("twin", network, times, indices)
    assert len(twin["hidden"]) > 0
    assert_same_bits(twin, drive("queue", network, times, indices))
    assert_same_bits(twin, drive("sweep", network, times, indices))
