"""Options of HM2-BP, the hybrid macro/micro back-propagation of Jin, Zhang & Li (NeurIPS 2018).

Every constant of the rule, including those found only in the authors' released program, is a named option.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from eventsnn.errors import TrainingError

HEADS = ("count", "softmax")


@dataclass(frozen=True)
class HM2BP:
    """Settings of the learning rule; the defaults are the authors' except where stated.

    Attributes
    ----------
    desired, undesired : int
        Target spike counts of the label's output neuron and of the others.
    margin : float
        Count errors up to this size are taken for 0.
    head : {"count", "softmax"}
        Error at the output: of counts with margin, or softmax over counts with cross-entropy.
    effect_ratio : bool
        Use rho = e / o_pre in the error sent down; off means rho = 1.
    silent_post_spsp : float
        S-PSP assumed from a neuron that fired on a silent one.
    silent_post_ratio : float
        What stands for e / o_post in the self term of a silent neuron.
    force_label_spikes : bool
        A silent label neuron gets evenly spaced spikes, for the S-PSPs only.
    boosting : bool
        Weigh samples that were decided wrongly more in later epochs. On in the authors' configurations, off here:
        it did not help in our trials.
    boosting_divisor : float
        Wrong samples' weights grow by exp(error rate / divisor) each epoch.
    penalty_lambda, penalty_beta, weight_limit : float
        Exponential weight penalty; see `eventsnn.learning.macro.penalty_gradient`. Off by default: at the authors'
        strength (10 and 0.01 to 0.04) exact-time training falls behind.
    weight_decay : float
        Adds this multiple of the weights to the gradient.
    """

    desired: int = 35
    undesired: int = 5
    margin: float = 5.0
    head: str = "count"
    effect_ratio: bool = True
    silent_post_spsp: float = 0.1
    silent_post_ratio: float = 0.5
    force_label_spikes: bool = True
    boosting: bool = False
    boosting_divisor: float = 20.0
    penalty_lambda: float = 0.0
    penalty_beta: float = 0.01
    weight_limit: float = 8.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        if self.head not in HEADS:
            raise TrainingError(f"rule: head must be one of {', '.join(HEADS)}, got {self.head!r}")
        for name in ("effect_ratio", "force_label_spikes", "boosting"):
            if not isinstance(getattr(self, name), bool):
                raise TrainingError(f"rule: {name} must be true or false, got {getattr(self, name)!r}")
        for name, least in (("desired", 1), ("undesired", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise TrainingError(f"rule: {name} must be a whole number >= {least}, got {value!r}")
        for name in ("margin", "silent_post_spsp", "silent_post_ratio", "penalty_lambda", "penalty_beta", "weight_decay"):
            self._check_number(name, positive=False)
        for name in ("boosting_divisor", "weight_limit"):
            self._check_number(name, positive=True)

    def _check_number(self, name: str, *, positive: bool) -> None:
        value = getattr(self, name)
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not number or value < 0 or (positive and value == 0):
            raise TrainingError(f"rule: {name} must be a number {'> 0' if positive else '>= 0'}, got {value!r}")

    @classmethod
    def from_table(cls, table: dict[str, Any]) -> HM2BP:
        """From the ``[rule]`` table of an experiment file.

        Raises
        ------
        TrainingError
            Naming the field: unknown (the text lists those there are) or out of range.
        """
        known = [field.name for field in fields(cls)]
        for key in table:
            if key not in known:
                raise TrainingError(f"rule: unknown field {key!r}; there are {', '.join(known)}")
        return cls(**table)
