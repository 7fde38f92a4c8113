"""Origin of a recording's time: the integer that is subtracted from microseconds before they become ms.

Cameras count from 1970, from their power-on or from a trigger. Two reasons require an origin: in float64,
times in ms since 1970 are 2e-4 ms apart, too coarse for exact spike times; and everything that begins at time
0 (biases, the clocked engine's steps, the grid of potentials) would run for years before the first event.

The rule, for every kind of input:

- A recording that begins within the first second of its clock (``LATEST_START_US``) keeps its times: they
  count from a trigger, so 0 has a meaning. Its origin is 0.
- A recording that begins later counts from its first event, which is the origin.
- A recording that begins before 0 is refused, because only its owner knows the meaning of its 0.
- Events that are left out in reading (``--from``, ``--crop``) still count: times are from the recording's
  origin.

Results are in ms from the origin and keep it: a spike is at ``origin_us + 1000 * time`` on the recording's
clock. The subtraction is done in whole numbers, so that a shift of a late recording changes no bit.
"""

from __future__ import annotations

import numpy as np

from eventsnn._util.arguments import check_whole
from eventsnn.errors import EventStreamError

LATEST_START_US = 1_000_000
"""Recordings that begin later than this count from their first event."""

BEGIN_AT_ZERO = (
    "let the recording begin at 0: stream.shifted() in Python, 'eventsnn convert --from-zero' for files"
)
"""What to do about a recording whose times somebody cannot take."""

_LARGEST = 2**63 - 1


def find_origin(t: np.ndarray, origin_us: int | None = None) -> int:
    """The origin of a recording, microseconds.

    Parameters
    ----------
    t : int64 array (n,)
        Times of its events, microseconds, never decreasing.
    origin_us : int, optional
        The origin that somebody asks for; the rule's without it, 0 for a recording without events.

    Raises
    ------
    EventStreamError
        The first event is before 0, or before `origin_us`.
    """
    first = int(t[0]) if len(t) else 0
    if origin_us is None:
        if first < 0:
            raise EventStreamError(f"event 0 is at {first} us, before 0; {BEGIN_AT_ZERO}")
        return first if first > LATEST_START_US else 0
    origin = check_whole("origin_us", origin_us, EventStreamError, -_LARGEST, _LARGEST, "microseconds")
    if len(t) and not (origin <= first and int(t[-1]) - origin <= _LARGEST):
        raise EventStreamError(
            f"event 0 is at {first} us and the last at {t[-1]} us; origin_us = {origin} must not be later, "
            "nor 2^63 us earlier"
        )
    return origin


def from_origin(events: np.ndarray, origin: int | None = None) -> np.ndarray:
    """Events (a structured array with a field t, microseconds) with their times counted from their origin.

    The array itself where that is 0, else a copy. Raises EventStreamError if they begin before 0. `origin`
    is that of a recording whose first events have been left out.
    """
    if origin is None:
        origin = find_origin(events["t"])
    if origin:
        events = events.copy()
        events["t"] -= origin
    return events
