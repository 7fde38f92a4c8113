"""Raw recordings of the ATIS's program (``.val``).

No header. A record is four bytes: low 8 bits of time; from the highest bit polarity (1), type (1: a grey
level, left out), highest bit of x (1), high bits of time (5); the rest of x (8); y (8). Time is 13 bits of
microseconds; a record at x = 305, y = 240 adds 2^13 us to all later times.

Posch, Matolin, Wohlgenannt (2011). A QVGA 143 dB dynamic range frame-free PWM image sensor. IEEE JSSC
46:259.
"""

from __future__ import annotations

import os
from functools import partial

from eventsnn._ext import decode_records
from eventsnn.events.formats.base import Options
from eventsnn.events.formats.decoder import Decoder, Layout, RecordFormat

_SENSOR = (304, 240, 2)


def _read_header(path: str | os.PathLike[str], head: bytes, whole: bool, options: Options) -> Layout:
    return Layout(decode_records.decode_atis, 4, 0, _SENSOR, _SENSOR[:2])


ATIS = RecordFormat("atis", (".val",), partial(Decoder, _read_header))
