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
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from eventsnn._ext import decode_evt, encode
from eventsnn.events.formats.base import Match, Options, suffix_match
from eventsnn.events.formats.checks import TwoPolarityWriter
from eventsnn.events.formats.decoder import Decoder, Layout, RecordFormat
from eventsnn.events.formats.prophesee import is_raw, parse_header
from eventsnn.events.stream import SensorSize

_TYPES = (0x0, 0x1, 0x8, 0xA, 0xE, 0xF)
_SWAPPED = 4  # position in the kernel's state
_LONGEST_GAP = 2**33 - 2**6


def raw_format(
    name: str, version: str, layout: Layout, fits: Callable[[bytes], bool] = lambda head: True
) -> RecordFormat:
    """A format of raw files with records as in `layout`; `fits` is asked where the version leaves it open."""

    def recognise(head: bytes, path: str) -> Match:
        """By the header's version; a file without one may be of any version."""
        known, has_header = is_raw(head)
        if has_header and known is not None:
            return Match.CONTENT if known == version and fits(head) else Match.NO
        return suffix_match(path, (".raw",))

    def read_header(
        path: str | os.PathLike[str], head: bytes, whole: bool, options: Options
    ) -> Layout | None:
        header = parse_header(head, whole)
        return None if header is None else replace(layout, header=header.size, sensor=header.sensor(path))

    return RecordFormat(name, (".raw",), partial(Decoder, read_header), recognise)


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


def _evt21(name: str, *, swapped: bool) -> RecordFormat:
    """EVT2.1, with the halves of a word in one order or the other; the words tell which, if need be."""
    layout = Layout(decode_evt.decode_evt21, 8, 0, None, (2**11 + 31, 2**11), {_SWAPPED: int(swapped)})
    return raw_format(name, "2.1", layout, lambda head: halves_are_swapped(head) in (None, swapped))


EVT2 = raw_format("evt2", "2.0", Layout(decode_evt.decode_evt2, 4, 0, None, (2**11, 2**11)))
EVT21 = _evt21("evt21", swapped=False)
EVT21_SWAPPED = _evt21("evt21-swapped", swapped=True)


class EVT2Writer(TwoPolarityWriter):
    """Writer of EVT2; see `eventsnn.events.formats.base.Writer`."""

    called = "EVT2"

    def __init__(self, path: str | os.PathLike[str], sensor: SensorSize) -> None:
        super().__init__(path, sensor)
        self._high = -1

    def start(self) -> bytes:
        """Header."""
        width, height, _ = self._sensor
        text = f"% evt 2.0\n% format EVT2;height={height};width={width}\n% geometry {width}x{height}\n% end\n"
        return text.encode()

    def feed(self, events: np.ndarray) -> memoryview:
        """Words of events."""
        self.check_addresses(events, 2**11, 2**11)
        self.check_gaps(events, 2**34 - 1, _LONGEST_GAP)
        out = np.empty(8 * len(events), np.uint8)
        size, self._high = encode.encode_evt2(events, self._high, out)
        return out[:size].data
