"""Adam."""

from __future__ import annotations

import math

import numpy as np

from eventsnn.learn.optimisers.method import Constants, Method


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

    def constants(self, rate: float, number: int, shrink: float = 0.0) -> Constants:
        """See `Method`; the weights first lose the share `shrink` of themselves."""
        o = self.settings
        correction = math.sqrt(1.0 - o.beta2**number)  # the form of section 2 of the paper
        return Constants(
            adam=True,
            step=rate * correction / (1.0 - o.beta1**number),
            beta1=o.beta1,
            beta2=o.beta2,
            floor=o.epsilon * correction,
            shrink=shrink,
        )
