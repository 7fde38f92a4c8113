"""jAER's AEDAT 1 and 2 (``.aedat``): DVS128 and DAVIS.

Lines that begin with ``#`` (the first is ``#!AER-DAT1.0`` or ``#!AER-DAT2.0``), then big-endian records:
address (16 bits in version 1, 32 in version 2) and time in microseconds (32 bits). What an address means
depends on the chip, which a header line may name:

DVS128: bit 0 polarity (0 is ON), bits 1-7 x, 8-14 y; bit 15 or 31 marks other events.
DAVIS: bit 11 polarity (1 is ON), bits 12-21 x, 22-30 y; bit 31 or 10 marks frames, the inertial sensor and
external inputs.

jAER counts x from the right and y from the bottom; here both are turned round. Times wrap at 2^32; a fall
by more than half of that is counted as a wrap.

iniVation, AEDAT file formats; the extractors of jAER's classes DVS128 and DavisBaseCamera.
"""

from __future__ import annotations

import os
import re
from functools import partial

import numpy as np

from eventsnn._ext import decode_records
from eventsnn.errors import EventFileError
from eventsnn.events.formats.base import Match, Options
from eventsnn.events.formats.decoder import Decoder, Layout, RecordFormat
from eventsnn.events.stream import SensorSize

_MAGIC = re.compile(rb"#!AER-DAT([0-9])\.[0-9]")
_ADDRESS_BYTES, _CHIP = 2, 3  # positions in the kernel's state
_DVS128, _DAVIS = 0, 1
_LONGEST_LINE = 1 << 16
_ENOUGH_EVENTS = 16
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_DAVIS_SIZES = (
    ("346", (346, 260, 2)),
    ("240", (240, 180, 2)),
    ("640", (640, 480, 2)),
    ("208", (208, 192, 2)),
)


def parse_hash_header(head: bytes, whole: bool) -> int | None:
    """Number of bytes of the lines that begin with ``#``; None if more bytes are needed.

    The first record may begin with the byte of ``#`` too: a line with control characters is data.
    """
    at = 0
    while head[at : at + 1] == b"#":
        end = head.find(b"\n", at, at + _LONGEST_LINE)
        if _CONTROL.search(head, at, end if end >= 0 else at + _LONGEST_LINE):
            return at
        if end < 0:
            return at if whole or len(head) - at > _LONGEST_LINE else None
        at = end + 1
    return at if whole or at < len(head) else None


def aedat_version(head: bytes) -> int | None:
    """Major version that the first line states, or None if it states none."""
    marked = _MAGIC.match(head)
    return int(marked[1]) if marked else None


def chip_of(header: bytes) -> tuple[int | None, SensorSize | None]:
    """The chip that the header lines name (DVS128, DAVIS or None), and its size if known."""
    text = header.decode("latin-1").lower()
    named = re.findall(r"aechip:\s*(\S+)", text) or re.findall(r"hardwareinterface:\s*(.+)", text)
    text = " ".join(named)
    if "davis" in text or "sbret" in text:
        sizes = [size for mark, size in _DAVIS_SIZES if mark in text]
        return _DAVIS, sizes[0] if sizes else ((240, 180, 2) if "sbret10" in text else None)
    if "dvs128" in text or "tmpdiff128" in text:
        return _DVS128, (128, 128, 2)
    return None, None


def _chip_of_events(records: bytes) -> int | None:
    """The chip that the addresses of the first events show, as in CIFAR10-DVS, whose headers name none.

    Those of DVS128 fill the lowest 15 bits; the next, or the highest, marks what is no event. On a DAVIS,
    events with such addresses alone would all lie in the first 16 pixels of one row.
    """
    addresses = np.frombuffer(records, ">u4", len(records) // 8 * 2)[::2]
    if len(addresses) < _ENOUGH_EVENTS:
        return None
    return _DVS128 if not (addresses & 0x7FFF_0000).any() else _DAVIS


def _recognise(version: int, chip: int, head: bytes, path: str) -> Match:
    """By the first line, and the chip that a later one names, or the addresses show.

    If there are too few events to tell, both chips may be meant.
    """
    if aedat_version(head) != version:
        return Match.NO
    size = parse_hash_header(head, True)
    found, _ = chip_of(head[:size])
    if found is None and version == 2:
        found = _chip_of_events(head[size:])
    return Match.CONTENT if found in (None, chip) else Match.NO


def _read_header(
    version: int, chip: int, path: str | os.PathLike[str], head: bytes, whole: bool, options: Options
) -> Layout | None:
    size = parse_hash_header(head, whole)
    if size is None:
        return None
    sensor = options.sensor or ((128, 128, 2) if chip == _DVS128 else chip_of(head[:size])[1])
    if sensor is None:
        raise EventFileError(
            path,
            "the header does not say which DAVIS this is, and pixels are counted from its far corner; "
            "pass its size, e.g. sensor=(346, 260, 2) or (240, 180, 2)",
            offset=0,
        )
    address = 2 if version == 1 else 4
    state = {_ADDRESS_BYTES: address, _CHIP: chip}
    return Layout(decode_records.decode_jaer, address + 4, size, sensor, sensor[:2], state)


def _jaer_format(name: str, version: int, chip: int) -> RecordFormat:
    """AEDAT 1 or 2 of one chip."""
    decoder = partial(Decoder, partial(_read_header, version, chip))
    return RecordFormat(name, (".aedat",), decoder, partial(_recognise, version, chip))


AEDAT1 = _jaer_format("aedat1", 1, _DVS128)
AEDAT2_DVS128 = _jaer_format("aedat2-dvs128", 2, _DVS128)
AEDAT2_DAVIS = _jaer_format("aedat2-davis", 2, _DAVIS)
