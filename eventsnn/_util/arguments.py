"""Checks of arguments and settings: one error that names what is wrong, what it must be, and what it is.

A value is shown in part only: it may be as large as a file.
"""

from __future__ import annotations

import difflib
import inspect
import math
import operator
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from numbers import Integral, Real
from typing import Any

from eventsnn._util.numbers import LARGEST_SEED, describe

_LONGEST_NAME = 60
"""Characters of a name that are compared with names that are known."""

Failure = Callable[[str], Exception]
"""Makes an error of its text."""


def check_kind(name: str, value: object, kind: type, failure: Failure, advice: str = "") -> None:
    """Raise `failure` unless `value` is a `kind`; `advice` is how to get one."""
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIO" else "a"
        raise failure(f"{name} must be {article} {kind.__name__}, got {type(value).__name__}{advice}")


def check_path(name: str, path: object, failure: Failure) -> str:
    """A path as a text; raise `failure` unless it can be the name of a file or folder."""
    if not isinstance(path, str | bytes | os.PathLike):
        raise failure(f"{name} must be the name of a file, got {type(path).__name__}")
    text = os.fsdecode(path)
    if "\0" in text:
        raise failure(f"{name} must be the name of a file, got {describe(text)} with a zero byte")
    return text


def check_choice(name: str, value: object, choices: Collection[str], failure: Failure) -> None:
    """Raise `failure` unless `value` is one of some texts."""
    if not isinstance(value, str) or value not in choices:
        raise failure(f"{name} must be one of {', '.join(choices)}, got {describe(value)}")


def find_parameters(make: Callable[..., Any], skip: int = 0) -> tuple[list[str], bool]:
    """Names of the parameters of a function or class after the first `skip`, and whether it takes others."""
    all_parameters = list(inspect.signature(make).parameters.values())[skip:]
    named = [one.name for one in all_parameters if one.kind is not one.VAR_KEYWORD]
    return named, len(named) < len(all_parameters)


def check_parameters(
    what: str, make: Callable[..., Any], names: Iterable[str], failure: Failure, skip: int = 0
) -> None:
    """Raise `failure` for a name that is no parameter of a function or class; lists those after `skip`."""
    known, more = find_parameters(make, skip)
    for name in names:
        if name not in known and not more:
            raise failure(f"{what}: {describe_unknown(name, known)}")


def describe_unknown(name: object, known: Iterable[str], what: str = "field") -> str:
    """``unknown field 'thresold'; there are threshold, tau_m; did you mean 'threshold'?``, for errors."""
    names = list(known)
    near = difflib.get_close_matches(str(name)[:_LONGEST_NAME].lower(), names, 1)
    advice = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown {what} {describe(name)}; there are {', '.join(names) or 'none'}{advice}"


def check_flag(name: str, value: object, failure: Failure) -> None:
    """Raise `failure` unless `value` is True or False."""
    if not isinstance(value, bool):
        raise failure(f"{name} must be true or false, got {describe(value)}")


def check_whole(
    name: str, value: Any, failure: Failure, least: int = 0, most: float = math.inf, unit: str = ""
) -> int:
    """A whole number in ``least .. most``, NumPy's among them, as an int; `failure` if it is none.

    `unit` names what is counted, for the text.
    """
    if not is_whole(value) or not least <= value <= most:
        bounds = f">= {least}" if most == math.inf else f"from {least} to {most:.16g}"
        what = f"a whole number of {unit}," if unit else "a whole number"
        raise failure(f"{name} must be {what} {bounds}, got {describe(value)}")
    return int(value)


def check_seed(name: str, value: Any, failure: Failure) -> int:
    """A seed of random draws, as an int; `failure` if it is none."""
    return check_whole(name, value, failure, 0, LARGEST_SEED)


def check_number(
    name: str,
    value: object,
    failure: Failure,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> float:
    """A finite number within bounds that include (`least`, `most`) or not (`above`, `below`); else `failure`.

    Returns it as one of Python's numbers, which all writers of settings know.
    """
    number = to_float(value)
    bounds = (
        (least, ">=", operator.ge),
        (above, ">", operator.gt),
        (most, "<=", operator.le),
        (below, "<", operator.lt),
    )
    stated = [(bound, sign, holds) for bound, sign, holds in bounds if bound is not None]
    if not math.isfinite(number) or not all(holds(number, bound) for bound, _, holds in stated):
        limits = " and ".join(f"{sign} {bound:g}" for bound, sign, _ in stated)
        raise failure(f"{name} must be a finite number {limits}".rstrip() + f", got {describe(value)}")
    return value if isinstance(value, int | float) else number


def check_numbers(
    settings: Any, bounds: Mapping[str, Mapping[str, float]], failure: Failure, prefix: str = ""
) -> None:
    """`check_number` of fields of a frozen dataclass, by name; they become Python's numbers."""
    for name, limits in bounds.items():
        number = check_number(f"{prefix}{name}", getattr(settings, name), failure, **limits)
        object.__setattr__(settings, name, number)


def check_time(name: str, value: object, failure: Failure, *, infinite: bool = False) -> float:
    """A time in ms, >= 0, as a float; raises `failure` for another value, or an infinite one unless
    allowed.
    """
    number = to_float(value)
    if not (number >= 0.0 and (infinite or number < math.inf)):
        raise failure(f"{name} must be a time >= 0 ms, got {describe(value)}")
    return number


def check_span(name: str, value: object, failure: Failure) -> float:
    """A length of time in ms, > 0 and finite, as a float; `failure` if it is none."""
    number = to_float(value)
    if not 0.0 < number < math.inf:
        raise failure(f"{name} must be a finite number of ms > 0, got {describe(value)}")
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
