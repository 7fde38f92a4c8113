"""Adam with decoupled weight decay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from eventsnn.learn.optimisers.adam import Adam
from eventsnn.learn.optimisers.method import Constants, Option


class AdamW(Adam):
    """Adam with decoupled weight decay: Loshchilov & Hutter, ICLR 2019, algorithm 2.

    The weights shrink by ``rate * weight_decay`` of themselves in each step, not through Adam's moments. In
    the paper's line 12, theta - eta_t (alpha m / (sqrt(v) + eps) + lambda theta), that is rate = eta_t alpha
    and weight_decay = lambda / alpha, as most libraries count it.
    """

    options: ClassVar[Mapping[str, Option]] = {"weight_decay": Option(0.01, may_be_zero=True)}

    def step(
        self, weights: np.ndarray, gradient: np.ndarray, moments: list[np.ndarray], rate: float, number: int
    ) -> tuple[np.ndarray, ...]:
        shrunk = weights - rate * self.settings.options["weight_decay"] * weights
        return super().step(shrunk, gradient, moments, rate, number)

    def constants(self, rate: float, number: int, shrink: float = 0.0) -> Constants:
        return super().constants(rate, number, shrink + rate * self.settings.options["weight_decay"])
