"""What an optimiser keeps of one projection's weights, and its steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from eventsnn._ext.optimiser import Update, update_blocks
from eventsnn._ext.team import Stage
from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.ranks import Ranks
from eventsnn._util.threads import Share
from eventsnn.learn.optimisers.settings import Optimiser
from eventsnn.simulate.engines.blocks import aligned_zeros


@dataclass(frozen=True)
class Step:
    """One step on all weights of a projection, to be done block by block.

    Attributes
    ----------
    fused : Update or None
        The compiled step, which a kernel may apply itself as soon as the gradient of a block is complete.
    """

    fused: Update | None
    _work: Callable[[WorkCounter], None]
    _blocks: range

    def run(self, share: Share) -> None:
        """Do the step, the blocks shared out among threads."""
        task = self.task()
        if task is not None:
            share(task)
        else:
            counter = WorkCounter(self._blocks.stop, self._blocks.start)
            share(lambda: self._work(counter), counter)

    def task(self) -> Stage | None:
        """The step as a task whose units are blocks, if it is compiled."""
        if self.fused is None:
            return None
        return update_blocks(self.fused, WorkCounter(self._blocks.stop, self._blocks.start))


class OptimiserState:
    """Moments of one projection's weights, and the update of its blocks.

    Parameters
    ----------
    optimiser : Optimiser
    weights : real array (blocks, pre, WIDTH)
        Updated in place.
    synapses : int or array (blocks, WIDTH), optional
        How many of them are synapses of each neuron, `pre` by default; the rest are 0 and stay so.
    own_blocks : range, optional
        The blocks that steps update, all by default: other processes may update the others.

    Attributes
    ----------
    gradient : real array like `weights`
        Sum over the mini-batch; set to zero by `update`.
    moments : list of real arrays like `weights`
        What the optimiser keeps of each weight; see its class.
    row_sum, row_square : float64 array (blocks, WIDTH)
        Sums over pre-synaptic neurons of the weights and of their squares.
    gradient_square : float64 array (blocks, WIDTH)
        Sums over pre-synaptic neurons of the squares of the gradient that the last step was on: that of the
        mean loss of the mini-batch, with the weight penalties.
    """

    def __init__(
        self,
        optimiser: Optimiser,
        weights: np.ndarray,
        synapses: int | np.ndarray | None = None,
        own_blocks: range | None = None,
    ) -> None:
        self.method = optimiser.method
        self.weights = weights
        self.synapses = weights.shape[1] if synapses is None else synapses
        self.own_blocks = range(len(weights)) if own_blocks is None else own_blocks
        self.gradient, *self.moments = (
            aligned_zeros(weights.shape, weights.dtype) for _ in range(1 + self.method.moments)
        )
        self.row_sum, self.row_square = (np.empty((len(weights), weights.shape[2])) for _ in range(2))
        for block, own in enumerate(weights):  # one at a time: float64 takes twice the memory of the weights
            self.row_sum[block], self.row_square[block] = _row_sums(own)
        self.gradient_square = np.zeros_like(self.row_sum)

    @property
    def gradient_norm(self) -> float:
        """Euclidean norm of the gradient that the last step was on."""
        return math.sqrt(self.gradient_square.sum())

    def update(self, scale: float, decay: np.ndarray, rate: float, number: int) -> Step:
        """The step with the gradient ``scale * gradient + decay * weights``; the gradient becomes zero.

        `decay` is a real array (blocks, WIDTH); `number` counts the steps from 1.
        """

        def work(counter: WorkCounter) -> None:
            while (block := counter.take()) >= 0:
                self._step(block, scale, decay[block], rate, number)

        return Step(self.method.kernel(self, scale, decay, rate, number), work, self.own_blocks)

    @property
    def own_squares(self) -> np.ndarray:
        """`gradient_square` of the blocks that steps update."""
        return self.gradient_square[self.own_blocks.start : self.own_blocks.stop]

    def settle(self) -> None:
        """Bring `row_sum`, `row_square` and `gradient_square` up to date when a step is complete."""

    def complete(self, ranks: Ranks) -> None:
        """Fill in the blocks that other processes have updated."""
        if len(self.own_blocks) < len(self.weights):
            ranks.complete(self.weights, self.row_sum, self.row_square, *self.moments)

    def loaded(self) -> None:
        """To be called when the arrays have been changed in place, as by a checkpoint."""

    def _step(self, block: int, scale: float, decay: np.ndarray, rate: float, number: int) -> None:
        """The step of an optimiser without a kernel, on one block: it fits the cache."""
        weights, moments = self.weights[block], [moment[block] for moment in self.moments]
        # As the kernels: the constant in the precision of the weights.
        gradient = self.gradient[block] * weights.dtype.type(scale) + decay * weights
        self.gradient_square[block] = _row_sums(gradient)[1]
        new = self.method.step(weights, gradient, moments, rate, number)
        for array, values in zip((weights, *moments), new, strict=True):
            array[...] = values
        self.gradient[block] = 0
        self.row_sum[block], self.row_square[block] = _row_sums(weights)


def _row_sums(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of a block's weights and of their squares over the pre-synaptic neurons, in float64."""
    wide = weights.astype(np.float64)
    return wide.sum(axis=0), (wide * wide).sum(axis=0)
