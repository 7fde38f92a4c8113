"""Layers of maps whose neurons see windows of the source's maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from eventsnn._util.arguments import check_flag
from eventsnn.errors import NetworkError
from eventsnn.model.layers.geometry import Geometry, Pair, Shape, geometry_of
from eventsnn.model.layers.layer import Layer


@dataclass(frozen=True)
class SpatialLayer(Layer):
    """A layer of `channels` maps of neurons, each of which sees a window of the source's maps.

    A subclass says in `window` what its windows are, and defines `channels`.

    Attributes
    ----------
    dropout_channels : bool
        Whether `dropout` drops whole maps.
    """

    dropout_channels: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag(f"{self.owner}: dropout_channels", self.dropout_channels, NetworkError)

    @property
    def window(self) -> Sequence[Pair]:
        """(kernel, stride, padding, dilation), each (y, x); the last two may be left out."""
        raise NotImplementedError

    def fit(self, source: Shape, source_name: str, has_bias: bool = False) -> Self:
        """See `Layer`; refused is a source that no window fits into, or another than it was made for."""
        if self.source_shape is not None and tuple(self.source_shape) != source:
            raise NetworkError(
                f"{self.owner}: expects a source of shape {tuple(self.source_shape)} (channels, height, "
                f"width), but {source_name!r} has {source}"
            )
        fitted = super().fit(source, source_name, has_bias)
        geometry = fitted.geometry
        if min(geometry.size) < 1:
            kernel, dilation = geometry.kernel, geometry.dilation
            need = [
                d * (k - 1) + 1 - 2 * p for k, d, p in zip(kernel, dilation, geometry.padding, strict=True)
            ]
            raise NetworkError(
                f"{self.owner}: its windows of {kernel[0]} x {kernel[1]} need a source of at least "
                f"{need[0]} x {need[1]} (height x width), but {source_name!r} has {source[1]} x {source[2]}"
            )
        return fitted

    @property
    def geometry(self) -> Geometry:
        """Its positions and their patches."""
        return geometry_of(self.known_source, *self.window)

    @property
    def neurons(self) -> int:
        """Number of neurons."""
        return self.channels * self.positions
