"""The neuron in closed form: plain-Python twin of ``cython_ext/lif.h``, operation for operation.

Sources: Jin, Zhang & Li, NeurIPS 2018, eq. 1-3 (the neuron); the search for a crossing is derived
in the docstring of `next_crossing`. D is elapsed time in ms throughout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from eventsnn.engines.decay import decay
from eventsnn.network.neurons import LIF

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
# taken as a series: 1/2, 1/2, 5/8 are the coefficients of 2 / (1 + sqrt(1 - 2 x)).
SHORT = 0.0625
# A double root halves the distance each step; 200 steps are out of reach.
MAX_STEPS = 200


@dataclass(frozen=True)
class Constants:
    """Constants of a LIF neuron, as the kernels hold them.

    Attributes
    ----------
    threshold, tau_m, tau_s, refractory : float
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
    """

    threshold: float
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


def constants(lif: LIF) -> Constants:
    """Derived constants of a neuron; the difference of the time constants is exact when they are close."""
    difference = lif.tau_m - lif.tau_s
    gain = abs(lif.tau_m / difference) if difference else 0.0
    rate = abs(difference) / (lif.tau_m * lif.tau_s)
    slow = max(lif.tau_m, lif.tau_s)
    apart = lif.tau_m / difference if difference and gain <= CLOSE else 0.0
    rates = (1.0 / lif.tau_m, 1.0 / lif.tau_s)
    bare = Constants(
        lif.threshold, lif.tau_m, lif.tau_s, lif.refractory, gain, rate, slow, 0.0, *rates, apart
    )
    # d eps/dt = 0 at ln(tau_m / tau_s) / (1/tau_s - 1/tau_m), with limit tau for equal constants.
    if difference:
        peak = math.log1p(difference / lif.tau_s) / (difference / (lif.tau_m * lif.tau_s))
    else:
        peak = slow
    return replace(bare, psp_max=respond(bare, peak)[1])


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


def next_crossing(c: Constants, u0: float, i0: float) -> float:
    """Time until a neuron in state (u0, i0) without further input fires, ms; inf if it does not.

    While u rises it is concave (u' > 0 with u > 0 implies I > 0, so u'' = -u'/tau_m - I/tau_s^2 < 0), hence
    the tangent at any time meets the threshold no later than u does: Newton's method started at the left of
    the first crossing stays there, converges monotonically and skips nothing. Started at the right of it, on
    the rising side, its first step leads to the left. So the start may be the parabola with the state's slope
    and curvature, which is almost right for the short intervals between events; where its root has a short
    series, that, with the third derivative's share, so that one step is enough. Where the threshold is beyond
    the parabola's top, or u falls where the parabola leads, the start is the tangent.
    """
    gap, touch, close = c.threshold - u0, c.threshold * (1.0 - TOUCH), CONVERGED * c.tau_slow
    if u0 >= touch:
        return 0.0
    slope0 = i0 * c.rate_s - u0 * c.rate_m
    if not (i0 > 0.0 and slope0 > 0.0):
        return math.inf
    bend = slope0 * c.rate_m + i0 * c.rate_s * c.rate_s
    inverse = 1.0 / slope0
    d = gap * inverse
    curved, leapt = bend * d * inverse, True
    if curved < SHORT:
        third = bend * c.rate_m + i0 * c.rate_s * c.rate_s * c.rate_s
        d = d * (1.0 + curved * (0.5 + curved * (0.5 + curved * 0.625)))
        d = d - third * inverse * (1.0 / 6.0) * (d * d * d)
    else:
        square = slope0 * slope0 - 2.0 * bend * gap
        leapt = square > 0.0
        if leapt:
            d = 2.0 * gap / (slope0 + math.sqrt(square))
    for _ in range(MAX_STEPS):
        a, h, b = respond(c, d)
        u, i = u0 * a + i0 * h, i0 * b
        slope = i * c.rate_s - u * c.rate_m
        if leapt and not slope > 0.0:
            leapt, d = False, gap / slope0
            continue
        # Also while u rises: below a flat maximum that misses by rounding alone, the next step leaps past it.
        if u >= touch and not (leapt and u > c.threshold):
            return d
        if not slope > 0.0:
            return math.inf
        leapt = False
        step = (c.threshold - u) / slope
        d = d + step
        # What Newton's method leaves is its step squared times half the curvature over the slope.
        if (slope * c.rate_m + i * c.rate_s * c.rate_s) * (step * step) <= 2.0 * slope * close:
            return d
    return d


def certificate(c: Constants, u: float, i: float) -> float:
    """Time before which a neuron in state (u, i) without further input does not fire, ms, by its tangent."""
    if u >= c.threshold * (1.0 - TOUCH):
        return 0.0
    slope = i * c.rate_s - u * c.rate_m
    # A little less: rounding must never put the bound behind the crossing that `next_crossing` finds.
    return (1.0 - 2.0**-40) * (c.threshold - u) / slope if i > 0.0 and slope > 0.0 else math.inf
