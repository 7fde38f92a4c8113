"""Dense layers: every neuron has its own synapses from every neuron of the source."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from eventsnn.model.layers.checks import check_count, check_limits, check_number, check_probability
from eventsnn.model.layers.initial import LATER_FIELDS
from eventsnn.model.layers.layer import WeightedLayer


class AllToAll(WeightedLayer):
    """A layer each of whose neurons sees the whole layer below; a subclass has a field `neurons`."""

    neurons: int

    @property
    def channels(self) -> int:
        """A channel for each neuron: there is one position."""
        return self.neurons

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """(post, pre); the last column is that of the biases where there are any."""
        return (self.neurons, math.prod(self.known_source) + self.has_bias)


@dataclass(frozen=True)
class Dense(AllToAll):
    """A layer of LIF neurons, each fed by every neuron of the layer before it.

    Parameters
    ----------
    neurons : int
        Number of neurons.
    name : str, optional
        Name of the layer and key of its weights; ``hidden``, ``hidden2``, ... and ``output`` by default.
    threshold, tau_m, tau_s, refractory : float
        See `LIF`; times in ms.
    delay : float or sequence of float
        Axonal delay of the feed-forward projection into this layer, ms, >= 0; or one for each neuron of its
        source, and one more for the bias neuron where there is one. The latter in exact time.
    learn : sequence of {"delay", "delays", "tau_m", "tau_s", "threshold"}
        Which of these are learned besides the weights, by rules that have exact derivatives: ``"delay"`` is
        one for all, or that of each synapse where these have delays of their own, ``"delays"`` one for each
        neuron of the source.
    lateral_inhibition : float
        w0 >= 0: every neuron's spike adds -w0 to the synaptic current of every other neuron of the layer, at
        once. Not trained.
    initial_weight, initial_distribution : float, {"uniform", "gaussian", "fixed"}
        How random weights are drawn: from uniform(-initial_weight, initial_weight); from the normal
        distribution of standard deviation `initial_weight`; or `initial_synapses` weights of each
        neuron, from sources drawn without repetition, are `initial_weight` or -`initial_weight` with equal
        probability, and the rest are 0, those of the biases among them.
    initial_mean : float
        Added to every weight drawn from "uniform" or "gaussian".
    initial_synapses : int, optional
        With "fixed" only, where it is needed.
    resting : float
        Resting potential, below the threshold: what the membrane potential tends to without input. A constant
        current of strength J, in the unit of synaptic current, is a resting potential of J tau_m / tau_s.
    bias : bool
        Whether the layer has biases where the network has them; see `Input`.
    dropout : float
        In training a neuron is left out with this probability, for a whole recording, drawn again in every
        epoch; 0 <= dropout < 1. Not of the last layer. Simulation and evaluation do not know it.
    probability : float
        Of each synapse of the feed-forward projection to exist when weights are drawn at random, 0 <
        probability <= 1; below 1 they are sparse. Weights that are given may be sparse in any case.
    initial_delays : (least, most), optional
        Draws a delay for each synapse of sparse weights from uniform(least, most), ms, where the network is
        given none (`Network.delays`).

    Raises
    ------
    NetworkError
        Naming the layer and the field.
    """

    kind: ClassVar[str] = "dense"
    stem: ClassVar[str] = "hidden"
    new_fields: ClassVar[tuple[str, ...]] = ("learn", "dropout", *LATER_FIELDS, "bias", "initial_delays")
    shares_weights: ClassVar[bool] = False

    neurons: int
    name: str | None = None
    lateral_inhibition: float = field(default=0.0, kw_only=True)
    probability: float = field(default=1.0, kw_only=True)
    initial_delays: Sequence[float] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        check_count(self.owner, "neurons", self.neurons)
        check_number(self.owner, "lateral_inhibition", self.lateral_inhibition)
        check_probability(self.owner, self.probability)
        object.__setattr__(self, "initial_delays", check_limits(self.owner, self.initial_delays))
        super().__post_init__()

    def to_table(self) -> dict[str, Any]:
        """Plain values; files of dense networks are the same as before there were other types."""
        table = super().to_table()
        if self.kind == "dense":
            del table["type"]
        return table
