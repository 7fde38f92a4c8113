"""The 5-byte records of N-MNIST and N-Caltech101 (``.bin``, and SLAYER's ``.bs2``).

No header. Each record is five bytes, most significant bit first: x (8 bits), y (8), polarity (1), time in
microseconds (23). A record with y = 240 is no event: it says that the time counter ran over, and adds 2^13 us
to all later times.

Orchard, Jayawant, Cohen, Thakor (2015). Converting static image datasets to spiking neuromorphic datasets
using saccades. Frontiers in Neuroscience 9:437.
"""

from __future__ import annotations

import os
from functools import partial

import numpy as np

from eventsnn._ext import aer, decode_records
from eventsnn.errors import EventFileError
from eventsnn.events.formats.base import Options
from eventsnn.events.formats.checks import TwoPolarityWriter
from eventsnn.events.formats.decoder import Decoder, Layout, RecordFormat
from eventsnn.events.origin import BEGIN_AT_ZERO
from eventsnn.events.stream import SensorSize

_RECORD = 5
_SENSOR = (34, 34, 2)
_OVERFLOW_ROW = 240
_OVERFLOW_US = 2**13
_LAST_TIME = 2**23 - 1
_MARKER = bytes([0, _OVERFLOW_ROW, 0, 0, 0])
# About 2.3 hours. Times far beyond it (a clock's absolute time, say) would drown the events in markers.
_MOST_MARKERS = 10**6


def _read_header(path: str | os.PathLike[str], head: bytes, whole: bool, options: Options) -> Layout:
    hint = "for recordings of another sensor pass its size, e.g. sensor=(240, 180, 2) for N-Caltech101"
    return Layout(decode_records.decode_nmnist, _RECORD, 0, _SENSOR, _SENSOR[:2], hint_sensor=hint)


NMNIST = RecordFormat("nmnist", (".bin", ".bs2"), partial(Decoder, _read_header))
"""N-MNIST's ``.bin`` files (also SLAYER's ``.bs2``); 34 x 34 x 2 unless the caller says."""


class NMNISTWriter(TwoPolarityWriter):
    """Writer of N-MNIST's records; see `eventsnn.events.formats.base.Writer`."""

    called = "N-MNIST's format"

    def __init__(self, path: str | os.PathLike[str], sensor: SensorSize) -> None:
        super().__init__(path, sensor)
        self._markers, self._empty = 0, True

    def start(self) -> bytes:
        """Nothing: the format has no header."""
        return b""

    def feed(self, events: np.ndarray) -> bytes | memoryview:
        """Records of events, with overflow markers where 23 bits of time run out."""
        if len(events) == 0:
            return b""
        self.check_addresses(events, 256, _OVERFLOW_ROW)
        self.check_start(events)
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
