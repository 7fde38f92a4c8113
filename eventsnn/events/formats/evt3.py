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
from dataclasses import dataclass

import numpy as np

from eventsnn._ext import decode_evt, encode
from eventsnn.errors import EventFileError
from eventsnn.events.formats.base import Match, Options, suffix_match
from eventsnn.events.formats.checks import check_addresses, check_gaps
from eventsnn.events.formats.decoder import Decoder, FileReader, Layout
from eventsnn.events.formats.evt2 import read_header
from eventsnn.events.formats.prophesee import is_raw
from eventsnn.events.stream import SensorSize

# Silence takes 2 bytes for every 4096 us; this is 11 hours of it.
_LONGEST_GAP = 10**7 * 2**12
_ROOM = 1 << 16


@dataclass(frozen=True)
class EVT3Format:
    """Reader of EVT3."""

    name: str = "evt3"
    suffixes: tuple[str, ...] = (".raw",)

    def sniff(self, head: bytes, path: str) -> Match:
        """By the header's version; a file without one may be of any version."""
        version, has_header = is_raw(head)
        if has_header and version is not None:
            return Match.CONTENT if version == "3.0" else Match.NO
        return suffix_match(path, self.suffixes)

    def decoder(self, path: str | os.PathLike[str], options: Options) -> Decoder:
        """A decoder to be fed with bytes."""
        # A vector may begin at the last column and may be followed by others.
        layout = Layout(decode_evt.decode_evt3, 2, 0, None, (2**15, 2**11))
        return Decoder(path, read_header(path, layout), options)

    def open(self, path: str | os.PathLike[str], options: Options) -> FileReader:
        """Open a recording."""
        return FileReader(self.decoder(path, options))


class EVT3Encoder:
    """Writer of EVT3, without vectors; see `eventsnn.events.formats.base.Encoder`."""

    def __init__(self, path: str | os.PathLike[str], sensor: SensorSize) -> None:
        self._path, self._sensor = path, sensor
        self._time, self._row, self._before = -1, -1, 0
        if sensor[2] != 2:
            raise EventFileError(path, f"EVT3 has 2 polarities: sensor_size is {sensor}")

    def start(self) -> bytes:
        """Header."""
        width, height, _ = self._sensor
        text = f"% evt 3.0\n% format EVT3;height={height};width={width}\n% geometry {width}x{height}\n% end\n"
        return text.encode()

    def feed(self, events: np.ndarray) -> bytes:
        """Words of events."""
        check_addresses(self._path, "EVT3", events, 2**11, 2**11)
        self._before = check_gaps(self._path, "EVT3", events, self._before, _LONGEST_GAP, _LONGEST_GAP)
        parts, done = [], 0
        out = np.empty(10 * len(events) + _ROOM, np.uint8)
        while done < len(events):
            size, self._time, self._row, done = encode.encode_evt3(events, self._time, self._row, out, done)
            parts.append(out[:size].tobytes())
        return b"".join(parts)

    def finish(self) -> bytes:
        """Nothing."""
        return b""
