"""All synapses of a network by source neuron, for the adjoint sweep, and what it collects for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from eventsnn._ext.adjoint import SynapseTable
from eventsnn.errors import TraceError
from eventsnn.model import Network, Projection
from eventsnn.model.layers import BIAS
from eventsnn.model.sparse import is_sparse, with_data
from eventsnn.trace.cone import weight_key

DENSE, SPARSE, LATERAL, BRANCHED = range(4)


class _Part(NamedTuple):
    """The synapses of one projection, in the flat arrays."""

    kind: int
    begin: int
    """Where its weights begin."""

    size: int
    """How many weights there are."""

    start: int
    """What the kernel counts from: `begin`, or where its pointer is."""

    place: np.ndarray | None
    """Of sparse synapses: where each of the flat array is in the ``csr_array``."""


class Synapses:
    """See the module.

    Attributes
    ----------
    table : SynapseTable
        For the kernels, projections in the order of `Network.projections`.
    keys : list of str
        Of these projections.
    found : float64 array (synapses,)
        What was collected, in the order of the kernels; `collect` sorts it by key.
    branched : bool array (projections,)
        Whether each synapse has a delay of its own.
    apart : bool array (layers,)
        Of which layers a sweep takes the neurons apart, see ``ApartNeurons``: none.
    delay_places : int64 array (projections, 2)
        Where the derivative by a projection's delay is in an array of all, and 1 where it has one for each
        sender (`Projection.arrive`), else 0.
    delays : int
        Length of that array.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self.keys = [p.key for p in network.projections]
        self._weights: list[np.ndarray] = []
        self._ptr: list[np.ndarray] = []
        self._post: list[np.ndarray] = []
        self._parts: dict[str, _Part] = {}
        self._length = self._pointers = 0
        starts, kinds, links, linked = [], [], [np.zeros(0, np.int64)], 0
        for p in network.projections:
            key = weight_key(network, p)
            if key not in self._parts:
                self._parts[key] = self._append(p, key)
            part = self._parts[key]
            skipped = self._biases_after(p, key)
            if p.branches is not None and p.branches.place is not None:
                assert part.place is not None
                kinds.append(BRANCHED)
                starts.append(linked)
                links.append(part.begin + np.argsort(part.place)[p.branches.place])
                linked += len(links[-1])
            else:
                kinds.append(part.kind)
                starts.append(part.start + skipped * (1 if part.kind == SPARSE else self._post_size(p)))
        self.branched = np.array(kinds) == BRANCHED
        self.apart = np.zeros(len(network.layers), bool)
        self.delay_places, self.delays = place_delays(
            [None if p.branches is None else len(p.branches.delays) for p in network.projections]
        )
        self._layout = (
            np.array(kinds, np.int32),
            np.array([self._post_size(p) for p in network.projections], np.int64),
            np.array(starts, np.int64),
            np.concatenate(self._weights),
        )
        self._targets = (
            np.concatenate([*self._ptr, np.zeros(1, np.int64)]),
            np.concatenate([*self._post, np.zeros(1, np.int32)]),
            np.concatenate(links),
        )
        self._collect_in(np.zeros(self._length))

    def _collect_in(self, found: np.ndarray) -> None:
        self.found = found
        self.table = SynapseTable(*self._layout, found, *self._targets)

    def fork(self) -> Synapses:
        """The same synapses, for which nothing has been collected: one for each of several sweeps."""
        same = object.__new__(Synapses)
        same.__dict__.update(self.__dict__)
        same._collect_in(np.zeros(self._length))
        return same

    def _post_size(self, p: Projection) -> int:
        return self._network.layers[p.target].neurons

    def _biases_after(self, p: Projection, key: str) -> int:
        """Columns of the weights before those of this projection: the bias neuron has the last."""
        return int(self._network.lowered.weights[key].shape[1]) - 1 if p.source == BIAS else 0

    def _append(self, p: Projection, key: str) -> _Part:
        """Add the weights of a projection to the arrays."""
        begin, start, place = self._length, self._length, None
        if p.lateral:
            kind, flat = LATERAL, np.array([p.lateral])
        elif is_sparse(weights := self._network.lowered.weights[key]):
            from scipy.sparse import csr_array

            numbers = csr_array((np.arange(weights.nnz), weights.indices, weights.indptr), weights.shape)
            columns = numbers.tocsc()
            kind, place = SPARSE, columns.data
            flat = weights.data.astype(np.float64)[place]
            start = self._pointers
            self._ptr.append(columns.indptr.astype(np.int64) + begin)
            self._pointers += len(columns.indptr)
            # Targets are found with the number of the weight, among all weights.
            self._post.append(np.zeros(begin - sum(map(len, self._post)), np.int32))
            self._post.append(columns.indices.astype(np.int32))
        else:
            kind, flat = DENSE, np.asarray(weights.T, np.float64).ravel()
        self._weights.append(flat)
        self._length += len(flat)
        return _Part(kind, begin, len(flat), start, place)

    def add(self, place: int, pre: np.ndarray, post: np.ndarray) -> None:
        """Add to what was collected for each synapse of projection number `place`, which is not lateral, the
        product of its two neurons' values, summed over samples: float64 (samples, sources) and (samples,
        targets).
        """
        if self._dense(place, pre.shape[1]) is not None:
            self.add_pairs(place, np.einsum("si,sj->ij", pre, post))
            return
        each, source, target = self._pairs(place, pre.shape[1])
        self.found[each] += np.einsum("sk,sk->k", pre[:, source], post[:, target])

    def add_pairs(self, place: int, values: np.ndarray) -> None:
        """The same with a value of each pair of neurons, float64 (sources, targets)."""
        dense = self._dense(place, len(values))
        if dense is not None:
            self.found[dense] += values.ravel()
            return
        each, source, target = self._pairs(place, len(values))
        self.found[each] += values[source, target]

    def _dense(self, place: int, sources: int) -> slice | None:
        """Synapses of projection number `place`, in `found`, source by source; None if they are sparse."""
        p = self._network.projections[place]
        key, targets = weight_key(self._network, p), self._post_size(p)
        if self._parts[key].kind != DENSE:
            return None
        begin = self._parts[key].begin + self._biases_after(p, key) * targets
        return slice(begin, begin + sources * targets)

    def _pairs(self, place: int, sources: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sparse synapses of projection number `place`, in `found`, and their source and target neurons."""
        p = self._network.projections[place]
        key = weight_key(self._network, p)
        part, skipped = self._parts[key], self._biases_after(p, key)
        ptr, posts, _ = self._targets
        ends = ptr[part.start + skipped : part.start + skipped + sources + 1]
        each = np.arange(ends[0], ends[-1])
        return each, np.repeat(np.arange(sources), np.diff(ends)), posts[each]

    def collect(self) -> dict[str, Any]:
        """What the sweep has collected for each of the network's weights, by key, in their shape."""
        shared = _number_shared(self._network)
        found: dict[str, Any] = {}
        for key, shape in self._network.weight_shapes().items():
            part = self._parts[key]
            flat = self.found[part.begin : part.begin + part.size]
            if part.kind == DENSE:
                found[key] = flat.reshape(shape[1], shape[0]).T
                continue
            assert part.place is not None
            by_row = np.empty_like(flat)
            by_row[part.place] = flat
            if key in shared:
                total = np.bincount(shared[key], weights=by_row, minlength=int(np.prod(shape)))
                found[key] = total.reshape(shape)
            else:
                found[key] = with_data(self._network.lowered.weights[key], by_row)
        return found

    def collect_delays(self, delays: np.ndarray) -> dict[str, Any]:
        """See `collect_delays`."""
        return collect_delays(self._network, delays)

    def collect_lateral(self) -> dict[str, float]:
        """By layer, what was collected for the strength of its lateral inhibition."""
        return {
            self._network.names[p.target]: float(self.found[self._parts[p.key].begin])
            for p in self._network.projections
            if p.lateral
        }


def place_delays(senders: Sequence[int | None]) -> tuple[np.ndarray, int]:
    """`Synapses.delay_places` and the length of their array, from how many senders of each projection have
    delays of their own; None: one holds for all.
    """
    counts = [1 if n is None else n for n in senders]
    starts, each = np.cumsum([0, *counts[:-1]]), [n is not None for n in senders]
    return np.stack([starts, each], axis=1).astype(np.int64), sum(counts)


def collect_delays(network: Network, delays: np.ndarray) -> dict[str, Any]:
    """By key, the derivatives by delays in an array of all; those of biases are part of their layer's.

    A number; (sources,) where source neurons have delays of their own, the bias neuron's last; a
    ``csr_array`` (post, pre) where synapses have.
    """
    found: dict[str, Any] = {}
    place = 0
    for p in network.projections:
        key, layer = weight_key(network, p), network.layers[p.target]
        own = delays[place : place + (1 if p.branches is None else len(p.branches.delays))]
        place += len(own)
        if p.lateral:  # which has none
            continue
        if p.branches is None:
            if p.source == BIAS and layer.each_delay is not None:
                found[key] = np.append(found[key], own)
            else:
                found[key] = found.get(key, 0.0) + float(own[0])
        elif p.branches.place is None:
            found[key] = own.copy()
        else:
            matrix = network.weights[key]
            found.setdefault(key, with_data(matrix, np.zeros(matrix.nnz))).data[p.branches.place] = own
    return found


def _number_shared(network: Network) -> dict[str, np.ndarray]:
    """For each key whose weights several synapses share: the flat number of the weight of each synapse.

    Lowering the numbers as if they were weights tells which synapse has which.

    Raises
    ------
    TraceError
        For a layer of another package whose synapses do not each have one of its weights.
    """
    shapes = network.weight_shapes()
    numbers = {
        key: np.arange(1.0, 1.0 + np.prod(shape)).reshape(shape)
        for key, shape in shapes.items()
        if is_sparse(network.lowered.weights[key]) and not is_sparse(network.weights[key])
    }
    if not numbers:
        return {}
    lowered = network.with_weights({**network.weights, **numbers}).lowered
    found = {}
    for key, array in numbers.items():
        values = lowered.weights[key].data
        found[key] = values.astype(np.int64) - 1
        if (values != found[key] + 1).any() or not ((values >= 1) & (values <= array.size)).all():
            raise TraceError(
                f"layer {key!r}: its synapses do not have one of its weights each, so derivatives are "
                "not known"
            )
    return found
