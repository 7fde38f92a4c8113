"""Leaky integrators that never fire, in readable form: twin of ``cython_ext/engines/readout.pyx``.

The membrane potential of a neuron without a threshold is u(t) = sum_g w_g eps(t - s_g) over the arrivals s_g
at its synapses. Between two of them (u, I) follow the propagators of `eventsnn.reference.lif.respond`. Three
numbers are read out of u from 0 to an end T:

max: the highest u, 0 at least. After an arrival, u' is s e^{-x/tau_m} - (I/tau_s) h(x) with the slope s and
the current I then, so that with rho = 1/tau_s - 1/tau_m a rising potential turns at

    x = -ln(1 - y rho) / rho,  y = s tau_s^2 / I  (its limit y for rho = 0);  there u = I(x) tau_m / tau_s

mean, and weighted (with e^{-t/tau}; the mean has tau = inf): integrating u' e^{-t/tau} and I' e^{-t/tau} by
parts, with the rates r_m = 1/tau_m + 1/tau and r_s = 1/tau_s + 1/tau,

    int u e^{-t/tau} dt = [ (sum_g w_g e^{-s_g/tau} - I(T) e^{-T/tau}) / (r_s tau_s) - u(T) e^{-T/tau} ] / r_m

divided by int e^{-t/tau} dt. As a sum over arrivals it is sum_g w_g c(s_g); `share` has c and dc/ds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.model.neuron import LIF
from eventsnn.reference.decay import decay
from eventsnn.reference.lif import Constants, psp, reach, respond

Floats = npt.NDArray[np.float64]


@dataclass
class Neuron:
    """State of one neuron at its last arrival.

    Attributes
    ----------
    u, i : float
        Membrane potential and synaptic current.
    highest, when : float
        The highest potential so far, and its time, ms; -1 while that is 0, as at the start.
    slope : float
        u' just after `when`: 0 at a smooth maximum; below 0 where an arrival then turned the potential.
    weight : float
        Sum of the weights of all arrivals, each times e^{-s/tau}.
    """

    u: float = 0.0
    i: float = 0.0
    highest: float = 0.0
    when: float = -1.0
    slope: float = 0.0
    weight: float = 0.0


@dataclass
class ReadoutTwin:
    """The neurons of a readout layer, arrival by arrival.

    Parameters
    ----------
    c : Constants
    weights : float64 array (sources, neurons)
    tau : float
        Time constant of the weight in a weighted mean, ms; infinite for the others.
    """

    c: Constants
    weights: Floats
    tau: float = math.inf
    now: float = 0.0
    neurons: list[Neuron] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.neurons = self.neurons or [Neuron() for _ in range(self.weights.shape[1])]

    def arrive(self, time: float, source: int) -> None:
        """Take an arrival, none earlier than those before."""
        if time > self.now:
            self._pass(time)
        fade = decay(time / self.tau)[0]
        for neuron, weight in zip(self.neurons, self.weights[source].tolist(), strict=True):
            neuron.i += weight
            neuron.weight += weight * fade

    def finish(self, end: float) -> list[Neuron]:
        """The states at `end` ms, which is not before the last arrival, and may be infinite."""
        copy = ReadoutTwin(
            self.c, self.weights, self.tau, self.now, [Neuron(**vars(n)) for n in self.neurons]
        )
        copy._pass(end)
        for neuron in copy.neurons:
            if neuron.u > neuron.highest:
                neuron.highest, neuron.when, neuron.slope = neuron.u, end, 0.0
        return copy.neurons

    def means(self, end: float) -> Floats:
        """The (weighted) means from 0 to `end` ms; with an infinite `tau` that must be finite."""
        return np.array([mean(self.c, n.u, n.i, n.weight, end, self.tau) for n in self.finish(end)])

    def _pass(self, time: float) -> None:
        """On to a later time without arrivals until then."""
        a, h, b = respond(self.c, time - self.now) if time < math.inf else (0.0, 0.0, 0.0)
        for neuron in self.neurons:
            find_highest(self.c, neuron, self.now, time)
            neuron.u, neuron.i = neuron.u * a + neuron.i * h, neuron.i * b
        self.now = time


def find_highest(c: Constants, neuron: Neuron, now: float, then: float) -> None:
    """The highest potential from `now` to `then`, where it is higher than that before; not that at `then`."""
    slope = neuron.i * c.rate_s - neuron.u * c.rate_m
    if neuron.u > neuron.highest:
        neuron.highest, neuron.when, neuron.slope = neuron.u, now, slope
    if not (slope > 0.0 and neuron.i > 0.0 and reach(c, neuron.u, neuron.i) > neuron.highest):
        return
    rho = c.rate_s - c.rate_m
    x = slope / (neuron.i * c.rate_s * c.rate_s)
    if rho:
        if not x * rho < 1.0:  # it rises to 0 from below
            return
        x = -math.log1p(-x * rho) / rho
    if now + x < then:
        top = neuron.i * decay(x * c.rate_s)[0] * (c.tau_m * c.rate_s)
        if top > neuron.highest:
            neuron.highest, neuron.when, neuron.slope = top, now + x, 0.0


def mean(c: Constants, u: Any, i: Any, weight: Any, end: float, tau: float) -> Any:
    """The (weighted) mean from 0 to `end` ms in the state then, see `Neuron`; numbers or arrays."""
    if not end > 0.0:
        return 0.0 * u
    fade, faded = decay(end / tau) if math.isfinite(end) else (0.0, 1.0)
    length = tau * faded if math.isfinite(tau) else end
    charge = (weight - i * fade) / ((c.rate_s + 1.0 / tau) * c.tau_s)
    return (charge - u * fade) / (c.rate_m + 1.0 / tau) / length


def share(lif: LIF, arrivals: Floats, end: float, tau: float) -> tuple[Floats, Floats]:
    """What an arrival of weight 1 at each of these times adds to a mean, and its derivative by the time.

    From 0 to `end` ms, with weight e^{-t/tau}; 0 for arrivals after the end. With x = end - s,

        c(s) = e^{-s/tau} / (r_m length) [ (1 - b(x) e^{-x/tau}) / (r_s tau_s) - h(x) e^{-x/tau} ]
        dc/ds = -c/tau - h(x) e^{-end/tau} / length
    """
    known = arrivals < end
    if not end > 0.0:
        return np.zeros(len(arrivals)), np.zeros(len(arrivals))
    length = -tau * math.expm1(-end / tau) if math.isfinite(tau) else end
    rate_m, rate_s = 1.0 / lif.tau_m + 1.0 / tau, 1.0 / lif.tau_s + 1.0 / tau
    early = np.where(known, np.exp(-arrivals / tau) / length, 0.0)
    if math.isfinite(end):
        left = np.maximum(end - arrivals, 0.0)
        fade = np.exp(-left / tau)
        h, b = psp(left, lif) * fade, np.exp(-left / lif.tau_s) * fade
    else:
        h = b = np.zeros(len(arrivals))
    shares = early * ((1.0 - b) / (rate_s * lif.tau_s) - h) / rate_m
    return shares, -shares / tau - h * early
