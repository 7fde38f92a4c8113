"""Readout layers against quadrature and dense search of the potential, in 25 digits; kernel and twin."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest

from eventsnn.model import Readout
from eventsnn.reference.lif import constants
from eventsnn.reference.readout import ReadoutTwin, share
from eventsnn.trace.readout import WHEN, Reading

NEURONS, SOURCES = 6, 9
TAUS = {"usual": (20.0, 5.0), "equal": (8.0, 8.0), "slow synapses": (4.0, 12.0), "close": (8.0, 8.0001)}


def make_layer(value, taus):
    return Readout(NEURONS, name="output", value=value, tau_m=taus[0], tau_s=taus[1], tau_weight=35.0)


def make_arrivals(seed=0, n=60):
    """Some at one instant, and the first at 0."""
    rng = np.random.default_rng(seed)
    times = np.sort(np.round(rng.uniform(0.0, 70.0, n), 1))
    times[0], times[n // 3 : n // 3 + 3] = 0.0, times[n // 3]
    weights = rng.normal(0.1, 1.0, (SOURCES, NEURONS))
    weights[:, 0] = -np.abs(weights[:, 0])  # never above 0
    return times, rng.integers(0, SOURCES, n).astype(np.int32), weights


def potential(t, arrivals, taus, neuron):
    """u(t) by the definition."""
    times, sources, weights = arrivals
    tau_m, tau_s = mp.mpf(taus[0]), mp.mpf(taus[1])
    total = mp.mpf(0)
    for s, source in zip(times.tolist(), sources.tolist(), strict=True):
        x = t - mp.mpf(s)
        if x > 0:
            if tau_m == tau_s:
                psp = x / tau_s * mp.exp(-x / tau_m)
            else:
                psp = tau_m / (tau_m - tau_s) * (mp.exp(-x / tau_m) - mp.exp(-x / tau_s))
            total += mp.mpf(float(weights[source, neuron])) * psp
    return total


def read(value, taus, arrivals, end):
    times, sources, weights = arrivals
    reading = Reading(make_layer(value, taus), weights)
    reading.arrive(times[times < end], sources[times < end])
    return reading


@pytest.mark.parametrize("end", [83.5, 41.25])
@pytest.mark.parametrize("value", ["mean", "weighted"])
@pytest.mark.parametrize("taus", TAUS.values(), ids=TAUS)
def test_means_are_integrals(taus, value, end):
    arrivals = make_arrivals(n=12)
    found = read(value, taus, arrivals, end).values(end)
    with mp.workdps(25):
        tau = mp.mpf(35) if value == "weighted" else mp.inf
        knots = [0, *sorted({float(t) for t in arrivals[0] if 0 < t < end}), end]
        for neuron in (0, 3)[: 1 if taus == TAUS["close"] else 2]:
            parts = mp.quad(lambda t, k=neuron: mp.exp(-t / tau) * potential(t, arrivals, taus, k), knots)
            length = mp.quad(lambda t: mp.exp(-t / tau), [0, end])
            assert found[neuron] == pytest.approx(float(parts / length), rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("taus", TAUS.values(), ids=TAUS)
def test_the_weighted_mean_of_an_endless_run_is_a_laplace_transform(taus):
    """Of each psp: tau_m / ((1 + tau_m / tau) (1 + tau_s / tau)), from the neuron's two equations."""
    times, sources, weights = arrivals = make_arrivals()
    whole = taus[0] / ((1.0 + taus[0] / 35.0) * (1.0 + taus[1] / 35.0)) / 35.0
    expected = whole * (weights[sources] * np.exp(-times / 35.0)[:, None]).sum(axis=0)
    np.testing.assert_allclose(read("weighted", taus, arrivals, math.inf).values(math.inf), expected, 1e-12)


@pytest.mark.parametrize("taus", TAUS.values(), ids=TAUS)
def test_the_maximum_is_the_highest_potential(taus):
    arrivals = make_arrivals()
    reading = read("max", taus, arrivals, math.inf)
    found, when = reading.values(math.inf), reading.finish(math.inf)[WHEN]
    assert (found[0], when[0]) == (0.0, -1.0)
    grid = np.unique(np.concatenate([arrivals[0], np.linspace(0.0, 150.0, 1501)]))
    with mp.workdps(30):
        for neuron in range(1, NEURONS):
            at_once = float(potential(mp.mpf(when[neuron]), arrivals, taus, neuron))
            assert found[neuron] == pytest.approx(at_once, rel=1e-11, abs=1e-12)
            near = when[neuron] + np.linspace(-0.05, 0.05, 5)
            for t in [*grid[neuron::19], *near]:
                assert potential(mp.mpf(float(t)), arrivals, taus, neuron) < found[neuron] * (1 + 1e-12)


@pytest.mark.parametrize("value", ["max", "mean", "weighted"])
@pytest.mark.parametrize("taus", TAUS.values(), ids=TAUS)
def test_the_kernel_has_the_bits_of_its_twin_in_parts_too(taus, value):
    times, sources, weights = arrivals = make_arrivals(3)
    layer = make_layer(value, taus)
    twin = ReadoutTwin(constants(layer.lif), weights, layer.tau_weight if value == "weighted" else math.inf)
    for t, source in zip(times.tolist(), sources.tolist(), strict=True):
        twin.arrive(t, source)
    end = 90.0
    whole, parts = read(value, taus, arrivals, end), Reading(layer, weights)
    for k in range(0, len(times), 7):
        parts.arrive(times[k : k + 7], sources[k : k + 7])
        parts.values(float(times[min(k + 7, len(times) - 1)]))  # looking changes nothing
    for reading in (whole, parts):
        state = reading.finish(end)
        for row, name in enumerate(("u", "i")):
            assert state[row].tolist() == [getattr(neuron, name) for neuron in twin.finish(end)]
        if value == "max":
            for row, name in ((2, "highest"), (3, "when"), (4, "slope")):
                assert state[row].tolist() == [getattr(neuron, name) for neuron in twin.finish(end)]
        else:
            assert reading.values(end).tolist() == twin.means(end).tolist()


@pytest.mark.parametrize("end", [83.5, 41.25, math.inf])
@pytest.mark.parametrize("taus", TAUS.values(), ids=TAUS)
def test_shares_of_arrivals_add_up_and_are_differentiated(taus, end):
    times, sources, weights = arrivals = make_arrivals()
    for value, tau in (("weighted", 35.0), ("mean", math.inf)):
        if value == "mean" and end == math.inf:
            continue
        lif = make_layer(value, taus).lif
        shares, slopes = share(lif, times, end, tau)
        assert not shares[times >= end].any()
        assert not slopes[times >= end].any()
        expected = read(value, taus, arrivals, end).values(end)
        np.testing.assert_allclose(shares @ weights[sources], expected, rtol=1e-11, atol=1e-13)
        h = 1e-4
        inside = times < end - h
        (up, _), (down, _) = share(lif, times + h, end, tau), share(lif, times - h, end, tau)
        np.testing.assert_allclose(
            slopes[inside], ((up - down) / (2 * h))[inside], rtol=1e-6, atol=1e-9 * np.abs(slopes).max()
        )


def test_no_arrivals_and_no_time():
    for value in ("max", "mean", "weighted"):
        reading = read(value, TAUS["usual"], (np.empty(0), np.empty(0, np.int32), np.ones((1, NEURONS))), 1.0)
        assert not reading.values(0.0).any()
        assert not reading.values(50.0).any()
        assert value == "mean" or not reading.values(math.inf).any()


def test_potentials_out_of_range_are_told():
    weights = np.full((1, NEURONS), 1e308)
    reading = Reading(make_layer("weighted", TAUS["usual"]), weights)
    reading.arrive(np.array([1.0, 1.0]), np.zeros(2, np.int32))
    with pytest.raises(FloatingPointError):
        reading.values(math.inf)
