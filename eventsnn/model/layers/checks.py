"""Checks of the numbers and names in descriptions of a network's parts."""

from __future__ import annotations

import math
import sys
import unicodedata
from collections.abc import Sequence

import numpy as np

from eventsnn._util import arguments
from eventsnn._util.arguments import check_whole
from eventsnn._util.numbers import describe
from eventsnn.errors import NetworkError

MOST_NEURONS = 2**31 - 1
"""Of a layer or of the input: neurons are numbered in 32 bits."""

LARGEST_DRAWN = 1e30
"""Of a weight that is drawn at random: it is kept in float32."""

LONGEST_MS = 1e12
SHORTEST_MS = 1e-9
"""Of a time constant, ms: the ratio of two of them, and its exponential, must be a number."""


def check_count(owner: str, field: str, value: object) -> None:
    """Raise NetworkError unless `value` is a whole number >= 1, and one that 32 bits hold."""
    if check_whole(f"{owner}: {field}", value, NetworkError, 1) > MOST_NEURONS:
        raise NetworkError(f"{owner}: {field} must be at most {MOST_NEURONS}, got {describe(value)}")


def check_number(
    owner: str, field: str, value: object, *, minimum: float = 0.0, maximum: float = sys.float_info.max
) -> None:
    """Raise NetworkError unless `value` is a finite number from `minimum` to `maximum`."""
    least = minimum if minimum > -math.inf else None
    if abs(arguments.check_number(f"{owner}: {field}", value, NetworkError, least=least)) > maximum:
        raise NetworkError(f"{owner}: {field} must be at most {maximum:g}, got {describe(value)}")


def check_time(owner: str, field: str, value: object, *, constant: bool = False) -> None:
    """Raise NetworkError unless `value` is a time >= 0 ms, or a time constant, that can be computed with."""
    check_number(owner, field, value, maximum=LONGEST_MS)
    if constant and 0.0 < value < SHORTEST_MS:  # type: ignore[operator]
        raise NetworkError(f"{owner}: {field} must be at least {SHORTEST_MS:g} ms, got {value!r}")


LONGEST_NAME = 200
"""Bytes of a name in UTF-8: it is a part of the names of files and of data sets."""


def check_name(owner: str, field: str, value: object) -> None:
    """Raise NetworkError unless `value` can name a layer, and a data set of a file: no path, all visible."""
    if not isinstance(value, str) or not value or "/" in value:
        raise NetworkError(f"{owner}: {field} must be a non-empty text without '/', got {describe(value)}")
    if value in (".", "..") or value != value.strip():
        raise NetworkError(
            f"{owner}: {field} must not be '.' or '..', or begin or end with a space: {value!r:.60}"
        )
    # Control, format and private characters, halves of surrogate pairs, line ends.
    odd = [
        letter
        for letter in value
        if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    ]
    if odd:
        raise NetworkError(f"{owner}: {field} must be of visible characters, got {describe(value)}")
    if len(value.encode()) > LONGEST_NAME:
        raise NetworkError(
            f"{owner}: {field} must be at most {LONGEST_NAME} bytes long, got {len(value.encode())}"
        )


LEARNABLE = ("delay", "tau_m", "tau_s", "threshold")
"""Fields of a layer that training can change besides its weights."""

OF_LAYERS = (*LEARNABLE, "delays")
"""What ``learn`` of a layer may name: ``delays`` are one for each source neuron."""


def check_learn(owner: str, value: object, learnable: tuple[str, ...] = OF_LAYERS) -> tuple[str, ...]:
    """The fields named in ``learn``; NetworkError unless it is a list of some of `learnable`."""
    known = ", ".join(map(repr, learnable))
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise NetworkError(f"{owner}: learn must be a list of some of {known}, got {describe(value)}")
    for name in value:
        if name not in learnable:
            raise NetworkError(
                f"{owner}: learn must be a list of some of {known}, got {describe(name)} in it"
            )
    if "delay" in value and "delays" in value:
        raise NetworkError(f"{owner}: learn must name either 'delay', one for all, or 'delays', one for each")
    return tuple(name for name in learnable if name in value)


def check_delay(owner: str, value: object) -> float | tuple[float, ...]:
    """A delay, or one for each source neuron: NetworkError unless they are times >= 0 ms."""
    if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray):
        check_time(owner, "delay", value)
        return value  # type: ignore[return-value]
    if all(type(one) is float for one in value):  # as training gives them, at every step
        each = np.asarray(value)
        if ((each >= 0.0) & (each <= LONGEST_MS)).all():
            return tuple(value)
    for one in value:
        check_time(owner, "delay", one)
    return tuple(float(one) for one in value)


def check_dropout(owner: str, value: object) -> None:
    """Raise NetworkError unless `value` can be the probability with which neurons are dropped."""
    arguments.check_number(f"{owner}: dropout", value, NetworkError, least=0.0, below=1.0)


def check_limits(owner: str, value: object) -> tuple[float, float] | None:
    """``initial_delays``: (least, most), ms; NetworkError unless they are times in this order."""
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise NetworkError(
            f"{owner}: initial_delays must be two times, the least and the most, got {describe(value)}"
        )
    least, most = value
    for one in value:
        check_time(owner, "initial_delays", one)
    if least > most:
        raise NetworkError(f"{owner}: initial_delays must be the least and the most, got {describe(value)}")
    return float(least), float(most)


def check_probability(owner: str, value: object) -> None:
    """Raise NetworkError unless `value` can be the probability of a synapse."""
    arguments.check_number(f"{owner}: probability", value, NetworkError, above=0.0, most=1.0)
