"""AEDAT 4 (``.aedat4``): packets of FlatBuffers, plain or compressed by LZ4 or Zstandard (extra ``aedat``).

``#!AER-DAT4.0``, a header (`aedat4_header`), and packets: the number of a stream and a size (both i32), then
so many bytes. A packet of events is, once decompressed, a table of FlatBuffers after its size (u32) whose
only field is a vector of events of 16 bytes: t (i64, microseconds, usually since 1970; no wraps), x, y (i16;
y = 0 is on top), polarity (bool), 3 bytes unused. Of several event streams (two cameras, say) the options
choose one, by its number in the file or by the camera's name.

iniVation, AEDAT file formats, version 4.0; Google, FlatBuffers internals.
"""

from __future__ import annotations

import os
import struct
import warnings
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

from eventsnn.errors import EventFileError, EventFileWarning, MissingExtraError
from eventsnn.events.formats.aedat4_header import MAGIC, StreamDescription, read_from, read_header
from eventsnn.events.formats.base import FileFormat, Options, begins_with, open_file, read_bytes
from eventsnn.events.formats.decoder import LEAVE_OUT
from eventsnn.events.formats.streams import StreamInfo, choose_stream
from eventsnn.events.formats.validator import PACKED, EventValidator, Validated
from eventsnn.events.stream import EVENT_DTYPE

_PART = 1 << 14
"""Events that are handed on together, at least: with what is decompressed they stay in a core's cache."""

_EVENTS = "EVTS"
_KINDS = {_EVENTS: "events", "FRME": "frame", "IMUS": "imu", "TRIG": "triggers"}
_PACKET = struct.Struct("<ii")  # stream, bytes that follow

_NONE, _LZ4, _LZ4_HIGH, _ZSTD, _ZSTD_HIGH = range(5)
_MOST_LZ4 = 255
"""Bytes of content for a byte of LZ4: one more byte of a match's length adds at most so many."""
_MOST_ZSTD = 1 << 15
"""The same of Zstandard: a block has at most 128 KiB and takes 4 bytes at least (RFC 8878, 3.1.1.2)."""


class AEDAT4Reader(Validated):
    """See `eventsnn.events.formats.base.Reader`."""

    def __init__(self, path: str | os.PathLike[str], options: Options) -> None:
        if not read_bytes(path, len(MAGIC)).startswith(MAGIC):
            raise EventFileError(path, f"does not begin with '{MAGIC.decode()}'", offset=0)
        header = read_header(path)
        self._path, self._on_cut = path, options.on_cut
        self._at, self._end, self._size = header.start, header.end, header.size
        self._decompress = _find_decompressor(path, header.compression)
        self.streams = _name_streams(
            {number: found for number, found in header.streams.items() if found.kind == _EVENTS}
        )
        if not self.streams:
            kinds = sorted({_KINDS.get(found.kind, found.kind) for found in header.streams.values()})
            raise EventFileError(path, f"holds no event stream, only {', '.join(kinds) or 'nothing'}")
        self.stream = choose_stream(path, self.streams, options.stream)
        self._validator = EventValidator(path, options, self.stream.sensor)
        self._file = open_file(path)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Events of several packets at once, which hold some thousands each: each is written to its place
        while its bytes are still in the cache.
        """
        packets = self._packets()
        events, n = np.empty(0, EVENT_DTYPE), 0
        while True:
            try:
                records = next(packets, None)
            except Exception:  # what comes before it is handed on first
                if n:
                    yield events[:n]
                raise
            if n and (records is None or n + len(records) > len(events)):
                yield events[:n]
                n = 0
            if records is None:
                return
            if not n:
                events = np.empty(max(_PART, len(records)), EVENT_DTYPE)
            if self._validator.take_packed(records, events[n : n + len(records)]):
                n += len(records)
                continue
            if n:
                yield events[:n]
                n = 0
            yield self._validator.admit_packed(records)

    def _packets(self) -> Iterator[np.ndarray]:
        """Events of each packet of the stream, of dtype `PACKED`."""
        while (packet := self._next_packet()) is not None:
            number, place, data = packet
            if data is not None and number == self.stream.number:
                try:
                    yield _find_events(self._decompress(data))
                except (struct.error, ValueError, MemoryError) as error:
                    text = f"the packet is damaged ({error or 'no memory for its contents'})"
                    raise EventFileError(self._path, text, offset=place) from None

    def _next_packet(self) -> tuple[int, int, bytes | None] | None:
        """Stream, place and bytes of the next packet, None for those of another stream; None at the end.

        A packet that is cut is left out, with a warning, or an error.
        """
        if self._at >= self._end:
            return None
        head = read_from(self._path, self._file, self._at, _PACKET.size)
        number, size = _PACKET.unpack(head) if len(head) == _PACKET.size else (0, 0)
        if size < 0:
            raise EventFileError(self._path, f"a packet of {size} bytes", offset=self._at)
        place = self._at
        if len(head) == _PACKET.size and place + _PACKET.size + size <= self._size:
            self._at += _PACKET.size + size
            if number != self.stream.number:
                return number, place, None
            return number, place, read_from(self._path, self._file, place + _PACKET.size, size)
        text = f"the last packet is cut: {self._size - self._at} of {_PACKET.size + size} bytes"
        if self._on_cut == "error":
            raise EventFileError(self._path, f"{text}; copy the file again {LEAVE_OUT}", offset=self._at)
        self._validator.anomalies.cut_bytes = self._size - self._at
        warnings.warn(
            f"{os.fspath(self._path)}, byte {self._at}: {text}, and left out", EventFileWarning, stacklevel=2
        )
        return None

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _name_streams(found: dict[int, StreamDescription]) -> tuple[StreamInfo, ...]:
    """Streams go by their cameras; several of one camera by that and their outputs, ``DVX_1/filtered``."""
    cameras = Counter(stream.source for stream in found.values())
    return tuple(
        StreamInfo(
            number,
            f"{stream.source}/{stream.output}".strip("/") if cameras[stream.source] > 1 else stream.source,
            stream.sensor,
        )
        for number, stream in sorted(found.items())
    )


def _find_events(packet: bytes) -> np.ndarray:
    """Events, of dtype `PACKED`, of a packet; struct.error or ValueError if it is not one of events.

    All offsets are unsigned and count from where they stand, but for that to the table's own table of fields.
    """
    size, root, kind = struct.unpack_from("<II4s", packet)
    if 4 + size > len(packet) or kind != _EVENTS.encode():
        raise ValueError(f"{len(packet)} bytes, of type {kind!r} and {4 + size} bytes")
    table = 4 + root
    fields = table - int(struct.unpack_from("<i", packet, table)[0])
    if fields < 0:
        raise ValueError(f"its fields are at byte {fields}")
    (length,) = struct.unpack_from("<H", packet, fields)
    (field,) = struct.unpack_from("<H", packet, fields + 4) if length >= 6 else (0,)
    if not field:  # a vector that is empty may be left out
        return np.empty(0, PACKED)
    vector = table + field
    vector += struct.unpack_from("<I", packet, vector)[0]
    (n,) = struct.unpack_from("<I", packet, vector)
    return np.frombuffer(packet, PACKED, n, vector + 4) if n else np.empty(0, PACKED)


def _find_decompressor(path: str | os.PathLike[str], kind: int) -> Callable[[bytes], bytes]:
    """What makes a packet of its bytes; it raises ValueError if these are damaged."""
    if kind == _NONE:
        return bytes
    if kind in (_LZ4, _LZ4_HIGH):
        return _find_lz4()
    if kind in (_ZSTD, _ZSTD_HIGH):
        return _find_zstd()
    raise EventFileError(path, f"compression {kind} is not known; 0 (none) to 4 (Zstandard) can be read")


def _find_lz4() -> Callable[[bytes], bytes]:
    try:
        import lz4.frame
    except ImportError:
        raise MissingExtraError("lz4", "aedat", "reading AEDAT 4 files compressed by LZ4") from None

    def decompress(data: bytes) -> bytes:
        try:
            # The library takes the memory that a frame claims before it looks at what is in it.
            if lz4.frame.get_frame_info(data)["content_size"] > _MOST_LZ4 * len(data):
                raise ValueError("it claims more bytes than LZ4 can hold")
            return bytes(lz4.frame.decompress(data))
        except RuntimeError as error:
            raise ValueError(str(error)) from None

    return decompress


def _find_zstd() -> Callable[[bytes], bytes]:
    try:
        import zstandard
    except ImportError:
        raise MissingExtraError(
            "zstandard", "aedat", "reading AEDAT 4 files compressed by Zstandard"
        ) from None
    decompressor = zstandard.ZstdDecompressor()

    def decompress(data: bytes) -> bytes:
        try:
            size = zstandard.frame_content_size(data)  # -1: the frame does not say
            if size > _MOST_ZSTD * len(data):
                raise ValueError("it claims more bytes than Zstandard can hold")
            if size >= 0:
                return bytes(decompressor.decompress(data))
            return bytes(decompressor.decompressobj().decompress(data))
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from None

    return decompress


AEDAT4 = FileFormat("aedat4", (".aedat4",), begins_with(MAGIC), AEDAT4Reader)
