"""A recording in numbers that do not grow with its length."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from eventsnn.events.stream import EventStream

_BINS = 200


@dataclass
class RecordingSummary:
    """Counts of a recording, of any length, gathered part by part.

    Attributes
    ----------
    shape : (int, int)
        Height and width of the sensor.
    map : int64 array (height, width)
        Events of each pixel.
    rate : int64 array (400,)
        Events in each `step` microseconds since the first event; the whole recording takes the first 200 to
        400 entries.
    step : int
    n, on : int
        Events, and those of polarities other than 0.
    first, last : int or None, int
        Time of the first and of the last event, microseconds.
    """

    shape: tuple[int, int]
    map: np.ndarray = field(init=False)
    rate: np.ndarray = field(default_factory=lambda: np.zeros(2 * _BINS, np.int64))
    step: int = 1
    n: int = 0
    on: int = 0
    first: int | None = None
    last: int = 0

    def __post_init__(self) -> None:
        self.map = np.zeros(self.shape, np.int64)

    def add(self, part: EventStream) -> None:
        """Count the events of a part."""
        events = part.events
        if self.first is None:
            self.first = int(events["t"][0])
        self.n += len(events)
        self.on += int(np.count_nonzero(events["p"]))
        self.last = int(events["t"][-1])
        height, width = self.shape
        pixels = events["y"].astype(np.int64) * width + events["x"]
        self.map += np.bincount(pixels, minlength=height * width).reshape(self.shape)
        # The whole recording keeps between _BINS and 2 _BINS steps, however long it becomes.
        while (self.last - self.first) // self.step >= 2 * _BINS:
            self.rate = np.concatenate((self.rate.reshape(-1, 2).sum(axis=1), np.zeros(_BINS, np.int64)))
            self.step *= 2
        steps = (events["t"] - self.first) // self.step
        self.rate += np.bincount(steps, minlength=2 * _BINS)
