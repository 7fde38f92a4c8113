"""SLAYER's one-dimensional recordings (``.bs1``).

No header. Each record is five bytes, most significant bit first: number of the neuron or channel (16 bits),
polarity (1), time in microseconds (23). Times of more than 8.39 s do not fit and are not unwrapped.

Shrestha, Orchard (2018). SLAYER: spike layer error reassignment in time. NeurIPS 31.
"""

from __future__ import annotations

import os
from functools import partial

from eventsnn._ext import decode_records
from eventsnn.events.formats.base import Options
from eventsnn.events.formats.decoder import Decoder, Layout, RecordFormat


def _read_header(path: str | os.PathLike[str], head: bytes, whole: bool, options: Options) -> Layout:
    hint = "for another number of channels pass it, e.g. sensor=(64, 1, 2)"
    return Layout(decode_records.decode_bs1, 5, 0, None, (2**15, 1), hint_sensor=hint)


BS1 = RecordFormat("bs1", (".bs1",), partial(Decoder, _read_header))
