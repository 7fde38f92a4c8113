"""Prophesee's DAT (``.dat``).

Header of text (`eventsnn.events.formats.prophesee`), then a byte for the type of events (0x00 or 0x0C: both
are contrast events), a byte for their size (8), and little-endian records: time in microseconds (32 bits),
then from the lowest bit x (14), y (14), polarity (1 of 4). Before ``Version 2`` x had 9 bits and y 8. Times
wrap at 2^32 (71.6 minutes); a fall by more than half of that is counted as a wrap.

Prophesee, DAT file format.
"""

from __future__ import annotations

import os
from functools import partial

import numpy as np

from eventsnn._ext import decode_records, encode
from eventsnn.errors import EventFileError
from eventsnn.events.formats.base import Match, Options, suffix_match
from eventsnn.events.formats.checks import TwoPolarityWriter
from eventsnn.events.formats.decoder import Decoder, Layout, RecordFormat
from eventsnn.events.formats.prophesee import Header, parse_header

_SUFFIXES = (".dat",)
_RECORD = 8
_TYPES = (0x00, 0x0C)
_ADDRESS_BITS = 2  # position in the kernel's state


def _recognise(head: bytes, path: str) -> Match:
    """By a header without a version of EVT, and the type and size of events after it."""
    header = parse_header(head, True)
    assert header is not None
    if header.fields:
        kind = head[header.size : header.size + 2]
        if len(kind) == 2 and kind[0] in _TYPES and kind[1] == _RECORD and header.version() is None:
            return Match.CONTENT
    return suffix_match(path, _SUFFIXES)


def _read_header(path: str | os.PathLike[str], head: bytes, whole: bool, options: Options) -> Layout | None:
    header = parse_header(head, whole)
    if header is None or (len(head) < header.size + 2 and not whole):
        return None
    return _read_types(path, header, head)


DAT = RecordFormat("dat", _SUFFIXES, partial(Decoder, _read_header), _recognise)


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


class DATWriter(TwoPolarityWriter):
    """Writer of DAT, version 2, type 0x0C; see `eventsnn.events.formats.base.Writer`."""

    called = "DAT"

    def start(self) -> bytes:
        """Header."""
        width, height, _ = self._sensor
        text = f"% Data file containing CD events.\n% Version 2\n% Height {height}\n% Width {width}\n"
        return text.encode() + bytes([0x0C, _RECORD])

    def feed(self, events: np.ndarray) -> memoryview:
        """Records of events."""
        self.check_addresses(events, 2**14, 2**14)
        self.check_gaps(events, 2**32 - 1, 2**31 - 1)
        out = np.empty(_RECORD * len(events), np.uint8)
        encode.encode_dat(events, out)
        return out.data
