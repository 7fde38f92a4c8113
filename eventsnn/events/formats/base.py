"""Interface of a file format, and the file handling that all formats share."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np

from eventsnn._util.arguments import check_choice
from eventsnn._util.positioned import READ_ONLY
from eventsnn.errors import EventFileError, EventStreamError
from eventsnn.events.stream import SensorSize

OnBad = Literal["error", "skip", "clamp", "sort"]
"""What to do about an event outside the sensor, or earlier than the one before it."""

BLOCK_BYTES = 1 << 17
"""How much of a file is read at a time. What it decodes to stays in the second-level cache."""


class Match(enum.IntEnum):
    """How sure a format is that a file is its own."""

    NO = 0
    NAME = 1
    """The file's name says so; the format has no mark of its own."""
    CONTENT = 2
    """The first bytes say so."""


@dataclass(frozen=True)
class Options:
    """Choices of the caller about reading a recording. Formats ignore choices that do not concern them.

    Parameters
    ----------
    sensor : tuple of 3 int, optional
        Width, height, polarities; stands above what the file says.
    on_bad : {"error", "skip", "clamp", "sort"}
        What to do about bad events; see `eventsnn.events.read`. With "sort" a reader hands events on in the
        order of the file, and `Recording` sorts them.
    on_cut : {"warn", "error"}
        What to do about a record that is cut at the end of the file.
    columns : str, optional
        Order and units of the columns of a table of text or of an array, such as ``"t[s],x,y,p"``.
    sample : int, optional
        Number of a recording in a file that holds several.
    stream : str or int, optional
        Name or number of a stream of events in a file that holds several (cameras, topics, data sets); see
        `choose_stream`.
    """

    sensor: SensorSize | None = None
    on_bad: OnBad = "error"
    on_cut: Literal["warn", "error"] = "warn"
    columns: str | None = None
    sample: int | None = None
    stream: str | int | None = None

    def __post_init__(self) -> None:
        check_choice("on_bad", self.on_bad, get_args(OnBad), EventStreamError)


@dataclass
class Anomalies:
    """Counts of irregular events and records so far.

    Attributes
    ----------
    outside, backwards : int
        Events outside the sensor, and events earlier than the one before; left out, clamped or sorted.
    ignored : int
        Records that are no events of the sensor: triggers, frames, events before the first time.
    cut_bytes : int
        Bytes of a record cut at the end of the file, left out.
    """

    outside: int = 0
    backwards: int = 0
    ignored: int = 0
    cut_bytes: int = 0


class Reader(Protocol):
    """A recording that is open: an iterator over arrays of EVENT_DTYPE, all events checked.

    Iterating raises EventFileError where the file is damaged. A reader of a format that can hold several
    event streams also has `streams` (tuple of StreamInfo) and `stream`, the one that it reads; that of a
    format of several recordings has their number, `samples`.
    """

    @property
    def sensor(self) -> SensorSize | None:
        """Width, height, polarities; None if neither the file nor the caller states them."""

    @property
    def anomalies(self) -> Anomalies:
        """Irregularities so far."""

    def __iter__(self) -> Iterator[np.ndarray]: ...

    def close(self) -> None:
        """Close the file."""


class EventFormat(Protocol):
    """One file format of event recordings; instances are frozen and hold no state."""

    @property
    def name(self) -> str:
        """Short name, as given to ``format=``."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """File name endings, lower case, with the dot."""

    def sniff(self, head: bytes, path: str) -> Match:
        """Decide from the first bytes (`HEAD_BYTES`, or the whole file) and the path whether the file is
        of this format.
        """

    def open(self, path: str | os.PathLike[str], options: Options) -> Reader:
        """Open a recording; raise EventFileError with the byte offset of the fault."""


class Writer(Protocol):
    """Makes the bytes of a file from events, part by part.

    Raises EventFileError where the format cannot hold the events.
    """

    def start(self) -> bytes:
        """Header."""

    def feed(self, events: np.ndarray) -> bytes | memoryview:
        """Bytes of events that follow those before; dtype EVENT_DTYPE, shape (n,)."""

    def finish(self) -> bytes | memoryview:
        """Bytes after the last event."""


@dataclass(frozen=True)
class FileFormat:
    """A format whose reader opens the file itself; an `EventFormat`.

    Parameters
    ----------
    name : str
    suffixes : tuple of str
    sniff : callable
        See `EventFormat.sniff`.
    open : callable
        See `EventFormat.open`; mostly the class of the reader.
    """

    name: str
    suffixes: tuple[str, ...]
    sniff: Callable[[bytes, str], Match]
    open: Callable[[str | os.PathLike[str], Options], Reader]


def suffix_match(path: str, suffixes: tuple[str, ...]) -> Match:
    """NAME if the path ends in one of the suffixes."""
    return Match.NAME if path.lower().endswith(suffixes) else Match.NO


def begins_with(magic: bytes) -> Callable[[bytes, str], Match]:
    """Recognises a format by the first bytes of its files."""
    return lambda head, path: Match.CONTENT if head.startswith(magic) else Match.NO


def open_file(path: str | os.PathLike[str]) -> int:
    """Open a file for reading; return its descriptor; raise EventFileError if that fails."""
    try:
        descriptor = os.open(path, READ_ONLY)
    except OSError as error:
        raise _unreadable(path, error) from error
    return descriptor


def read_block(path: str | os.PathLike[str], descriptor: int, size: int) -> bytes:
    """Up to `size` bytes of an open file, empty at its end; raise EventFileError if reading fails."""
    try:
        return os.read(descriptor, size)
    except OSError as error:
        raise _unreadable(path, error) from error


def read_bytes(path: str | os.PathLike[str], size: int = -1) -> bytes:
    """Return the contents (or the first `size` bytes) of a file; raise EventFileError if that fails."""
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str | os.PathLike[str], error: OSError) -> EventFileError:
    if isinstance(error, FileNotFoundError):
        return EventFileError(path, _describe_missing(os.fsdecode(path)))
    if isinstance(error, IsADirectoryError):
        return EventFileError(path, "is a folder; a recording is a file")
    return EventFileError(path, f"cannot be read: {error.strerror or error}")


def _describe_missing(path: str) -> str:
    """Why there may be no such file."""
    if os.path.islink(path):
        target = os.readlink(path)
        # Data sets in git-annex are links to contents that have to be asked for.
        advice = ": run git annex get" if "annex/objects" in target.replace("\\", "/") else ""
        return f"is a link to {target}, which does not exist{advice}"
    if path.startswith("~"):
        return "no such file; ~ is not expanded here: os.path.expanduser(path) does it"
    return "no such file; it is an address: download the file first" if "://" in path else "no such file"


def unwritable(path: str | os.PathLike[str]) -> Callable[[str], EventFileError]:
    """Make the error that `eventsnn._util.atomic.replace_file` raises for a recording, from the reason."""
    return lambda text: EventFileError(path, f"cannot be written: {text}")
