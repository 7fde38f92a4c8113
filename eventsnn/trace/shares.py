"""Contributions of earlier arrivals to many spikes of a layer at once, over the synapses that there are.

`eventsnn.trace.attribution.Attribution.contributions` is the readable form, of one spike: it goes through all
that the source fired before. Of a patch of 9 neurons among 180,000, hardly any of it arrives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from eventsnn.model import LIF, Network, Projection
from eventsnn.model.layers import BIAS
from eventsnn.model.sparse import is_sparse, join_ranges
from eventsnn.reference.spsp import unit_contributions
from eventsnn.trace.record import LayerSpikes, SpikeRecord
from eventsnn.trace.schema import source_name

Part: TypeAlias = tuple[slice | np.ndarray, np.ndarray, np.ndarray]
"""Of one spike: spikes of the source, whether each has a synapse that does something, their contributions."""


VANISHED = 760.0
"""exp(-x) is exactly 0 in float64 from x = 745.2 on; the rest allows for rounding of times."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Spikes of one layer: neurons, times (ms), and the ends of the refractory periods before them."""

    neurons: np.ndarray
    times: np.ndarray
    resets: np.ndarray
    lif: LIF

    @cached_property
    def starts(self) -> np.ndarray:
        """Times (ms) before which an arrival contributes 0: what is left of it is below the least float64.

        A reset leaves the synaptic current as it is, so that what arrived before it counts on.
        """
        first = np.isinf(self.resets)
        slower = max(self.lif.tau_m, self.lif.tau_s)
        return np.where(first, self.times - VANISHED * slower, self.resets - VANISHED * self.lif.tau_s)


class DenseShares:
    """What contributes to each spike of a batch where all pairs of neurons have a synapse.

    Attributes
    ----------
    totals, sizes : float64 array (spikes,)
        Sum of the contributions to each spike, and of their absolute values.
    """

    def __init__(self, parts: list[Part]) -> None:
        # Spike by spike: arrays of one spike's arrivals stay in the processor's cache.
        self._parts = parts
        self.totals = np.array([shares.sum() for *_, shares in parts])
        self.sizes = np.array([np.abs(shares).sum() for *_, shares in parts])

    def part(self, k: int) -> Part:
        """What contributes to spike `k` of the batch."""
        return self._parts[k]

    def pass_back(self, scales: np.ndarray, credit: np.ndarray, reached: np.ndarray) -> None:
        """Add the contributions, times a scale for each spike, to the credit of the source's spikes, and mark
        those that came over a synapse whose weight is not 0. Of the input all that arrived are marked.
        """
        for scale, part in zip(scales.tolist(), self._parts, strict=True):
            pass_part(part, scale, credit, reached)


class SparseShares:
    """`DenseShares` where few pairs of neurons have a synapse: all contributions one after the other."""

    def __init__(
        self, spikes: int, owner: np.ndarray, rows: np.ndarray, used: np.ndarray, shares: np.ndarray
    ) -> None:
        self._owner, self._rows, self._used, self._shares = owner, rows, used, shares
        self.totals = np.bincount(owner, shares, spikes)
        self.sizes = np.bincount(owner, np.abs(shares), spikes)

    @cached_property
    def _ptr(self) -> np.ndarray:
        return np.searchsorted(self._owner, np.arange(len(self.totals) + 1))

    def part(self, k: int) -> Part:
        """See `DenseShares`."""
        own = slice(self._ptr[k], self._ptr[k + 1])
        return self._rows[own], self._used[own], self._shares[own]

    def pass_back(self, scales: np.ndarray, credit: np.ndarray, reached: np.ndarray) -> None:
        """See `DenseShares`."""
        credit += np.bincount(self._rows, scales[self._owner] * self._shares, len(credit))
        reached[self._rows[self._used]] = True


def pass_part(part: Part, scale: float, credit: np.ndarray, reached: np.ndarray) -> None:
    """`DenseShares.pass_back` of one spike."""
    rows, used, shares = part
    credit[rows] += scale * shares
    reached[rows] |= used


class ShareFinder:
    """Finds what contributes to spikes through one projection.

    Attributes
    ----------
    projection : Projection
    """

    def __init__(self, network: Network, record: SpikeRecord, projection: Projection) -> None:
        self.projection = projection
        self._network = network
        self._spikes: LayerSpikes = record[source_name(network, projection)]

    @cached_property
    def arrivals(self) -> tuple[np.ndarray, np.ndarray]:
        """When the source's spikes arrive, ms, ascending, and their numbers."""
        arrivals, rows, _ = self.projection.arrive(self._spikes.times, self._spikes.neurons)
        return arrivals, rows

    @cached_property
    def _by_neuron(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the spikes of each source neuron begin in an array of all, which is the second."""
        counts = np.bincount(self._spikes.neurons, minlength=self._spikes.size)
        return np.concatenate([[0], np.cumsum(counts)]), np.argsort(self._spikes.neurons, kind="stable")

    @cached_property
    def pairs(self) -> float:
        """About how many contributions there are to a spike."""
        p, spikes = self.projection, len(self._spikes)
        layer = self._network.layers[p.target]
        key = self._network.names[p.target] if p.source == BIAS else p.key
        weights: Any = self._network.weights.get(key)
        if layer.shares_weights and key == layer.name:
            synapses = float(layer.inputs)
        elif is_sparse(weights):
            synapses = weights.nnz / layer.neurons
        else:
            return max(1.0, spikes)
        firing = int(np.count_nonzero(np.diff(self._by_neuron[0])))
        return max(1.0, synapses * max(1.0, spikes / max(1, firing)))

    def find(self, batch: Batch) -> DenseShares | SparseShares:
        """What contributes to the spikes of a batch."""
        synapses = self._network.afferent_synapses(self.projection, batch.neurons)
        if synapses is None:
            return DenseShares(list(self._find_dense(batch)))
        ptr, order = self._by_neuron
        owner = np.repeat(np.arange(len(batch.neurons)), np.diff(synapses.ptr))
        used = np.flatnonzero(ptr[synapses.pre + 1] > ptr[synapses.pre])
        pre = synapses.pre[used]
        ends, places = join_ranges(ptr[pre], ptr[pre + 1])
        counts, rows = np.diff(ends), order[places]
        owner = np.repeat(owner[used], counts)
        arrivals = self._spikes.times[rows] + np.repeat(synapses.delays[used], counts)
        before = arrivals < batch.times[owner]
        if len(order) and batch.starts.max() > self._spikes.times[0]:
            before &= arrivals >= batch.starts[owner]
        owner, rows, arrivals = owner[before], rows[before], arrivals[before]
        weights = np.repeat(synapses.weights[used], counts)[before]
        shares = unit_contributions(batch.times[owner], batch.resets[owner], arrivals, batch.lif)
        return SparseShares(len(batch.neurons), owner, rows, self._used(weights), weights * shares)

    def _find_dense(self, batch: Batch) -> Iterator[Part]:
        arrivals, rows = self.arrivals
        in_order = self.projection.branches is None  # then row n is the n-th to arrive
        begins, ends = (np.searchsorted(arrivals, times).tolist() for times in (batch.starts, batch.times))
        for neuron, t, reset, begin, end in zip(
            batch.neurons.tolist(), batch.times.tolist(), batch.resets.tolist(), begins, ends, strict=True
        ):
            within = slice(begin, max(begin, end))
            own = rows[within]
            weights = self._network.afferent_weights(self.projection, neuron)[self._spikes.neurons[own]]
            shares = weights * unit_contributions(t, reset, arrivals[within], batch.lif)
            yield (within if in_order else own), self._used(weights), shares

    def _used(self, weights: np.ndarray) -> np.ndarray:
        return (weights != 0.0) | (self.projection.source < 0)
