"""Checks for absurd numbers, so large that results computed from them are not finite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

LARGEST = 1e15
"""Of a setting: whole numbers up to here are exact as floats, and their products are far from overflow."""
LARGEST_SEED = 2**63 - 1


def describe(value: object) -> str:
    """A value for an error text, however large it is."""
    if isinstance(value, int) and abs(value) >= 10**30:
        return f"a number of {value.bit_length()} bits"
    return f"{value!r:.60}"


def check_magnitudes(settings: Any, failure: Callable[[str], Exception], prefix: str = "") -> None:
    """Raise `failure` if a field of a dataclass holds a number whose magnitude is beyond `LARGEST`.

    Infinity and NaN are left to the checks of the field itself; `seed` may be any number of 63 bits.
    """
    for field in fields(settings):
        limit = LARGEST_SEED if field.name == "seed" else LARGEST
        for value in _numbers(getattr(settings, field.name, None)):
            if limit < abs(value) < float("inf"):
                raise failure(f"{prefix}{field.name} must be at most {limit:g}, got {describe(value)}")


def _numbers(value: Any) -> Iterator[int | float]:
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _numbers(inner)
