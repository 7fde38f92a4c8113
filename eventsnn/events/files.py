"""Reading and writing event recordings in any known format."""

from __future__ import annotations

import os

from eventsnn.errors import EventFileError
from eventsnn.events.formats import FORMATS, EventFormat
from eventsnn.events.formats.base import read_bytes
from eventsnn.events.stream import EventStream

_HEAD_BYTES = 64


def read(
    path: str | os.PathLike[str], *, sensor: tuple[int, ...] | None = None, format: str | None = None
) -> EventStream:
    """Read an event recording.

    Parameters
    ----------
    path : path
        The file.
    sensor : tuple of 3 int, optional
        Width, height, polarities, for formats whose files do not say; left out, the format's own default
        (34 x 34 x 2 for N-MNIST).
    format : str, optional
        Name of the format; left out, it is told from the file's first bytes and its name.

    Returns
    -------
    EventStream
        All events of the file; times in microseconds.

    Raises
    ------
    EventFileError
        The file cannot be read, is of no known format, or is damaged; names the byte offset.
    EventStreamError
        `sensor` is not a sensor size.
    """
    return _find_format(path, format, reading=True).read(path, sensor)


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
    _find_format(path, format, reading=False).write(path, stream)


def detect_format(path: str | os.PathLike[str]) -> str:
    """Return the name of the format of a file; raise EventFileError if none fits or it cannot be read."""
    return _find_format(path, None, reading=True).name


def _find_format(path: str | os.PathLike[str], name: str | None, *, reading: bool) -> EventFormat:
    """Return the format called `name`, or the one that recognises the file (its suffix, when writing)."""
    if name is not None:
        for candidate in FORMATS:
            if candidate.name == name:
                return candidate
        raise EventFileError(path, f"unknown format {name!r}; known formats: {_known_formats()}")
    text = os.fspath(path)
    head = read_bytes(path, _HEAD_BYTES) if reading else b""
    for candidate in FORMATS:
        if candidate.sniff(head, text) if reading else text.lower().endswith(candidate.suffixes):
            return candidate
    raise EventFileError(
        path, f"not a known event format; known formats: {_known_formats()}; pass format=... to choose one"
    )


def _known_formats() -> str:
    return ", ".join(f"{known.name} ({', '.join(known.suffixes)})" for known in FORMATS)
