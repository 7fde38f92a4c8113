"""Field names and units of events, in one table for arrays and for files of every format.

Programs call the time of an event ``t``, ``ts``, ``timestamp (us)`` or ``time_s``, its polarity ``p``,
``pol`` or ``on``. All readers look names up here, so that a name means the same in a structured array, a
table of text, an HDF5 group or a MATLAB file. `eventsnn.events.polarity` does the same for OFF and ON.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from eventsnn.errors import EventStreamError

UNITS = {"s": (1_000_000, 1), "ms": (1000, 1), "us": (1, 1), "ns": (1, 1000)}
"""Microseconds per unit of time, as numerator and denominator."""

_UNIT_WORDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("ms", "msec", "msecs", "millis", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("us", "usec", "usecs", "micros", "microsec", "microsecond", "microseconds"), "us"),
    **dict.fromkeys(("ns", "nsec", "nsecs", "nanos", "nanosec", "nanosecond", "nanoseconds"), "ns"),
}
_TIME = {"t", "ts", "time", "times", "timestamp", "timestamps", "tstamp", "tstamps", "stamp", "stamps"}
_TIME |= {"timepoint", "timepoints"}
_CLOCKS = (
    "event",
    "events",
    "ev",
    "evt",
    "spike",
    "spikes",
    "dvs",
    "device",
    "sensor",
    "camera",
    "system",
    "ros",
)
_TIME |= {
    f"{what}{name}"
    for what in _CLOCKS
    for name in ("t", "ts", "time", "times", "timestamp", "timestamps", "stamp", "stamps")
}
_POLARITY = {"p", "ps", "pol", "pols", "polar", "polarity", "polarities", "on", "onoff", "ison", "sign"}
_POLARITY |= {"signs", "increase", "isincrease", "polarityon", "onpolarity"}
_POLARITY |= {
    f"{what}{name}"
    for what in ("event", "events", "ev", "evt", "dvs", "pixel")
    for name in ("p", "ps", "pol", "pols", "polarity", "polarities")
}
_PLACE_WORDS = (
    "(?:events?|evt?|dvs|pixels?|pix|px|addr(?:ess)?(?:es)?|pos(?:itions?)?|coord(?:inate)?s?|loc(?:ations?)?|"
    "idx|ind(?:ex|ices)?|s)?"
)
_X = re.compile(f"{_PLACE_WORDS}(?:x|col(?:umn)?s?){_PLACE_WORDS}")
_Y = re.compile(f"{_PLACE_WORDS}(?:y|rows?){_PLACE_WORDS}")
# The address of a sensor without rows: a neuron, the channel of a cochlea. Those of the first line come with
# times in ms (SONATA's spike files, NEST's recorders).
_SPIKE_NAMES = {"nodeid", "nodeids", "sender", "senders", "gid", "gids"}
_LINE_NAMES = _SPIKE_NAMES | {"neuron", "neurons", "neuronid", "neuronids", "neuronindex", "cell", "cells"}
_LINE_NAMES |= {"cellid", "cellids", "unit", "units", "unitid", "unitids", "channel", "channels", "chan"}
_LINE_NAMES |= {"channelid", "electrode", "electrodes", "taxel", "taxels", "addr", "addrs", "address"}
_LINE_NAMES |= {"addresses", "i", "id", "ids"}
# What says nothing about an event: numbers of rows, and the population that SONATA names in every row.
_IDLE_NAMES = {"", "index", "idx", "id", "ids", "event", "eventid", "eventnumber", "eventindex", "level0"}
_IDLE_NAMES |= {"n", "no", "nr", "num", "number", "population", "populations", "rownumber"}

_LONGEST = 100
"""Characters of a name; the patterns below take ages for long ones."""
_BRACKETS = re.compile(r"(.*?)[\s_]*[\[({<]([^\])}>]*)[\])}>]\s*(?:@(\d+))?.*")
_AT = re.compile(r"(.*?)@(\d+)")
_WORD = re.compile("[a-z']+")
_FACTOR = re.compile(
    r"(?:(?<![\w.])(\d{1,9}(?:\.\d{0,9})?(?:e[+-]?\d{1,2})?)|(?<!\w)(10)\s*(?:\^|\*\*)\s*\{?([+-]?\d{1,2})\}?)\s*[*x]?\s*$"
)
_SUFFIX = re.compile(r"(.*?)[\s_.\-/:]+(?:in[\s_]+)?([a-z]+)")


@dataclass(frozen=True)
class Name:
    """Meaning of a field's name.

    Attributes
    ----------
    role : str or None
        ``t``, ``x``, ``y``, ``p``; ``line`` for the address of a sensor without rows; None: not known.
    plain : str
        The name in lower case, without unit, brackets and signs.
    unit : str or None
        Of ``t``: s, ms, us or ns, if the name says it.
    size : int or None
        Of ``x@1280`` and the like.
    """

    role: str | None
    plain: str
    unit: str | None = None
    size: int | None = None


def parse_name(text: str) -> Name:
    """Split a field's name into its parts; raises EventStreamError for a time in an unknown unit."""
    if len(text) > _LONGEST:
        return Name(None, text)
    name = text.strip().strip("\"'\ufeff").strip().lower().replace("µ", "u").replace("μ", "u")
    size, bracket = None, None
    if match := _BRACKETS.fullmatch(name):
        name, bracket, size = match[1], match[2], match[3]
    elif match := _AT.fullmatch(name):
        name, size = match[1], match[2]
    plain = re.sub(r"[^0-9a-z]", "", name)
    unit = None if bracket is None else parse_unit(bracket)
    if unit is None and bracket is None:
        plain, unit = _split_unit(name, plain)
    role = _role(plain)
    if role == "t" and unit is None and bracket is not None:
        raise EventStreamError(
            f"field {text.strip()!r}: {bracket!r} is not a unit of time; s, ms, us, ns are"
        )
    return Name(role, plain, unit if role == "t" else None, None if size is None else int(size))


def parse_unit(text: str) -> str | None:
    """``s``, ``ms``, ``us`` or ``ns`` from a text such as ``microseconds since 1970`` or ``1e-6 s``, or None.

    A number before the unit must make it one of these: ``10 us`` is none.
    """
    text = text.lower().replace("µ", "u").replace("μ", "u")
    found = next((match for match in _WORD.finditer(text) if match[0] in _UNIT_WORDS), None)
    if found is None:
        return None
    unit, factor = _UNIT_WORDS[found[0]], _FACTOR.search(text[: found.start()])
    if factor is None:
        return unit
    number, base, exponent = factor.groups()
    scale = Fraction(number) if number else Fraction(int(base)) ** int(exponent)
    scale *= Fraction(*UNITS[unit])
    return next((name for name, ratio in UNITS.items() if Fraction(*ratio) == scale), None)


def _split_unit(name: str, plain: str) -> tuple[str, str | None]:
    """Plain name and unit of ``t_us``, ``time in s``, ``timeus`` or ``microseconds``."""
    match = _SUFFIX.fullmatch(name)
    if match and match[2] in _UNIT_WORDS:
        before = re.sub(r"[^0-9a-z]", "", match[1])
        if before in _TIME:
            return before, _UNIT_WORDS[match[2]]
    if plain in _TIME:
        return plain, None
    if plain in _UNIT_WORDS and plain != "s":
        return "t", _UNIT_WORDS[plain]
    for word, unit in _UNIT_WORDS.items():
        # An s at the end of a word is a plural.
        if word != "s" and plain.endswith(word) and plain.removesuffix(word).removesuffix("in") in _TIME:
            return plain.removesuffix(word).removesuffix("in"), unit
    return plain, None


def _role(plain: str) -> str | None:
    if plain in _TIME:
        return "t"
    if plain in _POLARITY:
        return "p"
    if plain and _X.fullmatch(plain):
        return "x"
    if plain and _Y.fullmatch(plain):
        return "y"
    return "line" if plain in _LINE_NAMES else None


@dataclass(frozen=True)
class Fields:
    """Roles of the fields of an array.

    Attributes
    ----------
    place : dict of str to int
        Positions of t and x, and of y and p where they are there.
    unit : str or None
        Of t, where its name or the kind of table says it.
    sizes : dict of str to int
        What ``x@1280``, ``y@720``, ``on@2`` say.
    """

    place: dict[str, int]
    unit: str | None = None
    sizes: dict[str, int] = field(default_factory=dict)


REMEDY = "rename it to p, or drop it (numpy.lib.recfunctions.drop_fields)"
"""What to do about a field of a structured array that may be the polarity."""


def find_fields(names: Sequence[str], *, remedy: str) -> Fields | None:
    """Find the role of each field by its name; None if no field is a time or none is an address.

    Raises EventStreamError, which ends with `remedy`, where names leave open what is meant: two fields for
    one thing, or a field of unknown name where none is the polarity.
    """
    parsed = [parse_name(name) for name in names]
    place: dict[str, int] = {}
    for role in "txyp":
        positions = [k for k, name in enumerate(parsed) if name.role == role]
        # Of several names for one role, the letter itself wins.
        exact = [k for k in positions if parsed[k].plain == role]
        if len(positions) > 1 and len(exact) != 1:
            both = " and ".join(repr(names[k].strip()) for k in positions[:2])
            raise EventStreamError(f"both {both} may be {role}; {remedy}")
        if positions:
            place[role] = exact[0] if len(exact) == 1 else positions[0]
    unit = parsed[place["t"]].unit if "t" in place else None
    if "x" not in place and "y" not in place:
        lines = [k for k, name in enumerate(parsed) if name.role == "line"]
        if len(lines) > 1:
            lines = [k for k in lines if parsed[k].plain not in _IDLE_NAMES]
        if len(lines) == 1:
            place["x"] = lines[0]
            if parsed[lines[0]].plain in _SPIKE_NAMES:
                unit = unit or "ms"
    if not {"t", "x"} <= place.keys():
        return None
    if "p" not in place:
        _check_unknown(names, parsed, remedy)
    sizes = {role: size for role, k in place.items() if (size := parsed[k].size) is not None}
    return Fields(place, unit, sizes)


def is_idle(name: str) -> bool:
    """Whether a column holds nothing about an event, such as the number of its row."""
    plain = re.sub(r"[^0-9a-z]", "", name.lower())
    return plain in _IDLE_NAMES or re.fullmatch("unnamed[0-9]*", plain) is not None


def _check_unknown(names: Sequence[str], parsed: list[Name], remedy: str) -> None:
    for k, name in enumerate(parsed):
        # A second time or address is not the polarity.
        if name.role is None and not is_idle(name.plain):
            raise EventStreamError(
                f"field {names[k].strip()!r} is not known, and none is called p: is it the polarity? {remedy}"
            )


def to_microseconds(values: np.ndarray, unit: str | None) -> npt.NDArray[np.int64]:
    """Times in any unit as whole microseconds, rounded to the nearest; whole numbers without a unit.

    Whole numbers stay exact, whatever their size. Raises EventStreamError, which names the first time that is
    no number, beyond the int64 range, or (without a unit) no whole number of microseconds.
    """
    return whole_numbers("t", values, unit)


def whole_numbers(name: str, values: np.ndarray, unit: str | None = None) -> npt.NDArray[np.int64]:
    """Numbers of any type as int64; see `to_microseconds` for times in a unit."""
    if values.dtype.kind not in "biuf":
        raise EventStreamError(f"{name} is of dtype {values.dtype}; numbers are needed")
    up, down = UNITS[unit or "us"]
    if values.dtype.kind in "biu":
        _check_range(name, values, 2**62 // up * down if values.dtype.itemsize == 8 or up > 1 else None)
        whole = values.astype(np.int64)
        if down == 1:
            return whole * up if up > 1 else whole
        quotient, remainder = np.divmod(whole, down)
        return quotient + ((2 * remainder > down) | ((2 * remainder == down) & (quotient % 2 == 1)))
    numbers = values.astype(np.float64) * up / down
    bad = ~(np.abs(numbers) < 2.0**62)
    rounded = np.rint(np.where(bad, 0.0, numbers))
    if unit is None:
        bad |= rounded != numbers
    if bad.any():
        raise EventStreamError(f"{name} = {values[np.argmax(bad)]} is not a whole number of the int64 range")
    return rounded.astype(np.int64)


def _check_range(name: str, values: np.ndarray, limit: int | None) -> None:
    """Differences of times must fit int64 too."""
    if limit is None or len(values) == 0:
        return
    limit = min(limit, 2**63 - 1)
    if int(values.max()) >= limit or int(values.min()) <= -limit:
        at = int(np.argmax(values)) if int(values.max()) >= limit else int(np.argmin(values))
        raise EventStreamError(f"{name} = {values[at]} is too large")
