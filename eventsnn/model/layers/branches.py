"""Axons that branch: a spike that arrives several times, through each branch after a delay of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from eventsnn.model.sparse import join_ranges


@dataclass(frozen=True, eq=False)
class Branches:
    """The branches of a projection's source neurons.

    Either every source neuron has one, which reaches all neurons as its weights say; or there is one for each
    synapse. What arrives is told apart by its branch's number.

    Attributes
    ----------
    ptr : int64 array (sources + 1,)
        Branches of source neuron j are [ptr[j], ptr[j + 1]).
    delays : float64 array (branches,)
        ms, ascending within a source neuron.
    post : int32 array (branches,) or None
        The neuron that a branch reaches, where there is one for each synapse.
    place : int64 array (branches,) or None
        The same branches' places among the projection's sparse weights, in the order of their ``data``.
    """

    ptr: np.ndarray
    delays: np.ndarray
    post: np.ndarray | None = None
    place: np.ndarray | None = None

    @classmethod
    def by_source(cls, delays: Sequence[float]) -> Branches:
        """One for each source neuron."""
        return cls(np.arange(len(delays) + 1), np.asarray(delays, np.float64))

    @classmethod
    def by_synapse(
        cls, post: np.ndarray, pre: np.ndarray, delays: np.ndarray, place: np.ndarray, sources: int
    ) -> Branches:
        """One for each synapse of `sources` neurons, from arrays (synapses,)."""
        order = np.lexsort((post, delays, pre))
        ptr = np.searchsorted(pre[order], np.arange(sources + 1))
        return cls(ptr, delays[order], post[order].astype(np.int32), place[order])

    @property
    def each_synapse(self) -> bool:
        """Whether there is one for each synapse."""
        return self.post is not None

    @property
    def pre(self) -> np.ndarray:
        """Source neuron of each branch, int64."""
        return np.repeat(np.arange(len(self.ptr) - 1), np.diff(self.ptr))

    def arrive(self, times: np.ndarray, neurons: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See `Projection.arrive`."""
        counts = self.ptr[neurons + 1] - self.ptr[neurons]
        rows = np.repeat(np.arange(len(times)), counts)
        branches = np.arange(len(rows)) + np.repeat(self.ptr[neurons] - (np.cumsum(counts) - counts), counts)
        arrivals = times[rows] + self.delays[branches]
        order = np.argsort(arrivals, kind="stable")
        ahead = arrivals[order]
        if (ahead[1:] == ahead[:-1]).any():  # at one instant by branch; rare, and this takes twice as long
            order = np.lexsort((branches, arrivals))
        return arrivals[order], rows[order], branches[order]

    def onto(self, neuron: int) -> Branches:
        """Those that reach one neuron; where each reaches all, these."""
        if self.post is None:
            return self
        order, ends = self._by_post
        chosen = np.sort(order[ends[neuron] : ends[neuron + 1]]) if neuron + 1 < len(ends) else order[:0]
        ptr = np.searchsorted(chosen, self.ptr)
        assert self.place is not None
        return Branches(ptr, self.delays[chosen], self.post[chosen], self.place[chosen])

    def onto_each(self, neurons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the branches that reach each of some neurons, where there is one for each synapse, and
        where those of each begin.
        """
        order, ends = self._by_post
        bounds = np.minimum([neurons, neurons + 1], len(ends) - 1)  # the last neurons may have none
        ptr, places = join_ranges(*ends[bounds])
        return ptr, order[places]

    @cached_property
    def _by_post(self) -> tuple[np.ndarray, np.ndarray]:
        """Branches by the neuron that they reach, and where those of each begin."""
        assert self.post is not None
        ends = np.cumsum(np.bincount(self.post)) if len(self.post) else np.zeros(0, np.int64)
        return np.argsort(self.post, kind="stable"), np.concatenate([[0], ends])
