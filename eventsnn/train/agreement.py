"""Whether processes that train together have computed the same weights."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from eventsnn._util.ranks import Ranks
from eventsnn.errors import TrainingError
from eventsnn.train.downward import LayerState


def check_agreement(ranks: Ranks, states: Mapping[str, LayerState], epoch: int) -> None:
    """Raise TrainingError if what every rank computes by itself is not the same on all of them.

    Without this, a machine whose libraries give other bits would spoil the training of all.
    """
    if ranks.size == 1:
        return
    first, *others = ranks.collect(
        {key: zlib.crc32(np.ascontiguousarray(state.weights).data) for key, state in states.items()}
    )
    for rank, found in enumerate(others, start=1):
        differing = [key for key in first if found[key] != first[key]]
        if differing:
            raise TrainingError(
                f"epoch {epoch}: rank {rank} has computed other weights of {differing[0]!r} than rank 0; all "
                "machines must have the same build of eventsnn, the same libraries and the same recordings. "
                "The checkpoint is that of the epoch before"
            )
