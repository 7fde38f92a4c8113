"""Optimisers: settings, state, and the readable twins of the kernels in ``cython_ext/optimiser.pyx``."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from eventsnn._ext.optimiser import Update, make_update
from eventsnn._util.numbers import check_magnitudes
from eventsnn.errors import TrainingError
from eventsnn.simulate.engines.blocks import aligned_zeros
from eventsnn.train.schedules import SCHEDULES


@dataclass(frozen=True)
class Optimiser:
    """Adam (Kingma & Ba 2015) or gradient descent with momentum, on the mean gradient of a mini-batch.

    Attributes
    ----------
    name : {"adam", "sgd"}
    learning_rate : float
        Base rate, > 0.
    schedule : str
        Key of `SCHEDULES`.
    decay : float
        Of the schedule ``"exponential"``: the rate is multiplied by this after each epoch; above 0, below 1.
    beta1, beta2, epsilon : float
        Adam's constants.
    momentum : float
        Of gradient descent.
    """

    name: str = "adam"
    learning_rate: float = 0.001
    schedule: str = "inverse_sqrt"
    decay: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    momentum: float = 0.9

    def __post_init__(self) -> None:
        check_magnitudes(self, TrainingError, "optimiser: ")
        for field, choices in (("name", ("adam", "sgd")), ("schedule", tuple(SCHEDULES))):
            if getattr(self, field) not in choices:
                raise TrainingError(
                    f"optimiser: {field} must be one of {', '.join(choices)}, got {getattr(self, field)!r}"
                )
        for field, may_be_zero, high in (
            ("learning_rate", False, math.inf),
            ("decay", False, 1.0),
            ("beta1", True, 1.0),
            ("beta2", True, 1.0),
            ("epsilon", False, math.inf),
            ("momentum", True, 1.0),
        ):
            value = getattr(self, field)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not 0 <= value < high or (value == 0 and not may_be_zero):
                sign = ">=" if may_be_zero else ">"
                raise TrainingError(
                    f"optimiser: {field} must be a number {sign} 0 and < {high:g}, got {value!r}"
                )

    @classmethod
    def from_table(cls, table: dict[str, Any]) -> Optimiser:
        """From the ``[optimiser]`` table of an experiment file; TrainingError names an unknown field."""
        known = [field.name for field in fields(cls)]
        for key in table:
            if key not in known:
                raise TrainingError(f"optimiser: unknown field {key!r}; there are {', '.join(known)}")
        return cls(**table)

    def to_table(self) -> dict[str, Any]:
        """The settings as plain values."""
        return asdict(self)

    def rate(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 0."""
        return self.learning_rate * SCHEDULES[self.schedule](epoch, self.decay)


class OptimiserState:
    """Moments of one projection's weights, and the update of a range of their blocks.

    Parameters
    ----------
    optimiser : Optimiser
    weights : real array (blocks, pre, WIDTH)
        Updated in place.

    Attributes
    ----------
    gradient : real array like `weights`
        Sum over the mini-batch; set to zero by `update`.
    moments : list of real arrays like `weights`
        Adam: mean and mean square of the gradient; gradient descent: the velocity.
    row_sum, row_square : float64 array (blocks, WIDTH)
        Sums over pre-synaptic neurons of the weights and of their squares.
    """

    def __init__(self, optimiser: Optimiser, weights: np.ndarray) -> None:
        self.optimiser = optimiser
        self.weights = weights
        self.gradient, *self.moments = (
            aligned_zeros(weights.shape, weights.dtype) for _ in range(3 if optimiser.name == "adam" else 2)
        )
        wide = weights.astype(np.float64)
        self.row_sum = wide.sum(axis=1)
        self.row_square = (wide * wide).sum(axis=1)

    def update(self, scale: float, decay: np.ndarray, rate: float, step: int) -> Update:
        """The step with the gradient ``scale * gradient + decay * weights``, to be done block by block.

        `decay` is a real array (blocks, WIDTH); `step` counts the steps from 1.
        """
        o = self.optimiser
        adam = o.name == "adam"
        correction = math.sqrt(1.0 - o.beta2**step)
        return make_update(
            self.weights,
            self.gradient,
            self.moments[0],
            self.moments[1] if adam else np.empty((0, 0, 0), self.weights.dtype),
            decay,
            self.row_sum,
            self.row_square,
            scale,
            rate * correction / (1.0 - o.beta1**step) if adam else rate,
            o.beta1 if adam else o.momentum,
            o.beta2,
            o.epsilon * correction,
        )


def adam_twin(
    weights: np.ndarray,
    gradient: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    rate: float,
    step: int,
    optimiser: Optimiser,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """New (weights, mean, square) after one Adam step, as algorithm 1 of Kingma & Ba 2015 states it."""
    mean = optimiser.beta1 * mean + (1.0 - optimiser.beta1) * gradient
    square = optimiser.beta2 * square + (1.0 - optimiser.beta2) * gradient**2
    mean_hat = mean / (1.0 - optimiser.beta1**step)
    square_hat = square / (1.0 - optimiser.beta2**step)
    return weights - rate * mean_hat / (np.sqrt(square_hat) + optimiser.epsilon), mean, square


def sgd_twin(
    weights: np.ndarray, gradient: np.ndarray, velocity: np.ndarray, rate: float, optimiser: Optimiser
) -> tuple[np.ndarray, np.ndarray]:
    """New (weights, velocity) after one step of gradient descent with momentum."""
    velocity = optimiser.momentum * velocity - rate * gradient
    return weights + velocity, velocity
