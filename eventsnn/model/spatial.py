"""Convolution and pooling layers: frozen descriptions, and the geometry of their patches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, TypeAlias

import numpy as np

from eventsnn.errors import NetworkError
from eventsnn.model.layers import LifLayer, check_count, check_initial

Shape: TypeAlias = tuple[int, int, int]
Pair: TypeAlias = Any  # a whole number, or two of them (y, x); two once checked


@dataclass(frozen=True)
class Geometry:
    """Patches of a source of (channels, height, width), one for each position of a spatial layer.

    Attributes
    ----------
    source : (channels, height, width)
    kernel, stride, padding, dilation : (y, x)
    """

    source: Shape
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the layer; not positive if no patch fits."""
        across = (
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(
                self.source[1:], self.kernel, self.stride, self.padding, self.dilation, strict=True
            )
        )
        height, width = across
        return height, width

    @property
    def patches(self) -> int:
        """Positions of the layer."""
        return self.size[0] * self.size[1]

    @property
    def area(self) -> int:
        """Cells of a patch."""
        return self.kernel[0] * self.kernel[1]

    @cached_property
    def cells(self) -> np.ndarray:
        """int64 array (patches, area): cell y * width + x of the source, -1 beyond its edge."""
        _, height, width = self.source
        axes = [
            (np.arange(n) * s - p)[:, None] + np.arange(k) * d
            for n, k, s, p, d in zip(
                self.size, self.kernel, self.stride, self.padding, self.dilation, strict=True
            )
        ]
        y, x = axes[0][:, None, :, None], axes[1][None, :, None, :]
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        return np.where(inside, y * width + x, -1).reshape(self.patches, self.area)

    @cached_property
    def rows(self) -> np.ndarray:
        """int64 array (patches, channels * area): source neuron of each input, -1 beyond the edge."""
        channels, height, width = self.source
        start = np.arange(channels)[None, :, None] * (height * width)
        cells = self.cells[:, None, :]
        return np.where(cells >= 0, cells + start, -1).reshape(self.patches, channels * self.area)

    @cached_property
    def borders(self) -> tuple[np.ndarray, np.ndarray]:
        """Which cells of a patch are inside the image: ``inside[kind[patch]]``.

        (inside, kind) are bool (kinds, area) and int64 (patches,).
        """
        inside, kind = np.unique(self.cells >= 0, axis=0, return_inverse=True)
        return inside, kind.reshape(-1)

    @cached_property
    def table(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(ptr, patch, offset), int32: patches that each cell of the source is in, and where in them."""
        patch, offset = np.nonzero(self.cells >= 0)
        cell = self.cells[patch, offset]
        order = np.argsort(cell, kind="stable")
        ptr = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=self.source[1] * self.source[2]))])
        return ptr.astype(np.int32), patch[order].astype(np.int32), offset[order].astype(np.int32)


MOST_PIXELS = 2**20
"""Of a kernel, a stride, a margin, in one direction."""

_geometry = lru_cache(maxsize=64)(Geometry)


def _pair(owner: str, field: str, value: Any, least: int = 1) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) and not isinstance(value, bool) else value
    good = isinstance(pair, tuple | list) and len(pair) == 2
    if not good or not all(isinstance(n, int) and not isinstance(n, bool) and n >= least for n in pair):
        raise NetworkError(
            f"{owner}: {field} must be a whole number >= {least} or two of them (y, x), got {value!r:.60}"
        )
    if max(pair) > MOST_PIXELS:
        raise NetworkError(f"{owner}: {field} must be at most {MOST_PIXELS}, got {value!r:.60}")
    return pair[0], pair[1]


@dataclass(frozen=True)
class Conv(LifLayer):
    """A convolution: `channels` maps of LIF neurons, each neuron fed by a patch of the source's maps.

    Neurons are numbered channel by channel, row by row: channel * height * width + y * width + x. Weights are
    shared by all positions: array (channels, source channels, kernel y, kernel x). It is a correlation, as in
    PyTorch: neuron (y, x) sees source rows y * stride - padding + k * dilation.

    Parameters
    ----------
    channels : int
    kernel, stride, padding, dilation : int or (y, x)
        `padding` adds rows and columns of silent source neurons at every edge.
    initial_weight, initial_distribution, initial_synapses
        How random weights are drawn, as for `Dense`; an initial weight of 0.5 is the authors' choice.
    threshold, tau_m, tau_s, refractory, delay, name
        As for `Dense`.
    source_shape : (channels, height, width), optional
        Filled in by `Network`.

    Raises
    ------
    NetworkError
        Naming the layer and the field.
    """

    channels: int
    kernel: Pair
    stride: Pair = 1
    padding: Pair = 0
    dilation: Pair = 1
    name: str | None = None
    threshold: float = 15.0
    tau_m: float = 64.0
    tau_s: float = 8.0
    refractory: float = 2.0
    delay: float = 0.0
    initial_weight: float = 0.5
    initial_distribution: str = "uniform"
    initial_synapses: int | None = None
    source_shape: Shape | None = None

    def __post_init__(self) -> None:
        self.check_lif()
        check_count(self.owner, "channels", self.channels)
        check_initial(self.owner, self)
        for field in ("kernel", "stride", "padding", "dilation"):
            pair = _pair(self.owner, field, getattr(self, field), 0 if field == "padding" else 1)
            object.__setattr__(self, field, pair)

    @property
    def geometry(self) -> Geometry:
        """Its patches."""
        return _geometry(_known(self), self.kernel, self.stride, self.padding, self.dilation)

    @property
    def shape(self) -> Shape:
        """(channels, height, width)."""
        return (self.channels, *self.geometry.size)

    @property
    def neurons(self) -> int:
        """Number of neurons."""
        return self.channels * self.geometry.patches

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """(channels, source channels, kernel y, kernel x)."""
        return (self.channels, _known(self)[0], *self.geometry.kernel)


@dataclass(frozen=True)
class Pool(LifLayer):
    """A pooling layer: each LIF neuron sums the spikes of a window of one map, with weight 1. Not trained.

    Parameters
    ----------
    size : int or (y, x)
    stride : int or (y, x), optional
        `size` by default; less than that makes windows overlap.
    threshold, tau_m, tau_s, refractory, delay, name
        As for `Dense`.
    source_shape : (channels, height, width), optional
        Filled in by `Network`.

    Raises
    ------
    NetworkError
        Naming the layer and the field.
    """

    size: Pair = 2
    stride: Pair | None = None
    name: str | None = None
    threshold: float = 15.0
    tau_m: float = 64.0
    tau_s: float = 8.0
    refractory: float = 2.0
    delay: float = 0.0
    source_shape: Shape | None = None

    def __post_init__(self) -> None:
        self.check_lif()
        object.__setattr__(self, "size", _pair(self.owner, "size", self.size))
        stride = self.size if self.stride is None else _pair(self.owner, "stride", self.stride)
        object.__setattr__(self, "stride", stride)

    @property
    def geometry(self) -> Geometry:
        """Its patches."""
        return _geometry(_known(self), self.size, self.stride)

    @property
    def shape(self) -> Shape:
        """(channels, height, width)."""
        return (_known(self)[0], *self.geometry.size)

    @property
    def neurons(self) -> int:
        """Number of neurons."""
        return self.shape[0] * self.geometry.patches


def _known(layer: Conv | Pool) -> Shape:
    if layer.source_shape is None:
        raise NetworkError(f"{layer.owner}: its size is not known before it is part of a network")
    return layer.source_shape


def patch_weights(layer: Conv | Pool, weights: np.ndarray | None) -> np.ndarray:
    """Weights (channels, source channels * area) that all positions share; ones of a pooling layer."""
    if isinstance(layer, Conv):
        assert weights is not None
        return weights.reshape(layer.channels, -1)
    return np.repeat(np.eye(layer.shape[0], dtype=np.float32), layer.geometry.area, axis=1)


def fit_source(layer: Conv | Pool, source: Shape, source_name: str) -> Conv | Pool:
    """The layer with its source's shape filled in.

    Raises
    ------
    NetworkError
        If no patch fits, or if a source is given that is not this one.
    """
    if layer.source_shape is not None and tuple(layer.source_shape) != source:
        raise NetworkError(
            f"{layer.owner}: expects a source of shape {tuple(layer.source_shape)} (channels, height, "
            f"width), but {source_name!r} has {source}"
        )
    fitted = replace(layer, source_shape=source)
    size = fitted.geometry.size
    if min(size) < 1:
        kernel, dilation = fitted.geometry.kernel, fitted.geometry.dilation
        need = [
            d * (k - 1) + 1 - 2 * p for k, d, p in zip(kernel, dilation, fitted.geometry.padding, strict=True)
        ]
        raise NetworkError(
            f"{layer.owner}: its windows of {kernel[0]} x {kernel[1]} need a source of at least "
            f"{need[0]} x {need[1]} (height x width), but {source_name!r} has {source[1]} x {source[2]}"
        )
    return fitted


def lower_weights(layer: Conv | Pool, weights: np.ndarray | None) -> Any:
    """Weights (post, pre) between neurons, ``scipy.sparse.csr_array``; zeros are kept."""
    from scipy.sparse import csr_array

    shared = patch_weights(layer, weights)
    rows, patches = layer.geometry.rows, layer.geometry.patches
    patch, place = np.nonzero(rows >= 0)
    channels = layer.shape[0]
    post = (np.arange(channels)[:, None] * patches + patch).ravel()
    pre = np.broadcast_to(rows[patch, place], (channels, len(patch))).ravel()
    values = shared[:, place].ravel()
    source = layer.source_shape or (0, 0, 0)
    shape = (layer.neurons, source[0] * source[1] * source[2])
    if isinstance(layer, Pool):  # a map sees itself alone
        own = values != 0
        post, pre, values = post[own], pre[own], values[own]
    return csr_array((values, (post, pre)), shape=shape)
