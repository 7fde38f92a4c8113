"""Losses of output counts against values worked out by hand and against the readable form."""

import dataclasses
import math

import numpy as np
import pytest

from eventsnn.errors import TrainingError
from eventsnn.learn import HEADS, HM2BP
from eventsnn.reference.hm2bp import count_errors

RULE = HM2BP(desired=10, undesired=2, margin=1.0)
SOFTMAX = dataclasses.replace(RULE, head="softmax")


def loss_of(counts, label, rule):
    """Loss and derivative of one sample."""
    loss, d = rule.losses(np.array([counts]), np.array([label]))
    return loss[0], d[0]


def test_count_loss_with_margin():
    # Errors: 7 - 10, 3 - 2 (within the margin), 0 - 2, 9 - 2.
    loss, d = loss_of([7, 3, 0, 9], 0, RULE)
    assert d.tolist() == [-3.0, 0.0, -2.0, 7.0]
    assert loss == 0.5 * (9 + 4 + 49)


def test_count_loss_is_zero_within_the_margin():
    assert loss_of([1, 11], 1, RULE)[0] == 0.0


def test_softmax_loss_is_cross_entropy_and_d_its_derivative():
    counts = np.array([3.0, 1.0, 0.0])
    loss, d = loss_of(counts, 1, SOFTMAX)
    total = math.exp(3) + math.exp(1) + 1
    assert loss == pytest.approx(-math.log(math.exp(1) / total), rel=1e-14)
    np.testing.assert_allclose(d, [math.exp(3) / total, math.exp(1) / total - 1, 1 / total], rtol=1e-14)
    step = 1e-6
    for n in range(3):
        moved = counts + step * np.eye(3)[n]
        assert (loss_of(moved, 1, SOFTMAX)[0] - loss) / step == pytest.approx(d[n], abs=1e-5)


def test_softmax_loss_of_large_counts_does_not_overflow():
    loss, d = loss_of([5000, 0], 1, SOFTMAX)
    assert loss == 5000.0
    assert d.tolist() == [1.0, -1.0]


@pytest.mark.parametrize("rule", [RULE, SOFTMAX])
def test_losses_of_many_samples_are_those_of_each(rule):
    counts, labels = np.array([[7, 3, 0, 9], [1, 10, 2, 2], [0, 0, 0, 0]]), np.array([0, 1, 3])
    loss, d = rule.losses(counts, labels)
    for row, label, found, errors in zip(counts, labels.tolist(), loss, d, strict=True):
        expected = count_errors(row.tolist(), label, rule)
        np.testing.assert_allclose(errors, expected, rtol=1e-14, atol=1e-15)  # of shares up to 1
        right = -math.log(expected[label] + 1) if rule is SOFTMAX else 0.5 * sum(e * e for e in expected)
        assert found == pytest.approx(right, rel=1e-13)


def test_an_unknown_head_is_refused():
    with pytest.raises(TrainingError, match="rule: head must be one of count, softmax, got 'hinge'"):
        HM2BP(head="hinge")
    with pytest.raises(TrainingError, match="there is a head called 'count' already"):
        HEADS.register("count", object)
