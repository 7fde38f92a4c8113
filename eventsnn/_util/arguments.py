"""Arguments of the Python API that are of the wrong kind altogether: one error that names the argument.

A value is shown in part only: it may be as large as a file.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Iterable
from numbers import Integral, Real
from typing import Any

from eventsnn._util.numbers import describe

Failure = Callable[[str], Exception]


def check_kind(name: str, value: object, kind: type, failure: Failure, advice: str = "") -> None:
    """Raise `failure` unless `value` is a `kind`; `advice` is how to get one."""
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIO" else "a"
        raise failure(f"{name} must be {article} {kind.__name__}, got {type(value).__name__}{advice}")


def check_choice(name: str, value: object, choices: Collection[str], failure: Failure) -> None:
    """Raise `failure` unless `value` is one of some texts."""
    if not isinstance(value, str) or value not in choices:
        raise failure(f"{name} must be one of {', '.join(choices)}, got {describe(value)}")


def find_parameters(make: Callable[..., Any], skip: int = 0) -> tuple[list[str], bool]:
    """Names of the parameters of a function or class after the first `skip`, and whether it takes others."""
    found = list(inspect.signature(make).parameters.values())[skip:]
    named = [one.name for one in found if one.kind is not one.VAR_KEYWORD]
    return named, len(named) < len(found)


def check_parameters(
    what: str, make: Callable[..., Any], names: Iterable[str], failure: Failure, skip: int = 0
) -> None:
    """Raise `failure` for a name that is no parameter of a function or class; lists those after `skip`."""
    known, more = find_parameters(make, skip)
    for name in names:
        if name not in known and not more:
            raise failure(f"{what}: unknown field {name!r}; there are {', '.join(known) or 'none'}")


def check_time(name: str, value: object, failure: Failure, *, infinite: bool = False) -> float:
    """A time in ms, >= 0, as a float; raises `failure` for another value, or an infinite one unless
    allowed.
    """
    number = to_float(value)
    if not (number >= 0.0 and (infinite or number < math.inf)):
        raise failure(f"{name} must be a time >= 0 ms, got {describe(value)}")
    return number


def is_whole(value: object) -> bool:
    """Whether this is a whole number, NumPy's among them; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def to_float(value: object) -> float:
    """A real number as a float; NaN for other values, or beyond the largest float."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan
