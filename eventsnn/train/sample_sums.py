"""Gradients of layers that are learned sample by sample, added up in the order of the samples.

Where ranks have divided the samples among them, the sum goes from rank to rank, each of which adds those of
its samples, one after the other: the same additions in the same order as in one process.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eventsnn._ext.optimiser import complete_blocks
from eventsnn._ext.team import Task
from eventsnn._util.ranks import Ranks
from eventsnn._util.threads import Share
from eventsnn.learn.optimisers import Step


@dataclass
class Unfinished:
    """A layer that is learned sample by sample, before its gradient is complete.

    Attributes
    ----------
    gradient : real array (blocks, inputs, WIDTH)
        What the gradients of the samples are to be added to.
    own : real array (samples, blocks, inputs, WIDTH)
        These gradients; of no sample where they are added at once.
    channels : int
        Neurons of the layer.
    update : Step or None
        To be done then.
    divided : str or None
        The layer's name, if ranks share out its samples: others have the rest of `own`.
    """

    gradient: np.ndarray
    own: np.ndarray
    channels: int
    update: Step | None = None
    divided: str | None = None

    @property
    def known(self) -> np.ndarray:
        """The gradient without padding, if it is one block: a view."""
        return self.gradient[..., : self.channels] if len(self.gradient) == 1 else self.gradient


class SampleSums:
    """The sums of some layers, in the order of the layers."""

    def __init__(self, layers: list[Unfinished]) -> None:
        self._layers = layers

    def complete(self, share: Share) -> list[Task]:
        """Add up and update; returns the tasks that do so for layers where a kernel does both."""
        following: list[Task] = []
        for each in self._layers:
            fused = None if each.update is None else each.update.fused
            sums = complete_blocks(each.gradient, each.own, fused)
            if each.update is None or fused is not None:
                following.append(sums)
            else:
                share(sums)
                each.update.run(share)
        return following

    def begin_relay(self, ranks: Ranks) -> None:
        """Begin to add up those of all ranks, when this rank's samples are done."""
        self._total = np.empty(sum(each.known.size for each in self._layers), self._layers[0].gradient.dtype)
        self._is_first = ranks.first
        self.relay = ranks.relay(self._total, self._add)

    def finish_relay(self, share: Share) -> None:
        """Complete the sums, and update."""
        self.relay.complete()
        self._take_total()
        for each in self._layers:
            if each.update is not None:
                each.update.run(share)

    def _add(self) -> None:
        if not self._is_first:
            self._take_total()
        place = 0
        for each in self._layers:
            complete_blocks(each.gradient, each.own, None)()
            self._total[place : place + each.known.size] = each.known.ravel()
            place += each.known.size

    def _take_total(self) -> None:
        place = 0
        for each in self._layers:
            each.known[...] = self._total[place : place + each.known.size].reshape(each.known.shape)
            place += each.known.size
