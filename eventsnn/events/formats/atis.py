"""Raw recordings of the ATIS's program (``.val``).

No header. A record is four bytes: low 8 bits of time; from the highest bit polarity (1), type (1: a grey
level, left out), highest bit of x (1), high bits of time (5); the rest of x (8); y (8). Time is 13 bits of
microseconds; a record at x = 305, y = 240 adds 2^13 us to all later times.

Posch, Matolin, Wohlgenannt (2011). A QVGA 143 dB dynamic range frame-free PWM image sensor. IEEE JSSC
46:259.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from eventsnn._ext import decode_records
from eventsnn.events.formats.base import Match, Options, suffix_match
from eventsnn.events.formats.decoder import Decoder, FileReader, Layout

_SENSOR = (304, 240, 2)


@dataclass(frozen=True)
class ATISFormat:
    """Reader of ``.val``."""

    name: str = "atis"
    suffixes: tuple[str, ...] = (".val",)

    def sniff(self, head: bytes, path: str) -> Match:
        """Decide by the suffix: the format has no magic number."""
        return suffix_match(path, self.suffixes)

    def decoder(self, path: str | os.PathLike[str], options: Options) -> Decoder:
        """A decoder to be fed with bytes."""

        def read_header(head: bytes, whole: bool) -> Layout:
            return Layout(decode_records.decode_atis, 4, 0, _SENSOR, _SENSOR[:2])

        return Decoder(path, read_header, options)

    def open(self, path: str | os.PathLike[str], options: Options) -> FileReader:
        """Open a recording."""
        return FileReader(self.decoder(path, options))
