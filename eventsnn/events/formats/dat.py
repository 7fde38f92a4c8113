"""Prophesee's DAT (``.dat``).

Header of text (`eventsnn.events.formats.prophesee`), then a byte for the type of events (0x00 or 0x0C: both
are contrast events), a byte for their size (8), and little-endian records: time in microseconds (32 bits),
then from the lowest bit x (14), y (14), polarity (1 of 4). Before ``Version 2`` x had 9 bits and y 8. Times
wrap at 2^32 (71.6 minutes); a fall by more than half of that is counted as a wrap.

Prophesee, DAT file format.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from eventsnn._ext import decode_records, encode
from eventsnn.errors import EventFileError
from eventsnn.events.formats.base import Match, Options, suffix_match
from eventsnn.events.formats.checks import check_addresses, check_gaps
from eventsnn.events.formats.decoder import Decoder, FileReader, Layout
from eventsnn.events.formats.prophesee import Header, parse_header
from eventsnn.events.stream import SensorSize

_RECORD = 8
_TYPES = (0x00, 0x0C)
_ADDRESS_BITS = 2  # position in the kernel's state


@dataclass(frozen=True)
class DATFormat:
    """Reader of DAT."""

    name: str = "dat"
    suffixes: tuple[str, ...] = (".dat",)

    def sniff(self, head: bytes, path: str) -> Match:
        """By a header without a version of EVT, and the type and size of events after it."""
        header = parse_header(head, True)
        assert header is not None
        if not header.fields:
            return suffix_match(path, self.suffixes)
        kind = head[header.size : header.size + 2]
        fits = len(kind) == 2 and kind[0] in _TYPES and kind[1] == _RECORD and header.version() is None
        return Match.CONTENT if fits else suffix_match(path, self.suffixes)

    def decoder(self, path: str | os.PathLike[str], options: Options) -> Decoder:
        """A decoder to be fed with bytes."""

        def read_header(head: bytes, whole: bool) -> Layout | None:
            header = parse_header(head, whole)
            if header is None or (len(head) < header.size + 2 and not whole):
                return None
            return _read_types(path, header, head)

        return Decoder(path, read_header, options)

    def open(self, path: str | os.PathLike[str], options: Options) -> FileReader:
        """Open a recording."""
        return FileReader(self.decoder(path, options))


def _read_types(path: str | os.PathLike[str], header: Header, head: bytes) -> Layout:
    """The layout, once the two bytes after the text are there."""
    if not header.fields:
        raise EventFileError(path, "no header: a DAT file begins with lines that begin with '% '", offset=0)
    kind = head[header.size : header.size + 2]
    if len(kind) < 2:
        raise EventFileError(path, "the file ends in its header", offset=len(head))
    if kind[0] not in _TYPES or kind[1] != _RECORD:
        raise EventFileError(
            path,
            f"events of type 0x{kind[0]:02X} and {kind[1]} bytes; type 0x00 or 0x0C and 8 bytes can be read",
            offset=header.size,
        )
    version = header.fields.get("version", "")
    bits = 9 if version in ("", "0", "1") else 14
    limit = (2**14, 2**14) if bits == 14 else (2**9, 2**8)
    return Layout(
        decode_records.decode_dat,
        _RECORD,
        header.size + 2,
        header.sensor(path),
        limit,
        {_ADDRESS_BITS: bits},
    )


class DATEncoder:
    """Writer of DAT, version 2, type 0x0C; see `eventsnn.events.formats.base.Encoder`."""

    def __init__(self, path: str | os.PathLike[str], sensor: SensorSize) -> None:
        self._path, self._sensor, self._before = path, sensor, 0
        if sensor[2] != 2:
            raise EventFileError(path, f"DAT has 2 polarities: sensor_size is {sensor}")

    def start(self) -> bytes:
        """Header."""
        width, height, _ = self._sensor
        text = f"% Data file containing CD events.\n% Version 2\n% Height {height}\n% Width {width}\n"
        return text.encode() + bytes([0x0C, _RECORD])

    def feed(self, events: np.ndarray) -> memoryview:
        """Records of events."""
        check_addresses(self._path, "DAT", events, 2**14, 2**14)
        self._before = check_gaps(self._path, "DAT", events, self._before, 2**32 - 1, 2**31 - 1)
        out = np.empty(_RECORD * len(events), np.uint8)
        encode.encode_dat(events, out)
        return out.data

    def finish(self) -> bytes:
        """Nothing."""
        return b""
