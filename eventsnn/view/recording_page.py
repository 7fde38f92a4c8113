"""A page of a recording without its looks: event frame, space-time view and rate of a window that moves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from eventsnn._util.words import number_of
from eventsnn.view.spool import PLACE, Spool

MOST_POINTS = 20_000
"""Events of the space-time view; a window with more shows every second, third, ... one."""
MOST_PIXELS = 640, 480
"""Of an event frame; larger sensors have several pixels in one of the frame's."""
SPEEDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
DEFAULT_LENGTHS_MS = (1.0, 3.0, 10.0, 30.0, 100.0)


@dataclass(frozen=True)
class RecordingView:
    """What a page of a recording shows.

    Attributes
    ----------
    start_ms, length_ms : float
        The window, counted from the first event.
    speed : float
        Recording time per time of the player.
    """

    start_ms: float = 0.0
    length_ms: float = 10.0
    speed: float = 0.1

    def to_query(self) -> dict[str, str]:
        """Keys and values of the address."""
        return {
            "from": f"{self.start_ms:.6g}",
            "length": f"{self.length_ms:.6g}",
            "speed": f"{self.speed:g}",
        }

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> RecordingView:
        """From the keys of an address; what cannot be read is left out."""
        view = cls()
        for key, name in (("from", "start_ms"), ("length", "length_ms"), ("speed", "speed")):
            try:
                value = float(query[key])
            except (KeyError, ValueError):
                continue
            if math.isfinite(value) and (value > 0.0 or (key == "from" and value == 0.0)):
                view = replace(view, **{name: value})
        return view


class RecordingPage:
    """What a page shows of a recording, and how that changes.

    Parameters
    ----------
    spool : Spool
        May still be reading.
    view : RecordingView, optional

    Attributes
    ----------
    spool : Spool
    view : RecordingView
    """

    def __init__(self, spool: Spool, view: RecordingView | None = None) -> None:
        self.spool = spool
        self.view = RecordingView() if view is None else view

    @property
    def duration_ms(self) -> float:
        """From the first event to the last one so far, ms."""
        summary = self.spool.summary
        return 0.0 if summary.first is None else (summary.last - summary.first) / 1000.0

    def select(self, start_ms: float, end_ms: float) -> None:
        """Show this window, as far as there are events."""
        start = min(max(0.0, start_ms), self.duration_ms)
        self.view = replace(self.view, start_ms=start, length_ms=max(end_ms - start, 1e-3))

    def set_length(self, length_ms: float) -> None:
        """Show a longer or shorter window with the same beginning."""
        if length_ms > 0.0:
            self.view = replace(self.view, length_ms=length_ms)

    def set_speed(self, speed: float) -> None:
        """Play faster or slower."""
        if speed > 0.0:
            self.view = replace(self.view, speed=speed)

    def step(self, windows: float) -> bool:
        """Go on by so many lengths of the window; False if that stays at the beginning or the end."""
        start = min(max(0.0, self.view.start_ms + windows * self.view.length_ms), self.duration_ms)
        moved = start != self.view.start_ms
        self.view = replace(self.view, start_ms=start)
        return moved

    def play(self, elapsed_ms: float) -> bool:
        """Go on by what `elapsed_ms` of a clock are at the present speed; False at the end."""
        start = self.view.start_ms + elapsed_ms * self.view.speed
        self.view = replace(self.view, start_ms=min(start, self.duration_ms))
        return start < self.duration_ms

    # -- what is shown ----------------------------------------------------------------------

    def events(self) -> tuple[np.ndarray, np.ndarray]:
        """Events of the window: times (float64, ms since the first event) and places (x, y, p)."""
        first = self.spool.summary.first
        if first is None:
            return np.empty(0), np.empty(0, PLACE)
        start, end = (
            first + round(1000.0 * at)
            for at in (self.view.start_ms, self.view.start_ms + self.view.length_ms)
        )
        times, places = self.spool.window(start, end)
        return (times - first) / 1000.0, places

    def frame(self) -> np.ndarray:
        """The last event of every pixel in the window: 1 ON, -1 OFF, 0 none; float32 array (rows, columns).

        Where the sensor is larger than `MOST_PIXELS`, several of its pixels are one of the frame.
        """
        width, height, polarities = self.spool.sensor_size
        block = self.block
        frame = np.zeros((-(-height // block), -(-width // block)), np.float32)
        _, places = self.events()
        sign = np.where(places["p"] > 0, 1.0, -1.0) if polarities > 1 else np.ones(len(places))
        frame[places["y"] // block, places["x"] // block] = sign  # of several, numpy keeps the last
        return frame

    @property
    def block(self) -> int:
        """Side of the square of pixels that is one of the frame's."""
        width, height, _ = self.spool.sensor_size
        return max(1, -(-width // MOST_PIXELS[0]), -(-height // MOST_PIXELS[1]))

    def space_time(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Events of the window, evenly thinned out: times (ms), places, and how many the window has."""
        times, places = self.events()
        every = max(1, -(-len(times) // MOST_POINTS))
        return times[::every], places[::every], len(times)

    def rate(self) -> tuple[np.ndarray, np.ndarray]:
        """Events over the whole recording so far: edges (ms, n + 1) and events per ms (n,)."""
        summary = self.spool.summary
        if summary.first is None:
            return np.array([0.0, 1.0]), np.zeros(1)
        used = (summary.last - summary.first) // summary.step + 1
        edges = np.arange(used + 1) * (summary.step / 1000.0)
        return edges, summary.rate[:used] / (summary.step / 1000.0)

    def describe(self) -> str:
        """``34 x 34 x 2; 4,212 events in 310.4 ms``."""
        size = " x ".join(map(str, self.spool.sensor_size))
        more = "" if self.spool.is_complete else ", reading on"
        return f"{size}; {number_of(self.spool.summary.n, 'event')} in {self.duration_ms:,.1f} ms{more}"
