"""Exponentials of our own: right to the last places, the same bits in the vector loop that fills tables."""

import math
import random
from dataclasses import asdict, replace

import mpmath
import numpy as np
import pytest

from eventsnn._ext import lif as kernel
from eventsnn.reference import lif as twin
from eventsnn.reference.decay import END, decay
from eventsnn.reference.lif import after_refractory, constants, next_crossing, record, respond
from eventsnn.simulate.engines.arrivals import Arrivals, LayerInput
from tests.simulate.helpers import NEURONS


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
    assert kernel.CANDIDATE == twin.CANDIDATE
    assert kernel.TOUCH == twin.TOUCH


@pytest.mark.parametrize("name", NEURONS)
def test_the_kernels_read_the_twin_s_constants_by_the_same_names(name):
    lif = replace(NEURONS[name], resting=-2.5)
    read = kernel.fields(record(lif))
    assert list(read) == list(twin.RECORD.names)
    terms = read.pop("series"), read.pop("slopes"), read.pop("rested")
    assert read == asdict(constants(lif))
    c = twin.series(constants(lif))
    pairs = (c["a"], c["h"]), (c["a'"], c["h'"]), (c["h"], c["b"])
    assert [list(zip(*pair, strict=True)) for pair in pairs] == [[tuple(two) for two in t] for t in terms]


@pytest.mark.parametrize("name", NEURONS)
def test_tables_hold_the_propagators_to_the_bit(name):
    lif = NEURONS[name]
    rng = np.random.default_rng(3)
    lags = np.concatenate([[0.0], 10.0 ** rng.uniform(-6.0, 4.5, 300), [0.0, 1e-300]])
    times = np.cumsum(lags)
    given = LayerInput.of(
        Arrivals(times, np.zeros(len(times), np.int32), np.array([0, len(times)])),
        record(lif),
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


def propagators(lif, d):
    """a, h, b over `d` ms to forty digits."""
    tau_m, tau_s, d = mpmath.mpf(lif.tau_m), mpmath.mpf(lif.tau_s), mpmath.mpf(d)
    a, b = mpmath.exp(-d / tau_m), mpmath.exp(-d / tau_s)
    return a, a * d / tau_s if tau_m == tau_s else tau_m / (tau_m - tau_s) * (a - b), b


@pytest.mark.parametrize("name", NEURONS)
def test_a_potential_after_the_refractory_period_against_forty_digits(name):
    lif = NEURONS[name]
    c, rng = constants(lif), random.Random(2)
    with mpmath.workdps(40):
        for _ in range(500):
            held, free = (c.near * 10.0 ** rng.uniform(-6.0, 0.5) for _ in range(2))
            found = after_refractory(c, 3.0, 0.0, held, held + free)
            free = mpmath.mpf(held + free) - mpmath.mpf(held)
            exact = 3 * propagators(lif, held)[2] * propagators(lif, free)[1]
            assert abs(found - exact) <= 1e-15 * exact, (held, free)


@pytest.mark.parametrize("name", NEURONS)
def test_crossings_against_forty_digits(name):
    """Before and after the times up to which the search takes series, and at every curvature."""
    lif = NEURONS[name]
    c, rng = constants(lif), random.Random(6)
    short = 0
    with mpmath.workdps(40):
        for _ in range(1500):
            u = lif.threshold * (1.0 - 10.0 ** rng.uniform(-9.0, 0.3))
            i = lif.threshold * 10.0 ** rng.uniform(-0.5, 3.0)
            d = next_crossing(c, u, i)
            if d == math.inf:
                continue
            short += d <= c.near
            a, h, b = propagators(lif, d)
            potential = u * a + i * h
            slope = i * b / lif.tau_s - potential / lif.tau_m
            # What the search allows itself, and what the rounding of the potential does to the time.
            allowed = 1e-15 * max(lif.tau_m, lif.tau_s) + 1e-15 * lif.threshold / slope + 1e-15 * d
            assert slope > 0
            assert abs(potential - lif.threshold) / slope <= allowed, (u, i)
    assert short > 300
