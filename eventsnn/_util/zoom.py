"""The part of a sensor to show where most of it has nothing to show."""

from __future__ import annotations

import numpy as np

FAINT = 0.01
"""Share of the largest value below which a pixel is not worth looking at."""

MOST = 0.6
"""Share of the sensor's width and height from which on all of it is shown."""

LEAST = 24
"""Pixels that are shown at least in each direction."""


def busy_part(maps: np.ndarray) -> tuple[int, int, int, int]:
    """First and last column and row (first x, end x, first y, end y) of the part where the values are.

    Parameters
    ----------
    maps : float array (maps, height, width)

    Returns
    -------
    tuple of int
        A part of about the sensor's proportions around all pixels that matter, or the whole sensor.
    """
    _, height, width = maps.shape
    size = np.abs(maps).max(axis=0, initial=0.0)
    y, x = np.nonzero(size > FAINT * size.max(initial=0.0))
    if not x.size:
        return 0, width, 0, height
    wide, high = (1.2 * (int(each.max()) - int(each.min()) + 1) for each in (x, y))
    share = max(wide / width, high / height, LEAST / max(1, min(width, height)))
    if share > MOST:
        return 0, width, 0, height
    x0, x1 = _around((int(x.min()) + int(x.max()) + 1) / 2.0, share * width, width)
    y0, y1 = _around((int(y.min()) + int(y.max()) + 1) / 2.0, share * height, height)
    return x0, x1, y0, y1


def _around(middle: float, length: float, size: int) -> tuple[int, int]:
    """A stretch of about this length around `middle`, within [0, size)."""
    whole = min(size, round(length))
    start = min(max(0, round(middle - length / 2.0)), size - whole)
    return start, start + whole
