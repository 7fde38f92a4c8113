"""Checks and copies of the weights of a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from eventsnn.errors import NetworkError
from eventsnn.model.layers.connection import PAIRS
from eventsnn.model.sparse import check_sparse, is_sparse


def check_weights(
    weights: Mapping[str, Any], shapes: dict[str, tuple[int, ...]], axes_of: dict[str, tuple[str, ...]]
) -> dict[str, Any]:
    """Read-only copies of the weights of a network, for the `shapes` and axes by key that it has.

    Weights (post, pre) may be sparse.

    Raises
    ------
    NetworkError
        For a key that is unknown or missing, another shape, or a value that is no finite number.
    """
    for key in weights:
        if key not in shapes:
            raise NetworkError(f"weights: no layer or connection {key!r}; there are {', '.join(shapes)}")
    checked: dict[str, Any] = {}
    for key, shape in shapes.items():
        axes = f"({', '.join(axes_of[key])})"
        if key not in weights:
            raise NetworkError(f"weights of {key!r} are missing; give an array of shape {shape} {axes}")
        if is_sparse(weights[key]) and axes_of[key] == PAIRS:
            checked[key] = check_sparse(key, weights[key], (shape[0], shape[1]))
            continue
        if np.ma.is_masked(weights[key]):
            raise NetworkError(
                f"weights of {key!r} are masked: fill them (filled(0)), or give a sparse array"
            )
        try:
            array = np.asarray(weights[key])
        except ValueError:
            raise NetworkError(f"weights of {key!r} are lists of different lengths") from None
        if array.dtype not in (np.float32, np.float64):
            if array.dtype.kind not in "iuf":
                raise NetworkError(f"weights of {key!r} must be numbers, got dtype {array.dtype}")
            array = array.astype(np.float64)
        if array.shape != shape:
            raise NetworkError(f"weights of {key!r} must have shape {shape} {axes}, got {array.shape}")
        if not np.isfinite(array).all():
            where = tuple(np.argwhere(~np.isfinite(array))[0].tolist())
            place = ", ".join(f"{axis} {n}" for axis, n in zip(axes_of[key], where, strict=True))
            raise NetworkError(f"weights of {key!r}: the weight of {place} is {array[where]}")
        array = np.array(array, order="C")
        array.flags.writeable = False
        checked[key] = array
    return checked
