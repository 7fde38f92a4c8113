"""Reading and writing event recordings in any known format."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Unpack

from eventsnn._util.arguments import check_path
from eventsnn._util.atomic import replace_file
from eventsnn.errors import EventStreamError
from eventsnn.events.formats import Options, find_format, find_writer
from eventsnn.events.formats.base import unwritable
from eventsnn.events.formats.streams import StreamChoiceError
from eventsnn.events.reading import ReadingFields, ReadingOptions
from eventsnn.events.stream import EventStream, SensorSize
from eventsnn.events.unpack import unpack

_AS_IT_IS = ReadingOptions()


def read(path: str | os.PathLike[str], **reading: Unpack[ReadingFields]) -> EventStream:
    """Read an event recording. docs/formats.md lists the formats.

    Parameters
    ----------
    path : path
        The file.
    **reading
        How to read it, fields of `ReadingOptions`:

        - ``sensor=(width, height, polarities)``, where the file does not say, or says otherwise;
        - ``format``, ``columns="t[s],x,y,p"``, where the file does not say;
        - ``stream``, ``sample``: which one, in files that hold several;
        - ``on_bad``: "error", "skip", "clamp" or "sort", for events outside the sensor or out of order;
          ``on_cut``: "warn" or "error", for a file that ends within a record;
        - ``t_from``, ``t_until`` (ms), ``crop=(x0, y0, x1, y1)``, ``downsample``,
          ``merge_polarities``: what to keep.

    Returns
    -------
    EventStream
        All events of the file that are kept; times in microseconds, unwrapped; y = 0 on top; polarity 0 or 1.

    Raises
    ------
    EventFileError
        The file cannot be read, is of no known format or may be of several, or is damaged; names the byte
        offset.
    EventStreamError
        A field of `reading` makes no sense.
    MissingExtraError
        The format needs a library that is not installed.
    """
    return (ReadingOptions(**reading) if reading else _AS_IT_IS).read(path)


def write(path: str | os.PathLike[str], stream: EventStream, *, format: str | None = None) -> None:
    """Write an event recording; the file appears complete or not at all.

    Parameters
    ----------
    path : path
        The file; one that exists is replaced.
    stream : EventStream
        What to write.
    format : str, optional
        Name of the format; left out, it is told from the suffix of `path`.

    Raises
    ------
    EventFileError
        The format is unknown or cannot hold these events, or the file cannot be written.
    EventStreamError
        `path` is no path, or `stream` no stream.
    """
    _check_order(path, stream)
    write_parts(path, [stream], stream.sensor_size, format=format)


def _check_order(path: object, stream: object) -> None:
    """Raise EventStreamError unless these are a path and a stream, in this order."""
    if isinstance(path, EventStream):
        raise EventStreamError("the path comes first: write(path, stream)")
    check_path("path", path, EventStreamError)
    if not isinstance(stream, EventStream):
        raise EventStreamError(
            f"stream must be an EventStream, got {type(stream).__name__}; "
            "EventStream.from_structured and from_arrays make one of arrays"
        )


def write_parts(
    path: str | os.PathLike[str],
    parts: Iterable[EventStream],
    sensor_size: SensorSize,
    *,
    format: str | None = None,
) -> int:
    """Write consecutive parts of a recording to one file; return the number of events.

    Parameters
    ----------
    path, format
        See `write`.
    parts : iterable of EventStream
        In order of time; such as a `Recording`. They are not kept.
    sensor_size : tuple of 3 int
        Width, height, polarities.

    Raises
    ------
    EventFileError
        See `write`; also whatever reading the parts raises. No file is left behind.
    """
    writer = find_writer(path, format, sensor_size)
    n = 0
    with replace_file(path, unwritable(path)) as file:
        file.write(writer.start())
        for part in parts:
            file.write(writer.feed(part.events))
            n += len(part)
        file.write(writer.finish())
    return n


def from_zero(parts: Iterable[EventStream]) -> Iterator[EventStream]:
    """Consecutive parts of a recording, moved so that its first event is at 0; see `EventStream.shifted`."""
    first = None
    for part in parts:
        if first is None:
            first = part.t_first
        yield part if first is None else part.shifted(int(part.events["t"][0]) - first)


def detect_format(path: str | os.PathLike[str]) -> str:
    """Return the name of the format of a file, "zip" for an archive of several.

    Raises EventFileError if no format fits, or several do.
    """
    try:
        unpacked = unpack(path, Options())
    except StreamChoiceError:
        return "zip"
    if unpacked is None:
        return find_format(path).name
    try:
        return find_format(unpacked.path).name
    finally:
        unpacked.close()
