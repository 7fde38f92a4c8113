"""Event Stream (``.es``), version 2, DVS events.

The text ``Event Stream``, three bytes of version, one of type (1: DVS), width and height (16 bits each,
little endian). A record is 5 bytes: from the lowest bit polarity (1) and time since the record before (7
bits, us), then x and y (16 bits each); y = 0 is at the bottom. The byte 0xFF alone adds 127 us to the time,
0xFE alone marks a reset and is left out. Times do not wrap.

Marcireau, Ieng, Benosman (2020). Sepia, Tarsier, and Chameleon: a modular C++ framework for event-based
computer vision. Frontiers in Neuroscience 13:1338.
"""

from __future__ import annotations

import os
from functools import partial

import numpy as np

from eventsnn._ext import decode_records, encode
from eventsnn.errors import EventFileError
from eventsnn.events.formats.base import Options, begins_with
from eventsnn.events.formats.checks import TwoPolarityWriter
from eventsnn.events.formats.decoder import Decoder, Layout, RecordFormat
from eventsnn.events.stream import SensorSize

_MAGIC = b"Event Stream"
_HEADER = 20
_TYPES = {0: "generic", 1: "DVS", 2: "ATIS", 3: "asynchronous", 4: "color"}
_DVS = 1
# A byte for every 127 us of silence: 3.5 hours of it take 100 MB.
_LONGEST_GAP = 127 * 10**8
_ROOM = 1 << 16


def _read_header(path: str | os.PathLike[str], head: bytes, whole: bool, options: Options) -> Layout | None:
    if not head.startswith(_MAGIC[: len(head)]):
        raise EventFileError(
            path, "does not begin with 'Event Stream'; the file is of another format", offset=0
        )
    if len(head) < _HEADER:
        return None
    version, kind = head[12], head[15]
    if version != 2:
        raise EventFileError(path, f"version {version} of Event Stream; version 2 can be read", offset=12)
    if kind != _DVS:
        name = _TYPES.get(kind, "unknown")
        raise EventFileError(path, f"events of type {kind} ({name}); type 1 (DVS) can be read", offset=15)
    width, height = (int.from_bytes(head[at : at + 2], "little") for at in (16, 18))
    if not (0 < width <= 2**15 and 0 < height <= 2**15):
        raise EventFileError(path, f"the header says {width} x {height} pixels", offset=16)
    if options.sensor is not None and options.sensor[1] < height:
        # Rows are counted from the bottom: those of a smaller sensor would be the wrong ones.
        raise EventFileError(
            path,
            f"the header says {width} x {height} pixels; a sensor must be as high: got {options.sensor}",
            offset=18,
        )
    return Layout(
        decode_records.decode_es, 5, _HEADER, (width, height, 2), (width, height), hint="the file is damaged"
    )


ES = RecordFormat("es", (".es",), partial(Decoder, _read_header), begins_with(_MAGIC))


class ESWriter(TwoPolarityWriter):
    """Writer of Event Stream; see `eventsnn.events.formats.base.Writer`."""

    called = "Event Stream"

    def __init__(self, path: str | os.PathLike[str], sensor: SensorSize) -> None:
        super().__init__(path, sensor)
        self._time = 0

    def start(self) -> bytes:
        """Header."""
        width, height, _ = self._sensor
        size = width.to_bytes(2, "little") + height.to_bytes(2, "little")
        return _MAGIC + bytes([2, 0, 0, _DVS]) + size

    def feed(self, events: np.ndarray) -> bytes:
        """Records of events."""
        self.check_gaps(events, _LONGEST_GAP, _LONGEST_GAP)
        parts, done = [], 0
        out = np.empty(5 * len(events) + _ROOM, np.uint8)
        while done < len(events):
            size, self._time, done = encode.encode_es(events, self._time, self._sensor[1], out, done)
            parts.append(out[:size].tobytes())
        return b"".join(parts)
