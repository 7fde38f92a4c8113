"""What can have led to some spikes of a run: the neurons that fired before, and the synapses between them.

All else has no part in them, and derivatives of 0. A recording of a large sensor has a few spikes for every
hundred neurons, and a spike of a convolution has a patch of them, so this is small where the network is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from eventsnn.errors import TraceError
from eventsnn.model import Network, Projection
from eventsnn.model.layers import BIAS
from eventsnn.trace.record import SpikeRecord

INPUT = -1  # `Projection.source` of the input

MOST_PAIRS = 2**18
"""About how many synapses are looked at together."""


class Links(NamedTuple):
    """The synapses of a projection between neurons of a cone: arrays (synapses,)."""

    pre: np.ndarray
    post: np.ndarray
    weights: np.ndarray
    numbers: np.ndarray
    """Which of the network's weights it has, in their order; of a layer without weights, 0."""
    branches: np.ndarray
    """Which of the projection's branches it is, where there is one for each synapse; else -1."""


class Cone:
    """See the module.

    Parameters
    ----------
    network, record
        A run of the network.
    seeds : mapping of (layer, row) to any
        The spikes; `row` counts those of the layer.

    Attributes
    ----------
    stop : float
        Time of the last of them, ms: what is later has no part in them.
    neurons : dict of int to int64 array
        By number of a layer, `INPUT` or `BIAS`, ascending.
    links : list of Links or None
        By projection; None where all pairs of neurons have a synapse.

    Raises
    ------
    TraceError
        For a layer of another package whose synapses do not each have one of its weights.
    """

    def __init__(
        self, network: Network, record: SpikeRecord, seeds: Mapping[tuple[int, int], object]
    ) -> None:
        self._network, self._numbered = network, network.numbered
        self.stop = max(float(record[network.names[layer]].times[row]) for layer, row in seeds)
        self._fired = {INPUT: _fired(record, "input", self.stop), BIAS: _fired(record, "bias", self.stop)}
        self._fired |= {n: _fired(record, name, self.stop) for n, name in enumerate(network.names)}
        self._wanted = {source: np.zeros(len(fired), bool) for source, fired in self._fired.items()}
        for layer, row in seeds:
            self._wanted[layer][record[network.names[layer]].neurons[row]] = True
        self._parts: list[list[Links]] = [[] for _ in network.projections]
        self._grow()
        self.neurons = {source: np.flatnonzero(wanted) for source, wanted in self._wanted.items()}
        self.links = [
            None if self._all_to_all(p) else _joined(parts)
            for p, parts in zip(network.projections, self._parts, strict=True)
        ]

    def slots(self, source: int) -> np.ndarray:
        """Places in `neurons` of all neurons of a layer, -1 of the others, int32 (neurons,)."""
        wanted = self._wanted[source]
        return np.where(wanted, np.cumsum(wanted) - 1, -1).astype(np.int32)

    def _grow(self) -> None:
        """From the spikes back to the input; where there are loops, until nothing is added."""
        grown = [np.zeros(layer.neurons, bool) for layer in self._network.layers]
        growing = True
        while growing:
            growing = False
            for number in reversed(range(len(grown))):
                fresh = np.flatnonzero(self._wanted[number] & ~grown[number])
                grown[number][fresh] = True
                growing |= fresh.size > 0
                for place, p in enumerate(self._network.projections):
                    if p.target == number and fresh.size:
                        self._follow(place, p, fresh)

    def _follow(self, place: int, p: Projection, posts: np.ndarray) -> None:
        """Take in what reaches some neurons through a projection."""
        wanted, fired = self._wanted[p.source], self._fired[p.source]
        if self._all_to_all(p):
            wanted |= fired
            return
        for block in self._blocks(p, posts):
            synapses = self._numbered.afferent_synapses(p, block)
            assert synapses is not None
            used = np.flatnonzero(fired[synapses.pre])
            pre, post = synapses.pre[used], np.repeat(block, np.diff(synapses.ptr))[used]
            branches = np.broadcast_to(np.int32(-1), used.shape)
            if p.branches is not None and p.branches.each_synapse:
                branches = p.branches.onto_each(block)[1][used].astype(np.int32)
            numbers, weights = self._look_up(p, synapses.weights[used])
            wanted[pre] = True
            small = np.int32 if numbers.max(initial=0) < 2**31 else np.int64
            neurons = pre.astype(np.int32), post.astype(np.int32)
            self._parts[place].append(Links(*neurons, weights, numbers.astype(small), branches))

    def _look_up(self, p: Projection, counted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of weights and the weights, of synapses with those of `Network.numbered`."""
        key = weight_key(self._network, p)
        if key not in self._network.weights:
            return np.zeros(len(counted), np.int64), counted
        weights = self._network.weights[key]
        values = weights.data if hasattr(weights, "indptr") else weights.reshape(-1)
        numbers = counted.astype(np.int64) - 1
        if (counted != numbers + 1).any() or not ((numbers >= 0) & (numbers < len(values))).all():
            raise TraceError(
                f"layer {key!r}: its synapses do not have one of its weights each, so derivatives are "
                "not known"
            )
        return numbers, values[numbers].astype(np.float64)

    def _blocks(self, p: Projection, posts: np.ndarray) -> Iterator[np.ndarray]:
        layer = self._network.layers[p.target]
        weights: Any = self._network.weights.get(p.key)
        each = weights.nnz / layer.neurons if hasattr(weights, "nnz") else layer.inputs
        size = max(1, int(MOST_PAIRS / max(1.0, each)))
        for begin in range(0, len(posts), size):
            yield posts[begin : begin + size]

    def _all_to_all(self, p: Projection) -> bool:
        return self._numbered.afferent_synapses(p, np.zeros(0, np.int64)) is None


def _fired(record: SpikeRecord, name: str, stop: float) -> np.ndarray:
    """Which neurons have fired up to a time."""
    spikes = record[name]
    fired = np.zeros(spikes.size, bool)
    fired[spikes.neurons[: np.searchsorted(spikes.times, stop, side="right")]] = True
    return fired


def _joined(parts: list[Links]) -> Links:
    """The synapses of all parts, by source neuron and target neuron."""
    empty = np.zeros(0, np.int32)
    start = Links(empty, empty, np.zeros(0), empty, empty)
    joined = Links(*(np.concatenate(columns) for columns in zip(start, *parts, strict=True)))
    order = np.lexsort((joined.post, joined.pre))
    return Links(*(column[order] for column in joined))


def weight_key(network: Network, projection: Projection) -> str:
    """Key of the weights of a projection; those of biases are their layer's."""
    return network.names[projection.target] if projection.source == BIAS else projection.key
