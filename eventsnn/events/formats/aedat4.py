"""AEDAT 4 (``.aedat4``), through the library aedat (extra ``aedat``).

``#!AER-DAT4.0``, a FlatBuffers header and packets, compressed or not. Of several event streams (two cameras,
say) the options choose one, by its number in the file or by the camera's name. Times are microseconds (64
bits, usually since 1970) and do not wrap; y = 0 is on top.

The library takes memory for a header or packet of whatever size the file states, 4 GB if need be, and ends
the interpreter where there is not so much, and where the header's description is no UTF-8. So both are
checked before it is asked.

iniVation, AEDAT file formats, version 4.0.
"""

from __future__ import annotations

import os
import struct
import warnings
import xml.parsers.expat
from collections.abc import Iterator
from importlib import metadata
from typing import Any
from xml.parsers.expat import ExpatError

import numpy as np

from eventsnn.errors import EventFileError, EventFileWarning, MissingExtraError
from eventsnn.events.formats.base import (
    FileFormat,
    Options,
    begins_with,
    open_file,
    read_block,
    read_bytes,
)
from eventsnn.events.formats.decoder import LEAVE_OUT
from eventsnn.events.formats.streams import StreamInfo, choose_stream
from eventsnn.events.formats.validator import EventValidator, Validated

_MAGIC = b"#!AER-DAT4.0"
_FIRST_LINE = len(_MAGIC) + 2
_PART = 1 << 15  # events
_PACKET = struct.Struct("<ii")  # stream, bytes that follow


class AEDAT4Reader(Validated):
    """See `eventsnn.events.formats.base.Reader`."""

    def __init__(self, path: str | os.PathLike[str], options: Options) -> None:
        try:
            import aedat
        except ImportError:
            raise MissingExtraError("aedat", "aedat", "reading AEDAT 4 files") from None
        if not read_bytes(path, len(_MAGIC)).startswith(_MAGIC):
            raise EventFileError(path, "does not begin with '#!AER-DAT4.0'", offset=0)
        self._path, self._on_cut = path, options.on_cut
        self._at, self._end, self._size, names = _find_packets(path)
        self._decoder = self._call(lambda: aedat.Decoder(os.fspath(path)))
        streams = self._call(self._decoder.id_to_stream)
        self.streams = _list_event_streams(streams, names)
        if not self.streams:
            kinds = sorted({str(stream["type"]) for stream in streams.values()})
            raise EventFileError(path, f"holds no event stream, only {', '.join(kinds) or 'nothing'}")
        self.stream = choose_stream(path, self.streams, options.stream)
        self._validator = EventValidator(path, options, self.stream.sensor)
        self._file = open_file(path)

    def _call(self, function: Any, *arguments: Any) -> Any:
        """Call the library; any exception that it raises for a damaged file becomes an EventFileError."""
        try:
            return function(*arguments)
        except (KeyboardInterrupt, SystemExit, StopIteration, MemoryError):
            raise
        except BaseException as error:  # a panic of the library is not an Exception
            raise EventFileError(self._path, f"damaged AEDAT 4 file ({error}){_advice()}") from None

    def __iter__(self) -> Iterator[np.ndarray]:
        """Events of several packets at once, which hold some thousands each."""
        packets = self._packets()
        problem: Exception | None = None
        while problem is None:
            held: list[np.ndarray] = []
            try:
                while sum(map(len, held)) < _PART:
                    held.append(next(packets))
            except Exception as error:  # what comes before it is handed on first
                problem = error
            if held:
                # As bytes: NumPy copies structures field by field.
                joined = np.concatenate([records.view(np.uint8) for records in held])
                yield self._validator.admit_packed(joined.view(held[0].dtype))
        if not isinstance(problem, StopIteration):
            raise problem

    def _packets(self) -> Iterator[np.ndarray]:
        while self._packet_is_whole():
            try:
                packet = self._call(next, self._decoder)
            except StopIteration:
                return
            if "events" in packet and packet["stream_id"] == self.stream.number:
                yield packet["events"]

    def _packet_is_whole(self) -> bool:
        """Whether another packet follows; one that is cut is left out, with a warning, or an error."""
        if self._at >= self._end:
            return False
        head = _read_from(self._path, self._file, self._at, _PACKET.size)
        size = _PACKET.unpack(head)[1] if len(head) == _PACKET.size else 0
        if size < 0:
            raise EventFileError(self._path, f"a packet of {size} bytes", offset=self._at)
        if len(head) == _PACKET.size and self._at + _PACKET.size + size <= self._size:
            self._at += _PACKET.size + size
            return True
        text = f"the last packet is cut: {self._size - self._at} of {_PACKET.size + size} bytes"
        if self._on_cut == "error":
            raise EventFileError(self._path, f"{text}; copy the file again {LEAVE_OUT}", offset=self._at)
        self._validator.anomalies.cut_bytes = self._size - self._at
        warnings.warn(
            f"{os.fspath(self._path)}, byte {self._at}: {text}, and left out", EventFileWarning, stacklevel=2
        )
        return False

    def close(self) -> None:
        """Close the file."""
        self._decoder = None
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _advice() -> str:
    """Advice for when the library fails: versions before 2.3 do not know all kinds of frames."""
    try:
        installed = metadata.version("aedat")
        old = tuple(int(part) for part in installed.split(".")[:2]) < (2, 3)
    except (metadata.PackageNotFoundError, ValueError):
        return ""
    return f"; aedat {installed} is old: pip install -U 'eventsnn[aedat]'" if old else ""


def _list_event_streams(streams: dict[int, Any], names: dict[int, str]) -> tuple[StreamInfo, ...]:
    """The event streams among those that the library found, by number."""
    return tuple(
        StreamInfo(int(number), names.get(int(number), ""), (int(found["width"]), int(found["height"]), 2))
        for number, found in sorted(streams.items())
        if found["type"] == "events"
    )


def _find_packets(path: str | os.PathLike[str]) -> tuple[int, int, int, dict[int, str]]:
    """Where the packets begin and end, the size of the file, and names of streams by number.

    Raises EventFileError if the header is cut or damaged.

    The header is a table of FlatBuffers after its size (u32). Its second field, if there, is the place of a
    table of all packets, which ends the file; its third is XML that describes the streams (iniVation,
    AEDAT 4, "IOHeader").
    """
    size = os.stat(path).st_size
    head = _read_at(path, _FIRST_LINE, 4)
    length = int.from_bytes(head, "little")
    start = _FIRST_LINE + 4 + length
    if len(head) < 4 or start > size:
        raise EventFileError(
            path, f"the header has {length} bytes and the file {size}: damaged or cut", offset=_FIRST_LINE
        )
    header = _read_at(path, _FIRST_LINE + 4, length)
    try:
        (root,) = struct.unpack_from("<I", header)
        fields = root - struct.unpack_from("<i", header, root)[0]
        (_, field, text) = struct.unpack_from("<HHH", header, fields + 4)
        (table,) = struct.unpack_from("<q", header, root + field) if field else (-1,)
        names = _read_names(_string_at(header, root + text))
    except (struct.error, UnicodeDecodeError, ExpatError) as error:
        raise EventFileError(path, f"the header is damaged ({error})", offset=_FIRST_LINE + 4) from None
    return start, table if start <= table <= size else size, size, names


def _string_at(table: bytes, place: int) -> bytes:
    """The string that the offset at a place of a FlatBuffers table leads to; struct.error if it is cut."""
    place += struct.unpack_from("<I", table, place)[0]
    (length,) = struct.unpack_from("<I", table, place)
    (text,) = struct.unpack_from(f"<{length}s", table, place + 4)
    return bytes(text)


def _read_names(text: bytes) -> dict[int, str]:
    """Names of the cameras of the streams, by number, from the XML that describes them.

    ``<node name="outInfo"><node name="0"><node name="info"><attr key="source">DAVIS346_1</attr>``. Raises
    UnicodeDecodeError or ExpatError if it is no XML in UTF-8.
    """
    text.decode()
    path: list[str] = []
    names: dict[int, str] = {}
    key = ""

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal key
        key = attributes.get("key", "") if tag == "attr" else ""
        path.append(attributes.get("name", "") if tag == "node" else "")

    def end(tag: str) -> None:
        nonlocal key
        key = ""
        path.pop()

    def data(found: str) -> None:
        nodes = [name for name in path if name]
        if key == "source" and len(nodes) >= 2 and nodes[-1] == "info" and nodes[-2].isdecimal():
            number = int(nodes[-2])
            names[number] = names.get(number, "") + found.strip()

    parser = xml.parsers.expat.ParserCreate("utf-8")
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = data
    parser.Parse(text, True)
    return names


def _read_at(path: str | os.PathLike[str], start: int, size: int) -> bytes:
    """Up to `size` bytes of a file from a place on."""
    descriptor = open_file(path)
    try:
        return _read_from(path, descriptor, start, size)
    finally:
        os.close(descriptor)


def _read_from(path: str | os.PathLike[str], descriptor: int, start: int, size: int) -> bytes:
    """The same of an open file."""
    os.lseek(descriptor, start, os.SEEK_SET)
    return read_block(path, descriptor, size)


AEDAT4 = FileFormat("aedat4", (".aedat4",), begins_with(_MAGIC), AEDAT4Reader)
