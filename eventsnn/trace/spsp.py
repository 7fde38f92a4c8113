"""S-PSPs of one sample: how much each pre-synaptic train takes part in each post-synaptic spike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from eventsnn.model import Network, Projection
from eventsnn.reference.spsp import unit_contributions
from eventsnn.trace.afferents import check_exact_time, reset_times
from eventsnn.trace.record import SpikeRecord
from eventsnn.trace.schema import source_name
from eventsnn.trace.shares import Batch


@dataclass(frozen=True, eq=False)
class SpikeShares:
    """Entries of one post-synaptic spike: pre-synaptic neurons, ascending (uint32), and S-PSPs (float32)."""

    pre: np.ndarray
    values: np.ndarray


@dataclass(eq=False)
class PairTotals:
    """Sums over the spikes of each pair, e_{i|j}: one float64 row per post-synaptic neuron that fired."""

    pre: np.ndarray
    rows: dict[int, np.ndarray] = field(default_factory=dict)

    def add(self, post: int, values: np.ndarray) -> None:
        """Add one spike's S-PSPs, one per neuron in `pre`."""
        if post in self.rows:
            self.rows[post] += values
        else:
            self.rows[post] = values.copy()

    def coordinates(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(post uint32, pre uint32, value float32) of the pairs that are not 0, by post, then pre."""
        per_spike: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for post in sorted(self.rows):
            value = self.rows[post].astype(np.float32)
            used = np.flatnonzero(value)
            per_spike.append((np.full(used.size, post, np.uint32), self.pre[used], value[used]))
        if not per_spike:
            return np.zeros(0, np.uint32), np.zeros(0, np.uint32), np.zeros(0, np.float32)
        posts, pres, values = (np.concatenate(part) for part in zip(*per_spike, strict=True))
        return posts, pres, values


def spike_shares(
    network: Network,
    record: SpikeRecord,
    projection: Projection,
    totals: PairTotals,
    taken: np.ndarray | None = None,
) -> Iterator[SpikeShares]:
    """S-PSPs of every spike of a projection's target, in the order of its spikes; also added to `totals`.

    Memory is that of one spike at a time, plus `totals`. The entries of spike f of neuron i are
    ``V_j(t_f) - e^{-(t_f - r)/tau_m} V_j(r)`` for every j that fired before, without synaptic weights
    (Jin, Zhang & Li 2018, eq. 6-8). The own spikes of a neuron are left out of a lateral inhibition.
    Spikes that are not `taken`, bool array (spikes,), have no entries, and no share in the totals.
    """
    check_exact_time(record.engine, "record 'spsp'")
    target = record[network.names[projection.target]]
    source = record[source_name(network, projection)]
    lif = network.layers[projection.target].lif
    resets = np.empty(len(target))
    for neuron in np.unique(target.neurons):
        of_neuron = target.neurons == neuron
        resets[of_neuron] = reset_times(target.times[of_neuron], lif)
    everything = np.ones(len(target), bool) if taken is None else taken
    spikes = zip(
        target.times.tolist(), target.neurons.tolist(), resets.tolist(), everything.tolist(), strict=True
    )
    each_synapse = projection.branches is not None and projection.branches.each_synapse
    arriving: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # by target where it matters, else by -1
    for t, neuron, reset, wanted in spikes:
        if not wanted:
            yield SpikeShares(totals.pre[:0], np.zeros(0, np.float32))
            continue
        onto = neuron if each_synapse else -1
        if onto not in arriving:
            times, rows, _ = projection.arrive(source.times, source.neurons, onto=neuron)
            # Only neurons that fired can have an entry: number those.
            arriving[onto] = times, np.searchsorted(totals.pre, source.neurons[rows])
        arrivals, positions = arriving[onto]
        before = int(np.searchsorted(arrivals, t, side="left"))
        shares = unit_contributions(t, reset, arrivals[:before], lif)
        values = np.bincount(positions[:before], weights=shares, minlength=totals.pre.size)
        values = values.astype(np.float64, copy=False)  # bincount of nothing is int
        if projection.lateral:
            values[totals.pre == neuron] = 0.0
        totals.add(neuron, values)
        single = values.astype(np.float32)
        used = np.flatnonzero(single)
        yield SpikeShares(totals.pre[used], single[used])


def pair_totals(network: Network, record: SpikeRecord, projection: Projection) -> PairTotals:
    """Empty totals for a projection, to be filled by `spike_shares`."""
    source = record[source_name(network, projection)]
    return PairTotals(np.unique(source.neurons).astype(np.uint32))


def neuron_spsps(network: Network, record: SpikeRecord, projection: Projection, neuron: int) -> np.ndarray:
    """S-PSPs e_{i|j} of one post-synaptic neuron i, in full precision.

    Returns
    -------
    float64 array (pre,)
        Summed over the neuron's spikes in the sample, without synaptic weights.
    """
    check_exact_time(record.engine, "an S-PSP")
    source = record[source_name(network, projection)]
    lif = network.layers[projection.target].lif
    arrivals, rows, _ = projection.arrive(source.times, source.neurons, onto=neuron)
    times = record[network.names[projection.target]].of(neuron)
    shares = np.zeros(len(arrivals))
    batch = Batch(np.full(len(times), neuron), times, reset_times(times, lif), lif)
    begins, ends = (np.searchsorted(arrivals, edge).tolist() for edge in (batch.starts, times))
    for t, reset, begin, end in zip(times.tolist(), batch.resets.tolist(), begins, ends, strict=True):
        within = slice(begin, max(begin, end))  # what else there is contributes 0
        shares[within] += unit_contributions(t, reset, arrivals[within], lif)
    total = np.bincount(source.neurons[rows], weights=shares, minlength=source.size).astype(
        np.float64, copy=False
    )
    if projection.lateral:
        total[neuron] = 0.0
    return total
