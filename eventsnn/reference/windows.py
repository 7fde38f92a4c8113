"""The windowed schedule in plain Python: twin of ``cython_ext/engines/engine_windows.pyx``, step for step.

A window is no longer than the shortest delay that leads back, so all arrivals in it are known when it
begins (those
from a lower layer, when that layer is done), and its neurons do not depend on each other. Everything is
seen from the
window's end, ``d`` ms ahead: an arrival of weight w amounts to ``w h(d)`` in the membrane potential there
and to
``w exp(-d/tau_s)`` in the synaptic current, whatever the neuron; the two factors are computed once per spike.
docs/exact.md, "A window at once", derives it.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from eventsnn.model import Network, Projection
from eventsnn.model.layers.branches import Branches
from eventsnn.reference.lif import (
    CANDIDATE,
    Constants,
    after_refractory,
    constants,
    next_crossing,
    reach,
    respond,
    respond_short,
    tangent,
)
from eventsnn.reference.queue import list_synapses

# Largest length of a window, in time constants. In longer ones more neurons seem to come near their
# threshold, shorter ones are more; measured. Anything up to 1 would be right.
FRACTION = 0.25


class Arrival(NamedTuple):
    """Effects of an arrival at `t`, per unit of weight and of potential, at the end of the window."""

    h: float
    b: float
    a: float
    t: float


def tabulate(c: Constants, t: float, end: float) -> Arrival:
    """The arrival at `t` in a window that ends at `end`, no more than either time constant later."""
    a, h, b = respond_short(c, end - t)
    return Arrival(h, b, a, t)


@dataclass
class _Projection:
    source: int
    delay: float  # the shortest, where there are several
    longest: float
    branches: Branches | None
    synapses: list[list[tuple[int, float]]]  # of each sender: (target, weight), weights >= 0 first
    cursor: int = 0  # the first spike of the source of which something is still to arrive

    def arrivals(self, t: float, neuron: int) -> list[tuple[float, int]]:
        """(time, sender) of all arrivals of a spike, by time."""
        if self.branches is None:
            return [(t + self.delay, neuron)]
        each = range(int(self.branches.ptr[neuron]), int(self.branches.ptr[neuron + 1]))
        return [(t + float(self.branches.delays[branch]), branch) for branch in each]


@dataclass
class _Layer:
    c: Constants
    projections: list[_Projection]
    u: list[float]  # membrane potential at the start of the window, counted from rest
    i: list[float]
    end: list[float]  # end of the last refractory period, ms
    spikes: list[tuple[float, int]] = field(default_factory=list)


def window_length(network: Network) -> float:
    """Length of a window, ms: the shortest delay that leads back, or `FRACTION` of a time constant."""
    back = [p.delay for p in network.projections if p.source >= p.target]
    taus = [tau for layer in network.layers for tau in (layer.tau_m, layer.tau_s)]
    return float(min([*back, FRACTION * min(taus)]))


def order_synapses(weights: np.ndarray) -> list[list[tuple[int, float]]]:
    """Of each source neuron (target, weight): weights >= 0 before those below, then by target."""
    synapses = []
    for column in np.asarray(weights, np.float64).T:
        there = np.flatnonzero(column)
        there = there[np.argsort(column[there] < 0.0, kind="stable")]
        synapses.append(list(zip(there.tolist(), column[there].tolist(), strict=True)))
    return synapses


class WindowsTwin:
    """A network in the middle of a simulation, in float64.

    Parameters
    ----------
    network : Network
        One that the windowed schedule can run; see `eventsnn.simulate.engines.windows.refusal`.
    """

    def __init__(self, network: Network) -> None:
        self.layers = [_make_layer(network, n) for n in range(len(network.layers))]
        self.length, self.now = window_length(network), 0.0
        self.input_spikes: list[tuple[float, int]] = []
        self.horizon = 0.0

    def advance(
        self, input_spikes: tuple[np.ndarray, np.ndarray], horizon: float, stop: float
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Take input spikes and go on to `horizon`; what every layer fires before, as (times, neurons).

        Parameters
        ----------
        given : (times, neurons)
            Float64, int32 arrays (n,): input spikes since the last horizon, ms, sorted by (time, neuron).
        horizon : float
            ms; no input spike before it will come any more. Infinite: on until the network is quiet.
        stop : float
            Last time to simulate, ms, included.

        Raises
        ------
        OverflowError
            A neuron fires for ever at one instant.
        """
        self.input_spikes += zip(input_spikes[0].tolist(), input_spikes[1].tolist(), strict=True)
        self._run(horizon, stop)
        # The next window may see more arrivals; its spikes before the horizon are certain.
        trial = copy.deepcopy(self)
        if horizon < math.inf:
            trial._run(self.now + self.length, min(stop, math.nextafter(horizon, -math.inf)))
        first, self.horizon = self.horizon, horizon
        certain = [[(t, n) for t, n in layer.spikes if first <= t < horizon] for layer in trial.layers]
        return [
            (np.array([t for t, _ in spikes], np.float64), np.array([n for _, n in spikes], np.int32))
            for spikes in certain
        ]

    def _run(self, known: float, stop: float) -> None:
        """All windows whose arrivals are known, which are those before `known`."""
        layers = self.layers
        while self.now <= stop:
            end = self.now + self.length
            soonest = min(
                _next_arrival(p, layers, self.input_spikes, self.now)
                for layer in layers
                for p in layer.projections
            )
            if soonest >= end and all(_is_quiet(layer) for layer in layers):
                if soonest > stop or soonest > known or soonest == math.inf:
                    break
                for layer in layers:
                    _leap(layer, self.now, soonest)
                self.now = soonest
            elif end > known:
                break
            else:
                for layer in layers:
                    layer.spikes += sorted(_run_layer(layer, layers, self.input_spikes, self.now, end, stop))
                self.now = end


def _make_layer(network: Network, number: int) -> _Layer:
    layer = network.layers[number]

    def make(projection: Projection) -> _Projection:
        branches = projection.branches
        if branches is not None and branches.each_synapse:
            synapses = list_synapses(network, projection)
        else:
            synapses = order_synapses(network.projection_weights(projection))
        longest = projection.delay if branches is None else float(branches.delays.max(initial=0.0))
        return _Projection(projection.source, projection.delay, longest, branches, synapses)

    projections = [make(p) for p in network.deliveries if p.target == number]
    c, size = constants(layer.lif), layer.neurons
    return _Layer(c, projections, [c.reset] * size, [0.0] * size, [-math.inf] * size)


def _source(
    p: _Projection, layers: list[_Layer], input_spikes: list[tuple[float, int]]
) -> list[tuple[float, int]]:
    return input_spikes if p.source < 0 else layers[p.source].spikes


def _next_arrival(
    p: _Projection, layers: list[_Layer], input_spikes: list[tuple[float, int]], now: float
) -> float:
    """Time before which nothing that is known arrives, not before `now`.

    Through branches of several delays, a spike may arrive from the shortest delay on, whatever its neuron's
    own is.
    """
    train = _source(p, layers, input_spikes)
    return max(now, train[p.cursor][0] + p.delay) if p.cursor < len(train) else math.inf


def _is_quiet(layer: _Layer) -> bool:
    """True if no neuron of the layer can fire without further input."""
    level = layer.c.threshold * CANDIDATE
    states = zip(layer.u, layer.i, strict=True)
    return not any(reach(layer.c, u, i) >= level for u, i in states)


def _leap(layer: _Layer, now: float, t: float) -> None:
    """Bring the neurons of a quiet network from `now` to `t`."""
    a, h, b = respond(layer.c, t - now)
    for n, (u, i, end) in enumerate(zip(layer.u, layer.i, layer.end, strict=True)):
        if end >= t:
            layer.u[n] = layer.c.reset
        elif end >= now:
            layer.u[n] = after_refractory(layer.c, i, now, end, t)
        else:
            layer.u[n] = u * a + i * h
        layer.i[n] = i * b


def _run_layer(
    layer: _Layer,
    layers: list[_Layer],
    input_spikes: list[tuple[float, int]],
    now: float,
    end: float,
    stop: float,
) -> list[tuple[float, int]]:
    """One layer through the window [now, end), or up to `stop`; returns its spikes, neuron by neuron."""
    start = tabulate(layer.c, now, end)
    u = [u * start.a + i * start.h for u, i in zip(layer.u, layer.i, strict=True)]
    i = [i * start.b for i in layer.i]
    # Within a window no response falls again, so this bound holds whatever the inhibition.
    reach = [max(u, 0.0) + max(i, 0.0) * start.h for u, i in zip(layer.u, layer.i, strict=True)]
    deliveries: list[list[tuple[Arrival, float]]] = [[] for _ in u]
    for p in layer.projections:
        train = _source(p, layers, input_spikes)
        # Spike by spike, whatever the order in which they arrive: sums need none.
        for t, pre in train[p.cursor :]:
            for at, sender in p.arrivals(t, pre):
                if not now <= at < end:
                    continue
                arrival = tabulate(layer.c, at, end)
                for n, weight in p.synapses[sender]:
                    u[n] += weight * arrival.h
                    i[n] += weight * arrival.b
                    reach[n] += max(weight, 0.0) * arrival.h
                    deliveries[n].append((arrival, weight))
        while p.cursor < len(train) and train[p.cursor][0] + p.longest < end:
            p.cursor += 1
    fired: list[tuple[float, int]] = []
    for n in range(len(u)):
        if layer.end[n] >= end:
            layer.u[n], layer.i[n] = layer.c.reset, i[n]
        elif layer.end[n] >= now or reach[n] >= layer.c.threshold * CANDIDATE:
            fired += [(t, n) for t in _follow(layer, n, start, end, deliveries[n], stop)]
        else:
            layer.u[n], layer.i[n] = u[n], i[n]
    return fired


def _may_fire(layer: _Layer, u: float, i: float, here: Arrival, gap: float) -> bool:
    """Whether the neuron may reach the threshold within `gap` ms: its tangent bounds it from above."""
    level = layer.c.threshold * CANDIDATE * (here.a * here.b)
    value = u * here.b - i * here.h
    return value >= level or (i > 0.0 and tangent(layer.c, value, i * here.a, gap) >= level)


def _follow(
    layer: _Layer, n: int, start: Arrival, end: float, deliveries: list[tuple[Arrival, float]], stop: float
) -> list[float]:
    """One neuron through its deliveries of the window, in order of time, or up to `stop`; its spikes.

    u and i are what potential and current amount to at the end of the window: arrivals add to them, and
    nothing else changes them but a reset.
    """
    u, i = layer.u[n] * start.a + layer.i[n] * start.h, layer.i[n] * start.b
    here, refractory = start, layer.end[n]
    held = refractory >= here.t
    fired: list[float] = []
    waiting = sorted(deliveries, key=lambda delivery: delivery[0].t)
    while True:
        later = waiting[0][0].t if waiting else end
        while True:
            if held:
                if refractory >= later:
                    break
                here = tabulate(layer.c, refractory, end)
                u = layer.c.reset * here.a + (i / here.b) * here.h
                held = False
            if not _may_fire(layer, u, i, here, later - here.t):
                break
            current = i / here.b
            t = here.t + next_crossing(layer.c, (u - current * here.h) / here.a, current)
            if not t < later:
                break
            if t > stop:
                return fired  # later spikes are not needed, and neither is the state
            if fired and t == fired[-1]:
                raise OverflowError(f"neuron {n} fires again at {t!r} ms, the instant it fired at")
            fired.append(t)
            refractory, held = t + layer.c.refractory, True
        if not waiting:
            break
        here = waiting[0][0]
        while waiting and waiting[0][0].t == later:
            weight = waiting.pop(0)[1]
            u += weight * here.h
            i += weight * here.b
    layer.u[n] = layer.c.reset if held else u
    layer.i[n], layer.end[n] = i, refractory
    return fired
