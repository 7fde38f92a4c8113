"""Arbitrary-precision spike times, straight from the definition of the neuron: the oracle of every engine.

Membrane potential u and synaptic current I are propagated exactly between events (Jin, Zhang & Li 2018,
eq. 1-3)::

    I(t+D) = I e^{-D/tau_s}        u(t+D) = u e^{-D/tau_m} + I k (e^{-D/tau_m} - e^{-D/tau_s})

with k = tau_m / (tau_m - tau_s); u is counted from the resting potential throughout. For I > 0 the
potential has at most one maximum between two events, and its
place has a closed form; a crossing is looked for between the last event and that maximum, by bisection and
then Newton's method. No certificate and nothing else of the engines is used. Inputs are float64, taken
exactly.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any

from hypothesis import reject
from mpmath import exp, inf, log, mp, mpf

from eventsnn.model import LIF, Network, Projection
from eventsnn.model.layers import BIAS

# Digits beyond those asked for. With tau_m and tau_s one float64 step apart, k has 16 digits and u is a
# difference of two terms of that size, whose maximum needs another 16.
GUARD_DIGITS = 50


@dataclass
class OracleRun:
    """Spikes of a network, and how far they are from being undecidable in float64.

    Attributes
    ----------
    layers : dict of str to list of (mpf, int)
        Spike time (ms) and neuron, sorted.
    margin : mpf
        Smallest relative distance between the threshold and a local maximum of any potential.
    gap : mpf
        Shortest time between two spikes of the network, ms; 0 when two coincide.
    """

    layers: dict[str, list[tuple[Any, int]]]
    margin: Any
    gap: Any


class Neuron:
    """State of one LIF neuron at time `t`; u is 0 until `ready`, the end of the refractory period."""

    def __init__(self, lif: LIF, dps: int) -> None:
        self.threshold, self.tau_m, self.tau_s = mpf(lif.threshold), mpf(lif.tau_m), mpf(lif.tau_s)
        self.threshold -= mpf(lif.resting)
        self.reset = -mpf(lif.resting)
        self.refractory = mpf(lif.refractory)
        self.equal = self.tau_m == self.tau_s
        self.k = None if self.equal else self.tau_m / (self.tau_m - self.tau_s)
        self.t = mpf(0) if lif.resting else -inf
        self.ready = -inf
        self.u, self.current = self.reset, mpf(0)
        self.margin = inf  # smallest relative distance of a maximum to the threshold so far
        self.resolution = mpf(10) ** -dps

    def psp(self, lag: Any) -> Any:
        """Unit post-synaptic potential."""
        if self.equal:
            return lag / self.tau_s * exp(-lag / self.tau_m)
        return self.k * (exp(-lag / self.tau_m) - exp(-lag / self.tau_s))

    def potential(self, u: Any, current: Any, lag: Any) -> Any:
        """Membrane potential `lag` ms after the state (u, current)."""
        return u * exp(-lag / self.tau_m) + current * self.psp(lag)

    def slope(self, u: Any, current: Any) -> Any:
        """Time derivative of the membrane potential."""
        return -u / self.tau_m + current / self.tau_s

    def state_at(self, t: Any) -> tuple[Any, Any]:
        """(u, I) at time `t`, without spikes and input in between."""
        if self.t == -inf:
            return self.u, self.current
        current = self.current * exp(-(t - self.t) / self.tau_s)
        if t <= self.ready:
            return self.reset, current
        start = max(self.t, self.ready)
        at_start = self.current * exp(-(start - self.t) / self.tau_s)
        return self.potential(self.u, at_start, t - start), current

    def advance(self, t: Any) -> None:
        """Move the state to time `t`."""
        self.u, self.current = self.state_at(t)
        self.t = t

    def deliver(self, t: Any, weight: Any) -> None:
        """Add `weight` to the synaptic current at time `t`."""
        self.advance(t)
        self.current += weight

    def fire(self, t: Any) -> None:
        """Reset at the spike time `t`."""
        self.advance(t)
        self.u = self.reset
        self.ready = t + self.refractory

    def next_crossing(self, before: Any = inf) -> Any:
        """Time at which the potential reaches the threshold, or infinity if it does not by `before`."""
        if self.current <= 0:
            self._note(self.u)
            return inf
        start = max(self.t, self.ready)
        if start >= before:
            return inf
        u, current = self.state_at(start)
        slope = self.slope(u, current)
        if slope <= 0:
            self._note(u)
            return inf
        if before < inf:
            u_end, current_end = self.state_at(before)
            if u_end < self.threshold and self.slope(u_end, current_end) >= 0:
                return inf  # still rising when the next event comes
        to_peak = self._time_to_peak(u, current)
        if to_peak == inf:
            return inf
        peak = self.potential(u, current, to_peak)
        self._note(peak)
        distance = (peak - self.threshold) / self.threshold
        if distance < -self.resolution:
            return inf
        crossing = start + (to_peak if distance <= self.resolution else self._bracketed(u, current, to_peak))
        return crossing if crossing <= before else inf

    def _note(self, maximum: Any) -> None:
        self.margin = min(self.margin, abs(maximum / self.threshold - 1))

    def _time_to_peak(self, u: Any, current: Any) -> Any:
        """Time from a rising state with positive current to the maximum of the potential."""
        if self.equal:
            return self.tau_m - u * self.tau_s / current
        slow = u + self.k * current  # factor of e^{-t/tau_m}
        ratio = self.k * current * self.tau_m / (slow * self.tau_s) if slow else mpf(0)
        if ratio <= 0:
            return inf  # the potential rises towards 0 from below for ever
        return log(ratio) / (1 / self.tau_s - 1 / self.tau_m)

    def _bracketed(self, u: Any, current: Any, high: Any) -> Any:
        """Time at which the rising potential passes the threshold, between 0 and its maximum at `high`."""
        low = mpf(0)
        for _ in range(12):
            middle = (low + high) / 2
            if self.potential(u, current, middle) < self.threshold:
                low = middle
            else:
                high = middle
        guess = low
        for _ in range(1000):
            value = self.potential(u, current, guess)
            low, high = (guess, high) if value < self.threshold else (low, guess)
            slope = self.slope(value, current * exp(-guess / self.tau_s))
            better = guess + (self.threshold - value) / slope if slope > 0 else high
            if not low <= better <= high:
                better = (low + high) / 2
            if abs(better - guess) <= self.resolution * self.tau_s:
                return better
            guess = better
        raise AssertionError("the crossing was not located: raise the precision")


def neuron_run(
    input_times_ms: Sequence[float],
    weights: Sequence[float],
    lif: LIF,
    t_stop: float | None = None,
    dps: int = 50,
) -> tuple[list[Any], Any]:
    """Spike times (ms) of one neuron, and the smallest relative distance of a maximum to the threshold.

    `weights[n]` is the synaptic weight of the input spike at `input_times_ms[n]`; times ascend.
    """
    stop = inf if t_stop is None else mpf(float(t_stop))
    spikes: list[Any] = []
    with mp.workdps(dps + GUARD_DIGITS):
        neuron = Neuron(lif, dps)
        arrivals = [(float(t), float(w)) for t, w in zip(input_times_ms, weights, strict=True)]
        assert arrivals == sorted(arrivals, key=itemgetter(0)), "input times must ascend"
        instants = [(t, sum(mpf(w) for _, w in same)) for t, same in groupby(arrivals, key=itemgetter(0))]
        for n, (t, weight) in enumerate(instants):
            neuron.deliver(mpf(t), weight)
            before = min(stop, mpf(instants[n + 1][0]) if n + 1 < len(instants) else inf)
            while (crossing := neuron.next_crossing(before)) < inf:
                spikes.append(crossing)
                neuron.fire(crossing)
        return [t for t in spikes if t <= stop], neuron.margin


def spike_times(
    input_times_ms: Sequence[float],
    weights: Sequence[float],
    lif: LIF,
    t_stop: float | None = None,
    dps: int = 50,
) -> list[Any]:
    """Spike times (ms, mpf) of one neuron; see `neuron_run`."""
    return neuron_run(input_times_ms, weights, lif, t_stop, dps)[0]


def delay_groups(network: Network, projection: Projection) -> list[list[tuple[float, list[int]]]]:
    """For each source neuron (delay, the neurons that its spikes reach after that), in ms."""
    p, sources = projection, network.source_size(projection.source)
    layer = network.layers[p.target]
    everyone = list(range(layer.neurons))
    key = str(layer.name) if p.source == BIAS else p.key
    if key in network.delays:
        matrix = network.weights[key]
        first = matrix.shape[1] - 1 if p.source == BIAS else 0
        found: list[list[tuple[float, list[int]]]] = [[] for _ in range(sources)]
        for post in everyone:
            for k in range(matrix.indptr[post], matrix.indptr[post + 1]):
                if first <= matrix.indices[k] < first + sources:
                    found[matrix.indices[k] - first].append((float(network.delays[key][k]), [post]))
        return found
    if key == layer.name and layer.each_delay is not None:
        own = layer.each_delay[-1:] if p.source == BIAS else layer.each_delay[:sources]
        return [[(delay, everyone)] for delay in own]
    return [[(p.delay, everyone)]] * sources


class TooManySpikes(AssertionError):
    """A network fires more often than a test can wait for."""


def network_run(
    network: Network,
    times_ms: Iterable[float],
    indices: Iterable[int],
    t_stop: float | None = None,
    dps: int = 50,
    most_spikes: int = 2000,
) -> OracleRun:
    """All spikes of a small network with any connections; `TooManySpikes` after `most_spikes`."""
    stop = inf if t_stop is None else mpf(float(t_stop))
    with mp.workdps(dps + GUARD_DIGITS):
        neurons = [[Neuron(layer.lif, dps) for _ in range(layer.neurons)] for layer in network.layers]
        outgoing = [
            (p.source, p.target, delay_groups(network, p), network.projection_weights(p).tolist())
            for p in network.projections
        ]
        # Arrival time, number in `outgoing`, source neuron, the neurons reached then.
        deliveries: list[tuple[Any, int, int, list[int]]] = []
        crossings: dict[tuple[int, int], Any] = {}
        fired: list[tuple[Any, int, int]] = []

        def emit(t: Any, layer: int, neuron: int) -> None:
            for number, (source, _, groups, _) in enumerate(outgoing):
                if source == layer:
                    for delay, posts in groups[neuron]:
                        heapq.heappush(deliveries, (t + mpf(delay), number, neuron, posts))

        last = 0.0
        for t, index in zip(times_ms, indices, strict=True):
            emit(mpf(float(t)), -1, int(index))
            last = max(last, float(t))
        k = 1
        while network.input.bias_interval and k * network.input.bias_interval <= last:
            emit(mpf(k * network.input.bias_interval), BIAS, 0)  # rounded as times of events are
            k += 1
        while True:
            arrival = deliveries[0][0] if deliveries else inf
            crossing = min(crossings.values(), default=inf)
            now = min(arrival, crossing)
            if now == inf or now > stop:
                break
            if crossing <= arrival:
                touched = {place for place, t in crossings.items() if t == now}
                for layer, neuron in sorted(touched):
                    fired.append((now, layer, neuron))
                    neurons[layer][neuron].fire(now)
                    emit(now, layer, neuron)
                if len(fired) > most_spikes:
                    raise TooManySpikes(f"more than {most_spikes} spikes take the oracle too long")
            else:
                touched = set()
                while deliveries and deliveries[0][0] == now:
                    _, number, pre, posts = heapq.heappop(deliveries)
                    _, target, _, weights = outgoing[number]
                    for post in posts:
                        neurons[target][post].deliver(now, mpf(weights[post][pre]))
                        touched.add((target, post))
            for layer, neuron in touched:
                crossings[layer, neuron] = neurons[layer][neuron].next_crossing()
        margin = min((neuron.margin for layer in neurons for neuron in layer), default=inf)
        gap = min((b[0] - a[0] for a, b in pairwise(fired)), default=inf)
    layers = {name: [(t, i) for t, layer, i in fired if layer == n] for n, name in enumerate(network.names)}
    return OracleRun(layers, margin, gap)


def quick_run(*simulation: Any, **options: Any) -> OracleRun:
    """`network_run` for the examples of hypothesis: those that fire too often are left out."""
    try:
        return network_run(*simulation, **options)
    except TooManySpikes:
        reject()


def network_spikes(
    network: Network, times_ms: Iterable[float], indices: Iterable[int], t_stop: float | None = None
) -> dict[str, list[tuple[Any, int]]]:
    """Spikes of every layer as (time in ms, neuron), sorted; see `network_run`."""
    return network_run(network, times_ms, indices, t_stop).layers
