"""The macro level against values worked out by hand."""

import math
from itertools import pairwise

import numpy as np
import pytest

from eventsnn.learn import HM2BP, macro
from eventsnn.model import Conv, Dense, Input, Network, Pool
from eventsnn.reference import macro as twin
from eventsnn.reference.hm2bp import error_divisor, uses_effect_ratio

RULE = HM2BP(desired=10, undesired=2, margin=1.0)


def test_forced_spikes_are_evenly_spaced_up_to_the_end():
    assert macro.forced_spike_times(300.0, 4).tolist() == [75.0, 150.0, 225.0, 300.0]
    assert len(macro.forced_spike_times(310.0, 35)) == 35


def penalty_gradient(weights, rule):
    """What is added to the gradient (post, pre) of a layer."""
    return macro.penalty_factor(np.mean(weights**2, axis=1, keepdims=True), rule) * weights


E = np.array([[4.0, 0.0, 6.0], [0.0, 0.0, 0.0]])
PRE, POST = np.array([2, 0, 3]), np.array([5, 0])


def test_silent_rule_touches_only_active_on_silent():
    before = E.copy()
    assert twin.apply_silent_rule(E, PRE, POST, RULE).tolist() == [[4.0, 0.0, 6.0], [0.1, 0.0, 0.1]]
    assert np.array_equal(E, before)


def test_effect_ratio():
    assert twin.effect_ratio(E, PRE, POST, RULE).tolist() == [[2.0, 1.0, 2.0], [1.0, 1.0, 1.0]]
    off = HM2BP(effect_ratio=False)
    assert twin.effect_ratio(E, PRE, POST, off).tolist() == [[1.0] * 3] * 2


def test_self_term():
    weights = np.array([[1.0, 2.0, -1.0], [3.0, 4.0, 5.0]])
    # (1*4 + 2*0 - 1*6) / 5 / 2; silent: (3 + 4 + 5) * 0.5 / 2
    np.testing.assert_allclose(twin.self_term(weights, E, POST, 2.0, RULE), [-0.2, 3.0], rtol=1e-15)
    other = HM2BP(silent_post_ratio=0.25)
    np.testing.assert_allclose(twin.self_term(weights, E, POST, 2.0, other), [-0.2, 1.5], rtol=1e-15)


def test_lateral_factor_of_two_active_neurons():
    # q_01 = e_{1|0}/o_0 / nu = 6/3/4, q_10 = e_{0|1}/o_1 / nu = 2/2/4
    e = np.array([[99.0, 2.0], [6.0, 99.0]])
    found = twin.lateral_factor(e, np.array([3, 2]), np.array([True, True]), 4.0, 1.5)
    expected = 1.0 / (1.0 - 1.5**2 * (6 / 3 / 4) * (2 / 2 / 4))
    np.testing.assert_allclose(found, [expected, expected], rtol=1e-15)


def test_lateral_factor_with_silent_neurons():
    # Neuron 0 fired, 1 is the silent label (rho = 1), 2 is silent: h_2 = 0 breaks every loop through it.
    e = np.zeros((3, 3))
    active = np.array([True, True, False])
    found = twin.lateral_factor(e, np.array([3, 0, 0]), active, 4.0, 1.0)
    expected = 1.0 / (1.0 - (1 / 4) * (1 / 4))
    np.testing.assert_allclose(found, [expected, expected, 1.0], rtol=1e-15)


def test_lateral_factor_where_the_series_diverges_is_one():
    e = np.array([[0.0, 2.0, 0.0], [6.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    counts, active = np.array([3, 2, 1]), np.array([True, True, True])
    # q_01 q_10 = 1/8: inhibition of sqrt(8) and more feeds back on itself without end.
    assert twin.lateral_factor(e, counts, active, 4.0, 3.0).tolist() == [1.0, 1.0, 1.0]
    np.testing.assert_allclose(twin.lateral_factor(e, counts, active, 4.0, 2.0), [2.0, 2.0, 1.0], rtol=1e-15)


def test_lateral_factor_without_inhibition_is_one():
    found = twin.lateral_factor(np.ones((2, 2)), np.array([1, 1]), np.array([True, True]), 4.0, 0.0)
    assert found.tolist() == [1.0, 1.0]


def test_hidden_error():
    delta, weights = np.array([2.0, -1.0]), np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    rho = np.array([[1.0, 0.5, 2.0], [1.0, 1.0, 0.0]])
    # (2*1*1 - 1*4*1, 2*2*0.5 - 5, 2*3*2 - 0) / 4
    assert twin.hidden_error(delta, weights, rho, 4.0).tolist() == [-0.5, -0.75, 3.0]


def test_weight_gradient():
    delta, s, lam = np.array([2.0, -1.0]), np.array([1.0, 0.5]), np.array([1.0, 2.0])
    e = np.array([[1.0, 3.0], [2.0, 4.0]])
    assert twin.weight_gradient(delta, e, s, lam).tolist() == [[4.0, 12.0], [-6.0, -12.0]]
    assert twin.weight_gradient(delta, e, s, 1.0).tolist() == [[4.0, 12.0], [-3.0, -6.0]]


def test_penalty_gradient_is_the_derivative_of_its_energy():
    rule = HM2BP(penalty_lambda=10.0, penalty_beta=0.4, weight_limit=2.0)
    weights = np.random.default_rng(0).normal(0.0, 2.0, (3, 5))

    def energy(w):
        scale = rule.penalty_lambda * rule.weight_limit * w.shape[1] / 2
        return scale * np.exp(rule.penalty_beta * (np.mean((w / rule.weight_limit) ** 2, axis=1) - 1)).sum()

    gradient, step = penalty_gradient(weights, rule), 1e-5
    for place in np.ndindex(3, 5):
        moved = np.zeros((3, 5))
        moved[place] = step
        slope = (energy(weights + moved) - energy(weights - moved)) / (2 * step)
        # Central differences: curvature step^2 = 1e-10, rounding 1e-15 * energy / step = 1e-8.
        assert gradient[place] == pytest.approx(slope, rel=1e-6, abs=1e-6)


def test_penalty_gradient_at_the_limit():
    # All weights at L: the exponential is 1, the gradient lambda beta.
    rule = HM2BP(penalty_lambda=10.0, penalty_beta=0.04, weight_limit=8.0)
    np.testing.assert_allclose(penalty_gradient(np.full((1, 4), 8.0), rule), 0.4, rtol=1e-15)


def test_weight_decay_and_no_penalty():
    weights = np.array([[1.0, -2.0]])
    assert penalty_gradient(weights, HM2BP()).tolist() == [[0.0, 0.0]]
    assert penalty_gradient(weights, HM2BP(weight_decay=0.5)).tolist() == [[0.5, -1.0]]


def test_boosting():
    # Class 0: 1 + 1 of 4 wrong; class 2: weight 3 of 5 wrong; class 1 has no samples.
    labels = np.array([0, 0, 0, 0, 2, 2])
    weights = np.array([1.0, 1.0, 1.0, 1.0, 3.0, 2.0])
    wrong = np.array([True, False, True, False, True, False])
    found = macro.boost_weights(weights, wrong, labels, HM2BP(boosting_divisor=10.0))
    grown, more = math.exp(0.5 / 10), 3.0 * math.exp(0.6 / 10)
    np.testing.assert_allclose(found, [grown, 1.0, grown, 1.0, more, 2.0], rtol=1e-15)


def test_what_errors_are_divided_by_in_the_papers_convolutional_network():
    """15C5-P2-40C5-P2-300-10: own thresholds of trained layers, none of pooling layers, areas of windows."""
    network = Network(
        Input(28, 28),
        Conv(15, 5, threshold=5.0),
        Pool(2, threshold=2.0),
        Conv(40, 5, threshold=12.0),
        Pool(2, threshold=4.0),
        Dense(300, threshold=10.0),
        Dense(10, threshold=7.0),
    )
    divisors = [error_divisor(upper, lower) for lower, upper in pairwise(network.layers)]
    assert divisors == [4 * 5.0, 1.0, 4 * 12.0, 1.0, 10.0]
    off = HM2BP(effect_ratio=False)
    assert [uses_effect_ratio(x, off) for x in network.layers] == [True] * 4 + [False] * 2
