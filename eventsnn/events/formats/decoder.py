"""Decoding that all formats of bytes share: the header, blocks of any size, bad events, clear errors."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from eventsnn.errors import EventFileError, EventFileWarning
from eventsnn.events.formats.base import (
    BLOCK_BYTES,
    Anomalies,
    Match,
    Options,
    open_file,
    read_block,
    suffix_match,
)
from eventsnn.events.formats.validator import OTHER_SENSOR, UNSORTED
from eventsnn.events.stream import EVENT_DTYPE, SensorSize

LEAVE_OUT = "(on_cut='warn', --on-cut warn leave it out)"
"""What to do about a record that is cut, for texts."""

Kernel = Callable[[memoryview, np.ndarray, np.ndarray], tuple[int, int, int]]
"""(bytes, state, events) -> (bytes read, events written, status); see cython_ext/io/decode.pxd."""

MORE, OUTSIDE, BACKWARDS, FULL, DAMAGED = range(5)
POLICIES = {"error": 0, "skip": 1, "clamp": 2, "sort": 3}

FIELDS = ("width", "height", "policy", "before", "outside", "backwards", "ignored", "status", "x", "y", "t")
"""The members of the kernels' ``State``, without those of each format (``own``, after them)."""
N_OWN = 8
FIELD = {name: number for number, name in enumerate(FIELDS)}
NO_TIME = -(2**63)

LONGEST_HEADER = 1 << 20
_MOST_EVENTS_OF_RECORD = 32


@dataclass(frozen=True)
class Layout:
    """Facts from the header of a file that decoding needs.

    Parameters
    ----------
    kernel : callable
        Decodes the records.
    record : int
        Bytes of the smallest part of the file that can be cut, for the text about a cut tail.
    header : int
        Bytes before the first record.
    sensor : tuple of 3 int, optional
        What the file says, or the format's default.
    limit : tuple of 2 int
        Width and height that the format's addresses can have.
    own : mapping of int to int
        The kernel's own state at the start, by position.
    """

    kernel: Kernel
    record: int
    header: int
    sensor: SensorSize | None
    limit: tuple[int, int]
    own: Mapping[int, int] = field(default_factory=dict)
    hint: str = "the file is damaged or of another format"
    hint_sensor: str = OTHER_SENSOR


HeaderReader = Callable[[str | os.PathLike[str], bytes, bool, Options], Layout | None]
"""(path, first bytes, whether they are the whole file, options) -> layout, None if more bytes are needed."""


class Decoder:
    """Bytes of a recording, cut in any way, to events: the same ones for every cutting.

    Parameters
    ----------
    read_header : callable
        See `HeaderReader`; raises EventFileError for a header that is wrong.
    path : path
        Named in errors.
    options : Options
        What the caller says.

    Attributes
    ----------
    sensor : tuple of 3 int or None
        Known as soon as the header is complete; None if neither header nor caller says.
    anomalies : Anomalies
        What was odd so far.
    """

    def __init__(self, read_header: HeaderReader, path: str | os.PathLike[str], options: Options) -> None:
        if options.sensor is not None and options.sensor[2] != 2:
            raise EventFileError(
                path,
                f"this format has 2 polarities; sensor {options.sensor} says {options.sensor[2]}: pass 2 "
                "(sensor=, --sensor WxHx2); merge_polarities (--merge-polarities) makes one of them",
            )
        self.path = path
        self._sensor = options.sensor
        self._options = options
        self._read_header = read_header
        self._layout: Layout | None = None
        self._state = np.zeros(len(FIELDS) + N_OWN, np.int64)
        self._rest = b""
        self._offset = 0  # in the file, of the first byte of `rest`
        self._cut = 0

    @property
    def sensor(self) -> SensorSize | None:
        """Known as soon as the header is complete; None if neither header nor caller says."""
        return self._sensor

    @property
    def started(self) -> bool:
        """Whether the header is complete."""
        return self._layout is not None

    @property
    def pending(self) -> int:
        """Bytes of a record that is not whole yet."""
        return len(self._rest)

    @property
    def anomalies(self) -> Anomalies:
        """Irregularities so far."""
        outside, backwards, ignored = (
            int(self._state[FIELD[name]]) for name in ("outside", "backwards", "ignored")
        )
        return Anomalies(outside, backwards, ignored, self._cut)

    def feed(self, data: bytes | memoryview) -> np.ndarray:
        """Decode the bytes that follow those before.

        Parameters
        ----------
        data : bytes
            Of any length, 0 included.

        Returns
        -------
        ndarray of shape (n,), dtype EVENT_DTYPE
            Times in microseconds; a new array. What is no whole record yet waits for the next call.

        Raises
        ------
        EventFileError
            The bytes are no such recording; names the byte offset.
        """
        if self._rest:
            data = b"".join((self._rest, data))
            self._rest = b""
        if self._layout is None:
            return self._start(bytes(data), whole=False)
        return self._decode(data)

    def finish(self) -> np.ndarray:
        """There are no more bytes. Returns events as `feed` does (almost always none).

        Raises EventFileError if the file ends in its header, or (``on_cut="error"``) in a record; otherwise
        a cut record is left out, with an EventFileWarning.
        """
        events = np.empty(0, EVENT_DTYPE)
        if self._layout is None:
            remaining, self._rest = self._rest, b""
            events = self._start(remaining, whole=True)
        if self._rest:
            self._cut = len(self._rest)
            text = (
                f"the last record is cut: {self._cut} of {self._layout_known.record} bytes; "
                "is the file complete?"
            )
            if self._options.on_cut == "error":
                raise EventFileError(self.path, f"{text} {LEAVE_OUT}", offset=self._offset)
            warnings.warn(
                f"{os.fspath(self.path)}, byte {self._offset}: {text} It is left out.",
                EventFileWarning,
                stacklevel=4,
            )
        return events

    @property
    def _layout_known(self) -> Layout:
        assert self._layout is not None
        return self._layout

    def _start(self, head: bytes, *, whole: bool) -> np.ndarray:
        """Read the header once it is complete, and the bytes that follow it."""
        if whole and not head:
            raise EventFileError(self.path, "the file is empty", offset=0)
        layout = self._read_header(self.path, head, whole, self._options)
        if layout is None:
            if whole:
                raise EventFileError(self.path, "the file ends in its header", offset=len(head))
            if len(head) > LONGEST_HEADER:
                raise EventFileError(self.path, f"no end of the header in {len(head)} bytes", offset=0)
            self._rest = head
            return np.empty(0, EVENT_DTYPE)
        self._layout = layout
        self._offset = layout.header
        self._sensor = self._sensor or layout.sensor
        width, height = self.sensor[:2] if self.sensor else layout.limit
        for name, value in (
            *(("width", width), ("height", height)),
            *(("policy", POLICIES[self._options.on_bad]), ("before", NO_TIME)),
        ):
            self._state[FIELD[name]] = value
        for position, value in layout.own.items():
            self._state[len(FIELDS) + position] = value
        return self._decode(memoryview(head)[layout.header :])

    def _decode(self, data: bytes | memoryview) -> np.ndarray:
        layout = self._layout_known
        view = memoryview(data)
        parts: list[np.ndarray] = []
        # Records of one event are the rule; vectors of events need a second turn.
        room = len(view) // layout.record + _MOST_EVENTS_OF_RECORD
        while True:
            events = np.empty(room, EVENT_DTYPE)
            consumed, written, status = layout.kernel(view, self._state, events)
            parts.append(events[:written])
            view = view[consumed:]
            self._offset += consumed
            if status not in (MORE, FULL):
                raise EventFileError(self.path, self._describe(status, bytes(view[:16])), offset=self._offset)
            if status == MORE:
                break
        self._rest = bytes(view)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _describe(self, status: int, record: bytes) -> str:
        """Describe the fault of the record at which the kernel stopped."""
        layout = self._layout_known
        x, y, t, width, height, before = (
            int(self._state[FIELD[name]]) for name in ("x", "y", "t", "width", "height", "before")
        )
        if status == OUTSIDE:
            return f"an event at x={x}, y={y} is outside the {width} x {height} sensor; {layout.hint_sensor}"
        if status == BACKWARDS:
            return (
                f"time runs backwards: {t} us is earlier than the event before, at {before} us; "
                f"{layout.hint}; or {UNSORTED}"
            )
        return f"no record of this format starts with the bytes {record[:8].hex(' ')}; {layout.hint}"


class ByteDecoder(Protocol):
    """Interface of a decoder that `FileReader` can use."""

    path: str | os.PathLike[str]

    @property
    def started(self) -> bool:
        """Whether the header is complete."""

    @property
    def sensor(self) -> SensorSize | None:
        """Width, height, polarities."""

    @property
    def anomalies(self) -> Anomalies:
        """Irregularities so far."""

    def feed(self, data: bytes | memoryview) -> np.ndarray:
        """Events of the bytes that follow."""

    def finish(self) -> np.ndarray:
        """There are no more bytes."""


class FileReader:
    """A file of bytes, read block by block through a `Decoder`; see `eventsnn.events.formats.base.Reader`."""

    def __init__(self, decoder: ByteDecoder) -> None:
        self._decoder = decoder
        self._file = open_file(decoder.path)
        self._ended = False
        self._first: list[np.ndarray] = []
        try:
            while not decoder.started and not self._ended:
                self._first.append(self._step())
        except BaseException:
            self.close()
            raise

    @property
    def sensor(self) -> SensorSize | None:
        """Width, height, polarities; None if neither the file nor the caller states them."""
        return self._decoder.sensor

    @property
    def polarities(self) -> int:
        """Of a sensor that neither file nor caller states."""
        return int(getattr(self._decoder, "polarities", 2))

    @property
    def anomalies(self) -> Anomalies:
        """Irregularities so far."""
        return self._decoder.anomalies

    def __iter__(self) -> Iterator[np.ndarray]:
        while self._first:
            yield self._first.pop(0)
        while not self._ended:
            yield self._step()

    def _step(self) -> np.ndarray:
        # After a record that is cut the next block ends with one: blocks need not be joined to what was left.
        size = BLOCK_BYTES - getattr(self._decoder, "pending", 0) % BLOCK_BYTES
        block = read_block(self._decoder.path, self._file, size)
        self._ended = not block
        return self._decoder.feed(block) if block else self._decoder.finish()

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


@dataclass(frozen=True)
class RecordFormat:
    """A format of bytes in order, which are decoded block by block, from files and live; an `EventFormat`.

    Parameters
    ----------
    name : str
    suffixes : tuple of str
    decoder : callable
        Makes a decoder, to be fed with bytes, from path and options.
    recognise : callable, optional
        See `EventFormat.sniff`. Left out, the suffix tells: the format has no magic number.
    """

    name: str
    suffixes: tuple[str, ...]
    decoder: Callable[[str | os.PathLike[str], Options], ByteDecoder]
    recognise: Callable[[bytes, str], Match] | None = None

    def sniff(self, head: bytes, path: str) -> Match:
        """See `EventFormat`."""
        return self.recognise(head, path) if self.recognise else suffix_match(path, self.suffixes)

    def open(self, path: str | os.PathLike[str], options: Options) -> FileReader:
        """Open a recording."""
        return FileReader(self.decoder(path, options))
