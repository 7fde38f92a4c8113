"""Exponentials of our own: right to the last places, the same bits in the vector loop that fills tables."""

import math
import random

import mpmath
import numpy as np
import pytest

from eventsnn._ext import arrivals
from eventsnn.engines import lif as twin
from eventsnn.engines.arguments import constants_row
from eventsnn.engines.decay import END, decay
from eventsnn.engines.lif import constants, next_crossing, respond
from eventsnn.engines.sweep import Arrivals, LayerInput
from tests.engines.helpers import NEURONS


def test_decay_against_forty_digits():
    rng = random.Random(1)
    with mpmath.workdps(40):
        for _ in range(5000):
            x = 10.0 ** rng.uniform(-12.0, math.log10(END))
            fallen, rise = decay(x)
            for found, exact in ((fallen, mpmath.exp(-x)), (rise, -mpmath.expm1(-x))):
                # Half a unit of rounding, and as much again from the series and the reduction.
                assert abs(found - exact) <= 1.5 * math.ulp(float(exact)), x


def test_decay_at_its_ends():
    assert decay(0.0) == (1.0, 0.0)
    assert decay(END) == decay(1e300) == decay(math.inf) == (0.0, 1.0)


def test_the_kernels_have_the_twin_s_tolerances():
    assert arrivals.CANDIDATE == twin.CANDIDATE
    assert arrivals.TOUCH == twin.TOUCH


@pytest.mark.parametrize("name", NEURONS)
def test_tables_hold_the_propagators_to_the_bit(name):
    lif = NEURONS[name]
    rng = np.random.default_rng(3)
    lags = np.concatenate([[0.0], 10.0 ** rng.uniform(-6.0, 4.5, 300), [0.0, 1e-300]])
    times = np.cumsum(lags)
    given = LayerInput.of(
        Arrivals(times, np.zeros(len(times), np.int32), np.array([0, len(times)])),
        constants_row(lif),
        np.float64,
    )
    c = constants(lif)
    for row, d in zip(given.table[1:].tolist(), np.diff(times).tolist(), strict=True):
        assert tuple(row[:3]) == respond(c, d)


@pytest.mark.parametrize("name", NEURONS)
def test_a_crossing_leaves_the_potential_above_the_level(name):
    """The level that the sweep looks for: no state that fires within an interval ends below it."""
    lif = NEURONS[name]
    c = constants(lif)
    rng = np.random.default_rng(4)
    crossings = 0
    for _ in range(3000):
        d = float(10.0 ** rng.uniform(-2.0, 3.0))
        u = float(lif.threshold * rng.uniform(-3.0, 1.0))
        i = float(lif.threshold * 10.0 ** rng.uniform(-0.5, 2.5))
        if next_crossing(c, u, i) <= d:
            crossings += 1
            a, h, _ = respond(c, d)
            level = lif.threshold * (a + h * lif.tau_s / lif.tau_m)
            assert u * a + i * h >= level * (1.0 - 2.0**-40)
    assert crossings > 300
