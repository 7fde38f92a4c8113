"""The unit of times that are given without one, if the times themselves determine it."""

from __future__ import annotations

import os

import numpy as np

from eventsnn.errors import EventFileError

HINT = "say it with columns='t[s],x,y,p' (--columns)"
_NANOSECONDS = 10**17
"""Microseconds after the year 5000."""


def tell_unit(path: str | os.PathLike[str], name: str, t: np.ndarray, *, seconds: bool = False) -> str | None:
    """Unit of a recording's first times: ``s``, ``ns``, or None for whole microseconds.

    `seconds` says that times with fractions are seconds in any case. Otherwise raises EventFileError, which
    calls the recording `name`, where their unit is not sure.
    """
    if not len(t):
        return None
    if t.dtype.kind in "iu":
        return "ns" if int(t[0]) >= _NANOSECONDS else None
    if t.dtype.kind != "f" or not np.isfinite(t).all() or (np.rint(t) == t).all():
        return None
    unit = "s" if seconds else unit_of_fractions(t)
    if unit is None:
        text = f"{name}: the times ({t[0]} ..) have fractions, and nothing says their unit"
        raise EventFileError(path, f"{text}; {HINT}")
    return unit


def unit_of_fractions(t: np.ndarray) -> str | None:
    """``s`` if times with fractions can be nothing else, None if that is not sure or they are whole.

    Clocks of cameras count microseconds. Times that are whole microseconds as seconds, and not as
    milliseconds, are seconds; so are such since 1970. Finer times, of a simulator, are seconds where as
    milliseconds there would be more than 100 events a microsecond.
    """
    if (np.rint(t) == t).all():
        return None
    precision = float(np.finfo(t.dtype).eps)
    t = t.astype(np.float64)

    def is_whole(factor: float) -> bool:
        scaled = t * factor
        slack = np.maximum(1e-3, 2 * precision * np.abs(scaled))
        return bool((np.abs(scaled - np.rint(scaled)) <= slack).all())

    if is_whole(1e3):
        return None
    if is_whole(1e6) or 1e8 < t[0] < 4e9:
        return "s"
    return "s" if len(t) > 100.0 * 1e3 * (t.max() - t.min()) else None
