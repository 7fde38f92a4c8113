"""S-PSPs: both sweeps, single spikes, the sum over spike pairs and 50 digits of the definition all agree."""

import mpmath
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventsnn.model import LIF
from eventsnn.reference.hm2bp import spsp_pairs
from eventsnn.reference.spsp import (
    evaluation_points,
    refractory_ends,
    spsp_direct,
    spsp_per_spike,
    spsp_reverse,
)
from eventsnn.simulate.engines import twin as twin_engine
from tests.strategies import INTERVALS, chains, lif_parameters, trains

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def spike_trains(draw):
    """Arrivals of some neurons, spikes of others (no two within a refractory period), and the neuron."""
    lif = draw(lif_parameters())
    n_pre, n_post = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    pre_times, pre_neurons = draw(trains(n_pre, most=15))
    post_times, post_neurons = [], []
    for neuron in range(n_post):
        gaps = draw(st.lists(INTERVALS.filter(bool), max_size=5))
        post_times += (np.cumsum(gaps) + lif.refractory * np.arange(len(gaps))).tolist()
        post_neurons += [neuron] * len(gaps)
    order = np.lexsort((post_neurons, post_times))
    post = np.array(post_times, np.float64)[order], np.array(post_neurons, np.int32)[order]
    return pre_times, pre_neurons, n_pre, *post, n_post, lif


def tolerance(pre_times, post_times) -> float:
    """Each pair of spikes adds at most 1 to an entry, with some 10 roundings of its state."""
    return 1e-15 * 10 * (1 + len(pre_times)) * (1 + len(post_times))


def in_lists(times, neurons, size):
    return [times[neurons == neuron].tolist() for neuron in range(size)]


def definition(pre_times, pre_neurons, n_pre, post_times, post_neurons, n_post, lif):
    """e = sum_f V_j(t^f) - e^{-(t^f - r)/tau_m} V_j(r), literally, with 50 digits after all cancellation."""
    with mpmath.workdps(90):
        tau_m, tau_s = mpmath.mpf(lif.tau_m), mpmath.mpf(lif.tau_s)

        def psp(t):
            if t <= 0:
                return mpmath.mpf(0)
            if tau_m == tau_s:
                return t / tau_s * mpmath.exp(-t / tau_m)
            return tau_m / (tau_m - tau_s) * (mpmath.exp(-t / tau_m) - mpmath.exp(-t / tau_s))

        def free(arrivals, t):
            return mpmath.fsum(psp(t - arrival) for arrival in arrivals)

        pre = in_lists(pre_times, pre_neurons, n_pre)
        e = np.zeros((n_post, n_pre))
        for i, spikes in enumerate(in_lists(post_times, post_neurons, n_post)):
            for j, arrivals in enumerate(pre):
                total = mpmath.mpf(0)
                for f, spike in enumerate(map(mpmath.mpf, spikes)):
                    total += free(arrivals, spike)
                    if f:
                        end = spikes[f - 1] + mpmath.mpf(lif.refractory)
                        total -= mpmath.exp(-(spike - end) / tau_m) * free(arrivals, end)
                e[i, j] = total
    return e


@quick
@given(spike_trains())
def test_all_forms_agree(example):
    pre_times, pre_neurons, n_pre, post_times, post_neurons, n_post, lif = example
    # The end of a refractory period is rounded to float64; at a slope of 1/tau that is one more error.
    latest = max([0.0, *post_times.tolist()])
    atol = tolerance(pre_times, post_times) * (1.0 + np.spacing(latest) / 1e-15 / min(lif.tau_m, lif.tau_s))
    expected = definition(*example)
    pairs = spsp_pairs(
        in_lists(pre_times, pre_neurons, n_pre), in_lists(post_times, post_neurons, n_post), lif
    )
    per_spike = spsp_per_spike(*example)
    total = np.zeros((n_post, n_pre))
    np.add.at(total, post_neurons, per_spike)
    for found in (np.array(pairs), spsp_direct(*example), spsp_reverse(*example), total):
        np.testing.assert_allclose(found, expected, rtol=0.0, atol=atol)
    assert per_spike.shape == (len(post_times), n_pre)


@quick
@given(spike_trains(), st.integers(0, 2**32 - 1))
def test_the_order_of_the_spikes_does_not_matter(example, seed):
    pre_times, pre_neurons, n_pre, post_times, post_neurons, n_post, lif = example
    shuffle = np.random.default_rng(seed).permutation
    pre, post = shuffle(len(pre_times)), shuffle(len(post_times))
    shuffled = pre_times[pre], pre_neurons[pre], n_pre, post_times[post], post_neurons[post], n_post, lif
    atol = tolerance(pre_times, post_times)
    np.testing.assert_allclose(spsp_direct(*shuffled), spsp_direct(*example), rtol=0.0, atol=atol)
    np.testing.assert_allclose(spsp_reverse(*shuffled), spsp_reverse(*example), rtol=0.0, atol=atol)
    rows = spsp_per_spike(*example)
    np.testing.assert_allclose(spsp_per_spike(*shuffled), rows[post], rtol=0.0, atol=atol)


def total_psp(weights, pre_times, pre_neurons, post_times, lif) -> float:
    """Sum of the potentials at the given spikes of one neuron: integrated forward, reset after each."""
    u = current = 0.0
    now, end, total = 0.0, -np.inf, 0.0
    happenings = [(t, 1, weights[j]) for t, j in zip(pre_times, pre_neurons, strict=True)]
    happenings += [(t, 0, 0.0) for t in post_times]
    k = lif.tau_m / (lif.tau_m - lif.tau_s)
    for t, kind, weight in sorted(happenings):
        while now < t:  # up to the end of the refractory period, then on
            step = min(t, end) - now if now < end else t - now
            slow, fast = np.exp(-step / lif.tau_m), np.exp(-step / lif.tau_s)
            u = 0.0 if now < end else u * slow + k * current * (slow - fast)
            current, now = current * fast, now + step
        if kind == 1:
            current += weight
        else:
            total += u
            u, end = 0.0, t + lif.refractory
    return total


def test_spsp_is_the_derivative_of_the_total_psp_by_the_weight():
    lif = LIF(1.0, 20.0, 5.0, 2.0)
    generator = np.random.default_rng(0)
    pre_times, pre_neurons = np.sort(generator.uniform(0.0, 60.0, 30)), generator.integers(0, 4, 30)
    post_times = np.array([7.0, 15.0, 18.0, 40.0])
    weights = generator.normal(size=4)
    e = spsp_direct(pre_times, pre_neurons, 4, post_times, np.zeros(4, int), 1, lif)[0]
    assert e.min() > 0.1
    for j in range(4):
        step = np.zeros(4)
        step[j] = 0.5
        above, below = (
            total_psp(w, pre_times, pre_neurons, post_times, lif) for w in (weights + step, weights - step)
        )
        # At fixed spike times the total PSP is linear in the weights: no error but rounding.
        assert above - below == pytest.approx(e[j], rel=1e-12)


@settings(quick, max_examples=25)
@given(st.data())
def test_the_potential_is_the_threshold_at_every_spike_of_a_run(data):
    """Hence a_i = nu o_i for a neuron with trainable feed-forward input only."""
    network = data.draw(chains(most_layers=2, biases=(0.0,)))
    record = twin_engine.run(network, *data.draw(trains(network.input.neurons)))
    below = record.input
    for layer, name in zip(network.layers, network.names, strict=True):
        weights, here = network.weights[name].astype(np.float64), record[name]
        arrivals = below.times + layer.delay, below.neurons, below.size
        rows = spsp_per_spike(*arrivals, here.times, here.neurons, here.size, layer.lif)
        potential = (rows * weights[here.neurons]).sum(axis=1)
        # The spike time is rounded to float64: the potential moves by its slope times an ulp or two.
        drive = 1.0 + np.abs(weights).max() * len(below)
        late = np.spacing(max([1.0, *here.times.tolist()]))
        bound = drive * (1e-13 + 4.0 * late / min(layer.tau_m, layer.tau_s))
        np.testing.assert_allclose(potential, layer.threshold, rtol=0.0, atol=bound)
        e = spsp_direct(*arrivals, here.times, here.neurons, here.size, layer.lif)
        total = (weights * e).sum(axis=1)
        np.testing.assert_allclose(
            total, layer.threshold * here.counts, rtol=0.0, atol=bound * (1 + len(here))
        )
        below = here


def test_an_arrival_at_a_spike_or_at_the_end_of_a_refractory_period():
    lif = LIF(1.0, 16.0, 8.0, 2.0)
    pre_times, pre_neurons = np.array([10.0, 12.0]), np.array([0, 1])
    example = (pre_times, pre_neurons, 2, np.array([10.0, 17.0]), np.array([0, 0]), 1, lif)
    eps = 2.0 * (np.exp(-5.0 / 16.0) - np.exp(-5.0 / 8.0))
    expected = [[np.exp(-2.0 / 8.0) * eps, eps]]
    for form in (spsp_direct, spsp_reverse):
        np.testing.assert_allclose(form(*example), expected, rtol=1e-14)
    np.testing.assert_allclose(spsp_per_spike(*example), [[0.0, 0.0], *expected], rtol=1e-14)


def test_spikes_closer_than_the_refractory_period_leave_no_time_to_integrate():
    lif = LIF(1.0, 16.0, 8.0, 5.0)
    example = (np.array([1.0]), np.array([0]), 1, np.array([4.0, 7.0, 20.0]), np.zeros(3, int), 1, lif)
    rows = spsp_per_spike(*example)
    assert rows[0, 0] > 0.1
    assert rows[1, 0] == 0.0
    assert rows[2, 0] > 0.01
    assert spsp_direct(*example)[0, 0] == pytest.approx(rows.sum(), rel=1e-14)
    assert spsp_reverse(*example)[0, 0] == pytest.approx(rows.sum(), rel=1e-14)
    assert spsp_pairs([[1.0]], [[4.0, 7.0, 20.0]], lif)[0][0] == pytest.approx(rows.sum(), rel=1e-14)


def test_no_spikes():
    lif = LIF()
    nothing, nobody = np.empty(0), np.empty(0, np.int32)
    some, neurons = np.array([1.0, 5.0]), np.array([0, 1])
    for form in (spsp_direct, spsp_reverse):
        assert np.array_equal(form(nothing, nobody, 2, some, neurons, 3, lif), np.zeros((3, 2)))
        assert np.array_equal(form(some, neurons, 2, nothing, nobody, 3, lif), np.zeros((3, 2)))
        assert np.array_equal(form(nothing, nobody, 2, nothing, nobody, 3, lif), np.zeros((3, 2)))
    assert spsp_per_spike(some, neurons, 2, nothing, nobody, 3, lif).shape == (0, 2)


def test_evaluation_points():
    lif = LIF(1.0, 10.0, 5.0, 2.0)
    times, neurons = np.array([3.0, 4.0, 8.0]), np.array([1, 0, 1])
    assert refractory_ends(times, neurons, lif).tolist() == [-np.inf, -np.inf, 5.0]
    points, who, weights = evaluation_points(times, neurons, lif)
    assert points.tolist() == [3.0, 4.0, 5.0, 8.0]
    assert who.tolist() == [1, 0, 1, 1]
    np.testing.assert_allclose(weights, [1.0, 1.0, -np.exp(-0.3), 1.0], rtol=1e-15)
