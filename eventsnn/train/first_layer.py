"""The gradient of the first layer, event by event, without its S-PSP matrix."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from eventsnn._ext.arrivals import list_rows
from eventsnn._ext.spsp import reverse_blocks
from eventsnn._ext.work_counter import WorkCounter
from eventsnn.learn.optimisers import Step
from eventsnn.learn.rule import LayerOptions
from eventsnn.simulate.engines.blocks import pad
from eventsnn.simulate.engines.sweep import Arrivals, LayerInput, Share

# rows, n_rows, ends, when, last, n_times of ``list_rows``.
Rows: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def learn_first(
    gradient: np.ndarray,
    constants: np.ndarray,
    row_sum: np.ndarray,
    given: LayerInput,
    by_block: tuple[np.ndarray, np.ndarray, np.ndarray],
    counts: np.ndarray,
    delta: np.ndarray,
    options: LayerOptions,
    share: Share,
    update: Step | None = None,
) -> None:
    """Add to a gradient and, where an update is given, apply it block by block.

    In an exact feed-forward run a_i = nu o_i, so the self term of a neuron that fired is 1.

    Parameters
    ----------
    gradient : real array (blocks, pre, WIDTH)
    constants : float64 array (11,)
        Of the layer's neurons.
    row_sum : float64 array (1 or samples, blocks, WIDTH)
        Sums of the weights of each neuron, in each sample if they differ: at the edge of an image.
    given, by_block, counts
        What arrived and what the layer fired; counts is int64 (samples, neurons).
    delta : float64 array (samples, neurons)
        Errors of the layer.
    """
    blocks, real, threshold = len(gradient), gradient.dtype, constants[0]
    silent_own = options.silent_ratio * row_sum.reshape(len(row_sum), -1)[:, : counts.shape[1]] / threshold
    active = counts > 0
    coefficient = np.where(active, 2.0 * delta, 0.0).astype(real)
    silent = np.where(active, 0.0, delta * (1.0 + silent_own) * options.silent_spsp).astype(real)
    coefficient, silent = pad(coefficient, blocks), pad(silent, blocks)
    arrivals, fused = given.arrivals, None if update is None else update.fused
    rows, turns = by_row(arrivals, gradient.shape[1], share), WorkCounter(blocks)
    share(
        lambda: reverse_blocks(
            gradient,
            constants,
            *given.parts,
            *by_block,
            coefficient,
            silent,
            *rows,
            fused,
            turns,
        )
    )
    if update is not None and fused is None:
        update.run(share)


def by_row(arrivals: Arrivals, n_pre: int, share: Share) -> Rows:
    """What `reverse_blocks` takes about the source neurons of the arrivals; see ``list_rows``."""
    n, samples = len(arrivals.times), len(arrivals)
    rows, ends, when, last = (np.empty(n, np.int32) for _ in range(4))
    found = rows, np.empty(samples, np.int64), ends, when, last, np.empty(samples, np.int64)
    turns = WorkCounter(samples)
    share(lambda: list_rows(arrivals.times, arrivals.neurons, arrivals.ptr, n_pre, *found, turns))
    return found
