"""Data of Bokeh's sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource


def set_data(source: ColumnDataSource, data: Mapping[str, Any]) -> None:
    """Give a source its columns, unless it has them already.

    Bokeh sends whatever is assigned, and the browser draws it anew, also if nothing is different.
    """
    old = source.data
    if old.keys() != data.keys() or not all(is_same(old[key], data[key]) for key in data):
        source.data = dict(data)


def is_same(one: Any, other: Any) -> bool:
    """Whether two columns hold the same: numbers, texts, or images."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        # A column of another type is sent in other bytes.
        nan = one.dtype.kind == "f"
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=nan)
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray) or len(one) != len(other):
        return len(one) == len(other) == 0
    return all(
        is_same(a, b) if isinstance(a, np.ndarray) else bool(a == b) for a, b in zip(one, other, strict=True)
    )
