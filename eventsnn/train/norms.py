"""Norms of the gradients of an epoch's steps, which ranks that have blocks of neurons each know together."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from eventsnn._util.ranks import Ranks
from eventsnn.learn.optimisers import OptimiserState

TOGETHER = 32
"""So many steps are told other ranks at once, which costs nobody a step's wait for the others."""


class GradientNorms:
    """Norms that have not been counted yet.

    Parameters
    ----------
    states : dict of str to OptimiserState
    """

    def __init__(self, states: Mapping[str, OptimiserState]) -> None:
        self._states = states
        self._squares: list[dict[str, np.ndarray]] = []

    @property
    def steps(self) -> int:
        """How many steps have been noted."""
        return len(self._squares)

    def note(self) -> None:
        """Keep the squares of this rank's blocks in the step that has been done last."""
        for state in self._states.values():
            state.settle()
        self._squares.append({key: state.own_squares.copy() for key, state in self._states.items()})

    def take(self, ranks: Ranks) -> list[dict[str, float]]:
        """The Euclidean norms in each step since the last call, by layer or connection."""
        squares, self._squares = self._squares, []
        found: list[dict[str, float]] = [{} for _ in squares]
        for key, state in self._states.items():
            blocks, width = state.gradient_square.shape
            own, every = state.own_blocks, np.empty((blocks, len(squares), width))
            every[own.start : own.stop] = np.stack([step[key] for step in squares], axis=1)
            if len(own) < blocks:
                ranks.complete(every)
            for step, norms in enumerate(found):
                norms[key] = math.sqrt(np.ascontiguousarray(every[:, step]).sum())
        return found
