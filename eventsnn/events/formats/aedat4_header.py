"""The header of AEDAT 4: compression, where the packets are, and the streams.

After ``#!AER-DAT4.0`` and a new line stands a table of FlatBuffers after its size (u32). Its fields are the
compression of packets, the place of a table of all packets, which ends the file, and XML that describes the
streams.

iniVation, AEDAT file formats, version 4.0 ("IOHeader").
"""

from __future__ import annotations

import os
import struct
import xml.parsers.expat
from dataclasses import dataclass, field
from xml.parsers.expat import ExpatError

from eventsnn.errors import EventFileError, EventStreamError
from eventsnn.events.formats.base import open_file, read_block
from eventsnn.events.stream import SensorSize, check_sensor_size

MAGIC = b"#!AER-DAT4.0"
_FIRST_LINE = len(MAGIC) + 2


@dataclass
class StreamDescription:
    """What the header says of a stream: type (four letters), camera, name of the output, sensor's size."""

    kind: str = ""
    source: str = ""
    output: str = ""
    size: dict[str, str] = field(default_factory=dict)

    @property
    def sensor(self) -> SensorSize | None:
        """Width, height, polarities; None if the header does not say.

        Raises ValueError if what it says is no size.
        """
        if not {"sizeX", "sizeY"} <= set(self.size):
            return None
        try:
            return check_sensor_size((int(self.size["sizeX"]), int(self.size["sizeY"]), 2))
        except EventStreamError as error:
            raise ValueError(str(error)) from None


@dataclass(frozen=True)
class AEDAT4Header:
    """Facts from the header of a file.

    Attributes
    ----------
    compression : int
        Of packets: 0 none, 1 and 2 LZ4, 3 and 4 Zstandard.
    start, end : int
        Bytes of the file between which packets are.
    size : int
        Bytes of the file.
    streams : dict
        Descriptions of streams by number.
    """

    compression: int
    start: int
    end: int
    size: int
    streams: dict[int, StreamDescription]


def read_header(path: str | os.PathLike[str]) -> AEDAT4Header:
    """Read the header of a file that begins with `MAGIC`; EventFileError if it is cut or damaged."""
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
        (compressed, table, text) = struct.unpack_from("<HHH", header, fields + 4)
        (compression,) = struct.unpack_from("<i", header, root + compressed) if compressed else (0,)
        (end,) = struct.unpack_from("<q", header, root + table) if table else (-1,)
        streams = _read_streams(_string_at(header, root + text))
        for stream in streams.values():
            _ = stream.sensor
    except (struct.error, UnicodeDecodeError, ValueError, ExpatError) as error:
        raise EventFileError(path, f"the header is damaged ({error})", offset=_FIRST_LINE + 4) from None
    return AEDAT4Header(compression, start, end if start <= end <= size else size, size, streams)


def _string_at(table: bytes, place: int) -> bytes:
    """The string that the offset at a place of a FlatBuffers table leads to; struct.error if it is cut."""
    place += struct.unpack_from("<I", table, place)[0]
    (length,) = struct.unpack_from("<I", table, place)
    (text,) = struct.unpack_from(f"<{length}s", table, place + 4)
    return bytes(text)


def _read_streams(text: bytes) -> dict[int, StreamDescription]:
    """Descriptions of the streams, by number, from XML.

    ``<node name="outInfo"><node name="0"><attr key="typeIdentifier">EVTS</attr><node name="info">
    <attr key="source">DAVIS346_1</attr><attr key="sizeX">346</attr>``. Raises UnicodeDecodeError or
    ExpatError if it is no XML in UTF-8.
    """
    text.decode()
    path: list[str] = []
    streams: dict[int, StreamDescription] = {}
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
        inside = nodes[-1:] == ["info"]
        number = nodes[-2 if inside else -1 :][:1]
        if not key or not number or not number[0].isdecimal():
            return
        stream = streams.setdefault(int(number[0]), StreamDescription())
        if key == "typeIdentifier" and not inside:
            stream.kind += found.strip()
        elif key == "originalOutputName" and not inside:
            stream.output += found.strip()
        elif key == "source" and inside:
            stream.source += found.strip()
        elif key in ("sizeX", "sizeY") and inside:
            stream.size[key] = stream.size.get(key, "") + found.strip()

    parser = xml.parsers.expat.ParserCreate("utf-8")
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = data
    parser.Parse(text, True)
    return streams


def _read_at(path: str | os.PathLike[str], start: int, size: int) -> bytes:
    """Up to `size` bytes of a file from a place on."""
    descriptor = open_file(path)
    try:
        return read_from(path, descriptor, start, size)
    finally:
        os.close(descriptor)


def read_from(path: str | os.PathLike[str], descriptor: int, start: int, size: int) -> bytes:
    """The same of an open file."""
    os.lseek(descriptor, start, os.SEEK_SET)
    return read_block(path, descriptor, size)
