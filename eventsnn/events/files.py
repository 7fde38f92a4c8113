"""Reading and writing event recordings in any known format."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Literal

from eventsnn.events.formats import OnBad, PartFile, find_encoder, find_format
from eventsnn.events.recording import open_events
from eventsnn.events.stream import EventStream, SensorSize


def read(
    path: str | os.PathLike[str],
    *,
    sensor: tuple[int, ...] | None = None,
    format: str | None = None,
    on_bad: OnBad = "error",
    columns: str | None = None,
    sample: int | None = None,
    stream: str | int | None = None,
    on_cut: Literal["warn", "error"] = "warn",
) -> EventStream:
    """Read an event recording. docs/formats.md lists the formats.

    Parameters
    ----------
    path : path
        The file.
    sensor : tuple of 3 int, optional
        Width, height, polarities. Left out, what the file says; else the format's own default (34 x 34 x 2
        for N-MNIST); else the smallest sensor that holds the events.
    format : str, optional
        Name of the format; left out, it is told from the file's first bytes and its name.
    on_bad : {"error", "skip", "clamp"}
        What to do about an event outside the sensor, or earlier than the one before it: raise; leave it out;
        or take the nearest pixel, and the time of the event before. The last two warn (EventFileWarning).
    columns : str, optional
        Order and units of the columns of a table of text or an array without names: ``"t[s],x,y,p"``;
        units of t are s, ms, us (the default), ns.
    sample : int, optional
        Number of the recording, in files that hold several (SHD).
    stream : str or int, optional
        Name or number of a stream of events, in files that hold several (cameras, topics, data sets).
    on_cut : {"warn", "error"}
        What to do about a record that is cut at the end of the file: leave it out with an EventFileWarning,
        or raise.

    Returns
    -------
    EventStream
        All events of the file; times in microseconds, unwrapped; y = 0 on top; polarity 0 or 1.

    Raises
    ------
    EventFileError
        The file cannot be read, is of no known format or may be of several, or is damaged; names the byte
        offset.
    EventStreamError
        `sensor` is not a sensor size, or `on_bad` not one of its words.
    MissingExtraError
        The format needs a library that is not installed.
    """
    with open_events(
        path,
        sensor=sensor,
        format=format,
        on_bad=on_bad,
        columns=columns,
        sample=sample,
        stream=stream,
        on_cut=on_cut,
    ) as recording:
        return recording.read()


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
    """
    write_parts(path, [stream], stream.sensor_size, format=format)


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
    encoder = find_encoder(path, format, sensor_size)
    n = 0
    with PartFile(path) as file:
        file.write(encoder.start())
        for part in parts:
            file.write(encoder.feed(part.events))
            n += len(part)
        file.write(encoder.finish())
    return n


def detect_format(path: str | os.PathLike[str]) -> str:
    """Return the name of the format of a file; raise EventFileError if none or several fit."""
    return find_format(path).name
