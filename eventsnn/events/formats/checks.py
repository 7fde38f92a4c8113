"""Base of writers of compact formats: what such a format cannot hold is refused before it is written."""

from __future__ import annotations

import os
from typing import ClassVar

import numpy as np

from eventsnn.errors import EventFileError
from eventsnn.events.origin import BEGIN_AT_ZERO
from eventsnn.events.stream import SensorSize


class TwoPolarityWriter:
    """Writer of a format whose addresses and times have few bits, and whose events have 2 polarities.

    Parameters
    ----------
    path : path
        Named in errors.
    sensor : tuple of 3 int
        Width, height, polarities of the recording; EventFileError unless they are 2.
    """

    called: ClassVar[str]
    """The format's name in errors."""

    def __init__(self, path: str | os.PathLike[str], sensor: SensorSize) -> None:
        self._path, self._sensor = path, sensor
        self._before = 0  # time of the last event so far
        if sensor[2] != 2:
            raise EventFileError(path, f"{self.called} needs 2 polarities: sensor_size is {sensor}")

    def finish(self) -> bytes:
        """Nothing."""
        return b""

    def check_addresses(self, events: np.ndarray, width: int, height: int) -> None:
        """Raise EventFileError unless all addresses are below the limits of the format."""
        for field, limit in (("x", width), ("y", height)):
            if len(events) and events[field].max() >= limit:
                at = int(np.argmax(events[field]))
                offender = f"event {at} has {field} = {events[field][at]}"
                text = f"{offender}; {self.called} ends at {field} = {limit - 1}"
                raise EventFileError(self._path, text)

    def check_start(self, events: np.ndarray) -> None:
        """Raise EventFileError if the first of some events is before 0."""
        if len(events) and events["t"][0] < 0:
            text = f"event 0 has t = {events['t'][0]} us; {self.called} starts at 0: {BEGIN_AT_ZERO}"
            raise EventFileError(self._path, text)

    def check_gaps(self, events: np.ndarray, last_first: int, longest: int) -> None:
        """Raise EventFileError unless a reader can count the wraps of the format's clock.

        An event may be at most `longest` us later than the one before it, the first of all at most at
        `last_first` us.
        """
        if len(events) == 0:
            return
        self.check_start(events)
        t = events["t"]
        gaps = np.diff(t, prepend=np.int64(self._before))
        allowed = np.full(len(t), longest)
        if self._before == 0:
            allowed[0] = last_first
        if (gaps > allowed).any():
            at = int(np.argmax(gaps > allowed))
            raise EventFileError(
                self._path,
                f"event {at} is at {t[at]} us, {gaps[at]} us after what comes before; {self.called}'s clock "
                f"would have wrapped unseen (at most {allowed[at]} us); {BEGIN_AT_ZERO}",
            )
        self._before = int(t[-1])
