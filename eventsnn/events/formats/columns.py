"""Columns of a table of events: their meaning, from the header or from the caller."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eventsnn.errors import EventFileError, EventStreamError
from eventsnn.events.fields import find_fields, whole_numbers

HOW = "name them, such as columns='t[s],x,y,p' (--columns); t in s, ms, us or ns; - for a column to pass over"
_REMEDY = f"say what the columns are: {HOW}"


@dataclass(frozen=True)
class Columns:
    """Positions of t, x, y, p in a row (y and p may be missing), and the unit of t.

    Attributes
    ----------
    place : dict of str to int
    width : int
        Columns in a row.
    unit : str or None
        s, ms, us or ns; None if nothing says it: whole microseconds.
    size : tuple of 2 int, optional
        Width and height, where the names say them (``x@1280,y@720``).
    stated : int, optional
        Number of polarities, likewise (``on@4``).
    """

    place: dict[str, int]
    width: int
    unit: str | None = None
    size: tuple[int, int] | None = None
    stated: int | None = None

    @classmethod
    def of_names(cls, names: Sequence[str]) -> Columns | None:
        """Columns with these names; None if they are not names of events' fields.

        Raises EventStreamError where the names leave open what is meant.
        """
        fields = find_fields(names, remedy=_REMEDY)
        if fields is None:
            return None
        sizes = fields.sizes
        size = (sizes["x"], sizes["y"]) if {"x", "y"} <= sizes.keys() else None
        return cls(fields.place, len(names), fields.unit, size, sizes.get("p"))

    @classmethod
    def given(cls, path: str | os.PathLike[str], text: str | None) -> Columns | None:
        """Columns that the caller names, None without; raises EventFileError if they are none."""
        if text is None:
            return None
        separator = next((s for s in ",;" if s in text), None)
        names = text.split(separator)
        try:
            columns = cls.of_names(names)
        except EventStreamError as error:
            raise EventFileError(path, f"columns {text!r}: {error}") from None
        if columns is None:
            raise EventFileError(path, f"columns {text!r} are not columns of events; {HOW}")
        return columns

    @property
    def polarities(self) -> int:
        """Of a sensor that the names alone describe."""
        return self.stated or (2 if "p" in self.place else 1)


def to_whole(
    path: str | os.PathLike[str], name: str, values: np.ndarray, unit: str | None = None
) -> np.ndarray:
    """Numbers as int64, times from `unit` to microseconds, for a file.

    Raises EventFileError for a value that is not a number, is too large, or (without a unit) not whole.
    """
    try:
        return whole_numbers(name, values, unit)
    except EventStreamError as error:
        hint = f" (microseconds, unless the columns say otherwise: {HOW})" if name == "t" else ""
        raise EventFileError(path, f"{error}{hint}") from None
