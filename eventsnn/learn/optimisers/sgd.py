"""Gradient descent with momentum."""

from __future__ import annotations

import numpy as np

from eventsnn.learn.optimisers.method import Constants, Method


class SGD(Method):
    """Gradient descent with classical momentum (Polyak 1964). Moment: the velocity."""

    moments = 1
    nesterov = False

    def step(
        self, weights: np.ndarray, gradient: np.ndarray, moments: list[np.ndarray], rate: float, number: int
    ) -> tuple[np.ndarray, ...]:
        velocity = self.settings.momentum * moments[0] - rate * gradient
        return weights + velocity, velocity

    def constants(self, rate: float, number: int) -> Constants:
        return Constants(adam=False, step=rate, beta1=self.settings.momentum, nesterov=self.nesterov)
