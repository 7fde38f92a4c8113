"""The synapses of a cone by source neuron, for the adjoint sweep, and what it collects for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from eventsnn._ext.adjoint import SynapseTable
from eventsnn.model import Network, Projection
from eventsnn.model.layers import BIAS
from eventsnn.model.sparse import with_data
from eventsnn.trace.cone import Cone, Links, weight_key
from eventsnn.trace.synapses import BRANCHED, DENSE, LATERAL, SPARSE, collect_delays, place_delays


class ConeSynapses:
    """`eventsnn.trace.synapses.Synapses` of a cone, whose neurons are counted by their places in it.

    Attributes
    ----------
    table, found, branched, delay_places, delays
        As there. Where synapses have delays of their own, those in the cone are the senders.
    apart : bool array (layers,)
        Of which layers a sweep takes the neurons apart: those that no spike reaches as a whole.
    """

    def __init__(self, network: Network, cone: Cone) -> None:
        self._network, self._cone = network, cone
        self._slots = {source: cone.slots(source) for source in cone.neurons}
        kinds = [self._kind(p, links) for p, links in zip(network.projections, cone.links, strict=True)]
        self.branched = np.array(kinds) == BRANCHED
        whole = {
            p.target for p, kind in zip(network.projections, kinds, strict=True) if kind in (DENSE, LATERAL)
        }
        self.apart = np.array([n not in whole for n in range(len(network.layers))])
        starts: list[int] = []
        weights, ptr, post, link = (
            [np.zeros(0, kind)] for kind in (np.float64, np.int64, np.int32, np.int64)
        )
        self._begins: list[int] = []
        length = pointers = linked = 0
        for p, kind, links in zip(network.projections, kinds, cone.links, strict=True):
            self._begins.append(length)
            own = self._weights(p, links)
            posts = np.zeros(len(own), np.int32) if links is None else self._slots[p.target][links.post]
            weights.append(own)
            post.append(posts)
            starts.append({SPARSE: pointers, BRANCHED: linked}.get(kind, length))
            if kind == SPARSE:
                assert links is not None
                ptr.append(
                    length
                    + np.searchsorted(links.pre, np.append(cone.neurons[p.source], np.iinfo(np.int64).max))
                )
                pointers += len(ptr[-1])
            elif kind == BRANCHED:
                link.append(length + np.arange(len(own)))
                linked += len(own)
            length += len(own)
        self._begins.append(length)
        senders = [self._senders(p, links) for p, links in zip(network.projections, cone.links, strict=True)]
        self.delay_places, self.delays = place_delays(senders)
        self.found = np.zeros(length)
        self.table = SynapseTable(
            np.array(kinds, np.int32),
            np.array([len(cone.neurons[p.target]) for p in network.projections], np.int64),
            np.array(starts, np.int64),
            np.concatenate(weights),
            self.found,
            np.concatenate(ptr),
            np.concatenate(post),
            np.concatenate(link),
        )

    def _kind(self, p: Projection, links: Links | None) -> int:
        if links is None:
            return LATERAL if p.lateral else DENSE
        return BRANCHED if p.branches is not None and p.branches.each_synapse else SPARSE

    def _weights(self, p: Projection, links: Links | None) -> np.ndarray:
        if links is not None:
            return links.weights
        if p.lateral:
            return np.array([p.lateral])
        key = weight_key(self._network, p)
        return np.asarray(self._network.weights[key][self._pairs(p)].T, np.float64).reshape(-1)

    def _pairs(self, p: Projection) -> tuple[np.ndarray, ...]:
        """Where the weights of a dense projection are, among those of its key."""
        first = self._network.source_size(p.target - 1) if p.source == BIAS else 0
        return np.ix_(self._cone.neurons[p.target], self._cone.neurons[p.source] + first)

    def _senders(self, p: Projection, links: Links | None) -> int | None:
        if p.branches is None:
            return None
        return (
            len(self._cone.neurons[p.source])
            if links is None or not p.branches.each_synapse
            else len(links.pre)
        )

    def senders(self, place: int) -> np.ndarray:
        """Which of the cone's senders each sender of projection number `place` is; -1: it is none.

        Senders are what `Projection.arrive` returns.
        """
        p, links = self._network.projections[place], self._cone.links[place]
        if not self.branched[place]:
            return self._slots[p.source]
        assert links is not None
        assert p.branches is not None
        senders = np.full(len(p.branches.delays), -1, np.int32)
        senders[links.branches] = np.arange(len(links.branches))
        return senders

    def collect(self) -> dict[str, Any]:
        """What the sweep has collected for each of the network's weights, by key, in their shape."""
        network = self._network
        found: dict[str, Any] = {}
        for key, weights in network.weights.items():
            found[key] = (
                with_data(weights, np.zeros(weights.nnz))
                if hasattr(weights, "nnz")
                else np.zeros(weights.shape)
            )
        for place, (p, links) in enumerate(zip(network.projections, self._cone.links, strict=True)):
            key = weight_key(network, p)
            if key not in found:
                continue
            own = self.found[self._begins[place] : self._begins[place + 1]]
            if links is None:
                pairs = self._pairs(p)
                found[key][pairs] = own.reshape(pairs[1].size, pairs[0].size).T
            else:
                flat = found[key].data if hasattr(weights := found[key], "nnz") else weights.reshape(-1)
                flat += np.bincount(links.numbers, own, len(flat))
        return found

    def collect_lateral(self) -> dict[str, float]:
        """By layer, what was collected for the strength of its lateral inhibition."""
        return {
            self._network.names[p.target]: float(self.found[begin])
            for p, begin in zip(self._network.projections, self._begins, strict=False)
            if p.lateral
        }

    def collect_delays(self, delays: np.ndarray) -> dict[str, Any]:
        """See `eventsnn.trace.synapses.collect_delays`."""
        every = []
        for place, p in enumerate(self._network.projections):
            begin, each = self.delay_places[place].tolist()
            if not each:
                every.append(delays[begin : begin + 1])
                continue
            places = self.senders(place)
            own = np.zeros(len(places))
            there = places >= 0
            own[there] = delays[begin + places[there]]
            every.append(own if p.branches is None else own[: len(p.branches.delays)])
        return collect_delays(self._network, np.concatenate(every))
