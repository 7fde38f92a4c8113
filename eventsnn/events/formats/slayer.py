"""SLAYER's one-dimensional recordings (``.bs1``).

No header. Each record is five bytes, most significant bit first: number of the neuron or channel (16 bits),
polarity (1), time in microseconds (23). Times of more than 8.39 s do not fit and are not unwrapped.

Shrestha, Orchard (2018). SLAYER: spike layer error reassignment in time. NeurIPS 31.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from eventsnn._ext import decode_records
from eventsnn.events.formats.base import Match, Options, suffix_match
from eventsnn.events.formats.decoder import Decoder, FileReader, Layout


@dataclass(frozen=True)
class BS1Format:
    """Reader of ``.bs1``."""

    name: str = "bs1"
    suffixes: tuple[str, ...] = (".bs1",)

    def sniff(self, head: bytes, path: str) -> Match:
        """Decide by the suffix: the format has no magic number."""
        return suffix_match(path, self.suffixes)

    def decoder(self, path: str | os.PathLike[str], options: Options) -> Decoder:
        """A decoder to be fed with bytes."""

        def read_header(head: bytes, whole: bool) -> Layout:
            hint = "for another number of channels pass it, e.g. sensor=(64, 1, 2)"
            return Layout(decode_records.decode_bs1, 5, 0, None, (2**15, 1), hint_sensor=hint)

        return Decoder(path, read_header, options)

    def open(self, path: str | os.PathLike[str], options: Options) -> FileReader:
        """Open a recording."""
        return FileReader(self.decoder(path, options))
