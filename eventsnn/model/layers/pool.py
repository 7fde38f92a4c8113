"""Pooling layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from eventsnn.model.layers.geometry import Pair, to_pair
from eventsnn.model.layers.spatial_layer import SpatialLayer


@dataclass(frozen=True)
class Pool(SpatialLayer):
    """A pooling layer: each LIF neuron sums the spikes of a window of one map, with weight 1. Not trained.

    It has no weights of its own, hence no biases either.

    Parameters
    ----------
    size : int or (y, x)
    stride : int or (y, x), optional
        `size` by default; less than that makes windows overlap.
    threshold, tau_m, tau_s, refractory, delay, resting, learn, dropout, name
        As for `Dense`.
    dropout_channels : bool
        Whether `dropout` drops whole maps, all positions of a channel; False by default.

    Raises
    ------
    NetworkError
        Naming the layer and the field.
    """

    kind: ClassVar[str] = "pool"
    depthwise: ClassVar[bool] = True

    size: Pair = 2
    stride: Pair | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "size", to_pair(self.owner, "size", self.size))
        stride = self.size if self.stride is None else to_pair(self.owner, "stride", self.stride)
        object.__setattr__(self, "stride", stride)

    @property
    def channels(self) -> int:
        """As many as the source has."""
        return self.known_source[0]

    @property
    def window(self) -> Sequence[Pair]:
        return self.size, self.stride

    def shared_weights(self, weights: Any) -> np.ndarray:
        """1 from each cell of the window in the channel's own map."""
        return self.connected.astype(np.float32)

    @property
    def potential_per_spike(self) -> float:
        """1: each trained layer's errors have their own 1 / nu, and a pooling layer only hands them down."""
        return 1.0

    @property
    def error_divisor(self) -> float:
        """The area of a window: each cell gets its share."""
        return float(self.geometry.area)
