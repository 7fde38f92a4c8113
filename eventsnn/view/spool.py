"""A recording of any length, to be looked into at any place: read once, into a file of fixed records.

Most formats can only be decoded from their beginning. The events go to temporary files, 13 bytes each, while
they are read; memory stays bounded, and the window of a page is found by bisection.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator

import numpy as np

from eventsnn.errors import EventSNNError
from eventsnn.events import EventStream, Recording
from eventsnn.events.summary import RecordingSummary

PLACE = np.dtype([("x", "<i2"), ("y", "<i2"), ("p", "u1")])


class Spool:
    """The events of a recording so far.

    Parameters
    ----------
    recording : Recording
        Is read by `advance`, and closed at its end or by `close`.

    Attributes
    ----------
    sensor_size : tuple of 3 int
    summary : RecordingSummary
        Of the events so far.
    is_complete : bool
        Whether the recording was read to its end, or as far as it can be.
    problem : str
        Why it was not read to its end; "" if it was, or is being read.
    """

    def __init__(self, recording: Recording) -> None:
        self.sensor_size = recording.sensor_size
        width, height, _ = self.sensor_size
        self.summary = RecordingSummary((height, width))
        self.is_complete, self.problem = False, ""
        self._recording = recording
        self._parts: Iterator[EventStream] = iter(recording)
        self._times, self._places = (tempfile.TemporaryFile() for _ in range(2))  # noqa: SIM115

    def advance(self, seconds: float) -> bool:
        """Read on for about so long; True if events came, or the end.

        What came before damage stays, and `problem` says what is damaged.
        """
        if self.is_complete:
            return False
        end = time.monotonic() + seconds
        try:
            for part in self._parts:
                self._add(part)
                if time.monotonic() > end:
                    return True
        except EventSNNError as error:
            self.problem = str(error)
        self.is_complete = True
        self._recording.close()
        return True

    def _add(self, part: EventStream) -> None:
        if not len(part.events):
            return
        events = part.events
        places = np.empty(len(events), PLACE)
        for name in PLACE.names or ():
            places[name] = events[name]
        self._times.write(np.ascontiguousarray(events["t"]).tobytes())
        self._places.write(places.tobytes())
        self.summary.add(part)

    def window(self, start_us: int, end_us: int) -> tuple[np.ndarray, np.ndarray]:
        """Times (int64, microseconds) and places (`PLACE`) of the events with start <= t < end."""
        if not self.summary.n:
            return np.empty(0, np.int64), np.empty(0, PLACE)
        self._times.flush()
        self._places.flush()
        times = np.memmap(self._times, np.int64, "r", shape=(self.summary.n,))
        first, end = np.searchsorted(times, [start_us, end_us]).tolist()
        found = np.array(times[first:end])
        self._places.seek(first * PLACE.itemsize)
        places = np.frombuffer(self._places.read((end - first) * PLACE.itemsize), PLACE)
        self._places.seek(0, 2)
        return found, places

    def close(self) -> None:
        """Close the recording and drop the temporary files."""
        self._recording.close()
        self._times.close()
        self._places.close()
