"""The neuron in closed form: plain-Python twin of ``cython_ext/neuron/lif.h``, operation for operation.

Sources: Jin, Zhang & Li, NeurIPS 2018, eq. 1-3 (the neuron); the search for a crossing is derived
in the docstring of `next_crossing`. D is elapsed time in ms throughout.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, fields, replace
from functools import lru_cache

import numpy as np

from eventsnn.model.neuron import LIF
from eventsnn.reference.decay import decay

# A maximum within this relative distance of the threshold counts as equal to it: the state itself carries
# a rounding error of this size.
TOUCH = 4 * 2.0**-52
# Error of a spike time at which Newton's method ends, in units of the slower time constant.
CONVERGED = 1e-15
# Candidates are searched with a threshold lowered by this factor.
CANDIDATE = 1.0 - 2.0**-14
# Above this |k| = |tau_m / (tau_m - tau_s)| the time constants are close: differences of exponentials cancel.
CLOSE = 64.0
# Where threshold minus potential, times curvature, over slope squared is below this, the parabola's root is
# taken as a series: 1/2, 1/2, 5/8, 7/8, 21/16 are the coefficients of y = 2 / (1 + sqrt(1 - 2 x)); 5/2, 21/4
# those of y^3 / sqrt(1 - 2 x), to which the third derivative's share of the root is in proportion.
SHORT = 0.1875
# Up to `NEAR` of the faster time constants the propagators are taken from `TERMS` terms of their Taylor
# series: the remainder is below 2^-51 of it.
TERMS = 10
NEAR = 0.125
# exp(r - 1/2) for |r| <= 1/2, by Chebyshev interpolation; highest power first.
EXP = (
    1.2719039650810423e-09,
    1.527420048841299e-08,
    1.6714181868801803e-07,
    1.67141109149772e-06,
    1.504292337374757e-05,
    0.00012034338858639082,
    0.0008424036940259399,
    0.005054422164000439,
    0.02527211082136033,
    0.10108844328544739,
    0.3032653298563167,
    0.6065306597126333,
    0.6065306597126334,
)
# (exp(z) - 1) / z, its Taylor series.
PHI = (1 / 40320, 1 / 5040, 1 / 720, 1 / 120, 1 / 24, 1 / 6, 0.5, 1.0)
# A double root halves the distance each step; 200 steps are out of reach.
MAX_STEPS = 200


@dataclass(frozen=True)
class Constants:
    """Constants of a LIF neuron, as the kernels hold them; potentials are counted from the resting potential.

    Attributes
    ----------
    threshold : float
        Of the membrane potential, ``LIF.threshold - LIF.resting``.
    reset : float
        Membrane potential at the start and in the refractory period, ``-LIF.resting``.
    tau_m, tau_s, refractory : float
        As in `LIF`.
    gain : float
        ``|k| = |tau_m / (tau_m - tau_s)|``; 0 marks tau_m == tau_s.
    rate : float
        ``|1/tau_s - 1/tau_m|``, 1/ms.
    tau_slow : float
        The larger of the two time constants, ms.
    psp_max : float
        Maximum of the unit post-synaptic potential.
    rate_m, rate_s : float
        ``1/tau_m``, ``1/tau_s``, 1/ms.
    apart : float
        ``k``, or 0 where |k| > `CLOSE`.
    near : float
        Times up to this are short, ms.
    """

    threshold: float
    reset: float
    tau_m: float
    tau_s: float
    refractory: float
    gain: float
    rate: float
    tau_slow: float
    psp_max: float
    rate_m: float
    rate_s: float
    apart: float
    near: float


SERIES = {"series": ("a", "h"), "slopes": ("a'", "h'"), "rested": ("h", "b")}
RECORD = np.dtype(
    [(field.name, np.float64) for field in fields(Constants)]
    + [(name, np.float64, (TERMS, 2)) for name in SERIES]
)
"""Constants of a neuron in memory, ``lif_t`` of the kernels: those above, and pairs of series of `series`."""


@lru_cache(maxsize=64)
def constants(lif: LIF) -> Constants:
    """Derived constants of a neuron; the difference of the time constants is exact when they are close."""
    difference = lif.tau_m - lif.tau_s
    gain = abs(lif.tau_m / difference) if difference else 0.0
    rate = abs(difference) / (lif.tau_m * lif.tau_s)
    slow = max(lif.tau_m, lif.tau_s)
    apart = lif.tau_m / difference if difference and gain <= CLOSE else 0.0
    rates = (1.0 / lif.tau_m, 1.0 / lif.tau_s)
    bare = Constants(
        lif.from_rest.threshold,
        0.0 - lif.resting,
        lif.tau_m,
        lif.tau_s,
        lif.refractory,
        gain,
        rate,
        slow,
        0.0,
        *rates,
        apart,
        NEAR * min(lif.tau_m, lif.tau_s),
    )
    # d eps/dt = 0 at ln(tau_m / tau_s) / (1/tau_s - 1/tau_m), with limit tau for equal constants.
    if difference:
        share = difference / lif.tau_s
        ratio = math.log1p(share) if share > -1.0 else math.log(lif.tau_m) - math.log(lif.tau_s)
        peak = ratio / (difference / (lif.tau_m * lif.tau_s))
    else:
        peak = slow
    return replace(bare, psp_max=respond(bare, peak)[1])


@lru_cache(maxsize=64)
def record(lif: LIF) -> np.ndarray:
    """The constants of a neuron as the kernels take them, `RECORD` array (1,), read-only."""
    c = constants(lif)
    terms = series(c)
    pairs = [np.array([terms[name] for name in names]).T for names in SERIES.values()]
    fields = np.array([(*astuple(c), *pairs)], RECORD)
    fields.flags.writeable = False
    return fields


def respond(c: Constants, d: float) -> tuple[float, float, float]:
    """Propagators over `d` >= 0 ms: (a, h, b) with u(d) = u a + I h and I(d) = I b.

    a = e^{-d/tau_m}, b = e^{-d/tau_s}, h = k (a - b), for short times as ``k ((1 - b) - (1 - a))``, which
    does not cancel. For time constants close to each other it is
    ``e^{-d/tau_slow} |k| (1 - e^{-d rate})``, which neither cancels nor overflows; its limit for equal ones
    is ``a d / tau_s``.
    """
    a, rise_m = decay(d * c.rate_m)
    b, rise_s = decay(d * c.rate_s)
    if c.apart:
        return a, c.apart * (rise_s - rise_m if rise_m < 0.5 else a - b), b
    if c.gain == 0.0:
        return a, a * (d * c.rate_s), b
    slow = a if c.tau_m > c.tau_s else b
    return a, slow * (c.gain * decay(d * c.rate)[1]), b


def respond_short(c: Constants, d: float) -> tuple[float, float, float]:
    """`respond` over a time no longer than either time constant, in a form that is fast in vectors."""
    a, b = _horner(EXP, d * -c.rate_m + 0.5), _horner(EXP, d * -c.rate_s + 0.5)
    if c.apart:
        return a, c.apart * (a - b), b
    rate = -c.rate if c.tau_m < c.tau_s else c.rate
    return a, a * (d * c.rate_s) * _horner(PHI, d * -rate), b


def _horner(coefficients: tuple[float, ...], x: float) -> float:
    p = coefficients[0]
    for c in coefficients[1:]:
        p = p * x + c
    return p


def tangent(c: Constants, u: float, i: float, gap: float) -> float:
    """What the membrane potential of a neuron in state (u, i) would be in `gap` ms if its slope stayed."""
    return u * (1.0 - gap * c.rate_m) + i * (gap * c.rate_s)


def reach(c: Constants, u: float, i: float) -> float:
    """What the membrane potential of a neuron in state (u, i) never rises above without further input."""
    return max(u, 0.0) + max(i, 0.0) * c.psp_max


def psp(t: np.ndarray, lif: LIF) -> np.ndarray:
    """Unit post-synaptic potential eps(t), `t` in ms (any shape, float64); 0 for t < 0."""
    c = constants(lif)
    t = np.asarray(t, dtype=np.float64)
    late = np.maximum(t, 0.0)
    if c.gain == 0.0:
        value = np.exp(-late / c.tau_m) * (late / c.tau_s)
    else:
        value = np.exp(-late / c.tau_slow) * (c.gain * -np.expm1(-late * c.rate))
    return np.where(t > 0.0, value, 0.0)


def responses(t: np.ndarray, lif: LIF) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`respond` over `t` ms, float64 of any shape, with NumPy's exponentials: its last digits may differ."""
    return np.exp(-t / lif.tau_m), psp(t, lif), np.exp(-t / lif.tau_s)


def resting_share(t: np.ndarray, lif: LIF) -> np.ndarray:
    """What the resting potential has contributed to the membrane potential `t` ms after a reset to 0."""
    return np.asarray(lif.resting * -np.expm1(-t / lif.tau_m))


@lru_cache(maxsize=64)
def series(c: Constants) -> dict[str, list[float]]:
    """Coefficients of Taylor series over d: of "a", (a - 1)/d; "h", h/d; "b", (b - 1)/d; "a'" and "h'".

    The propagators a, h, b solve a' = -a/tau_m, b' = -b/tau_s and h' = b/tau_s - h/tau_m from 1, 0 and 1,
    which gives one coefficient after the other; nothing cancels, for the signs alternate.
    """
    a, b, h = 1.0, 1.0, 0.0
    coefficients: dict[str, list[float]] = {name: [] for name in ("a", "h", "b", "a'", "h'")}
    for k in range(1, TERMS + 1):
        h = (b * c.rate_s - h * c.rate_m) / k
        a = a * -c.rate_m / k
        b = b * -c.rate_s / k
        for terms, term in zip(coefficients.values(), (a, h, b, k * a, k * h), strict=True):
            terms.append(term)
    return coefficients


def _sum(c: list[float], d: float) -> float:
    """c[0] + c[1] d + ... + c[9] d^9."""
    d2 = d * d
    d4 = d2 * d2
    low = (c[0] + c[1] * d) + d2 * (c[2] + c[3] * d)
    middle = (c[4] + c[5] * d) + d2 * (c[6] + c[7] * d)
    return (low + d4 * middle) + (d4 * d4) * (c[8] + c[9] * d)


def _state(c: Constants, u0: float, i0: float, d: float) -> tuple[float, float, float]:
    """(u, threshold - u, u') after `d` ms without input."""
    if d <= c.near:
        terms = series(c)
        rise = (u0 * d) * _sum(terms["a"], d) + (i0 * d) * _sum(terms["h"], d)
        slope = u0 * _sum(terms["a'"], d) + i0 * _sum(terms["h'"], d)
        return u0 + rise, (c.threshold - u0) - rise, slope
    a, h, b = respond(c, d)
    u = u0 * a + i0 * h
    return u, c.threshold - u, (i0 * b) * c.rate_s - u * c.rate_m


def _guess(c: Constants, gap: float, slope: float, i0: float) -> tuple[float, bool]:
    """Where to begin the search: about where the cubic with the state's derivatives reaches the threshold.

    If that leads nowhere, where the tangent does, and False.
    """
    driven = i0 * c.rate_s * c.rate_s
    bend = slope * c.rate_m + driven
    third = bend * c.rate_m + driven * c.rate_s
    inverse = 1.0 / slope
    d, root = gap * inverse, 1.0  # the parabola's root is d root; of that, the third derivative's share
    curved = bend * inverse * d
    if curved < SHORT:
        squared = curved * curved
        share = third * inverse * (1.0 / 6.0) * (d * d) * (1.0 + curved * (2.5 + curved * 5.25))
        root = (1.0 + curved * 0.5) + squared * (0.5 + curved * 0.625)
        root = root + (squared * squared) * (0.875 + curved * 1.3125)
    else:
        square = slope * slope - 2.0 * bend * gap
        if not square > 0.0:
            return d, False
        d = 2.0 * gap / (slope + math.sqrt(square))
        share = third * (d * d) / (6.0 * math.sqrt(square))
    # Beyond a small share the expansion is invalid.
    return d * (root - (share if share < 0.25 else 0.25)), True


def next_crossing(c: Constants, u0: float, i0: float) -> float:
    """Time until a neuron in state (u0, i0) without further input fires, ms; inf if it does not.

    While u rises it is concave (u' > 0 with u > 0 implies I > 0, so u'' = -u'/tau_m - I/tau_s^2 < 0), hence
    the tangent at any time meets the threshold no later than u does: Newton's method started at the left of
    the first crossing stays there, converges monotonically and skips nothing. Started at the right of it, on
    the rising side, its first step leads to the left. So the start may be the root of the parabola with the
    state's slope and curvature, less the third derivative's share, which is almost right for the short
    intervals between events. Where the threshold is beyond the parabola's top, or u falls where the start
    leads, it is the tangent's.

    With s = (nu - u)/u' a step of Newton's method and k = -u''/u', the crossing lies at s + k s^2/2 + r, the
    series of the inverse function. Where u > 0, the third derivative is at most k^2 u', and |r| about
    (2/3) k^2 |s|^3 or less. Once k^2 |s|^3 is small enough, that is the answer; mostly after one step.
    """
    gap, touch, close = c.threshold - u0, c.threshold * (1.0 - TOUCH), CONVERGED * c.tau_slow
    if u0 >= touch:
        return 0.0
    slope0 = i0 * c.rate_s - u0 * c.rate_m
    if not (i0 > 0.0 and slope0 > 0.0):
        return math.inf
    d, leapt = _guess(c, gap, slope0, i0)
    for _ in range(MAX_STEPS):
        u, left, slope = _state(c, u0, i0, d)
        if leapt and not slope > 0.0:
            leapt, d = False, gap / slope0
            continue
        # Also while u rises: below a flat maximum that misses by rounding alone, the next step leaps past it.
        if u >= touch and not (leapt and u > c.threshold):
            return d
        if not slope > 0.0:
            return math.inf
        leapt = False
        inverse = 1.0 / slope
        step = left * inverse
        curvature = (slope * c.rate_m + (slope + u * c.rate_m) * c.rate_s) * inverse
        bent = curvature * (step * step)
        d = d + step
        if abs(bent * curvature * step) <= close:
            return d + 0.5 * bent
    return d


def after_refractory(c: Constants, i: float, now: float, end: float, then: float) -> float:
    """Membrane potential at `then` of a neuron whose refractory period ends at `end`, ms.

    `i` is its synaptic current at `now`, with now <= end <= then.
    """
    free, held = then - end, end - now
    fallen, driven, _ = respond(c, free)
    start = c.reset * fallen
    if free <= c.near and held <= c.near:
        terms = series(c)
        return start + (i * (1.0 + held * _sum(terms["b"], held))) * (free * _sum(terms["h"], free))
    return start + (i * decay(held * c.rate_s)[0]) * driven


def certificate(c: Constants, u: float, i: float) -> float:
    """Time before which a neuron in state (u, i) without further input does not fire, ms, by its tangent."""
    if u >= c.threshold * (1.0 - TOUCH):
        return 0.0
    slope = i * c.rate_s - u * c.rate_m
    # A little less: rounding must never put the bound behind the crossing that `next_crossing` finds.
    return (1.0 - 2.0**-40) * (c.threshold - u) / slope if i > 0.0 and slope > 0.0 else math.inf
