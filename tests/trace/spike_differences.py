"""Central differences of spike times: the oracle of their derivatives. No formula of them is used.

A spike time is smooth as long as nothing changes places: it has a kink where an arrival passes a spike of its
neuron, or the end of a refractory period. So steps are taken that leave the order of everything as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import issparse

from eventsnn.model import Network
from eventsnn.simulate.run import simulate
from eventsnn.trace.record import SpikeRecord
from eventsnn.trace.schema import source_name

Input = tuple[np.ndarray, np.ndarray]  # times (ms), input neurons

LONGEST, SHORTEST = 2.0**-12, 2.0**-22


class SpikeTime:
    """The time of one spike as a function of the network and its input, by simulation in exact time."""

    def __init__(
        self, network: Network, given: Input, layer: str, neuron: int, spike: int, t_stop: float | None
    ) -> None:
        self.network, self.given, self.t_stop = network, given, t_stop
        self.place = (layer, neuron, spike)
        run = self.run(network, given)
        self.time = self.read(run)
        self.order = list_order(network, run, self.time)

    def run(self, network: Network, given: Input) -> SpikeRecord:
        return simulate(network, given, t_stop=self.t_stop, engine="queue", dtype="float64")

    def read(self, run: SpikeRecord) -> float:
        layer, neuron, spike = self.place
        return float(run[layer].of(neuron)[spike])

    def difference(self, change: Callable[[float], tuple[Network, Input]]) -> float:
        """Derivative by d at 0 of the time with the network and input that `change` makes of d.

        From two central differences, to the order h^4.
        """
        h = LONGEST
        while h >= SHORTEST:
            slopes = []
            for d in (h, h / 2.0):
                times = [self._moved(*change(side)) for side in (d, -d)]
                if None in times:
                    break
                slopes.append((times[0] - times[1]) / (2.0 * d))  # type: ignore[operator]
            else:
                return (4.0 * slopes[1] - slopes[0]) / 3.0
            h /= 2.0
        raise AssertionError("something changes places however small the step")

    def _moved(self, network: Network, given: Input) -> float | None:
        """The time in a changed simulation; None if anything before it changed places."""
        run = self.run(network, given)
        layer, neuron, spike = self.place
        if len(run[layer].of(neuron)) <= spike:
            return None
        time = self.read(run)
        return time if list_order(network, run, time) == self.order else None

    def by_weight(self, key: str, place: tuple[int, ...]) -> float:
        """Derivative by one weight."""
        return self.difference(lambda d: (with_weight(self.network, key, place, d), self.given))

    def by_event(self, event: int) -> float:
        """Derivative by the time of one input event."""
        times, neurons = self.given
        one = np.arange(len(times)) == event
        return self.difference(lambda d: (self.network, (times + d * one, neurons)))

    def by_field(self, part: str, field: str) -> float:
        """Derivative by a parameter of a layer or connection."""
        parts = {str(layer.name): layer for layer in self.network.layers}
        value = getattr({**parts, **{c.key: c for c in self.network.connections}}[part], field)
        return self.difference(lambda d: (self.network.replace(part, **{field: value + d}), self.given))

    def by_delay(self, key: str, place: int) -> float:
        """Derivative by the delay of one synapse, or of one source neuron of a layer."""
        if key in self.network.delays:
            each = self.network.delays[key]
            one = np.arange(len(each)) == place
            return self.difference(lambda d: (self.network.with_delays({key: each + d * one}), self.given))
        own = np.array(self.network[key].delay)
        one = np.arange(len(own)) == place
        return self.difference(lambda d: (self.network.replace(key, delay=own + d * one), self.given))


def list_order(network: Network, run: SpikeRecord, until: float) -> list[bytes]:
    """In which order arrivals, spikes and ends of refractory periods come at every layer, up to a time."""
    found = []
    for number, layer in enumerate(network.layers):
        spikes = run[str(layer.name)]
        trains = [spikes.times, spikes.times + layer.refractory]
        each = [np.arange(len(spikes)), np.arange(len(spikes))]
        for p in network.projections:
            if p.target == number:
                source = run[source_name(network, p)]
                arrivals, rows, senders = p.arrive(source.times, source.neurons)
                trains.append(arrivals)
                each.append(rows * network.senders(p) + senders)
        times = np.concatenate(trains)
        numbers = np.concatenate([which + 10**9 * n for n, which in enumerate(each)])
        order = np.argsort(times, kind="stable")
        kept = numbers[order][times[order] <= until]
        found.append(kept.tobytes())
    return found


def with_weight(network: Network, key: str, place: tuple[int, ...], change: float) -> Network:
    """The network with one weight changed, all weights in float64."""
    weights: dict[str, Any] = {}
    for name, array in network.weights.items():
        wide = array.astype(np.float64).copy()
        if name == key:
            if issparse(wide):
                row = slice(*wide.indptr[place[0] : place[0] + 2])
                wide.data[row] += change * (wide.indices[row] == place[1])
            else:
                wide[place] += change
        weights[name] = wide
    return network.with_weights(weights)
