"""Which column of a table is what, and in which unit; numbers of any type to whole ones."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

import numpy as np

from eventsnn.errors import EventFileError

_NAMES = {
    **{"t": "t", "ts": "t", "time": "t", "timestamp": "t", "timestamps": "t", "x": "x", "y": "y"},
    **{"p": "p", "pol": "p", "polarity": "p", "on": "p"},
}
_MICROSECONDS = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
_COLUMN = re.compile(r"(\w+|-)(?:\[(\w+)\])?(?:@(\d+))?")
HOW = "name them, such as columns='t[s],x,y,p' (--columns); t in s, ms, us or ns; - for a column to pass over"


@dataclass(frozen=True)
class Columns:
    """Positions of t, x, y, p in a row (y and p may be missing), and microseconds per unit of t."""

    place: dict[str, int]
    width: int
    scale: float = 1.0
    size: tuple[int, int] | None = None
    """Width and height, where the names say them (``x@1280,y@720``)."""

    @classmethod
    def parse(cls, text: str) -> Columns | None:
        """Read names such as ``t[s],x,y,p``; None if they are no names of columns."""
        place: dict[str, int] = {}
        scale, sizes = 1.0, {}
        parts = re.split(r"[,;\s]+", text.strip())
        for position, part in enumerate(parts):
            found = _COLUMN.fullmatch(part.lower())
            name = _NAMES.get(found[1]) if found else None
            if found is None or name in place or (name is None and found[1][0].isdigit()):
                return None
            if name is None:
                continue
            place[name] = position
            if found[2] is not None:
                if name != "t" or found[2] not in _MICROSECONDS:
                    return None
                scale = _MICROSECONDS[found[2]]
            if found[3] is not None:
                sizes[name] = int(found[3])
        if not {"t", "x"} <= place.keys():
            return None
        size = (sizes["x"], sizes["y"]) if {"x", "y"} <= sizes.keys() else None
        return cls(place, len(parts), scale, size)

    @classmethod
    def given(cls, path: str | os.PathLike[str], text: str | None) -> Columns | None:
        """Columns that the caller names, None without; raises EventFileError if they are none."""
        if text is None:
            return None
        columns = cls.parse(text)
        if columns is None:
            raise EventFileError(path, f"columns {text!r} are no columns of events; {HOW}")
        return columns


def to_whole(path: str | os.PathLike[str], name: str, values: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """Numbers times `scale` as int64; raises EventFileError for what is no number, or too large.

    Times in another unit are rounded to whole microseconds; without a scale, numbers must be whole.
    """
    if values.dtype.kind not in "biuf":
        raise EventFileError(path, f"{name} is of dtype {values.dtype}; numbers are needed")
    if values.dtype.kind in "biu" and scale == 1.0:
        # Differences of numbers of this size still fit.
        if values.dtype.itemsize == 8 and len(values) and (values.max() >= 2**62 or values.min() <= -(2**62)):
            at = int(np.argmax((values >= 2**62) | (values <= -(2**62))))
            raise EventFileError(path, f"{name} = {values[at]} is too large")
        return values.astype(np.int64)
    numbers = values.astype(np.float64) * scale
    bad = ~(np.abs(numbers) < 2.0**62)
    whole = np.rint(np.where(bad, 0.0, numbers))
    if scale == 1.0:
        bad |= whole != numbers
    if bad.any():
        at = int(np.argmax(bad))
        hint = f" (microseconds, unless the columns say otherwise: {HOW})" if name == "t" else ""
        raise EventFileError(path, f"{name} = {values[at]} is not a whole number of the int64 range{hint}")
    return whole.astype(np.int64)
