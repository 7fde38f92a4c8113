"""Gradient descent with Nesterov's momentum."""

from __future__ import annotations

import numpy as np

from eventsnn.learn.optimisers.sgd import SGD


class Nesterov(SGD):
    """Nesterov's accelerated gradient: Sutskever, Martens, Dahl & Hinton, ICML 2013, equations 3 and 4.

    The paper takes the gradient at theta + mu v. The weights kept here are that point, w = theta + mu v, so
    that the gradient of the present weights is the right one:
    v' = mu v - rate g(w) and w' = theta + v' + mu v' = w + mu v' - rate g(w). Moment: the velocity v.
    """

    nesterov = True

    def step(
        self, weights: np.ndarray, gradient: np.ndarray, moments: list[np.ndarray], rate: float, number: int
    ) -> tuple[np.ndarray, ...]:
        momentum = self.settings.momentum
        velocity = momentum * moments[0] - rate * gradient
        return weights + momentum * velocity - rate * gradient, velocity
