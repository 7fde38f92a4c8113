"""The oracle against closed forms, and against the potential as a sum over all input spikes."""

import numpy as np
import pytest
from hypothesis import given, settings
from mpmath import exp, lambertw, log, mp, mpf, sqrt

from eventsnn.model import LIF, Connection, Dense, Input, Network
from tests.oracle import network_run, network_spikes, neuron_run, spike_times
from tests.strategies import lif_parameters, trains

TINY = mpf(10) ** -45  # the oracle promises 50 digits; times here are below 1000 ms


def test_single_input_matches_the_root_of_the_quadratic():
    # tau_m = 2 tau_s: eps = 2 (x - x^2) with x = e^{-t/tau_m}, so 2 w (x - x^2) = nu.
    lif = LIF(threshold=3.0, tau_m=16.0, tau_s=8.0, refractory=1000.0)
    (found,) = spike_times([5.0], [7.0], lif)
    with mp.workdps(60):
        x = (1 + sqrt(1 - mpf(2) * 3 / 7)) / 2
        assert abs(found - (5 - 16 * log(x))) < TINY


def test_equal_time_constants_match_lambert_w():
    # w (t/tau) e^{-t/tau} = nu
    lif = LIF(threshold=1.0, tau_m=10.0, tau_s=10.0, refractory=1000.0)
    (found,) = spike_times([0.0], [4.0], lif)
    with mp.workdps(60):
        assert abs(found + 10 * lambertw(mpf(-1) / 4).real) < TINY


def test_nearly_equal_time_constants_keep_their_digits():
    lif = LIF(threshold=1.0, tau_m=np.nextafter(10.0, 11.0), tau_s=10.0, refractory=1000.0)
    (near,) = spike_times([0.0], [4.0], lif)
    (far,) = spike_times([0.0], [4.0], lif, dps=90)
    (equal,) = spike_times([0.0], [4.0], LIF(1.0, 10.0, 10.0, 1000.0))
    assert abs(near - far) < TINY
    assert 0 < abs(near - equal) < 1e-14


def test_a_maximum_equal_to_the_threshold_fires_at_its_own_place():
    # The maximum of eps is 1/2 for tau_m = 2 tau_s, at tau_m ln 2.
    lif = LIF(threshold=3.0, tau_m=16.0, tau_s=8.0, refractory=2.0)
    (found,) = spike_times([1.0], [6.0], lif)
    with mp.workdps(60):
        assert abs(found - (1 + 16 * log(2))) < TINY
    assert spike_times([1.0], [np.nextafter(6.0, 0.0)], lif) == []


def test_margin_tells_how_close_the_closest_maximum_came():
    lif = LIF(threshold=3.0, tau_m=16.0, tau_s=8.0, refractory=2.0)
    spikes, margin = neuron_run([1.0], [6.0 * (1 - 1e-6)], lif)
    assert spikes == []
    assert float(margin) == pytest.approx(1e-6, rel=1e-6)


def test_simultaneous_inputs_count_as_one():
    lif = LIF(threshold=3.0, tau_m=16.0, tau_s=8.0, refractory=2.0)
    apart = spike_times([2.0, 2.0, 2.0], [5.0, -2.0, 4.0], lif)
    assert apart == spike_times([2.0], [7.0], lif)
    assert spike_times([2.0, 2.0], [50.0, -50.0], lif) == []


def test_current_integrates_during_the_refractory_period():
    # The current left at the end of the refractory period is what decides the second spike.
    lif = LIF(threshold=1.0, tau_m=16.0, tau_s=8.0, refractory=4.0)
    first, second, *_ = spike_times([0.0], [12.0], lif)
    with mp.workdps(60):
        left = 12 * exp(-(first + 4) / 8)
        x = (1 + sqrt(1 - 2 / left)) / 2
        assert abs(second - (first + 4 - 16 * log(x))) < TINY


def test_t_stop_is_inclusive():
    lif = LIF(threshold=3.0, tau_m=16.0, tau_s=8.0, refractory=2.0)
    (found,) = spike_times([5.0], [7.0], lif)
    later, earlier = float(found) + 1e-9, float(found) - 1e-9
    assert spike_times([5.0], [7.0], lif, t_stop=later) == [found]
    assert spike_times([5.0], [7.0], lif, t_stop=earlier) == []
    assert spike_times([5.0], [7.0], lif, t_stop=1.0) == []


@settings(max_examples=25, deadline=None)
@given(lif=lif_parameters(), train=trains(4, most=12))
def test_spikes_satisfy_the_definition(lif, train):
    """The sum over all input spikes equals nu at every spike and stays below it everywhere else."""
    times, indices = train
    weights = 4 * lif.threshold * np.array([1.0, 2.0, 4.0, -1.0])[indices]
    spikes = spike_times(times, weights, lif, t_stop=None)[:20]
    with mp.workdps(100):
        tau_m, tau_s, threshold = mpf(lif.tau_m), mpf(lif.tau_s), mpf(lif.threshold)

        def psp(lag):
            if lag <= 0:
                return mpf(0)
            if tau_m == tau_s:
                return lag / tau_s * exp(-lag / tau_m)
            return tau_m / (tau_m - tau_s) * (exp(-lag / tau_m) - exp(-lag / tau_s))

        def free(t):
            return sum(mpf(float(w)) * psp(t - mpf(float(s))) for s, w in zip(times, weights, strict=True))

        reset, start = None, mpf(0)
        for spike in spikes:
            held = mpf(0) if reset is None else free(reset)

            def potential(t, reset=reset, held=held):
                return free(t) - (0 if reset is None else exp(-(t - reset) / tau_m) * held)

            # 1e-40: where a maximum grazes the threshold the time has half of the digits, the potential all.
            assert abs(potential(spike) / threshold - 1) < mpf(10) ** -40
            for part in range(1, 20):
                assert potential(start + (spike - start) * part / 20) < threshold
            reset = start = spike + mpf(lif.refractory)


def test_network_of_one_neuron_is_the_neuron():
    layer = Dense(2, threshold=3.0, tau_m=16.0, tau_s=8.0, refractory=2.0, delay=1.5)
    network = Network(Input(2), layer, weights={"output": np.array([[7.0, 8.0], [0.0, 9.0]])})
    spikes = network_spikes(network, [1.0, 2.0, 2.0], [1, 0, 1])["output"]
    one = spike_times([2.5, 3.5, 3.5], [8.0, 7.0, 8.0], layer.lif)
    two = spike_times([2.5, 3.5], [9.0, 9.0], layer.lif)
    assert [t for t, i in spikes if i == 0] == one
    assert [t for t, i in spikes if i == 1] == two
    assert [t for t, _ in spikes] == sorted(one + two)


def test_spikes_of_a_layer_are_the_input_of_the_next():
    hidden = Dense(2, threshold=1.0, tau_m=16.0, tau_s=8.0)
    output = Dense(1, threshold=2.0, tau_m=20.0, tau_s=5.0, delay=3.0)
    weights = {"hidden": np.array([[4.0], [6.0]]), "output": np.array([[5.0, 6.0]])}
    spikes = network_spikes(Network(Input(1), hidden, output, weights=weights), [0.0, 4.0], [0, 0])
    assert {i for _, i in spikes["hidden"]} == {0, 1}
    # Arrivals rounded to float64 move the output spikes by as little.
    arrivals = [float(t + 3) for t, _ in spikes["hidden"]]
    expected = spike_times(arrivals, [[5.0, 6.0][i] for _, i in spikes["hidden"]], output.lif)
    assert expected
    assert [float(t) for t, _ in spikes["output"]] == pytest.approx([float(t) for t in expected], abs=1e-12)


def test_lateral_inhibition_reaches_all_others_at_once():
    layer = Dense(2, threshold=3.0, tau_m=16.0, tau_s=8.0, refractory=2.0, lateral_inhibition=6.0)
    network = Network(Input(1), layer, weights={"output": np.array([[12.0], [9.0]])})
    spikes = network_spikes(network, [0.0], [0])["output"]
    winner = [t for t, i in spikes if i == 0]
    loser = spike_times([0.0, *(float(t) for t in winner)], [9.0] + [-6.0] * len(winner), layer.lif)
    assert len(winner) >= 1
    assert [float(t) for t, i in spikes if i == 1] == pytest.approx([float(t) for t in loser], abs=1e-12)
    assert len(loser) < len(spike_times([0.0], [9.0], layer.lif))


def test_equal_neurons_fire_together_in_spite_of_their_inhibition():
    # Both potentials are at the threshold when the first spike is seen; inhibition acts on the current only.
    layer = Dense(2, threshold=3.0, tau_m=16.0, tau_s=8.0, refractory=2.0, lateral_inhibition=50.0)
    run = network_run(Network(Input(1), layer, weights={"output": np.full((2, 1), 9.0)}), [0.0], [0])
    assert [i for _, i in run.layers["output"]] == [0, 1]
    assert run.gap == 0


def test_recurrent_spikes_come_back_after_the_delay():
    layer = Dense(1, name="ring", threshold=3.0, tau_m=16.0, tau_s=8.0, refractory=2.0)
    loop = Connection("ring", "ring", delay=30.0)
    network = Network(Input(1), layer, connections=[loop], weights={"ring": [[7.0]], "ring->ring": [[7.0]]})
    spikes = [t for t, _ in network_spikes(network, [0.0], [0], t_stop=100.0)["ring"]]
    expected = spike_times([0.0], [7.0], layer.lif)
    while float(expected[-1]) + 30.0 < 80.0:
        arrivals = [0.0, *(float(t) + 30.0 for t in expected)]
        expected = spike_times(arrivals, [7.0] * len(arrivals), layer.lif)
    assert len(expected) >= 3
    assert [float(t) for t in spikes][:3] == pytest.approx([float(t) for t in expected][:3], abs=1e-9)
