"""Checks of signals: arrays of finite numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eventsnn.errors import SimulationError

Floats = npt.NDArray[np.float64]


def check_signal(signal: npt.ArrayLike, dimensions: int) -> Floats:
    """Return `signal` as float64, contiguous; raise SimulationError unless finite and of that dimension."""
    array = np.asarray(signal)
    if array.ndim != dimensions or array.dtype.kind not in "biuf":
        raise SimulationError(
            f"a signal is an array of numbers with {dimensions} dimension{'s' if dimensions > 1 else ''}: "
            f"got shape {array.shape}, dtype {array.dtype}"
        )
    values = np.ascontiguousarray(array, dtype=np.float64)
    if not np.isfinite(values).all():
        raise SimulationError("the signal holds NaN or infinity")
    return values
