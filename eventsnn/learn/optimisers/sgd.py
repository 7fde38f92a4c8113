"""Gradient descent with momentum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eventsnn._ext.optimiser import Update, make_update
from eventsnn.learn.optimisers.method import Method

if TYPE_CHECKING:
    from eventsnn.learn.optimisers.state import OptimiserState


class SGD(Method):
    """Gradient descent with classical momentum (Polyak 1964). Moment: the velocity."""

    moments = 1
    nesterov = False

    def step(
        self, weights: np.ndarray, gradient: np.ndarray, moments: list[np.ndarray], rate: float, number: int
    ) -> tuple[np.ndarray, ...]:
        velocity = self.settings.momentum * moments[0] - rate * gradient
        return weights + velocity, velocity

    def kernel(
        self, state: OptimiserState, scale: float, decay: np.ndarray, rate: float, number: int
    ) -> Update:
        o = self.settings
        return make_update(
            state.weights,
            state.gradient,
            state.moments[0],
            np.empty((0, 0, 0), state.weights.dtype),  # no mean square: gradient descent
            decay,
            state.row_sum,
            state.row_square,
            state.gradient_square,
            scale,
            rate,
            o.momentum,
            nesterov=self.nesterov,
        )
