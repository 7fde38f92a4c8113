"""Merging the blocks' spike trains, spread out in time and crowded."""

import numpy as np
import pytest

from eventsnn._ext.store import merge_trains
from eventsnn._ext.work_counter import WorkCounter
from eventsnn.simulate.engines.blocks import WIDTH


def by_block(samples, blocks):
    """(times, neurons, ptr) in the order block, sample, time, of trains [(times, neurons)] by sample."""
    times, neurons, ptr = [], [], [0]
    for block in range(blocks):
        for t, n in samples:
            mine = n // WIDTH == block
            order = np.lexsort((n[mine], t[mine]))
            times.append(t[mine][order])
            neurons.append(n[mine][order])
            ptr.append(ptr[-1] + len(order))
    return np.concatenate(times), np.concatenate(neurons).astype(np.int32), np.array(ptr)


TIMES = {
    "spread out": lambda rng, n: rng.uniform(0.0, 300.0, n),
    "ties": lambda rng, n: np.round(rng.uniform(0.0, 30.0, n)),
    "crowded": lambda rng, n: np.concatenate([rng.uniform(0.0, 1e-6, n - 1), [1e9]]),
    "all at once": lambda rng, n: np.full(n, 7.0),
    "at the start": lambda rng, n: np.zeros(n),
}


@pytest.mark.parametrize("kind", TIMES)
def test_merged_trains_are_sorted(kind):
    rng = np.random.default_rng(2)
    blocks, neurons = 4, 4 * WIDTH - 5
    samples = []
    for n in (500, 0, 1, 200):
        t = TIMES[kind](rng, n) if n else np.empty(0)
        samples.append((t, rng.integers(0, neurons, n)))
    times, numbers, ptr = by_block(samples, blocks)
    sample_ptr = np.cumsum([0, *(len(t) for t, _ in samples)])
    out_t, out_n = np.full(len(times), -1.0), np.full(len(times), -1, np.int32)
    counts = np.full((len(samples), neurons), -1)
    merge_trains(times, numbers, ptr, sample_ptr, out_t, out_n, counts)()
    for s, (t, n) in enumerate(samples):
        order = np.lexsort((n, t))
        part = slice(sample_ptr[s], sample_ptr[s + 1])
        assert np.array_equal(out_t[part], t[order])
        assert np.array_equal(out_n[part], n[order])
        assert np.array_equal(counts[s], np.bincount(n, minlength=neurons))


def test_turns_are_taken_once_each():
    turns = WorkCounter(3)
    assert [turns.take() for _ in range(5)] == [0, 1, 2, -1, -1]
    assert not turns.left
