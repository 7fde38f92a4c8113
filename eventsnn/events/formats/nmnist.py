"""The 5-byte records of N-MNIST and N-Caltech101 (``.bin``).

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

from eventsnn._ext import aer
from eventsnn.errors import EventFileError
from eventsnn.events.formats.base import read_bytes, write_bytes
from eventsnn.events.stream import EVENT_DTYPE, EventStream, SensorSize, check_sensor_size

_RECORD = 5
_OVERFLOW_ROW = 240
_OVERFLOW_US = 2**13
_LAST_TIME = 2**23 - 1
# About 2.3 hours. Times far beyond it (a clock's absolute time, say) would drown the events in markers.
_MOST_MARKERS = 10**6
_OUTSIDE, _BACKWARDS = 1, 2


@dataclass(frozen=True)
class NMNISTFormat:
    """Reader and writer of N-MNIST's ``.bin`` files (also SLAYER's ``.bs2``)."""

    name: str = "nmnist"
    suffixes: tuple[str, ...] = (".bin", ".bs2")
    sensor: SensorSize = (34, 34, 2)

    def sniff(self, head: bytes, path: str) -> bool:
        """Tell by the suffix: the format has no magic number."""
        return path.lower().endswith(self.suffixes)

    def read(self, path: str | os.PathLike[str], sensor: tuple[int, ...] | None = None) -> EventStream:
        """Read a recording; `sensor` is (width, height, 2), (34, 34, 2) when left out."""
        width, height, polarities = size = self.sensor if sensor is None else check_sensor_size(sensor)
        if polarities != 2:
            raise EventFileError(path, f"this format has 2 polarities; sensor {size} says {polarities}")
        data = read_bytes(path)
        if not data:
            raise EventFileError(path, "the file is empty; expected records of 5 bytes", offset=0)
        if len(data) % _RECORD:
            offset = len(data) - len(data) % _RECORD
            raise EventFileError(
                path,
                f"the last record is cut: {len(data) % _RECORD} of 5 bytes; is the file complete?",
                offset=offset,
            )
        events = np.empty(len(data) // _RECORD, EVENT_DTYPE)
        written, record, status = aer.decode_nmnist(data, width, height, events)
        events = events[:written]
        if status != 0:
            problem = _describe(data, record, status, events, size)
            raise EventFileError(path, problem, offset=record * _RECORD)
        return EventStream._trusted(events, size)

    def write(self, path: str | os.PathLike[str], stream: EventStream) -> None:
        """Write a recording that `read` gives back; raise EventFileError if the format cannot hold it."""
        _check_representable(path, stream)
        if len(stream) == 0:
            # A file of no bytes would read as a failed copy; one marker says: no events, on purpose.
            write_bytes(path, bytes([0, _OVERFLOW_ROW, 0, 0, 0]))
            return
        out = np.empty((len(stream) + _markers(stream)) * _RECORD, np.uint8)
        aer.encode_nmnist(stream.events, out)
        write_bytes(path, out.data)


def _markers(stream: EventStream) -> int:
    """Return how many overflow markers the times of the stream need."""
    beyond = max((stream.t_last or 0) - _LAST_TIME, 0)
    return -(-beyond // _OVERFLOW_US)


def _describe(data: bytes, record: int, status: int, events: np.ndarray, sensor: SensorSize) -> str:
    """Say what is wrong with record number `record`."""
    x, y = data[record * _RECORD], data[record * _RECORD + 1]
    if status == _BACKWARDS:
        before = events["t"][-1]
        return (
            f"time runs backwards in record {record}: it is earlier than the event before, at {before} us; "
            "the file is damaged or not in N-MNIST's format"
        )
    width, height, _ = sensor
    return (
        f"record {record} has address x={x}, y={y}, outside the {width} x {height} sensor; "
        "for recordings of another sensor pass its size, e.g. sensor=(240, 180, 2) for N-Caltech101"
    )


def _check_representable(path: str | os.PathLike[str], stream: EventStream) -> None:
    """Raise EventFileError unless N-MNIST's records can hold the stream."""
    polarities = stream.sensor_size[2]
    if polarities != 2:
        raise EventFileError(
            path, f"N-MNIST's format needs 2 polarities: sensor_size is {stream.sensor_size}"
        )
    if len(stream) == 0:
        return
    events = stream.events
    for name, limit in (("x", 255), ("y", _OVERFLOW_ROW - 1)):
        at = int(np.argmax(events[name]))
        if events[name][at] > limit:
            raise EventFileError(
                path, f"event {at} has {name} = {events[name][at]}; N-MNIST's format ends at {name} = {limit}"
            )
    if events["t"][0] < 0:
        raise EventFileError(path, f"event 0 has t = {events['t'][0]} us; N-MNIST's format starts at 0")
    if _markers(stream) > _MOST_MARKERS:
        raise EventFileError(
            path,
            f"the last event is at {stream.t_last} us, too far from 0 for 23 bits and overflow markers; "
            "shift the times so that the recording starts near 0",
        )
