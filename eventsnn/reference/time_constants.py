"""Derivatives of a loss by a layer's time constants, in readable form: sums over points and arrivals.

A spike at t, r being the end of the refractory period before it, solves

    F = V(t) - a(t-r) V(r) + E (1 - a(t-r)) - nu = 0,    a(x) = e^{-x/tau_m},  V(t) = sum_g w_g eps(t - s_g)

(see `eventsnn.reference.sensitivity`). By the implicit function theorem dt/dtau = -(dF/dtau)/u'. With the
charges of `derivative_charges`, q = -total/u' at a spike and c = -q a(t-r) at the reset before it, the sums
over all spikes are

    dL/dtau_s = sum_p q_p V_s(p)                                all points p, V_s = sum_g w_g deps/dtau_s
    dL/dtau_m = sum_p q_p V_m(p) + sum_r c_r (V(r) + E) (t-r)/tau_m^2 - sum_first q E a(t) t/tau_m^2

the last sum over first spikes, before which the potential begins at 0 at time 0. With b(x) = e^{-x/tau_s},
k = tau_m/(tau_m - tau_s) and eps = k (a - b), the derivatives of eps are

    deps/dtau_m = (x a - tau_s eps) / (tau_m (tau_m - tau_s))    = a x^2 phi(-x rho) / (tau_m^2 tau_s)
    deps/dtau_s = (eps - x b tau_m/tau_s^2) / (tau_m - tau_s)    = b x^2 phi(x rho) / tau_s^3 - eps/tau_s

with rho = 1/tau_s - 1/tau_m and phi(z) = (e^z - 1 - z)/z^2 = 1/2 + z/6 + ...: the second forms do not cancel
where the time constants are equal or nearly so, because eps tau_s is symmetric in the two.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eventsnn.model.neuron import LIF
from eventsnn.reference.lif import psp

Floats = npt.NDArray[np.float64]

NEAR = 0.5
"""Up to this |z| phi(z) is its Taylor series, of `TERMS` terms: the remainder is below 2^-53 of it."""
TERMS = 13


def curved(x: Floats, z: Floats) -> Floats:
    """e^{-x} z^2 phi(z), that is e^{z-x} - e^{-x} (1 + z), without cancellation near z = 0."""
    series = np.zeros_like(z)
    for k in range(TERMS - 1, -1, -1):
        series = (1.0 + series * z) / (k + 2)
    near = np.abs(z) <= NEAR
    direct = np.exp(np.where(near, 0.0, z) - x) - np.exp(-x) * (1.0 + z)
    return np.where(near, np.exp(-x) * z * z * series, direct)


def psp_by_time_constants(x: Floats, lif: LIF) -> tuple[Floats, Floats]:
    """Derivatives of the unit post-synaptic potential eps(x) by tau_m and by tau_s; 0 for x <= 0, ms."""
    x = np.maximum(np.asarray(x, dtype=np.float64), 0.0)
    rho = (lif.tau_m - lif.tau_s) / (lif.tau_m * lif.tau_s)
    if rho == 0.0:
        square = np.exp(-x / lif.tau_m) * x * x / 2.0
        by_m, by_s = square, square
    else:
        by_m = curved(x / lif.tau_m, -x * rho) / rho**2
        by_s = curved(x / lif.tau_s, x * rho) / rho**2
    return by_m / (lif.tau_m**2 * lif.tau_s), by_s / lif.tau_s**3 - psp(x, lif) / lif.tau_s


def derive_time_constants(
    pre_times: Floats,
    pre_neurons: npt.NDArray[np.integer],
    weights: Floats,
    times: Floats,
    neurons: npt.NDArray[np.integer],
    charges: Floats,
    lif: LIF,
) -> tuple[Floats, Floats]:
    """Derivatives of a loss by the time constants tau_m and tau_s of each neuron, (n_post,) both.

    Parameters
    ----------
    pre_times, pre_neurons : arrays (arrivals,)
    weights : array (n_post, n_pre)
    times, neurons : arrays (spikes,)
        In any order.
    charges : array (spikes, 2)
        At each spike, and at the end of the refractory period that follows; see `derivative_charges`.
    """
    by_m, by_s = np.zeros(len(weights)), np.zeros(len(weights))
    for neuron in np.unique(neurons):
        spikes = np.flatnonzero(neurons == neuron)
        spikes = spikes[np.argsort(times[spikes])]
        acting = weights[neuron, pre_neurons]
        first = float(times[spikes[0]])
        by_m[neuron] -= (
            charges[spikes[0], 0] * lif.resting * np.exp(-first / lif.tau_m) * first / lif.tau_m**2
        )
        for place, f in enumerate(spikes):
            m, s = psp_by_time_constants(times[f] - pre_times, lif)
            by_m[neuron] += charges[f, 0] * (acting @ m)
            by_s[neuron] += charges[f, 0] * (acting @ s)
            if place + 1 < len(spikes):
                reset = times[f] + lif.refractory
                span = float(times[spikes[place + 1]] - reset)
                m, s = psp_by_time_constants(reset - pre_times, lif)
                free = float(acting @ psp(reset - pre_times, lif)) + lif.resting
                by_m[neuron] += charges[f, 1] * (acting @ m + free * span / lif.tau_m**2)
                by_s[neuron] += charges[f, 1] * (acting @ s)
    return by_m, by_s
