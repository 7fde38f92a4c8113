"""Connections beyond the chain of layers, and projections: bundles of synapses as the engines see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from eventsnn.model.layers.branches import Branches
from eventsnn.model.layers.checks import check_learn, check_limits, check_name, check_probability, check_time
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
        Axonal delay, ms, >= 0, where synapses have none of their own.
    name : str, optional
        Key of its weights, ``"source->target"`` by default.
    initial_weight, initial_mean, initial_distribution, initial_synapses
        How random weights are drawn, as for `Dense`.
    probability : float
        Of each synapse to exist when weights are drawn at random, 0 < probability <= 1; below 1 they are
        sparse.
    learn : sequence of {"delay"}
        Whether the delay is learned besides the weights, by rules that have exact derivatives; where synapses
        have delays of their own, that of each.
    delays : array (synapses,), optional
        A delay for each synapse of sparse weights, ms, in the order of the ``data`` of the weights that are
        given; or a sparse array of the same synapses. The network keeps them, as `Network.delays`.
    initial_delays : (least, most), optional
        Draws a delay for each synapse of sparse weights from uniform(least, most), ms, where none are given.
    """

    new_fields: ClassVar[tuple[str, ...]] = ("learn", "delays", "initial_delays", *LATER_FIELDS)

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
    delays: Any = field(default=None, compare=False, repr=False)
    initial_delays: Sequence[float] | None = None

    def __post_init__(self) -> None:
        for name in ("source", "target", "key"):
            check_name(self.owner, name, getattr(self, name))
        check_time(self.owner, "delay", self.delay)
        check_probability(self.owner, self.probability)
        check_initial(self.owner, self)
        object.__setattr__(self, "initial_delays", check_limits(self.owner, self.initial_delays))
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
        return without_new_defaults(self, asdict(replace(self, name=self.key, delays=None)))


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
    branches : Branches or None
        Where source neurons or synapses have delays of their own; `delay` is then the shortest.

    A projection from `BIAS` has the last column of the weights of its layer; its key is the layer's name
    plus ``":bias"``.
    """

    key: str
    source: int
    target: int
    delay: float
    lateral: float = 0.0
    branches: Branches | None = field(default=None, compare=False, repr=False)

    def arrive(
        self, times: np.ndarray, neurons: np.ndarray, onto: int | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What of some spikes arrives when, at all neurons or at one.

        Parameters
        ----------
        times, neurons : arrays (spikes,)
            ms, ascending; source neuron of each.
        onto : int, optional
            The one neuron, where synapses have delays of their own.

        Returns
        -------
        arrivals : float64 array (n,)
            ms, ascending.
        rows : int64 array (n,)
            Number of the spike.
        senders : int array (n,)
            The source neuron, or the branch where there is one for each synapse.
        """
        if self.branches is None:
            return times + self.delay, np.arange(len(times)), neurons
        branches = self.branches if onto is None else self.branches.onto(onto)
        return branches.arrive(times, neurons)
