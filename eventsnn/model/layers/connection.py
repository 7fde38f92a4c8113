"""Connections beyond the chain of layers, and projections: bundles of synapses as the engines see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np

from eventsnn.model.layers.checks import check_learn, check_name, check_probability, check_time
from eventsnn.model.layers.initial import LATER_FIELDS, check_initial, draw_initial
from eventsnn.model.layers.tables import without_new_defaults

BIAS = -2
"""What `Projection.source` is for the bias neuron."""
PAIRS = ("post", "pre")
"""Axes of weights from neuron to neuron."""


@dataclass(frozen=True)
class Connection:
    """A further projection, all-to-all or sparse: recurrent (source is target), feedback or skip.

    Parameters
    ----------
    source, target : str
        Names of layers; the source may be ``"input"``.
    delay : float
        Axonal delay, ms, >= 0.
    name : str, optional
        Key of its weights, ``"source->target"`` by default.
    initial_weight, initial_mean, initial_distribution, initial_synapses
        How random weights are drawn, as for `Dense`.
    probability : float
        Of each synapse to exist when weights are drawn at random, 0 < probability <= 1; below 1 they are
        sparse.
    learn : sequence of {"delay"}
        Whether the delay is learned besides the weights, by rules that have exact derivatives.
    """

    new_fields: ClassVar[tuple[str, ...]] = ("learn", *LATER_FIELDS)

    source: str
    target: str
    delay: float = 0.0
    name: str | None = None
    initial_weight: float = 1.0
    probability: float = 1.0
    initial_distribution: str = "uniform"
    initial_synapses: int | None = None
    initial_mean: float = 0.0
    learn: Sequence[str] = ()

    def __post_init__(self) -> None:
        for field in ("source", "target", "key"):
            check_name(self.owner, field, getattr(self, field))
        check_time(self.owner, "delay", self.delay)
        check_probability(self.owner, self.probability)
        check_initial(self.owner, self)
        object.__setattr__(self, "learn", check_learn(self.owner, self.learn, ("delay",)))

    @property
    def owner(self) -> str:
        """The connection, as error texts call it."""
        return f"connection {self.key!r}"

    @property
    def key(self) -> str:
        """Key of its weights."""
        return self.name if self.name is not None else f"{self.source}->{self.target}"

    @property
    def learned(self) -> dict[str, float]:
        """What ``learn`` names: the fields and their values."""
        return {name: getattr(self, name) for name in self.learn}

    def draw(self, shape: tuple[int, ...], generator: np.random.Generator) -> Any:
        """Random weights (post, pre), float32; see `draw_initial`."""
        return draw_initial(self.owner, self, shape, False, generator)

    def to_table(self) -> dict[str, Any]:
        """As plain values that TOML and JSON can hold."""
        return without_new_defaults(self, asdict(replace(self, name=self.key)))


@dataclass(frozen=True)
class Projection:
    """One bundle of synapses as the engines see it; made by `Network.projections`.

    Attributes
    ----------
    key : str
        Key of the weights in `Network.weights`; for lateral inhibition the layer's name plus ``":lateral"``.
    source, target : int
        Layer numbers; the input is -1, the bias neuron `BIAS`.
    delay : float
        Axonal delay, ms.
    lateral : float
        Strength of a lateral inhibition, 0 for a projection with weights of its own.
    delays : tuple of float or None
        Delay of each source neuron, where they differ; `delay` is then the shortest.

    A projection from `BIAS` has the last column of the weights of its layer; its key is the layer's name
    plus ``":bias"``.
    """

    key: str
    source: int
    target: int
    delay: float
    lateral: float = 0.0
    delays: tuple[float, ...] | None = None

    def delay_of(self, neuron: int) -> float:
        """Delay of a source neuron, ms."""
        return self.delay if self.delays is None else self.delays[neuron]

    def arrive(self, times: np.ndarray, neurons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Times of arrival of spikes, ms, ascending, and the numbers of the spikes in that order."""
        if self.delays is None:
            return times + self.delay, np.arange(len(times))
        arrivals = times + np.array(self.delays)[neurons]
        order = np.lexsort((neurons, arrivals))
        return arrivals[order], order
