"""Readout layers: leaky integrators that never fire; their membrane potentials decide."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

from eventsnn._util.arguments import check_choice
from eventsnn.errors import NetworkError
from eventsnn.model.layers.checks import check_count, check_learn, check_time
from eventsnn.model.layers.dense import AllToAll

VALUES = ("max", "mean", "weighted")


@dataclass(frozen=True)
class Readout(AllToAll):
    """A last layer of leaky integrators that never fire, each fed by every neuron of the layer before it.

    A neuron has the membrane potential u of a LIF neuron without a threshold, and is read out as one number.
    The neuron with the largest decides.

    Parameters
    ----------
    neurons : int
        Number of neurons.
    name : str, optional
        Name of the layer and key of its weights; ``output`` by default.
    value : {"max", "mean", "weighted"}
        What is read out: the highest u from time 0 to the end of the run, 0 at least; the mean of u from time
        0 to the end of the sample (at its stated duration, else at its last event); or the mean of u over the
        run with weight exp(-t / tau_weight), which the time of every spike moves.
    tau_weight : float
        For "weighted": time constant of the weight, ms, > 0; best about as long as a sample.
    tau_m, tau_s : float
        Membrane and synaptic time constant, ms; see `LIF`.
    delay : float
        Axonal delay of the feed-forward projection into this layer, ms, >= 0.
    learn : sequence of {"delay"}
        Whether the delay is learned.
    initial_weight, initial_distribution, initial_synapses, bias
        As for `Dense`.

    Raises
    ------
    NetworkError
        Naming the layer and the field.

    References
    ----------
    T. Nowotny, J. P. Turner, J. C. Knight: Loss shaping enhances exact gradient learning with Eventprop in
    spiking neural networks, arXiv 2212.01232, 2022 (the weighted mean, and why).
    """

    kind: ClassVar[str] = "readout"
    new_fields: ClassVar[tuple[str, ...]] = ("learn", "initial_distribution", "initial_synapses", "bias")
    shares_weights: ClassVar[bool] = False
    fires: ClassVar[bool] = False

    neurons: int
    name: str | None = None
    value: str = field(default="weighted", kw_only=True)
    tau_weight: float = field(default=100.0, kw_only=True)
    threshold: float = field(default=math.inf, init=False, repr=False)
    refractory: float = field(default=0.0, init=False, repr=False)
    resting: float = field(default=0.0, init=False, repr=False)
    dropout: float = field(default=0.0, init=False, repr=False)

    def __post_init__(self) -> None:
        check_count(self.owner, "neurons", self.neurons)
        super().__post_init__()
        check_choice(f"{self.owner}: value", self.value, VALUES, NetworkError)
        check_learn(self.owner, self.learn, ("delay",))
        check_time(self.owner, "tau_weight", self.tau_weight, constant=True)
        if not self.tau_weight:
            raise NetworkError(f"{self.owner}: tau_weight must be > 0 ms, got {self.tau_weight!r}")
