"""How the ranks of a training run divide the work of a mini-batch among them.

What threads share out within a process, ranks share out between processes: of a dense layer the blocks of
neurons, of a layer that shares weights the samples. A rank holds all weights, and computes and updates those
of its own blocks; spikes and errors are exchanged, and no gradient of a dense layer is. Sums run in the order
in which one process runs them, so the bits are the same. Layers that are not worth an exchange are computed
by every rank, with the same bits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import numpy as np

from eventsnn._util.ranks import ALONE, Ranks
from eventsnn.model import Network


class Division:
    """Who computes what of a mini-batch.

    Parameters
    ----------
    ranks : Ranks
    whole : collection of str
        Layers of which every rank computes everything.

    Attributes
    ----------
    ranks : Ranks
        Those that divide the work at present.
    """

    def __init__(self, ranks: Ranks = ALONE, whole: Collection[str] = ()) -> None:
        self.ranks, self._whole = ranks, frozenset(whole)

    def divides(self, layer: str, blocks: int) -> bool:
        """Whether ranks share out the blocks of a layer."""
        return self.ranks.size > 1 and blocks > 1 and layer not in self._whole

    def blocks(self, layer: str, blocks: int) -> range:
        """Which blocks of a layer's neurons this rank computes."""
        return self.ranks.part(blocks) if self.divides(layer, blocks) else range(blocks)

    def divides_samples(self, layer: str) -> bool:
        """Whether ranks share out the samples of a layer that shares weights; all ranks say the same, also
        where one of them gets all samples.
        """
        return self.ranks.size > 1 and layer not in self._whole

    def samples(self, layer: str, samples: int) -> range:
        """Which samples this rank takes through a layer that shares weights."""
        return self.ranks.part(samples) if self.divides_samples(layer) else range(samples)

    def join_samples(self, layer: str, *arrays: np.ndarray) -> list[np.ndarray]:
        """What the ranks have computed of their samples, in the order of the samples."""
        return self.ranks.join(*arrays) if self.divides_samples(layer) else list(arrays)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Within the block, this rank computes everything by itself, and others need not do the same."""
        ranks, self.ranks = self.ranks, ALONE
        try:
            yield
        finally:
            self.ranks = ranks


def undivided(network: Network, learned: Collection[str] = ()) -> list[str]:
    """Layers that every rank computes by itself: the last one, which is small and decides; those whose
    constants are `learned` from all spikes; those whose spikes inhibit each other at once; dense ones whose
    gradients are tied.
    """
    names = [str(network.output.name), *learned]
    for layer in network.layers:
        if layer.lateral_inhibition or (layer.ties_weights and not layer.shares_weights):
            names.append(str(layer.name))
    return names


WHOLE = Division()
"""One process computes everything."""
