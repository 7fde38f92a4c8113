"""Prophesee's EVT2 and EVT2.1 (``.raw``).

Header of text (`eventsnn.events.formats.prophesee`), then little-endian words. EVT2: 32 bits, from the
highest: type (4), low bits of time (6), x (11), y (11). EVT2.1: 64 bits, type, time, x and y in the upper
half as before; bit k of the lower half says that pixel x + k has an event too. Types: 0 OFF, 1 ON, 8 the
upper 28 bits of time (in the lowest bits of the word), A external trigger, E and F others. Times are
microseconds and wrap at 2^34 (4.8 hours), which is counted. Events before the first upper bits of time have
no time and are left out.

Older files of EVT2.1 have the halves of each word swapped; the header says ``endianness=little`` for new
ones.

Prophesee, Data Encoding Formats: EVT 2.0, EVT 2.1.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from eventsnn._ext import decode_evt, encode
from eventsnn.errors import EventFileError
from eventsnn.events.formats.base import Match, Options, suffix_match
from eventsnn.events.formats.checks import check_addresses, check_gaps
from eventsnn.events.formats.decoder import Decoder, FileReader, HeaderReader, Layout
from eventsnn.events.formats.prophesee import is_raw, parse_header
from eventsnn.events.stream import SensorSize

_TYPES = (0x0, 0x1, 0x8, 0xA, 0xE, 0xF)
_SWAPPED = 4  # position in the kernel's state
_LONGEST_GAP = 2**33 - 2**6


def read_header(path: str | os.PathLike[str], layout: Layout) -> HeaderReader:
    """The header reader of a raw file with records as in `layout`."""

    def read(head: bytes, whole: bool) -> Layout | None:
        header = parse_header(head, whole)
        if header is None:
            return None
        return Layout(
            layout.kernel,
            layout.record,
            header.size,
            header.sensor(path),
            layout.limit,
            layout.own,
            layout.hint,
        )

    return read


def halves_are_swapped(head: bytes) -> bool | None:
    """Whether the words of an EVT2.1 file have their halves swapped; None if that cannot be told."""
    header = parse_header(head, True)
    assert header is not None
    if "endianness=little" in header.fields.get("format", ""):
        return False
    words = np.frombuffer(head, "<u4", (len(head) - header.size) // 8 * 2, header.size).reshape(-1, 2)
    # Half the bit patterns of a mask of pixels are not a type of word; one of them is enough to decide.
    fits = [len(words) > 0 and bool(np.isin(words[:, half] >> 28, _TYPES).all()) for half in (0, 1)]
    return None if fits[0] == fits[1] else fits[0]


@dataclass(frozen=True)
class EVT2Format:
    """Reader of EVT2."""

    name: str = "evt2"
    suffixes: tuple[str, ...] = (".raw",)

    def sniff(self, head: bytes, path: str) -> Match:
        """By the header's version; a file without one may be of any version."""
        version, has_header = is_raw(head)
        if has_header and version is not None:
            return Match.CONTENT if version == "2.0" else Match.NO
        return suffix_match(path, self.suffixes)

    def decoder(self, path: str | os.PathLike[str], options: Options) -> Decoder:
        """A decoder to be fed with bytes."""
        layout = Layout(decode_evt.decode_evt2, 4, 0, None, (2**11, 2**11))
        return Decoder(path, read_header(path, layout), options)

    def open(self, path: str | os.PathLike[str], options: Options) -> FileReader:
        """Open a recording."""
        return FileReader(self.decoder(path, options))


@dataclass(frozen=True)
class EVT21Format:
    """Reader of EVT2.1, one for each order of the halves of a word."""

    name: str = "evt21"
    suffixes: tuple[str, ...] = (".raw",)
    swapped: bool = False

    def sniff(self, head: bytes, path: str) -> Match:
        """By the header's version, and by the words where the header leaves their order open."""
        version, has_header = is_raw(head)
        if has_header and version is not None:
            swapped = halves_are_swapped(head)
            fits = version == "2.1" and swapped in (None, self.swapped)
            return Match.CONTENT if fits else Match.NO
        return suffix_match(path, self.suffixes)

    def decoder(self, path: str | os.PathLike[str], options: Options) -> Decoder:
        """A decoder to be fed with bytes."""
        state = {_SWAPPED: int(self.swapped)}
        layout = Layout(decode_evt.decode_evt21, 8, 0, None, (2**11 + 31, 2**11), state)
        return Decoder(path, read_header(path, layout), options)

    def open(self, path: str | os.PathLike[str], options: Options) -> FileReader:
        """Open a recording."""
        return FileReader(self.decoder(path, options))


class EVT2Encoder:
    """Writer of EVT2; see `eventsnn.events.formats.base.Encoder`."""

    def __init__(self, path: str | os.PathLike[str], sensor: SensorSize) -> None:
        self._path, self._sensor = path, sensor
        self._high = -1
        self._before = 0
        if sensor[2] != 2:
            raise EventFileError(path, f"EVT2 has 2 polarities: sensor_size is {sensor}")

    def start(self) -> bytes:
        """Header."""
        width, height, _ = self._sensor
        text = f"% evt 2.0\n% format EVT2;height={height};width={width}\n% geometry {width}x{height}\n% end\n"
        return text.encode()

    def feed(self, events: np.ndarray) -> memoryview:
        """Words of events."""
        check_addresses(self._path, "EVT2", events, 2**11, 2**11)
        self._before = check_gaps(self._path, "EVT2", events, self._before, 2**34 - 1, _LONGEST_GAP)
        out = np.empty(8 * len(events), np.uint8)
        size, self._high = encode.encode_evt2(events, self._high, out)
        return out[:size].data

    def finish(self) -> bytes:
        """Nothing."""
        return b""
