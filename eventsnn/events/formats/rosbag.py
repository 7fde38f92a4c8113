"""Bags of ROS 1 (``.bag``) with messages ``EventArray``, through the library rosbags (extra ``ros``).

dvs_msgs, dv_ros_msgs and prophesee_event_msgs have the same layout: header (sequence number, time, name of
the frame), height, width, number of events (32 bits each), and 13 bytes an event: x, y (16 bits), seconds,
nanoseconds (32 bits each), polarity. Times are rounded down to microseconds, usually since 1970, and do not
wrap. If several topics have such messages, the options choose one, by its name or its number in the sorted
names.

Mueggler et al. (2017). The event-camera dataset and simulator. IJRR 36:142 (and dvs_msgs of rpg_dvs_ros);
iniVation, dv-ros (dv_ros_msgs).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from eventsnn.errors import EventFileError, MissingExtraError
from eventsnn.events.formats.base import FileFormat, Options, begins_with, read_bytes
from eventsnn.events.formats.streams import StreamInfo, choose_stream
from eventsnn.events.formats.validator import EventValidator, Validated
from eventsnn.events.stream import SensorSize, check_sensor_size

_MAGIC = b"#ROSBAG V2.0"
_EVENT = np.dtype([("x", "<u2"), ("y", "<u2"), ("s", "<u4"), ("ns", "<u4"), ("p", "u1")])
_TYPES = tuple(f"{package}/msg/EventArray" for package in ("dvs_msgs", "dv_ros_msgs", "prophesee_event_msgs"))


class RosbagReader(Validated):
    """See `eventsnn.events.formats.base.Reader`."""

    def __init__(self, path: str | os.PathLike[str], options: Options) -> None:
        try:
            from rosbags.rosbag1 import Reader
        except ImportError:
            raise MissingExtraError("rosbags", "ros", "reading bags of ROS 1") from None
        if not read_bytes(path, len(_MAGIC)).startswith(_MAGIC):
            raise EventFileError(path, "does not begin with '#ROSBAG V2.0'", offset=0)
        self._path = path
        self._bag: Any = self._call(Reader, path)
        self._call(self._bag.open)
        try:
            self.streams = self._list_topics()
            if not self.streams:
                kinds = ", ".join(sorted({c.msgtype for c in self._bag.connections})) or "no messages"
                raise EventFileError(path, f"holds no topic of {' or '.join(_TYPES)}; it has {kinds}")
            self.stream = choose_stream(path, self.streams, options.stream, what="topics of events")
            self._connections = self._connections_of(self.stream.name)
            self._messages = self._raw_messages()
            self._first = next(self._messages, None)
            sensor = None if self._first is None else self._first[0]
            self._validator = EventValidator(path, options, sensor)
        except BaseException:
            self.close()
            raise

    def _call(self, function: Any, *arguments: Any) -> Any:
        """Call the library; any exception that it raises for a damaged file becomes an EventFileError."""
        try:
            return function(*arguments)
        except StopIteration:
            raise
        except Exception as error:
            text = f"damaged bag ({type(error).__name__}: {error})"
            if "index" in str(error).lower():  # a recording that was ended by force
                text += "; rosbag reindex (rosbag fix) may mend it"
            raise EventFileError(self._path, text) from None

    def _connections_of(self, topic: str) -> list[Any]:
        return [c for c in self._bag.connections if c.topic == topic and c.msgtype in _TYPES]

    def _list_topics(self) -> tuple[StreamInfo, ...]:
        """The topics of events, sorted by name."""
        topics = sorted({c.topic for c in self._bag.connections if c.msgtype in _TYPES})
        kinds = [{c.msgtype for c in self._connections_of(topic)} for topic in topics]
        return tuple(
            StreamInfo(number, topic, about=", ".join(sorted(kind)).replace("/msg/", "/"))
            for number, (topic, kind) in enumerate(zip(topics, kinds, strict=True))
        )

    def _raw_messages(self) -> Iterator[tuple[SensorSize | None, np.ndarray]]:
        messages = self._bag.messages(connections=self._connections)
        while True:
            try:
                _, _, data = self._call(next, messages)
            except StopIteration:
                return
            yield self._call(_parse_message, bytes(data))

    def __iter__(self) -> Iterator[np.ndarray]:
        message = self._first
        while message is not None:
            events = message[1]
            t = events["s"].astype(np.int64) * 1_000_000 + events["ns"] // 1000
            yield self._validator.admit(t, events["x"], events["y"], events["p"])
            message = next(self._messages, None)

    def close(self) -> None:
        """Close the file."""
        self._bag.close()


def _parse_message(data: bytes) -> tuple[SensorSize | None, np.ndarray]:
    """Sensor and events of a message in ROS 1's serialisation.

    Drivers that do not know their sensor write 0 x 0: None.
    """
    (name,) = struct.unpack_from("<I", data, 12)
    height, width, n = struct.unpack_from("<III", data, 16 + name)
    events = np.frombuffer(data, _EVENT, n, 28 + name)
    return check_sensor_size((width, height, 2)) if width or height else None, events


ROSBAG = FileFormat("rosbag", (".bag",), begins_with(_MAGIC), RosbagReader)
