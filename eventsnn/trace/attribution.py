"""The potential at spikes, passed back through the network to the input events."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

import numpy as np

from eventsnn.errors import TraceError
from eventsnn.model import Network
from eventsnn.model.layers import BIAS
from eventsnn.reference.spsp import unit_contributions
from eventsnn.trace.afferents import (
    Afferents,
    afferents,
    all_reset_times,
    check_exact_time,
    resting_contribution,
)
from eventsnn.trace.record import SpikeRecord
from eventsnn.trace.shares import Batch, DenseShares, ShareFinder, SparseShares, pass_part

TOLERANCE = {"float64": 1e-6, "float32": 1e-3}
"""How far the sum of a spike's contributions may be from its threshold, relative to their absolute sum."""

INPUT = -1  # `Projection.source` of the input


MOST_PAIRS = 2**19
"""About how many pairs of a spike and an arrival are in memory at once."""


class _Found(NamedTuple):
    """What contributes to some spikes of a layer: resting potential, and shares by source; sums for each."""

    resting: np.ndarray
    shares: list[tuple[int, DenseShares | SparseShares]]
    totals: np.ndarray
    sizes: np.ndarray


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
        size = abs(resting) + sum(float(np.abs(share).sum()) for _, share in per_layer)
        self._check_sums(layer, np.array([row]), np.array([_total((per_layer, resting))]), np.array([size]))
        return per_layer, resting

    def _check_sums(self, layer: int, rows: np.ndarray, totals: np.ndarray, sizes: np.ndarray) -> None:
        """Refuse spikes whose contributions do not add up to their threshold: they are not of this network.

        Rounding errors are of the size of the contributions, which may cancel.
        """
        threshold = float(self.network.layers[layer].threshold)
        good = np.abs(totals - threshold) <= TOLERANCE[self.record.dtype] * (threshold + sizes)
        if not good.all():
            spikes, k = self.layers[layer], int(np.flatnonzero(~good)[-1])
            raise TraceError(
                f"the contributions to the spike of neuron {spikes.neurons[rows[k]]} of layer "
                f"{self.network.names[layer]!r} at {spikes.times[rows[k]]:.6f} ms add up to {totals[k]:.6g}, "
                f"not to its threshold {threshold:.6g}: spikes and weights are not those of one simulation "
                "(a damaged file, or one that was changed)"
            )

    def to_input(self, seeds: Mapping[tuple[int, int], float]) -> tuple[np.ndarray, np.ndarray, float, float]:
        """Contribution of every input event to spikes (layer, row), times the factor of each spike; which
        events could have one; those of resting potentials and of biases.

        Layers are visited from the last to the first, layers in a loop together, their spikes in reverse
        order of time. Whatever a spike causes is in a later layer or arrives later, so when it is its turn
        all the credit it can get has come in, and it is expanded once. (Of two simultaneous spikes neither
        contributes to the other: the post-synaptic potential begins at 0.)
        """
        # The numbers of bias neuron and input are -2 and -1: they stand last.
        trains = (*self.layers, self.record.bias, self.record.input)
        credit = [np.zeros(len(spikes)) for spikes in trains]
        reached = [np.zeros(len(spikes), dtype=bool) for spikes in trains]
        for (layer, row), factor in seeds.items():
            credit[layer][row] = factor * _total(self.contributions(layer, row))
            reached[layer][row] = True
        resting = 0.0
        for numbers, looped in self._groups():
            expand = self._expand_in_order if looped else self._expand
            resting += expand(numbers, credit, reached)
        self._reach_input(reached)
        return credit[INPUT], reached[INPUT], resting, math.fsum(credit[BIAS])

    def _groups(self) -> Iterator[tuple[range, bool]]:
        """Layers from the last to the first, those in a loop together, and whether they are in one.

        Every layer feeds the next, so a projection back to a layer makes a loop of all from there on.
        """
        last = len(self.layers) - 1
        while last >= 0:
            first, number, looped = last, last, False
            while number >= first:
                back = [p.target for p in self.network.projections if p.source == number >= p.target]
                first, looped, number = min([first, *back]), looped or bool(back), number - 1
            yield range(first, last + 1), looped
            last = first - 1

    def _expand(self, numbers: range, credit: list[np.ndarray], reached: list[np.ndarray]) -> float:
        """Pass the credit of a layer's spikes to their causes; returns that of the resting potential."""
        (number,) = numbers
        rows, resting = np.flatnonzero(reached[number]), 0.0
        for begin in range(0, len(rows), step := self._batch_size(numbers)):
            own = rows[begin : begin + step]
            found = self._find(number, own)
            self._check_sums(number, own, found.totals, found.sizes)
            # What a spike is made of adds up to its threshold, up to rounding; dividing by the sum itself
            # keeps the total exact also for a float32 run.
            scales = credit[number][own] / found.totals
            resting += float(scales @ found.resting)
            for source, shares in found.shares:
                shares.pass_back(scales, credit[source], reached[source])
        return resting

    def _expand_in_order(self, numbers: range, credit: list[np.ndarray], reached: list[np.ndarray]) -> float:
        """The same of layers whose spikes can cause each other: batches are found, then passed one by one."""
        last = max(self.layers[n].times[reached[n]].max(initial=-math.inf) for n in numbers)
        counts = [int(np.searchsorted(self.layers[n].times, last, side="right")) for n in numbers]
        layers = np.repeat(numbers, counts)
        rows = np.concatenate([np.arange(count) for count in counts])
        times = np.concatenate(
            [self.layers[n].times[:count] for n, count in zip(numbers, counts, strict=True)]
        )
        order, resting = np.argsort(-times, kind="stable"), 0.0
        for begin in range(0, len(order), step := self._batch_size(numbers)):
            batch = order[begin : begin + step]
            places = {n: np.flatnonzero(layers[batch] == n) for n in numbers}
            found = {n: self._find(n, rows[batch[place]]) for n, place in places.items() if place.size}
            within = np.empty(len(batch), np.int64)  # place of each spike among those of its layer
            for place in places.values():
                within[place] = np.arange(place.size)
            for n, row, k in zip(layers[batch].tolist(), rows[batch].tolist(), within.tolist(), strict=True):
                if reached[n][row]:
                    own = found[n]
                    self._check_sums(n, np.array([row]), own.totals[k : k + 1], own.sizes[k : k + 1])
                    scale = float(credit[n][row] / own.totals[k])
                    resting += scale * float(own.resting[k])
                    for source, shares in own.shares:
                        pass_part(shares.part(k), scale, credit[source], reached[source])
        return resting

    def _batch_size(self, numbers: range) -> int:
        """How many spikes of these layers are expanded at once."""
        pairs = max(finder.pairs for number in numbers for finder in self._finders[number])
        return max(1, int(MOST_PAIRS / pairs))

    def _find(self, number: int, rows: np.ndarray) -> _Found:
        """What contributes to some spikes of a layer."""
        spikes, lif = self.layers[number], self.network.layers[number].lif
        batch = Batch(spikes.neurons[rows], spikes.times[rows], self._resets[number][rows], lif)
        resting = resting_contribution(batch.times, batch.resets, lif)
        shares = [(finder.projection.source, finder.find(batch)) for finder in self._finders[number]]
        return _Found(
            resting,
            shares,
            totals=sum((each.totals for _, each in shares), resting),
            sizes=sum((each.sizes for _, each in shares), np.abs(resting)),
        )

    @cached_property
    def _finders(self) -> list[list[ShareFinder]]:
        """By layer."""
        network = self.network
        return [
            [ShareFinder(network, self.record, p) for p in network.projections if p.target == number]
            for number in range(len(self.layers))
        ]

    @cached_property
    def _resets(self) -> list[np.ndarray]:
        """By layer, the end of the refractory period before each spike."""
        layers = zip(self.layers, self.network.layers, strict=True)
        return [all_reset_times(spikes, layer.lif) for spikes, layer in layers]

    def _reach_input(self, reached: list[np.ndarray]) -> None:
        """Mark all events that had arrived at a layer by the last of its spikes: they are listed, too."""
        for number, finders in enumerate(self._finders):
            last = self.layers[number].times[reached[number]].max(initial=-math.inf)
            for finder in finders:
                p = finder.projection
                if p.source == INPUT and not (p.branches is not None and p.branches.each_synapse):
                    arrivals, rows = finder.arrivals
                    reached[INPUT][rows[: int(np.searchsorted(arrivals, last))]] = True


def _total(shares: tuple[list[tuple[Afferents, np.ndarray]], float]) -> float:
    return sum(float(np.sum(share)) for _, share in shares[0]) + shares[1]
