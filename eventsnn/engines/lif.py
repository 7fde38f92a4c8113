"""The neuron in closed form: plain-Python twin of ``cython_ext/lif.pxd``, operation for operation.

Sources: Jin, Zhang & Li, NeurIPS 2018, eq. 1-3 (the neuron); the bound behind `newton_step` is derived in
its docstring. D is elapsed time in ms throughout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from eventsnn.network.neurons import LIF

# A maximum within this relative distance of the threshold counts as equal to it: the state itself carries
# a rounding error of this size.
TOUCH = 4 * 2.0**-52
# A Newton step shorter than this fraction of the abscissa no longer moves it.
CONVERGED = 1e-15


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
    """

    threshold: float
    tau_m: float
    tau_s: float
    refractory: float
    gain: float
    rate: float
    tau_slow: float
    psp_max: float


def constants(lif: LIF) -> Constants:
    """Derived constants of a neuron; the difference of the time constants is exact when they are close."""
    difference = lif.tau_m - lif.tau_s
    gain = abs(lif.tau_m / difference) if difference else 0.0
    rate = abs(difference) / (lif.tau_m * lif.tau_s)
    slow = max(lif.tau_m, lif.tau_s)
    bare = Constants(lif.threshold, lif.tau_m, lif.tau_s, lif.refractory, gain, rate, slow, 0.0)
    # d eps/dt = 0 at ln(tau_m / tau_s) / (1/tau_s - 1/tau_m), with limit tau for equal constants.
    if difference:
        peak = math.log1p(difference / lif.tau_s) / (difference / (lif.tau_m * lif.tau_s))
    else:
        peak = slow
    return replace(bare, psp_max=respond(bare, peak)[1])


def respond(c: Constants, d: float) -> tuple[float, float, float]:
    """Propagators over `d` >= 0 ms: (a, h, b) with u(d) = u a + I h and I(d) = I b.

    a = exp(-d/tau_m), b = exp(-d/tau_s), h = k (a - b) written as ``exp(-d/tau_slow) |k| (1 - exp(-d
    rate))``, which neither cancels for time constants close to each other nor overflows; its limit for equal
    ones is ``a d / tau_s``.
    """
    a = math.exp(-d / c.tau_m)
    b = math.exp(-d / c.tau_s)
    if c.gain == 0.0:
        return a, a * (d / c.tau_s), b
    slow = a if c.tau_m > c.tau_s else b
    return a, slow * (c.gain * -math.expm1(-d * c.rate)), b


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


def newton_step(c: Constants, u: float, i: float, d: float) -> tuple[float, bool]:
    """One refinement of a certificate: (next abscissa, whether the neuron fires there).

    While u rises it is concave (u' > 0 with u > 0 implies I > 0, so u'' = -u'/tau_m - I/tau_s^2 < 0), hence
    the tangent at `d` meets the threshold no later than u does: the result is a rigorous lower bound of the
    crossing, Newton's method from the left. Infinite when u stops rising below the threshold.
    """
    if d > 0.0:
        a, h, b = respond(c, d)
        u, i = u * a + i * h, i * b
    # Also while u rises: below a flat maximum that misses by rounding alone, the next step leaps past it.
    if u >= c.threshold * (1.0 - TOUCH):
        return d, True
    slope = i / c.tau_s - u / c.tau_m
    if not (i > 0.0 and slope > 0.0):
        return math.inf, False
    step = (c.threshold - u) / slope
    return d + step, step <= CONVERGED * (d + step)
