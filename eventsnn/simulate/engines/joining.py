"""Spikes of a layer whose blocks of neurons ranks have divided among them, exchanged."""

from __future__ import annotations

import numpy as np

from eventsnn._ext.store import SpikeStore
from eventsnn._util.ranks import Ranks
from eventsnn.simulate.engines.arrivals import Spikes

Trains = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Times, neurons and ptr as `SpikeStore.collect` has them."""


def join_blocks(ranks: Ranks, store: SpikeStore, found: Spikes) -> Spikes:
    """The spikes of all blocks, from those of each rank's own ones."""
    times, channels, ptr, after = found
    own = ranks.part(store.blocks)
    sizes = np.diff(ptr)[own.start * store.samples : own.stop * store.samples]
    times, channels, after, sizes = ranks.join(times, channels, after, sizes)
    return times, channels, _starts(sizes), after


def swap_blocks(ranks: Ranks, store: SpikeStore, found: Trains) -> tuple[np.ndarray, ...]:
    """The spikes of all blocks in this rank's part of the samples, from those of its blocks in all samples.

    Returns
    -------
    times, neurons, ptr
        As `SpikeStore.collect` has them, of a store of these samples.
    sample_ptr : int64 array (samples + 1,)
    """
    times, neurons, ptr = found
    own = ranks.part(store.blocks)
    sizes = np.diff(ptr).reshape(-1, store.samples)[own.start : own.stop]
    letters = []
    for rank in range(ranks.size):
        part = ranks.part(store.samples, rank)
        starts = [block * store.samples for block in own]
        ends = [(ptr[start + part.start], ptr[start + part.stop]) for start in starts]
        sent = [np.ascontiguousarray(sizes[:, part.start : part.stop])]
        sent += [each[first:last] for each in (times, neurons) for first, last in ends]
        letters.append(np.concatenate([each.reshape(-1).view(np.uint8) for each in sent]))
    samples = len(ranks.part(store.samples))
    parts = []
    for rank, letter in enumerate(ranks.swap(letters)):
        blocks = len(ranks.part(store.blocks, rank))
        got = letter[: 8 * blocks * samples].view(np.int64)
        first, last = got.nbytes, got.nbytes + 8 * int(got.sum())
        parts.append((letter[first:last].view(np.float64), letter[last:].view(np.int32), got))
    # Ranks have consecutive blocks.
    times, neurons, got = (np.concatenate(each) for each in zip(*parts, strict=True))
    return times, neurons, _starts(got), _starts(got.reshape(store.blocks, samples).sum(axis=0))


def _starts(sizes: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
