"""The potential at spikes, passed back through the network to the input events."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from eventsnn.errors import TraceError
from eventsnn.model import Network
from eventsnn.model.layers import BIAS
from eventsnn.reference.spsp import unit_contributions
from eventsnn.trace.afferents import Afferents, afferents, check_exact_time, resting_contribution
from eventsnn.trace.record import SpikeRecord

TOLERANCE = {"float64": 1e-6, "float32": 1e-3}
"""How far the sum of a spike's contributions may be from its threshold, relative to their absolute sum."""

INPUT = -1  # `Projection.source` of the input


class Attribution:
    """Passes the potential at spikes back through the network.

    Parameters
    ----------
    network : Network
    record : SpikeRecord
        A run of it in exact time.

    Raises
    ------
    TraceError
        The spikes come from the clocked engine. Of the methods: see `eventsnn.trace.explain`.
    """

    def __init__(self, network: Network, record: SpikeRecord) -> None:
        check_exact_time(record.engine, "an explanation")
        self.network = network
        self.record = record
        self.layers = [record[name] for name in network.names]

    def contributions(self, layer: int, row: int) -> tuple[list[tuple[Afferents, np.ndarray]], float]:
        """What earlier arrivals and the resting potential contribute to spike `row` of a layer, exactly.

        Returns
        -------
        list of (Afferents, float64 array)
            By projection: contributions of the first spikes of the source, as many as had arrived by then.
        float
            Contribution of the resting potential.
        """
        spikes, lif = self.layers[layer], self.network.layers[layer].lif
        t, neuron = float(spikes.times[row]), int(spikes.neurons[row])
        earlier = np.flatnonzero(spikes.neurons[:row] == neuron)
        reset = float(spikes.times[earlier[-1]]) + lif.refractory if earlier.size else -math.inf
        per_layer = []
        resting = float(resting_contribution(t, reset, lif))
        for incoming in afferents(self.network, self.record, layer, neuron):
            before = int(np.searchsorted(incoming.arrivals, t, side="left"))
            arrivals = incoming.arrivals[:before]
            per_layer.append(
                (incoming, incoming.weights[:before] * unit_contributions(t, reset, arrivals, lif))
            )
        self._check_sum(layer, row, per_layer, resting)
        return per_layer, resting

    def _check_sum(
        self, layer: int, row: int, contributions: list[tuple[Afferents, np.ndarray]], resting: float
    ) -> None:
        """Refuse a spike whose contributions do not add up to its threshold: it is not of this network.

        Rounding errors are of the size of the contributions, which may cancel.
        """
        total, threshold = _total((contributions, resting)), float(self.network.layers[layer].threshold)
        size = threshold + abs(resting) + sum(float(np.abs(share).sum()) for _, share in contributions)
        if not abs(total - threshold) <= TOLERANCE[self.record.dtype] * size:
            spikes = self.layers[layer]
            raise TraceError(
                f"the contributions to the spike of neuron {spikes.neurons[row]} of layer "
                f"{self.network.names[layer]!r} at {spikes.times[row]:.6f} ms add up to {total:.6g}, not to "
                f"its threshold {threshold:.6g}: spikes and weights are not those of one simulation "
                "(a damaged file, or one that was changed)"
            )

    def to_input(self, seeds: Mapping[tuple[int, int], float]) -> tuple[np.ndarray, np.ndarray, float, float]:
        """Contribution of every input event to spikes (layer, row), times the factor of each spike; which
        events could have one; those of resting potentials and of biases.

        Spikes are visited in reverse order of time. Whatever a spike causes arrives later, so when it is
        its turn all the credit it can get has come in, and it is expanded once. (Of two simultaneous spikes
        neither contributes to the other: the post-synaptic potential begins at 0.)
        """
        # The numbers of bias neuron and input are -2 and -1: they stand last.
        trains = (*self.layers, self.record.bias, self.record.input)
        credit = [np.zeros(len(spikes)) for spikes in trains]
        reached = [np.zeros(len(spikes), dtype=bool) for spikes in trains]
        resting = 0.0
        begun = {seed: self.contributions(*seed) for seed in seeds}
        for seed, shares in begun.items():
            credit[seed[0]][seed[1]] = seeds[seed] * _total(shares)
            reached[seed[0]][seed[1]] = True
        numbers = np.repeat(np.arange(len(self.layers)), [len(spikes) for spikes in self.layers])
        rows = np.concatenate([np.arange(len(spikes)) for spikes in self.layers])
        times = np.concatenate([spikes.times for spikes in self.layers])
        order = np.argsort(-times, kind="stable")
        for number, k in zip(numbers[order].tolist(), rows[order].tolist(), strict=True):
            if not reached[number][k]:
                continue
            shares = begun.get((number, k)) or self.contributions(number, k)
            # What a spike is made of adds up to its threshold, up to rounding; dividing by the sum itself
            # keeps the total exact also for a float32 run.
            scale = credit[number][k] / _total(shares)
            resting += scale * shares[1]
            for incoming, share in shares[0]:
                source = incoming.projection.source
                rows = incoming.rows[: share.size]
                credit[source][rows] += scale * share
                # All events that arrived are listed, but only neurons that are connected are expanded.
                reached[source][rows] |= (incoming.weights[: share.size] != 0.0) | (source < 0)
        return credit[INPUT], reached[INPUT], resting, math.fsum(credit[BIAS])


def _total(shares: tuple[list[tuple[Afferents, np.ndarray]], float]) -> float:
    return sum(float(np.sum(share)) for _, share in shares[0]) + shares[1]
