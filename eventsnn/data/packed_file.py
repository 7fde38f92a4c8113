"""The file format of packed data sets, ``.esp``: its layout, written and read.

Layout, all numbers little-endian::

    0    8 bytes  magic 89 45 53 50 0D 0A 1A 0A: "ESP" between bytes that a transfer as text would change
    8    u32      version, 1
    12   u32 x 3  sensor: width, height, polarities
    24   u64      n, recordings
    32   u64 x 2  first byte and size of the index, which ends the file
    48   u32 x 2  CRC-32 of the index; of the 52 bytes before this number
    64   u64 ...  events, recording after recording
    index         i64 x (n + 1): first byte of each recording, and end of the last
                  i64 x n: class numbers
                  UTF-8 JSON: {"classes": [...], "names": [n file names]}; "numbered": true where the
                  classes have no names but their numbers; "reading": how the recordings were read, where
                  not as they are (fields of `ReadingOptions`); "origins_us": [n numbers] where one is not 0;
                  "crc32": [n numbers] of the events (files of earlier versions have none)

An event is one 64-bit word: from the lowest bit x, y, p, each as wide as the sensor needs (6 + 6 + 1 bits for
34 x 34 x 2), and above them the time in microseconds from the recording's origin (`eventsnn.events.origin`),
so that recordings of any clock fit. N-MNIST's own records take 5 bytes instead of 8, but hold sensors up to
256 x 240 and 2^23 us only; words hold any recording, and decode with shifts alone. The checksum of a
recording is checked when it is first read.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from eventsnn._util.atomic import replace_file
from eventsnn._util.positioned import read_at
from eventsnn.errors import EventFileError
from eventsnn.events.formats.base import unwritable
from eventsnn.events.stream import SensorSize

MAGIC = b"\x89ESP\r\n\x1a\n"
"""First bytes of a packed file."""

WORD = 8
"""Bytes of an event."""

_VERSION = 1
_HEADER = struct.Struct("<8s4I3QI")
_CRC = struct.Struct("<I")
_FIRST_EVENT = 64

Recordings = Iterator[tuple[str, int, npt.NDArray[np.uint64], int]]
"""Name, class number, words and origin (microseconds) of one recording after the other."""


def write_packed(
    recordings: Recordings,
    out: str | os.PathLike[str],
    *,
    classes: tuple[str, ...],
    sensor_size: SensorSize,
    numbered: bool = False,
    reading: Mapping[str, Any] | None = None,
) -> int:
    """Write recordings that are packed events already; the text of this module describes the file."""
    facts: dict[str, Any] = {"classes": list(classes)}
    if numbered:
        facts["numbered"] = True
    if reading:
        facts["reading"] = dict(reading)
    with replace_file(out, unwritable(out)) as file:
        return _write_all(file, recordings, out, facts, sensor_size)


def _write_all(
    file: BinaryIO,
    recordings: Recordings,
    out: str | os.PathLike[str],
    facts: dict[str, Any],
    sensor_size: SensorSize,
) -> int:
    starts, labels, names, origins, checksums = [_FIRST_EVENT], [], [], [], []
    file.write(bytes(_FIRST_EVENT))
    for name, label, packed_events, origin in recordings:
        data = np.ascontiguousarray(packed_events, "<u8").data
        file.write(data)
        checksums.append(zlib.crc32(data))
        starts.append(starts[-1] + WORD * len(packed_events))
        labels.append(label)
        names.append(name)
        origins.append(origin)
    if not names:
        raise EventFileError(out, "there is no readable recording to pack")
    origin_facts = {"origins_us": origins} if any(origins) else {}
    text = json.dumps({**facts, "names": names, **origin_facts, "crc32": checksums})
    index = np.array([*starts, *labels], "<i8").tobytes() + text.encode()
    file.write(index)
    header = _HEADER.pack(
        MAGIC, _VERSION, *sensor_size, len(names), starts[-1], len(index), zlib.crc32(index)
    )
    file.seek(0)
    file.write(header + _CRC.pack(zlib.crc32(header)))
    return (starts[-1] - _FIRST_EVENT) // WORD


def read_index(path: str, file: int) -> tuple[SensorSize, int, bytes]:
    """Return sensor size, number of recordings and index of a packed file, after all checks of it."""
    try:
        size = os.fstat(file).st_size
        head = read_at(file, _HEADER.size + _CRC.size, 0)
    except OSError as error:
        raise EventFileError(path, f"cannot be read: {error.strerror or error}") from error
    if head[: len(MAGIC)] != MAGIC:
        raise EventFileError(
            path, "is not a packed data set; 'eventsnn pack' makes one from a folder", offset=0
        )
    if len(head) < _HEADER.size + _CRC.size or zlib.crc32(head[:-4]) != _CRC.unpack(head[-4:])[0]:
        raise EventFileError(path, "the header is damaged; pack the data set again", offset=0)
    _, version, width, height, polarities, n, start, length, crc = _HEADER.unpack(head[:-4])
    if version > _VERSION:
        raise EventFileError(
            path,
            f"written in version {version}, and this eventsnn reads up to {_VERSION}; install a newer one",
        )
    if size != start + length:
        raise EventFileError(
            path,
            f"has {size} bytes and should have {start + length}; copy it again, or pack the data set again",
        )
    index = read_at(file, length, start)
    if zlib.crc32(index) != crc:
        raise EventFileError(path, "the index is damaged; pack the data set again", offset=start)
    return (width, height, polarities), n, index
