"""The geometry of a layer: its positions, and the patch of the source that each of them sees."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, TypeAlias

import numpy as np

from eventsnn.errors import NetworkError

Shape: TypeAlias = tuple[int, int, int]
"""(channels, height, width)."""
Pair: TypeAlias = Any  # a whole number, or two of them (y, x); two once checked


@dataclass(frozen=True)
class Geometry:
    """Patches of a source of (channels, height, width), one for each position of a layer.

    A dense layer is one position, whose patch is the whole source (`whole`).

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

    @cached_property
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

    @cached_property
    def patches(self) -> int:
        """Positions of the layer."""
        return self.size[0] * self.size[1]

    @cached_property
    def inputs(self) -> int:
        """Inputs of one position: the cells of its patch in every channel of the source."""
        return self.source[0] * self.area

    @cached_property
    def whole(self) -> bool:
        """Whether there is one position, whose inputs are the neurons of the source in their order."""
        return self.kernel == self.source[1:] and self.patches == 1 and self.padding == (0, 0)

    @cached_property
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
        """int64 array (patches, inputs): source neuron of each input, -1 beyond the edge."""
        channels, height, width = self.source
        start = np.arange(channels)[None, :, None] * (height * width)
        cells = self.cells[:, None, :]
        return np.where(cells >= 0, cells + start, -1).reshape(self.patches, self.inputs)

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
        return self.table_of(self.cells)

    def table_of(self, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`table` of some patches alone, those of these rows of `cells`; they are numbered anew."""
        patch, offset = np.nonzero(cells >= 0)
        cell = cells[patch, offset]
        order = np.argsort(cell, kind="stable")
        ptr = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=self.source[1] * self.source[2]))])
        return ptr.astype(np.int32), patch[order].astype(np.int32), offset[order].astype(np.int32)

    @cached_property
    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """`table` with patch and offset side by side, (n, 2), as kernels read them."""
        return self.places_of(self.cells)

    def places_of(self, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`places` of some patches alone, see `table_of`."""
        ptr, *places = self.table_of(cells)
        return ptr, np.stack(places, axis=1)


geometry_of = lru_cache(maxsize=64)(Geometry)
"""A `Geometry`, with its tables, that is kept for the next layer of the same kind."""

MOST_PIXELS = 2**20
"""Of a kernel, a stride, a margin, in one direction."""


def to_pair(owner: str, field: str, value: Any, least: int = 1) -> tuple[int, int]:
    """(y, x) of a field that holds one whole number or two.

    Raises
    ------
    NetworkError
        Naming `owner` and `field`: no whole numbers >= `least`, or too large ones.
    """
    pair = (value, value) if isinstance(value, int) and not isinstance(value, bool) else value
    good = isinstance(pair, tuple | list) and len(pair) == 2
    if not good or not all(isinstance(n, int) and not isinstance(n, bool) and n >= least for n in pair):
        raise NetworkError(
            f"{owner}: {field} must be a whole number >= {least} or two of them (y, x), got {value!r:.60}"
        )
    if max(pair) > MOST_PIXELS:
        raise NetworkError(f"{owner}: {field} must be at most {MOST_PIXELS}, got {value!r:.60}")
    return pair[0], pair[1]
