"""What an optimiser is: the numbers it keeps of each weight, and how it moves the weights."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from eventsnn._ext.optimiser import Update, make_update

if TYPE_CHECKING:
    from eventsnn.learn.optimisers.settings import Optimiser
    from eventsnn.learn.optimisers.state import OptimiserState


@dataclass(frozen=True)
class Option:
    """A numeric setting of an optimiser: its default, whether it may be 0, and its upper bound."""

    default: float
    may_be_zero: bool = False
    below: float = math.inf


@dataclass(frozen=True)
class Constants:
    """Numbers of one step as kernels take them: Adam's, or with `adam` False those of gradient descent.

    See ``make_update`` in cython_ext/learn/optimiser.pyx for what each means.
    """

    adam: bool
    step: float
    beta1: float
    beta2: float = 0.0
    floor: float = 0.0
    shrink: float = 0.0
    nesterov: bool = False


class Method(ABC):
    """An optimiser.

    `step` is all that an optimiser needs: it is readable, and it is what trains unless a compiled kernel does
    the same. Both see the weights in blocks, so neither may mix the weights of different neurons.

    Parameters
    ----------
    settings : Optimiser
        The constants are read from its fields and from its `options`.

    Attributes
    ----------
    moments : int
        How many arrays like the weights it keeps, all 0 at first; checkpoints hold them.
    options : mapping of str to Option
        Settings of its own, besides the fields of `Optimiser`.
    """

    moments: ClassVar[int]
    options: ClassVar[Mapping[str, Option]] = {}

    def __init__(self, settings: Optimiser) -> None:
        self.settings = settings

    @abstractmethod
    def step(
        self, weights: np.ndarray, gradient: np.ndarray, moments: list[np.ndarray], rate: float, number: int
    ) -> tuple[np.ndarray, ...]:
        """New ``(weights, *moments)`` after one step.

        Parameters
        ----------
        weights, gradient : real arrays of the same shape
            Not to be changed in place.
        moments : list of real arrays like `weights`
        rate : float
            Learning rate of the epoch.
        number : int
            Number of the step, counted from 1.
        """

    def constants(self, rate: float, number: int) -> Constants | None:
        """The numbers with which compiled kernels, on the CPU or a graphics card, do what `step` does; None:
        they cannot. Arguments as of `step`.
        """
        return None

    def kernel(
        self, state: OptimiserState, scale: float, decay: np.ndarray, rate: float, number: int
    ) -> Update | None:
        """The compiled form of `step`, if there is one; arguments as for `OptimiserState.update`."""
        constants = self.constants(rate, number)
        if constants is None:
            return None
        empty = np.empty((0, 0, 0), state.weights.dtype)  # no mean square: gradient descent
        return make_update(
            state.weights,
            state.gradient,
            state.moments[0],
            state.moments[1] if constants.adam else empty,
            decay,
            state.row_sum,
            state.row_square,
            state.gradient_square,
            scale,
            constants.step,
            constants.beta1,
            constants.beta2,
            constants.floor,
            constants.shrink,
            constants.nesterov,
        )
