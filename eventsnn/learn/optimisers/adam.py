"""Adam."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from eventsnn._ext.optimiser import Update, make_update
from eventsnn.learn.optimisers.method import Method

if TYPE_CHECKING:
    from eventsnn.learn.optimisers.state import OptimiserState


class Adam(Method):
    """Adam: Kingma & Ba, ICLR 2015, algorithm 1. Moments: mean and mean square of the gradient."""

    moments = 2

    def step(
        self, weights: np.ndarray, gradient: np.ndarray, moments: list[np.ndarray], rate: float, number: int
    ) -> tuple[np.ndarray, ...]:
        o, (mean, square) = self.settings, moments
        mean = o.beta1 * mean + (1.0 - o.beta1) * gradient
        square = o.beta2 * square + (1.0 - o.beta2) * gradient**2
        mean_hat = mean / (1.0 - o.beta1**number)
        square_hat = square / (1.0 - o.beta2**number)
        return weights - rate * mean_hat / (np.sqrt(square_hat) + o.epsilon), mean, square

    def kernel(
        self, state: OptimiserState, scale: float, decay: np.ndarray, rate: float, number: int
    ) -> Update:
        return self._update(state, scale, decay, rate, number)

    def _update(
        self,
        state: OptimiserState,
        scale: float,
        decay: np.ndarray,
        rate: float,
        number: int,
        shrink: float = 0.0,
    ) -> Update:
        """The compiled step, the weights first losing the share `shrink` of themselves."""
        o = self.settings
        mean, square = state.moments
        correction = math.sqrt(1.0 - o.beta2**number)  # the form of section 2 of the paper
        return make_update(
            state.weights,
            state.gradient,
            mean,
            square,
            decay,
            state.row_sum,
            state.row_square,
            state.gradient_square,
            scale,
            rate * correction / (1.0 - o.beta1**number),
            o.beta1,
            o.beta2,
            o.epsilon * correction,
            shrink,
        )
