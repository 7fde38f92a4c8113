"""Prophesee's EVT3 (``.raw``).

Header of text (`eventsnn.events.formats.prophesee`), then little-endian words of 16 bits, the type in the
highest 4: 0 y (11 bits) of what follows; 2 an event at x (11 bits) of polarity bit 11; 3 x and polarity of
the vectors that follow; 4 and 5 a vector of 12 or 8 pixels from there on, one bit each; 6 and 8 the lower
and upper 12 bits of time; A external trigger; 7, E, F others. Times are microseconds and wrap at 2^24
(16.78 s): a fall of the upper bits by more than half is counted as a wrap. Events before the first upper
bits are left out. Cameras write low bits that are some microseconds ahead and correct them at once: the
clock then stands still until the bits have caught up, and does not run backwards (as in faery). A fall by
4096 us or more is an error like any other.

Prophesee, Data Encoding Formats: EVT 3.0.
"""

from __future__ import annotations

import os

import numpy as np

from eventsnn._ext import decode_evt, encode
from eventsnn.events.formats.checks import TwoPolarityWriter
from eventsnn.events.formats.decoder import Layout
from eventsnn.events.formats.evt2 import raw_format
from eventsnn.events.stream import SensorSize

# Silence takes 2 bytes for every 4096 us; this is 11 hours of it.
_LONGEST_GAP = 10**7 * 2**12
_ROOM = 1 << 16


# A vector may begin at the last column and may be followed by others.
EVT3 = raw_format("evt3", "3.0", Layout(decode_evt.decode_evt3, 2, 0, None, (2**15, 2**11)))


class EVT3Writer(TwoPolarityWriter):
    """Writer of EVT3, without vectors; see `eventsnn.events.formats.base.Writer`."""

    called = "EVT3"

    def __init__(self, path: str | os.PathLike[str], sensor: SensorSize) -> None:
        super().__init__(path, sensor)
        self._time, self._row = -1, -1

    def start(self) -> bytes:
        """Header."""
        width, height, _ = self._sensor
        text = f"% evt 3.0\n% format EVT3;height={height};width={width}\n% geometry {width}x{height}\n% end\n"
        return text.encode()

    def feed(self, events: np.ndarray) -> bytes:
        """Words of events."""
        self.check_addresses(events, 2**11, 2**11)
        self.check_gaps(events, _LONGEST_GAP, _LONGEST_GAP)
        parts, done = [], 0
        out = np.empty(10 * len(events) + _ROOM, np.uint8)
        while done < len(events):
            size, self._time, self._row, done = encode.encode_evt3(events, self._time, self._row, out, done)
            parts.append(out[:size].tobytes())
        return b"".join(parts)
