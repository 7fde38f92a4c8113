"""A recording that is read part by part, in bounded memory."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import Literal

import numpy as np

from eventsnn.errors import EventFileWarning
from eventsnn.events.formats import EventFormat, OnBad, Options, find_format
from eventsnn.events.formats.base import Anomalies, Reader
from eventsnn.events.stream import EVENT_DTYPE, EventStream, SensorSize, check_sensor_size


class Recording:
    """An event recording that is open for reading; made by `open_events`.

    Iterating gives consecutive parts as EventStream; memory does not grow with the length of the recording.
    It can be iterated over once. It is a context manager that closes the file.

    Attributes
    ----------
    path : str
        The file.
    format : str
        Name of its format.
    sensor_size : tuple of 3 int
        Width, height, polarities. Where neither the file nor the caller says, the smallest sensor that
        holds the events: the file is then read once more, before the first part.
    anomalies : Anomalies
        Counts of what was odd so far: `outside`, `backwards`, `ignored`, `cut_bytes`.
    """

    def __init__(self, path: str | os.PathLike[str], known: EventFormat, options: Options) -> None:
        self.path = os.fspath(path)
        self.format = known.name
        self._known, self._options = known, options
        self._reader: Reader = known.open(path, options)
        self._sensor = self._reader.sensor

    @property
    def sensor_size(self) -> SensorSize:
        """Width, height, polarities."""
        if self._sensor is None:
            self._sensor = self._find_sensor()
        return self._sensor

    @property
    def anomalies(self) -> Anomalies:
        """What was odd so far."""
        return self._reader.anomalies

    def __iter__(self) -> Iterator[EventStream]:
        sensor = self.sensor_size
        for events in self._arrays():
            if len(events):
                yield EventStream._trusted(events, sensor)

    def read(self) -> EventStream:
        """All events that are left, as one stream."""
        parts = [events for events in self._arrays() if len(events)]
        events = parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, EVENT_DTYPE), *parts])
        if self._sensor is None:
            self._sensor = smallest_sensor([events])
        return EventStream._trusted(events, self._sensor)

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _arrays(self) -> Iterator[np.ndarray]:
        yield from self._reader
        odd = self.anomalies
        if self._options.on_bad != "error" and odd.outside + odd.backwards:
            done = "left out" if self._options.on_bad == "skip" else "clamped"
            warnings.warn(
                f"{self.path}: {odd.outside} events outside the sensor and {odd.backwards} earlier than "
                f"the one before were {done}",
                EventFileWarning,
                stacklevel=3,
            )

    def _find_sensor(self) -> SensorSize:
        """Read the whole file for its largest addresses; its oddities are told in the second reading."""
        reader = self._known.open(self.path, self._options)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", EventFileWarning)
                return smallest_sensor(reader)
        finally:
            reader.close()


def smallest_sensor(parts: Reader | list[np.ndarray]) -> SensorSize:
    """The smallest sensor with 2 polarities that holds the events (at least one pixel)."""
    width = height = 1
    for events in parts:
        width = max(width, int(events["x"].max(initial=0)) + 1)
        height = max(height, int(events["y"].max(initial=0)) + 1)
    return (width, height, 2)


def open_events(
    path: str | os.PathLike[str],
    *,
    sensor: tuple[int, ...] | None = None,
    format: str | None = None,
    on_bad: OnBad = "error",
    columns: str | None = None,
    sample: int | None = None,
    stream: str | int | None = None,
    on_cut: Literal["warn", "error"] = "warn",
) -> Recording:
    """Open an event recording of any length, to be read part by part.

    Parameters
    ----------
    path : path
        The file.
    sensor : tuple of 3 int, optional
        Width, height, polarities; see `Recording.sensor_size` for what holds without it.
    format : str, optional
        Name of the format; left out, it is told from the file's first bytes and its name.
    on_bad, columns, sample, stream, on_cut
        See `read`.

    Returns
    -------
    Recording
        Iterate over it for parts as EventStream, times in microseconds.

    Raises
    ------
    EventFileError
        The file cannot be read, is of no known format or may be of several. Damage further on is raised
        where it is met, with its byte offset.
    EventStreamError
        `sensor` is not a sensor size, or `on_bad` not one of its words.
    MissingExtraError
        The format needs a library that is not installed.

    Examples
    --------
    >>> with open_events("long.raw") as recording:             # doctest: +SKIP
    ...     for part in recording:
    ...         print(len(part), part.t_last)
    """
    size = None if sensor is None else check_sensor_size(sensor)
    options = Options(size, on_bad, on_cut, columns, sample, stream)
    return Recording(path, find_format(path, format), options)
