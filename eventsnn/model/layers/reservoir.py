"""A reservoir: a fixed random recurrent layer on a grid, whose spikes train the layers above it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from eventsnn._util.arguments import check_flag
from eventsnn.errors import NetworkError
from eventsnn.model.layers.checks import LARGEST_DRAWN, check_count, check_number, check_time
from eventsnn.model.layers.connection import Projection
from eventsnn.model.layers.dense import Dense

PAIRS = ("EE", "EI", "IE", "II")


@dataclass(frozen=True)
class Reservoir(Dense):
    """A layer of LIF neurons on a 3-D grid, connected among themselves at random. Nothing in it is trained.

    A fraction of the neurons is inhibitory. A synapse from one neuron to another exists with probability
    c exp(-(d / distance)^2), d being their distance on the grid; its weight is that of its source's kind,
    `recurrent_weight` or -`recurrent_weight`. Source: Maass, Natschlaeger & Markram, Neural Computation 14
    (2002), with the constants of Jin, Zhang & Li, NeurIPS 2018, by default.

    Neurons are numbered x fastest, then y, then z. The weights of these synapses are a projection
    ``"<name>:recurrent"`` of the network, sparse; like all weights they may be given instead of drawn.

    Parameters
    ----------
    grid : (x, y, z)
    inhibitory : float
        Fraction of inhibitory neurons, 0 .. 1.
    connectivity : (EE, EI, IE, II)
        c of each kind of synapse, source first, each 0 .. 1.
    distance : float
        > 0, in steps of the grid.
    recurrent_weight : float
        >= 0.
    recurrent_delay : float
        ms, > 0.
    self_synapses : bool
        Whether a neuron may have a synapse on itself, with probability c, as in the authors' program.
    name, threshold, tau_m, tau_s, refractory, delay, probability
    initial_weight, initial_mean, initial_distribution, initial_synapses
        As for `Dense`; from `delay` on they are about the synapses from the layer before, which are not
        trained either. The authors have "fixed", 32 synapses of weight 8 or -8.

    Raises
    ------
    NetworkError
        Naming the layer and the field.
    """

    kind: ClassVar[str] = "reservoir"
    stem: ClassVar[str] = ""
    new_fields: ClassVar[tuple[str, ...]] = (*Dense.new_fields, "self_synapses")
    differentiable: ClassVar[bool] = False

    neurons: int = field(init=False, default=0)
    grid: Any = (3, 3, 15)
    inhibitory: float = 0.2
    connectivity: Any = (0.45, 0.3, 0.6, 0.15)
    distance: float = 2.0
    recurrent_weight: float = 1.0
    recurrent_delay: float = 1.0
    self_synapses: bool = False

    def __post_init__(self) -> None:
        for name, size in (("grid", 3), ("connectivity", 4)):
            value = getattr(self, name)
            if not isinstance(value, tuple | list) or len(value) != size:
                raise NetworkError(f"{self.owner}: {name} must be {size} numbers, got {value!r}")
            object.__setattr__(self, name, tuple(value))
        for size in self.grid:
            check_count(self.owner, "grid", size)
        object.__setattr__(self, "neurons", math.prod(self.grid))
        check_count(self.owner, "grid's number of neurons", self.neurons)
        super().__post_init__()
        if self.learn:
            raise NetworkError(f"{self.owner}: nothing in a reservoir is trained; leave learn out")
        if self.dropout:
            raise NetworkError(f"{self.owner}: nothing in a reservoir is trained; leave dropout out")
        for name, value in (("inhibitory", self.inhibitory), *zip(PAIRS, self.connectivity, strict=True)):
            what = name if name == "inhibitory" else f"connectivity {name}"
            check_number(self.owner, what, value)
            if value > 1:
                raise NetworkError(f"{self.owner}: {what} must not be above 1, got {value!r}")
        # Beyond these the square of a distance on the grid, divided by this one's, overflows.
        check_number(self.owner, "distance", self.distance, minimum=1e-6, maximum=1e12)
        check_number(self.owner, "recurrent_weight", self.recurrent_weight, maximum=LARGEST_DRAWN)
        check_time(self.owner, "recurrent_delay", self.recurrent_delay)
        if self.recurrent_delay == 0:
            raise NetworkError(f"{self.owner}: recurrent_delay must be above 0")
        check_flag(f"{self.owner}: self_synapses", self.self_synapses, NetworkError)

    @property
    def recurrent_key(self) -> str:
        """Key of the weights among its neurons."""
        return f"{self.name}:recurrent"

    @property
    def coordinates(self) -> np.ndarray:
        """Place of each neuron on the grid, int64 array (neurons, 3): x, y, z."""
        z, y, x = np.unravel_index(np.arange(self.neurons), self.grid[::-1])
        return np.stack([x, y, z], axis=1)

    def recurrent_projections(self, number: int) -> list[Projection]:
        return [Projection(self.recurrent_key, number, number, float(self.recurrent_delay))]

    def draw_recurrent(self, key: str, generator: np.random.Generator) -> Any:
        """Weights among its neurons: float32 ``scipy.sparse.csr_array`` (post, pre)."""
        from scipy.sparse import csr_array

        n = self.neurons
        inhibits = np.zeros(n, dtype=bool)
        inhibits[generator.permutation(n)[: round(self.inhibitory * n)]] = True
        places = self.coordinates
        square = ((places[:, None] - places[None]) ** 2).sum(axis=2)
        # [post, pre]; the kind names the source first.
        kind = 2 * inhibits[None, :] + inhibits[:, None]
        chance = np.asarray(self.connectivity)[kind] * np.exp(-square / self.distance**2)
        if not self.self_synapses:
            np.fill_diagonal(chance, 0.0)
        post, pre = np.nonzero(generator.random((n, n)) < chance)
        weights = np.where(inhibits[pre], -self.recurrent_weight, self.recurrent_weight).astype(np.float32)
        return csr_array((weights, (post, pre)), shape=(n, n))
