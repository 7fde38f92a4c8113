"""Checks of events before they are written to a file."""

from __future__ import annotations

import os

import numpy as np

from eventsnn.errors import EventFileError
from eventsnn.events.origin import BEGIN_AT_ZERO


def check_addresses(
    path: str | os.PathLike[str], name: str, events: np.ndarray, width: int, height: int
) -> None:
    """Raise EventFileError unless all addresses are below the limits of the format called `name`."""
    for field, limit in (("x", width), ("y", height)):
        if len(events) and events[field].max() >= limit:
            at = int(np.argmax(events[field]))
            raise EventFileError(
                path, f"event {at} has {field} = {events[field][at]}; {name} ends at {field} = {limit - 1}"
            )


def check_gaps(
    path: str | os.PathLike[str], name: str, events: np.ndarray, before: int, last_first: int, longest: int
) -> int:
    """Raise EventFileError unless a reader can count the wraps of the format's clock.

    `before` is the time of the last event so far (0: none); an event that follows it may be at most `longest`
    us later, the first one at most at `last_first` us. Returns the time of the last event.
    """
    if len(events) == 0:
        return before
    t = events["t"]
    if t[0] < 0:
        raise EventFileError(path, f"event 0 has t = {t[0]} us; {name} starts at 0: {BEGIN_AT_ZERO}")
    gaps = np.diff(t, prepend=np.int64(before))
    allowed = np.full(len(t), longest)
    if before == 0:
        allowed[0] = last_first
    if (gaps > allowed).any():
        at = int(np.argmax(gaps > allowed))
        raise EventFileError(
            path,
            f"event {at} is at {t[at]} us, {gaps[at]} us after what comes before; {name}'s clock would have "
            f"wrapped unseen (at most {allowed[at]} us); {BEGIN_AT_ZERO}",
        )
    return int(t[-1])
