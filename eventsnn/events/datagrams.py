"""Checks of datagrams: which were lost or came twice, and whose times cannot be correct."""

from __future__ import annotations

import time
import zlib
from collections import deque

import numpy as np

JUMP_US = 10_000_000
"""How far beyond the clock an event may be, us; a pause of the sensor is no jump."""
AGREEING = 3
"""So many datagrams one after the other, that agree on another time, are believed."""
MOST_GAPS = 1024
RECENT = 256


class LossCounter:
    """Counts events that did not arrive, from the numbers that datagrams begin with; order does not matter.

    Attributes
    ----------
    dropped : int
        Events that are missing now, those of earlier counts included.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._expected = 0
        self._gaps: deque[tuple[int, int]] = deque(maxlen=MOST_GAPS)  # [first, end) of the missing events
        self._recent: deque[tuple[int, int]] = deque(maxlen=RECENT)

    def take(self, number: int, events: int, data: bytes) -> bool:
        """A datagram with `events` events, `number` of which were sent before; False if it came already."""
        known = (number, zlib.crc32(data))
        if events and known in self._recent and number:
            return False
        self._recent.append(known)
        if number >= self._expected:
            if number > self._expected:
                self._gaps.append((self._expected, number))
                self.dropped += number - self._expected
            self._expected = number + events
        elif not self._fill(number, number + events):
            self._gaps.clear()  # the sender began again
            self._expected = number + events
        return True

    def _fill(self, first: int, end: int) -> bool:
        """Remove the events from the gap in which they were missing; False if there is no such gap."""
        for gap in self._gaps:
            if gap[0] <= first and end <= gap[1]:
                self._gaps.remove(gap)
                self._gaps.extend(part for part in ((gap[0], first), (end, gap[1])) if part[0] < part[1])
                self.dropped -= end - first
                return True
        return False


class JumpGuard:
    """Holds back datagrams whose times lie far in the future: a single forged one would make all others late.

    The clock runs on from the last event that was believed.
    """

    def __init__(self) -> None:
        self._latest: int | None = None
        self._since = 0.0
        self._held: list[np.ndarray] = []

    def take(self, events: np.ndarray) -> tuple[np.ndarray, int]:
        """Events of a datagram, sorted by time; returns those to be believed, and how many were refused."""
        if not len(events):
            return events, 0
        now = time.monotonic()
        limit = np.inf if self._latest is None else self._latest + (now - self._since) * 1e6 + JUMP_US
        good = int(np.searchsorted(events["t"], limit, side="right"))
        if good == len(events):
            refused = sum(map(len, self._held))
            self._held = []
        else:
            held = self._held[-1] if self._held else None
            agrees = held is not None and abs(int(held["t"][-1]) - int(events["t"][good])) <= JUMP_US
            refused = 0 if agrees else sum(map(len, self._held))
            self._held = [*(self._held if agrees else []), events[good:]]
            events = events[:good]
            if len(self._held) >= AGREEING:
                events, self._held = np.concatenate([events, *self._held]), []
        if len(events) and (self._latest is None or events["t"][-1] > self._latest):
            self._latest, self._since = int(events["t"].max()), now
        return events, refused
