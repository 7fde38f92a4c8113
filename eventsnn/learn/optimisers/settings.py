"""Settings of an optimiser."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from eventsnn._util.arguments import check_choice, check_number, describe_unknown
from eventsnn._util.numbers import check_magnitudes
from eventsnn.errors import TrainingError
from eventsnn.learn.optimisers.method import Method, Option
from eventsnn.learn.optimisers.registry import OPTIMISERS
from eventsnn.learn.schedules import SCHEDULES

_FIELDS = {
    "learning_rate": Option(0.001),
    "decay": Option(0.9, below=1.0),
    "beta1": Option(0.9, may_be_zero=True, below=1.0),
    "beta2": Option(0.999, may_be_zero=True, below=1.0),
    "epsilon": Option(1e-8),
    "momentum": Option(0.9, may_be_zero=True, below=1.0),
    "delay_rate": Option(1.0, may_be_zero=True),
    "constant_rate": Option(0.1, may_be_zero=True),
    "warmup": Option(0.0, may_be_zero=True),
}


@dataclass(frozen=True)
class Optimiser:
    """Which optimiser takes the mean gradient of a mini-batch, and its constants.

    Attributes
    ----------
    name : str
        Key of `OPTIMISERS`: ``"adam"`` (Kingma & Ba 2015), ``"sgd"`` (gradient descent with momentum),
        ``"adamw"`` (Adam with decoupled weight decay), ``"nesterov"`` (Nesterov's momentum).
    learning_rate : float
        Base rate, > 0.
    schedule : str
        Key of `SCHEDULES`.
    decay : float
        Of the schedule ``"exponential"``: the rate is multiplied by this after each epoch; above 0, below 1.
    beta1, beta2, epsilon : float
        Constants of Adam and AdamW.
    momentum : float
        Of gradient descent.
    delay_rate, constant_rate : float
        The learning rate of delays (in ms) and that of the logarithms of time constants and thresholds are
        this times that of the weights, where a layer's ``learn`` names them.
    warmup : float
        In the first so many mini-batches the rate rises in a straight line to that of the schedule; 0: not.
    options : dict of str to float
        What only this optimiser knows, such as ``{"weight_decay": 0.01}`` of AdamW; in an experiment file
        these stand beside the others.

    Raises
    ------
    TrainingError
        Naming the field.
    """

    name: str = "adam"
    learning_rate: float = 0.001
    schedule: str = "inverse_sqrt"
    decay: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    momentum: float = 0.9
    delay_rate: float = 1.0
    constant_rate: float = 0.1
    warmup: float = 0.0
    options: Mapping[str, float] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        check_magnitudes(self, TrainingError, "optimiser: ")
        known = OPTIMISERS.get(self.name).options
        check_choice("optimiser: schedule", self.schedule, tuple(SCHEDULES), TrainingError)
        if not isinstance(self.options, Mapping):
            raise TrainingError(f"optimiser: options must be a table, got {self.options!r}")
        for name in self.options:
            if name not in known:
                raise _unknown(name, known)
        complete = {name: self.options.get(name, option.default) for name, option in known.items()}
        object.__setattr__(self, "options", complete)
        for name, option in _FIELDS.items():
            _check_number(name, getattr(self, name), option)
        for name, option in known.items():
            _check_number(name, complete[name], option)

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> Optimiser:
        """From the ``[optimiser]`` table of an experiment file; TrainingError names an unknown field."""
        fields = {name: value for name, value in table.items() if name in _NAMES}
        options = {name: value for name, value in table.items() if name not in _NAMES}
        return cls(**fields, options=options)

    def to_table(self) -> dict[str, Any]:
        """The settings as plain values, `options` included."""
        table = asdict(self)
        return table | table.pop("options")

    def rate(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 0, without the warm-up."""
        return self.learning_rate * SCHEDULES[self.schedule](epoch, self.decay)

    def warm(self, step: int) -> float:
        """Factor of the warm-up on the rate of a mini-batch, counted from 1."""
        return min(1.0, step / self.warmup) if self.warmup else 1.0

    @property
    def method(self) -> Method:
        """The optimiser with these settings."""
        return OPTIMISERS.get(self.name)(self)


_NAMES = tuple(each.name for each in fields(Optimiser) if each.name != "options")


def _unknown(name: Any, known: Mapping[str, Option]) -> TrainingError:
    return TrainingError(f"optimiser: {describe_unknown(name, [*_NAMES, *known])}")


def _check_number(name: str, value: Any, option: Option) -> None:
    bound = {"least" if option.may_be_zero else "above": 0.0}
    if option.below < math.inf:
        bound["below"] = option.below
    check_number(f"optimiser: {name}", value, TrainingError, **bound)
