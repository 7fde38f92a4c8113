"""What a head is, and the list of heads: a new one is a module beside this one and a line here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn._util.registry import Registry
from eventsnn.errors import TrainingError

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.integer]


class Head(ABC):
    """A loss over the spike counts of the output layer.

    Parameters
    ----------
    rule : Rule
        The settings are read from its fields, such as `desired`.
    """

    def __init__(self, rule: Any) -> None:
        self.rule = rule

    @abstractmethod
    def losses(self, counts: Counts, labels: Counts) -> tuple[Floats, Floats]:
        """Loss of each sample, and its derivative by each count.

        Parameters
        ----------
        counts : int array (samples, n)
            Spike counts of the output layer.
        labels : int array (samples,)
            Output neurons of the right classes.

        Returns
        -------
        loss : float64 array (samples,)
        d : float64 array (samples, n)
        """


HEADS: Registry[type[Head]] = Registry(
    "head",
    "rule: head",
    {
        "count": "eventsnn.learn.heads.count:CountHead",
        "softmax": "eventsnn.learn.heads.softmax:SoftmaxHead",
    },
    TrainingError,
    "eventsnn.heads",
)
"""All heads, by name; other packages may add theirs."""
