"""AEDAT 3.1 (``.aedat``).

Lines that begin with ``#`` up to ``#!END-HEADER``, then little-endian packets: 28 bytes (type and source,
16 bits each; size of an event, offset of its time, overflow of time, capacity, number, number of valid
ones, 32 bits each) and the events. A polarity event (type 1) is a word, from the lowest bit valid (1),
polarity (1), y (15), x (15), and a time in microseconds (31 bits); 2^31 us are added for each overflow of
the packet. Packets of other types and events that are not valid are left out.

iniVation, AEDAT file formats, version 3.1.
"""

from __future__ import annotations

import os
import re
import struct
from functools import partial

import numpy as np

from eventsnn._ext import decode_records, encode
from eventsnn.errors import EventFileError
from eventsnn.events.formats.aedat2 import aedat_version
from eventsnn.events.formats.base import Match, Options
from eventsnn.events.formats.checks import TwoPolarityWriter
from eventsnn.events.formats.decoder import Decoder, Layout, RecordFormat
from eventsnn.events.origin import BEGIN_AT_ZERO
from eventsnn.events.stream import SensorSize

_END = re.compile(rb"#!END-HEADER\r?\n")
_PACKET = struct.Struct("<HHIIIIII")
_EVENT = 8
_LONGEST_PACKET = 8192
_SIZES = {
    **{"DVS128": (128, 128, 2), "DAVIS128": (128, 128, 2), "DAVIS208": (208, 192, 2)},
    **{"DAVIS240": (240, 180, 2), "DAVIS346": (346, 260, 2), "DAVIS640": (640, 480, 2)},
}


def _read_header(path: str | os.PathLike[str], head: bytes, whole: bool, options: Options) -> Layout | None:
    if len(head) >= 14 and aedat_version(head) != 3:
        raise EventFileError(path, "does not begin with '#!AER-DAT3'", offset=0)
    end = _END.search(head)
    if end is None:
        return None
    sensor = _find_sensor(head[: end.end()])
    return Layout(decode_records.decode_aedat3, _EVENT, end.end(), sensor, (2**15, 2**15))


def _recognise(head: bytes, path: str) -> Match:
    """By the first line."""
    return Match.CONTENT if aedat_version(head) == 3 else Match.NO


AEDAT3 = RecordFormat("aedat3", (".aedat",), partial(Decoder, _read_header), _recognise)


def _find_sensor(header: bytes) -> SensorSize | None:
    """Size of the camera that ``#Source 1: DAVIS240C`` names; several sources leave it open."""
    sources = re.findall(r"#\s*Source\s+\d+:\s*(\w+)", header.decode("latin-1"))
    size = re.search(r"#\s*Size:\s*(\d+)x(\d+)", header.decode("latin-1"))
    if size and 0 < int(size[1]) <= 2**15 and 0 < int(size[2]) <= 2**15:
        return (int(size[1]), int(size[2]), 2)
    sizes = {known for mark, known in _SIZES.items() for source in sources if source.upper().startswith(mark)}
    return sizes.pop() if len(sizes) == len(sources) == 1 else None


class AEDAT3Writer(TwoPolarityWriter):
    """Writer of AEDAT 3.1; see `eventsnn.events.formats.base.Writer`."""

    called = "AEDAT 3.1"

    def start(self) -> bytes:
        """Header. The line ``Size`` is an addition of ours: the format has no line for the sensor's size."""
        width, height, _ = self._sensor
        lines = (
            "#!AER-DAT3.1",
            "#Format: RAW",
            "#Source 1: eventsnn",
            f"#Size: {width}x{height}",
            "#!END-HEADER",
        )
        return "".join(f"{line}\r\n" for line in lines).encode()

    def feed(self, events: np.ndarray) -> bytes:
        """Packets of events, each with the overflow of its times."""
        self.check_addresses(events, 2**15, 2**15)
        if len(events) and not 0 <= events["t"][0] <= events["t"][-1] < 2**62:
            raise EventFileError(
                self._path,
                f"times {events['t'][0]} .. {events['t'][-1]} us; AEDAT 3.1 has 0 .. 2^62 - 1: "
                f"{BEGIN_AT_ZERO}",
            )
        overflow = events["t"] >> 31
        edges = np.flatnonzero(np.diff(overflow)) + 1
        parts = []
        for first, last in zip((0, *edges), (*edges, len(events)), strict=True):
            for start in range(int(first), int(last), _LONGEST_PACKET):
                stop = min(start + _LONGEST_PACKET, int(last))
                n, out = stop - start, np.empty((stop - start) * _EVENT, np.uint8)
                encode.encode_aedat3(events[start:stop], out)
                parts += [_PACKET.pack(1, 1, _EVENT, 4, int(overflow[start]), n, n, n), out.tobytes()]
        return b"".join(parts)
