"""A recording that is read part by part, in bounded memory."""

from __future__ import annotations

import os
import warnings
import weakref
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Unpack

import numpy as np

from eventsnn._util.words import number_of
from eventsnn.errors import EventFileError, EventFileWarning, EventStreamError
from eventsnn.events.formats import EventFormat, Options
from eventsnn.events.formats.base import Anomalies, Reader
from eventsnn.events.formats.streams import StreamInfo
from eventsnn.events.origin import find_origin
from eventsnn.events.reading import ReadingFields, ReadingOptions
from eventsnn.events.region import Region
from eventsnn.events.stream import EVENT_DTYPE, EventStream, SensorSize
from eventsnn.events.unpack import Unpacked

_SORTED_PART = 1 << 15


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
        Width, height, polarities of what is kept. Where neither the file nor the caller says, the smallest
        sensor that holds the events: the file is then read once more, before the first part.
    streams : tuple of StreamInfo
        Event streams of the file, where its format can hold several.
    stream : StreamInfo or None
        The one of them that is read.
    anomalies : Anomalies
        Counts of what was odd so far: `outside`, `backwards`, `ignored`, `cut_bytes`.
    origin_us : int or None
        What `t_from` and `t_until` count from, microseconds: the origin (`eventsnn.events.origin`) of the
        whole file, whatever is kept of it; 0 for one that begins before 0. None until events are read.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        known: EventFormat,
        options: Options,
        region: Region | None = None,
        unpacked: Unpacked | None = None,
    ) -> None:
        self._source, self._unpacked = path, unpacked
        self.path = f"{os.fspath(path)}"
        self.format = known.name
        self._known, self._options, self._region = known, options, region or Region()
        self._reader: Reader = known.open(path, options)
        self._close = weakref.finalize(self, _close_all, self._reader, unpacked)
        self._close.atexit = False
        self._ended = False
        self.origin_us: int | None = None
        self._whole = self._reader.sensor
        if self._whole is None and self._region.crop is not None:
            self._whole = (*self._region.crop[2:], self._polarities)  # events beyond it are left out
        try:
            self._check_choices()
            if self._whole is not None:
                self._kept_sensor(self._whole)
        except BaseException:
            self.close()
            raise

    @property
    def sensor_size(self) -> SensorSize:
        """Width, height, polarities after crop and downsampling."""
        if self._whole is None:
            self._whole = self._find_sensor()
        return self._kept_sensor(self._whole)

    @property
    def stated_sensor(self) -> SensorSize | None:
        """The same if the file or the caller states it; None if the events would have to be read to find
        out.
        """
        return None if self._whole is None else self._kept_sensor(self._whole)

    @property
    def streams(self) -> tuple[StreamInfo, ...]:
        """Event streams of the file, where its format can hold several."""
        return getattr(self._reader, "streams", ())

    @property
    def stream(self) -> StreamInfo | None:
        """The stream that is read, where the format can hold several."""
        return getattr(self._reader, "stream", None)

    @property
    def _polarities(self) -> int:
        """Of a sensor that neither file nor caller states: one, where the file has no polarities."""
        return int(getattr(self._reader, "polarities", 2))

    @property
    def anomalies(self) -> Anomalies:
        """Irregularities so far."""
        return self._reader.anomalies

    def __iter__(self) -> Iterator[EventStream]:
        _ = self.sensor_size  # finds the sensor, if need be
        assert self._whole is not None
        for events in self._arrays():
            part = self._region.cut(EventStream._trusted(events, self._whole), self.origin_us)
            if len(part):
                yield part

    def read(self) -> EventStream:
        """All events that are left, as one stream."""
        if self._whole is None:
            everything = _join(self._arrays())
            self._whole = smallest_sensor([everything], self._polarities)
            return self._region.cut(EventStream._trusted(everything, self._whole), self.origin_us)
        events = _join(part.events for part in self)
        begun = None if self._region.is_whole else self.origin_us
        return EventStream._trusted(events, self.sensor_size, begun)

    def __repr__(self) -> str:
        stream = "" if self.stream is None else f", stream {self.stream.name!r}"
        return f"<Recording {self.path!r}, format {self.format}{stream}>"

    def close(self) -> None:
        """Close the file; it is closed by itself once it has been read to its end, and by forgetting it."""
        self._close()

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_choices(self) -> None:
        """Refuse a choice among streams or samples where the file has only one."""
        stream, sample = self._options.stream, self._options.sample
        if stream not in (None, 0, "0") and not self.streams:
            text = (
                f"holds one stream of events, so there is no stream {stream!r}; leave stream (--stream) out"
            )
            raise EventFileError(self.path, text)
        if sample not in (None, 0) and not hasattr(self._reader, "samples"):
            text = f"holds one recording, so there is no sample {sample}; leave sample (--sample) out"
            raise EventFileError(self.path, text)

    def _kept_sensor(self, whole: SensorSize) -> SensorSize:
        try:
            return self._region.sensor(whole)
        except EventStreamError as error:
            raise EventFileError(self.path, f"{error} (crop, --crop)") from None

    def _arrays(self) -> Iterator[np.ndarray]:
        """Events in order of time, on the whole sensor, up to the end of the time to be kept."""
        if self._ended:
            return
        arrays: Iterable[np.ndarray] = self._reader
        if self._options.on_bad == "sort":
            arrays = self._sorted()
        try:
            for events in arrays:
                if len(events):
                    if self.origin_us is None:
                        self.origin_us = find_origin(events["t"]) if events["t"][0] >= 0 else 0
                    yield events
                    if events["t"][-1] - self.origin_us >= self._region.t_until * 1000.0:
                        break
        except Exception:
            self.close()
            raise
        self._ended = True
        self.close()
        done = {"skip": "left out", "clamp": "clamped", "sort": "sorted"}.get(self._options.on_bad)
        if done is not None and (odd := self.anomalies).outside + odd.backwards:
            warnings.warn(
                f"{self.path}: {number_of(odd.outside, 'event')} outside the sensor and {odd.backwards} "
                f"earlier than the one before were {done}",
                EventFileWarning,
                stacklevel=3,
            )

    def _sorted(self) -> Iterator[np.ndarray]:
        """All events in order of time, those of one time in the order of the file; takes memory for all."""
        events = _join(self._reader)
        if self.anomalies.backwards:
            events = events[np.argsort(events["t"], kind="stable")]
        for start in range(0, len(events), _SORTED_PART):
            yield events[start : start + _SORTED_PART]

    def _find_sensor(self) -> SensorSize:
        """Read the whole file for its largest addresses; its oddities are told in the second reading."""
        reader = self._known.open(self._source, self._options)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", EventFileWarning)
                return smallest_sensor(reader, self._polarities)
        finally:
            reader.close()


def _join(parts: Iterable[np.ndarray]) -> np.ndarray:
    """One array of all events; not copied where one part has them all."""
    full = [events for events in parts if len(events)]
    return full[0] if len(full) == 1 else np.concatenate([np.empty(0, EVENT_DTYPE), *full])


def _close_all(reader: Reader, unpacked: Unpacked | None) -> None:
    reader.close()
    if unpacked is not None:
        unpacked.close()


def smallest_sensor(parts: Reader | list[np.ndarray], polarities: int = 2) -> SensorSize:
    """The smallest sensor with a given number of polarities that holds the events (at least one pixel)."""
    width = height = 1
    for events in parts:
        width = max(width, int(events["x"].max(initial=0)) + 1)
        height = max(height, int(events["y"].max(initial=0)) + 1)
    return (width, height, polarities)


def open_events(path: str | os.PathLike[str], **reading: Unpack[ReadingFields]) -> Recording:
    """Open an event recording of any length, to be read part by part.

    Parameters
    ----------
    path : path
        The file.
    **reading
        Fields of `ReadingOptions`: sensor, format, columns, stream, sample, on_bad, on_cut, t_from,
        t_until, crop, downsample. See `Recording.sensor_size` for what holds without `sensor`.

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
        A field of `reading` makes no sense.
    MissingExtraError
        The format needs a library that is not installed.

    Examples
    --------
    >>> with open_events("hour.raw", crop=(300, 200, 368, 268)) as recording:
    ...     for part in recording:
    ...         print(len(part), part.t_last)
    """
    return ReadingOptions(**reading).open(path)
