"""The 5-byte records of N-MNIST and N-Caltech101 (``.bin``, and SLAYER's ``.bs2``).

No header. Each record is five bytes, most significant bit first: x (8 bits), y (8), polarity (1), time in
microseconds (23). A record with y = 240 is no event: it says that the time counter ran over, and adds 2^13 us
to all later times.

Orchard, Jayawant, Cohen, Thakor (2015). Converting static image datasets to spiking neuromorphic datasets
using saccades. Frontiers in Neuroscience 9:437.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from eventsnn._ext import aer, decode_records
from eventsnn.errors import EventFileError
from eventsnn.events.formats.base import Match, Options, suffix_match
from eventsnn.events.formats.checks import check_addresses
from eventsnn.events.formats.decoder import Decoder, FileReader, Layout
from eventsnn.events.origin import BEGIN_AT_ZERO
from eventsnn.events.stream import SensorSize

_RECORD = 5
_OVERFLOW_ROW = 240
_OVERFLOW_US = 2**13
_LAST_TIME = 2**23 - 1
_MARKER = bytes([0, _OVERFLOW_ROW, 0, 0, 0])
# About 2.3 hours. Times far beyond it (a clock's absolute time, say) would drown the events in markers.
_MOST_MARKERS = 10**6


@dataclass(frozen=True)
class NMNISTFormat:
    """Reader of N-MNIST's ``.bin`` files (also SLAYER's ``.bs2``); 34 x 34 x 2 unless the caller states
    another size.
    """

    name: str = "nmnist"
    suffixes: tuple[str, ...] = (".bin", ".bs2")
    sensor: SensorSize = (34, 34, 2)

    def sniff(self, head: bytes, path: str) -> Match:
        """Decide by the suffix: the format has no magic number."""
        return suffix_match(path, self.suffixes)

    def decoder(self, path: str | os.PathLike[str], options: Options) -> Decoder:
        """A decoder to be fed with bytes."""

        def read_header(head: bytes, whole: bool) -> Layout:
            hint = (
                "for recordings of another sensor pass its size, e.g. sensor=(240, 180, 2) for N-Caltech101"
            )
            return Layout(
                decode_records.decode_nmnist, _RECORD, 0, self.sensor, self.sensor[:2], hint_sensor=hint
            )

        return Decoder(path, read_header, options)

    def open(self, path: str | os.PathLike[str], options: Options) -> FileReader:
        """Open a recording."""
        return FileReader(self.decoder(path, options))


class NMNISTEncoder:
    """Writer of N-MNIST's records; see `eventsnn.events.formats.base.Encoder`."""

    def __init__(self, path: str | os.PathLike[str], sensor: SensorSize) -> None:
        self._path, self._markers, self._empty = path, 0, True
        if sensor[2] != 2:
            raise EventFileError(path, f"N-MNIST's format needs 2 polarities: sensor_size is {sensor}")

    def start(self) -> bytes:
        """Nothing: the format has no header."""
        return b""

    def feed(self, events: np.ndarray) -> bytes | memoryview:
        """Records of events, with overflow markers where 23 bits of time run out."""
        if len(events) == 0:
            return b""
        check_addresses(self._path, "N-MNIST's format", events, 256, _OVERFLOW_ROW)
        if events["t"][0] < 0:
            raise EventFileError(
                self._path,
                f"event 0 has t = {events['t'][0]} us; N-MNIST's format starts at 0: {BEGIN_AT_ZERO}",
            )
        last = int(events["t"][-1])
        markers = -(-max(last - _LAST_TIME, 0) // _OVERFLOW_US)
        if markers > _MOST_MARKERS:
            raise EventFileError(
                self._path,
                f"the last event is at {last} us, too far from 0 for 23 bits and overflow markers; "
                f"{BEGIN_AT_ZERO}",
            )
        self._empty = False
        out = np.empty((len(events) + markers - self._markers) * _RECORD, np.uint8)
        if self._markers:
            events = events.copy()
            events["t"] -= self._markers * _OVERFLOW_US
        aer.encode_nmnist(events, out)
        self._markers = markers
        return out.data

    def finish(self) -> bytes:
        """A marker if there were no events: an empty file would read as a failed copy."""
        return _MARKER if self._empty else b""
