"""Derivatives of one spike time with respect to everything before it, in readable form.

A spike at t, r being the end of the refractory period before it, solves (potentials in the unit of weights)

    F = V(t) - e^{-(t-r)/tau_m} V(r) + E (1 - e^{-(t-r)/tau_m}) - nu = 0,        V(t) = sum_g w_g eps(t - s_g)

with threshold nu, resting potential E, and s_g the arrivals (spike plus delay) of weight w_g. Before a
neuron's first spike V(r) is 0 and r is 0: the potential begins there. The implicit function theorem, with
u' = dF/dt = (E - nu)/tau_m + I(t)/tau_s > 0, gives

    dt/dw_g  = -[ eps(t - s_g) - e^{-(t-r)/tau_m} eps(r - s_g) ] / u'
    dt/ds_g  =  w_g [ eps'(t - s_g) - e^{-(t-r)/tau_m} eps'(r - s_g) ] / u'
    dt/dr    =  e^{-(t-r)/tau_m} (I(r)/tau_s + E/tau_m) / u'        and r = t_before + refractory
    dt/dnu   =  1/u'
    dt/dE    = -(1 - e^{-(t-r)/tau_m}) / u'

where eps and eps' are 0 up to their argument 0, so that an arrival at the very instant of t or r counts as
later. The chain rule then runs over all spikes in reverse order of time: whatever a spike moves comes later.
Source of the method: Wunderlich & Pehle, Scientific Reports 11 (2021); the refractory period is ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from eventsnn.model.neuron import LIF
from eventsnn.reference.lif import psp

Floats = npt.NDArray[np.float64]


class Train(NamedTuple):
    """Spikes of a layer, of the input or of the bias neuron, sorted by time."""

    times: Floats
    """ms."""

    neurons: npt.NDArray[np.integer]


class Synapses(NamedTuple):
    """A projection. `source` and `target` are places in the list of trains."""

    source: int
    target: int
    weights: Floats
    """(post, pre)."""

    delay: float | Floats
    """ms; (post, pre) where synapses have delays of their own."""


@dataclass(frozen=True)
class Derivatives:
    """Of one spike time, ms.

    Attributes
    ----------
    times : list of float64 arrays
        With respect to every spike time of every train; 1 for the spike itself.
    slopes : list of float64 arrays
        u' of every neuron's spike that the derivative passes through, unit of weights per ms; else NaN.
    weights : list of float64 arrays (post, pre)
        Of every projection.
    delays : list of float or float64 array (post, pre)
        Of every projection; an array where its synapses have delays of their own.
    thresholds, resting, refractory : list of float
        Of every train, 0 for one without a neuron.
    """

    times: list[Floats]
    slopes: list[Floats]
    weights: list[Floats]
    delays: list[Any]
    thresholds: list[float]
    resting: list[float]
    refractory: list[float]


def differentiate(
    lifs: list[LIF | None], trains: list[Train], synapses: list[Synapses], target: int, row: int
) -> Derivatives:
    """Derivatives of spike `row` of train `target`.

    Parameters
    ----------
    lifs : list of LIF or None
        The neuron of every train, None for the input and the bias neuron.
    trains : list of Train
    synapses : list of Synapses
    target, row : int
        Which spike.
    """
    derivatives = Derivatives(
        times=[np.zeros(len(train.times)) for train in trains],
        slopes=[np.full(len(train.times), math.nan) for train in trains],
        weights=[np.zeros(s.weights.shape) for s in synapses],
        delays=[np.zeros(np.shape(s.delay)) if np.ndim(s.delay) else 0.0 for s in synapses],
        thresholds=[0.0] * len(trains),
        resting=[0.0] * len(trains),
        refractory=[0.0] * len(trains),
    )
    derivatives.times[target][row] = 1.0
    spikes = [(t, n, k) for n, train in enumerate(trains) for k, t in enumerate(train.times.tolist())]
    for _, number, k in sorted(spikes, reverse=True):
        lif = lifs[number]
        if lif is not None and derivatives.times[number][k]:
            _pass_down(lif, trains, synapses, number, k, derivatives)
    return derivatives


def _pass_down(
    lif: LIF, trains: list[Train], synapses: list[Synapses], number: int, k: int, derivatives: Derivatives
) -> None:
    """Hand the derivative with respect to spike `k` of a train on to all that this spike depends on."""
    times, neurons = trains[number]
    t, neuron, total = float(times[k]), int(neurons[k]), float(derivatives.times[number][k])
    earlier = np.flatnonzero(neurons[:k] == neuron)
    before = int(earlier[-1]) if earlier.size else None
    r = float(times[before]) + lif.refractory if before is not None else 0.0
    decay = math.exp(-(t - r) / lif.tau_m)
    kept = decay if before is not None else 0.0  # the remaining share of V(r)

    incoming = [(n, s) for n, s in enumerate(synapses) if s.target == number]
    arriving = [
        trains[s.source].times + np.broadcast_to(s.delay, s.weights.shape)[neuron, trains[s.source].neurons]
        for _, s in incoming
    ]
    acting = [s.weights[neuron, trains[s.source].neurons] for _, s in incoming]
    current = sum(float(w @ _current(t - at, lif)) for w, at in zip(acting, arriving, strict=True))
    slope = (lif.resting - lif.threshold) / lif.tau_m + current / lif.tau_s
    derivatives.slopes[number][k] = slope
    for (n, s), at, w in zip(incoming, arriving, acting, strict=True):
        per_weight = -(psp(t - at, lif) - kept * psp(r - at, lif)) * total / slope
        per_time = w * (_rise(t - at, lif) - kept * _rise(r - at, lif)) * total / slope
        np.add.at(derivatives.weights[n][neuron], trains[s.source].neurons, per_weight)
        derivatives.times[s.source] += per_time
        if np.ndim(s.delay):
            np.add.at(derivatives.delays[n][neuron], trains[s.source].neurons, per_time)
        else:
            derivatives.delays[n] += float(per_time.sum())
    derivatives.thresholds[number] += total / slope
    derivatives.resting[number] -= (1.0 - decay) * total / slope
    if before is not None:
        at_end = sum(float(w @ _current(r - at, lif)) for w, at in zip(acting, arriving, strict=True))
        per_end = decay * (at_end / lif.tau_s + lif.resting / lif.tau_m) * total / slope
        derivatives.times[number][before] += per_end
        derivatives.refractory[number] += per_end


def _current(x: Floats, lif: LIF) -> Floats:
    """Synaptic current `x` ms after a spike of weight 1 arrived; 0 up to x = 0."""
    return np.where(x > 0.0, np.exp(-np.maximum(x, 0.0) / lif.tau_s), 0.0)


def _rise(x: Floats, lif: LIF) -> Floats:
    """eps'(x) = e^{-x/tau_s}/tau_s - eps(x)/tau_m; 0 up to x = 0."""
    return _current(x, lif) / lif.tau_s - psp(x, lif) / lif.tau_m
