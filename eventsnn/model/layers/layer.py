"""What all layers have in common, and what engines, traces and learners may ask of any of them.

A layer is a number of *positions*, each of which sees a *patch* of the source and has a neuron for every
*channel*; all positions share their weights. A dense layer is one position whose patch is everything. Whoever
simulates or trains asks a layer for these, and for the few properties in which types of layers differ, and
never which type it is: a new type is one file here, and its name in `eventsnn.model.layers.LAYERS`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from eventsnn._util.arguments import check_flag
from eventsnn._util.numbers import describe
from eventsnn.errors import NetworkError
from eventsnn.model.layers.checks import (
    check_delay,
    check_dropout,
    check_learn,
    check_name,
    check_number,
    check_time,
)
from eventsnn.model.layers.connection import BIAS, Projection
from eventsnn.model.layers.geometry import Geometry, Shape, geometry_of
from eventsnn.model.layers.initial import LATER_FIELDS, check_initial, draw_initial
from eventsnn.model.layers.tables import given_fields, without_new_defaults
from eventsnn.model.neuron import LIF

SLACK = 1e-6
"""What the authors of HM2-BP take off the threshold of all layers but convolutions, on their clock."""


@dataclass(frozen=True)
class Layer:
    """A layer of LIF neurons without weights of its own; see `WeightedLayer`.

    A subclass is a frozen dataclass: its fields are what a user gives, and the keys of its table in a file.
    It defines `channels` and `geometry`, or derives from `SpatialLayer`, which leaves `channels`, `kernel`
    and `stride`.

    Attributes
    ----------
    source_shape : (channels, height, width) or None
        Filled in by `Network`, like `has_bias`.
    has_bias : bool
        Whether its neurons have biases: its last input is then the bias neuron.
    kind : str
        Name of the type in `LAYERS`, and in files.
    stem : str
        Beginning of the name of a layer that is given none; `kind` by default.
    new_fields : tuple of str
        Fields that are left out of files at their default, because files without came first.
    shares_weights : bool
        Whether all positions share their weights. Else there is one position, whose weights (post, pre) may
        be sparse.
    depthwise : bool
        Whether a channel is fed by the channel of the same number of the source alone.
    ties_weights : bool
        Whether several shared weights are one trained number; see `own_gradient`.
    differentiable : bool
        Whether errors go down through it. Of the layers up to the last that is not, nothing is trained.
    fires : bool
        Whether its neurons have a threshold. Only the last layer may have none, a `Readout`.
    bias : bool
        Whether it has biases if the network has.
    lateral_inhibition : float
        Strength with which each neuron's spikes inhibit all other neurons of the layer.
    value : str
        What of the membrane potential is read out where neurons do not fire; empty where they do.
    probability : float
        Of each feed-forward synapse to exist when weights are drawn.
    learn : tuple of str
        Which of `LEARNABLE` are learned besides the weights.
    dropout : float
        Probability with which training drops a neuron for a whole recording; nothing else knows it.
    """

    kind: ClassVar[str]
    stem: ClassVar[str] = ""
    new_fields: ClassVar[tuple[str, ...]] = ("resting", "learn", "dropout", "dropout_channels")
    shares_weights: ClassVar[bool] = True
    depthwise: ClassVar[bool] = False
    ties_weights: ClassVar[bool] = False
    differentiable: ClassVar[bool] = True
    fires: ClassVar[bool] = True

    if TYPE_CHECKING:  # a subclass has these as fields or properties

        @property
        def name(self) -> str | None: ...
        @property
        def channels(self) -> int: ...
        @property
        def neurons(self) -> int: ...
        @property
        def bias(self) -> bool: ...
        @property
        def lateral_inhibition(self) -> float: ...
        @property
        def probability(self) -> float: ...
        @property
        def value(self) -> str: ...
    else:
        bias, lateral_inhibition, probability, value = False, 0.0, 1.0, ""

    threshold: float = field(default=15.0, kw_only=True)
    tau_m: float = field(default=64.0, kw_only=True)
    tau_s: float = field(default=8.0, kw_only=True)
    refractory: float = field(default=2.0, kw_only=True)
    delay: float | Sequence[float] = field(default=0.0, kw_only=True)
    resting: float = field(default=0.0, kw_only=True)
    learn: Sequence[str] = field(default=(), kw_only=True)
    dropout: float = field(default=0.0, kw_only=True)
    source_shape: Shape | None = field(
        default=None, kw_only=True, repr=False, compare=False, metadata={"derived": True}
    )
    has_bias: bool = field(default=False, kw_only=True, repr=False, compare=False, metadata={"derived": True})

    def __post_init__(self) -> None:
        if self.name is not None:
            check_name("layer", "name", self.name)
        if self.fires:
            check_number(self.owner, "threshold", self.threshold)
        check_number(self.owner, "resting", self.resting, minimum=-math.inf)
        for name in ("tau_m", "tau_s", "refractory"):
            check_time(self.owner, name, getattr(self, name), constant=name.startswith("tau"))
        object.__setattr__(self, "delay", check_delay(self.owner, self.delay))
        for problem in self.lif.problems():
            raise NetworkError(f"{self.owner}: {problem}")
        object.__setattr__(self, "learn", check_learn(self.owner, self.learn))
        check_dropout(self.owner, self.dropout)
        spread = self.each_delay is not None or "delays" in self.learn
        if spread and (self.shares_weights or not self.fires):
            raise NetworkError(f"{self.owner}: only a dense layer can have a delay for each source neuron")

    @property
    def owner(self) -> str:
        """The layer, as error texts call it."""
        return f"layer {describe(self.name)}" if self.name else "layer"

    def named(self, name: str) -> Self:
        """The same layer called `name`."""
        return replace(self, name=name)  # type: ignore[call-arg]

    @property
    def each_delay(self) -> tuple[float, ...] | None:
        """Delay of each input, ms; None if one holds for all."""
        return self.delay if isinstance(self.delay, tuple) else None

    @property
    def least_delay(self) -> float:
        """The shortest delay, ms."""
        return min(self.delay) if isinstance(self.delay, Sequence) else float(self.delay)

    @property
    def bias_delay(self) -> float:
        """Delay of the bias neuron's spikes, ms."""
        return self.least_delay if self.each_delay is None else self.each_delay[-1]

    @property
    def learned(self) -> dict[str, Any]:
        """What ``learn`` names: the fields and their values."""
        names = ("delay" if name == "delays" else name for name in self.learn)
        return {name: getattr(self, name) for name in names}

    @property
    def lif(self) -> LIF:
        """The neuron's parameters."""
        return LIF(
            float(self.threshold),
            float(self.tau_m),
            float(self.tau_s),
            float(self.refractory),
            float(self.resting),
        )

    # -- shape
    # -------------------------------------------------------------------------------------------------

    def fit(self, source: Shape, source_name: str, has_bias: bool = False) -> Self:
        """The layer as part of a network: with its source's shape, and biases if it takes them.

        Raises
        ------
        NetworkError
            Naming the layer and its source, if they do not go together.
        """
        fitted = replace(self, source_shape=source, has_bias=has_bias and self.bias)
        if isinstance(fitted.delay, tuple) and len(fitted.delay) != fitted.inputs:
            biases = ", one for the bias neuron" if fitted.has_bias else ""
            raise NetworkError(
                f"{self.owner}: delay must be one number or {fitted.inputs}, one for each neuron of "
                f"{source_name!r}{biases}, got {len(fitted.delay)}"
            )
        return fitted

    @property
    def known_source(self) -> Shape:
        """`source_shape`; NetworkError if the layer is not part of a network."""
        if self.source_shape is None:
            raise NetworkError(f"{self.owner}: its size is not known before it is part of a network")
        return self.source_shape

    @property
    def geometry(self) -> Geometry:
        """Its positions and their patches; by default one position, whose patch is everything."""
        return geometry_of(self.known_source, self.known_source[1:], (1, 1))

    @property
    def shape(self) -> Shape:
        """(channels, height, width)."""
        return (self.channels, *self.geometry.size)

    @property
    def positions(self) -> int:
        """Number of positions; neuron number ``channel * positions + position`` is one of each."""
        return self.geometry.patches

    @property
    def patch(self) -> int:
        """Number of source neurons that a position sees, those beyond the edge included."""
        return self.geometry.inputs

    @property
    def inputs(self) -> int:
        """Inputs of a position: `patch`, and the bias neuron where there are biases."""
        return self.patch + self.has_bias

    @property
    def rows(self) -> np.ndarray:
        """Source neuron of each input of each position, -1 beyond the edge; int64 (positions, inputs).

        The bias neuron's number is the number of source neurons.
        """
        return _rows(self.geometry, self.has_bias)

    # -- weights
    # -----------------------------------------------------------------------------------------------

    @property
    def weight_shape(self) -> tuple[int, ...] | None:
        """Shape of its weights in `Network.weights`; None if it has none."""
        return None

    @property
    def weight_axes(self) -> tuple[str, ...]:
        """What the axes of its weights are."""
        return ("channel", "input") if self.shares_weights else ("post", "pre")

    @property
    def trainable(self) -> bool:
        """Whether training changes its weights."""
        return self.weight_shape is not None and self.differentiable

    def draw(self, generator: np.random.Generator) -> Any:
        """Random weights of shape `weight_shape`, float32."""
        raise NotImplementedError

    def shared_weights(self, weights: Any) -> np.ndarray:
        """Weights (channels, inputs) of a position, from those of `Network.weights` (None if it has none).

        Linear in the weights; the last column is that of the biases, if there are any. Where `depthwise`, the
        weights from other channels are 0.
        """
        return np.asarray(weights).reshape(self.channels, self.inputs)

    def own_weights(self, shared: np.ndarray) -> np.ndarray:
        """The inverse of `shared_weights`."""
        assert self.weight_shape is not None
        return shared.reshape(self.weight_shape)

    def own_gradient(self, gradient: np.ndarray) -> np.ndarray:
        """The gradient of its weights from that of the shared weights (channels, inputs).

        The transpose of `shared_weights`, which a layer that `ties_weights` defines. Training moves shared
        weights by ``shared_weights(own_gradient(...))``, so that what was tied remains tied.
        """
        return self.own_weights(gradient)

    @property
    def connected(self) -> np.ndarray:
        """Which inputs each channel has, bool array (channels, inputs): all, if it is not `depthwise`."""
        if not self.depthwise:
            return np.ones((self.channels, self.inputs), bool)
        same_map = np.repeat(np.eye(self.channels, dtype=bool), self.geometry.area, axis=1)
        return np.hstack([same_map, np.ones((self.channels, 1), bool)]) if self.has_bias else same_map

    def lower(self, weights: Any) -> Any:
        """Weights (post, pre) from neuron to neuron, zeros kept: ``scipy.sparse.csr_array`` if shared."""
        if not self.shares_weights:
            return weights
        from scipy.sparse import csr_array

        shared, rows = self.shared_weights(weights), self.rows
        position, place = np.nonzero(rows >= 0)
        exists = self.connected[:, place].ravel()
        post = (np.arange(self.channels)[:, None] * self.positions + position).ravel()
        pre = np.broadcast_to(rows[position, place], (self.channels, len(position))).ravel()
        values = shared[:, place].ravel()
        shape = (self.neurons, math.prod(self.known_source) + self.has_bias)
        return csr_array((values[exists], (post[exists], pre[exists])), shape=shape)

    def lower_row(self, weights: Any, neuron: int) -> np.ndarray:
        """Row `neuron` of `lower` if weights are shared, dense: float64 array (pre,)."""
        _, pre, values = self.lower_rows(weights, np.array([neuron]))
        row = np.zeros(math.prod(self.known_source) + self.has_bias)
        row[pre] = values
        return row

    def lower_rows(self, weights: Any, neurons: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows `neurons` of `lower` if weights are shared, as of a CSR matrix: (ptr, pre, float64 weights).

        By themselves: all rows of a layer for a large sensor take gigabytes.
        """
        channels, positions = np.divmod(neurons, self.positions)
        places = self.rows[positions]
        exists = (places >= 0) & self.connected[channels]
        ptr = np.concatenate([[0], np.cumsum(exists.sum(axis=1))])
        values = self.shared_weights(weights)[channels][exists]
        return ptr, places[exists], values.astype(np.float64)

    def inner_projections(self, number: int) -> list[Projection]:
        """Projections of layer `number` that do not come from another layer: biases, loops, inhibition."""
        projections = (
            [Projection(f"{self.name}:bias", BIAS, number, self.bias_delay)] if self.has_bias else []
        )
        projections += self.recurrent_projections(number)
        if self.lateral_inhibition:
            lateral = float(self.lateral_inhibition)
            projections.append(Projection(f"{self.name}:lateral", number, number, 0.0, lateral))
        return projections

    def recurrent_projections(self, number: int) -> list[Projection]:
        """Projections among its neurons that have weights (neurons, neurons) in `Network.weights`."""
        return []

    def draw_recurrent(self, key: str, generator: np.random.Generator) -> Any:
        """Random weights of the recurrent projection `key`, float32."""
        raise NotImplementedError

    # -- simulation on a clock, and training
    # -------------------------------------------------------------------

    @property
    def threshold_slack(self) -> float:
        """Amount by which the clock lowers the threshold."""
        return SLACK

    @property
    def potential_per_spike(self) -> float:
        """Potential that one more output spike takes, as errors see it: a_i = nu o_i, with this as nu."""
        return float(self.threshold)

    @property
    def error_divisor(self) -> float:
        """Divisor of the errors that it sends down, besides the `potential_per_spike` below."""
        return 1.0

    @property
    def uses_effect_ratio(self) -> bool:
        """Whether errors go down through rho = e_{i|j} / o_j even if the rule has rho = 1 in dense layers."""
        return self.shares_weights

    # -- files
    # -------------------------------------------------------------------------------------------------

    def to_table(self) -> dict[str, Any]:
        """As plain values that TOML and JSON can hold."""
        table = {part.name: getattr(self, part.name) for part in given_fields(self)}
        return {"type": self.kind, **without_new_defaults(self, table)}


@dataclass(frozen=True)
class WeightedLayer(Layer):
    """A layer with weights of its own, which are drawn at random unless they are given.

    A subclass defines `weight_shape`, and `shared_weights` and `own_weights` unless these are reshaped only.
    """

    new_fields: ClassVar[tuple[str, ...]] = (*Layer.new_fields, *LATER_FIELDS, "bias")

    initial_weight: float = field(default=1.0, kw_only=True)
    initial_distribution: str = field(default="uniform", kw_only=True)
    initial_synapses: int | None = field(default=None, kw_only=True)
    initial_mean: float = field(default=0.0, kw_only=True)
    bias: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_initial(self.owner, self)
        check_flag(f"{self.owner}: bias", self.bias, NetworkError)

    def draw(self, generator: np.random.Generator) -> Any:
        """Random weights of shape `weight_shape`, float32; see `draw_initial`."""
        assert self.weight_shape is not None
        return draw_initial(self.owner, self, self.weight_shape, self.has_bias, generator)


@lru_cache(maxsize=64)
def _rows(geometry: Geometry, has_bias: bool) -> np.ndarray:
    rows = geometry.rows
    if has_bias:
        rows = np.hstack([rows, np.full((geometry.patches, 1), math.prod(geometry.source))])
    rows.flags.writeable = False
    return rows
