"""Convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from eventsnn.model.layers.checks import check_count
from eventsnn.model.layers.geometry import Pair, to_pair
from eventsnn.model.layers.layer import WeightedLayer
from eventsnn.model.layers.spatial_layer import SpatialLayer


@dataclass(frozen=True)
class Conv(SpatialLayer, WeightedLayer):
    """A convolution: `channels` maps of LIF neurons, each neuron fed by a patch of the source's maps.

    Neurons are numbered channel by channel, row by row: channel * height * width + y * width + x. Weights are
    shared by all positions: array (channels, source channels, kernel y, kernel x). It is a correlation, as in
    PyTorch: neuron (y, x) sees source rows y * stride - padding + k * dilation. With biases the weights are
    an array (channels, source channels * kernel y * kernel x + 1), whose last column is the bias of each
    channel.

    Parameters
    ----------
    channels : int
    kernel, stride, padding, dilation : int or (y, x)
        `padding` adds rows and columns of silent source neurons at every edge.
    initial_weight, initial_mean, initial_distribution, initial_synapses
        How random weights are drawn, as for `Dense`; an initial weight of 0.5 is the authors' choice.
    threshold, tau_m, tau_s, refractory, delay, resting, learn, dropout, bias, name
        As for `Dense`.
    dropout_channels : bool
        Whether `dropout` drops whole maps, all positions of a channel; False by default.

    Raises
    ------
    NetworkError
        Naming the layer and the field.
    """

    kind: ClassVar[str] = "conv"

    channels: int
    kernel: Pair
    stride: Pair = 1
    padding: Pair = 0
    dilation: Pair = 1
    name: str | None = None
    initial_weight: float = field(default=0.5, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self.owner, "channels", self.channels)
        for name in ("kernel", "stride", "padding", "dilation"):
            pair = to_pair(self.owner, name, getattr(self, name), 0 if name == "padding" else 1)
            object.__setattr__(self, name, pair)

    @property
    def window(self) -> Sequence[Pair]:
        return self.kernel, self.stride, self.padding, self.dilation

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """(channels, source channels, kernel y, kernel x); with biases (channels, inputs)."""
        if self.has_bias:
            return (self.channels, self.inputs)
        return (self.channels, self.known_source[0], *self.kernel)

    @property
    def weight_axes(self) -> tuple[str, ...]:
        return ("channel", "input") if self.has_bias else ("channels", "source channels", "y", "x")

    @property
    def threshold_slack(self) -> float:
        return 0.0
