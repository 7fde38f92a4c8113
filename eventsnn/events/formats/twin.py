"""Readable twins of the decoders in ``eventsnn._ext.aer``: the oracles of their tests."""

from __future__ import annotations

import numpy as np

from eventsnn.events.stream import EVENT_DTYPE

RECORD = 5
OVERFLOW_ROW = 240
OVERFLOW_US = 2**13
LAST_TIME = 2**23 - 1


def decode_nmnist(data: bytes, width: int, height: int) -> tuple[np.ndarray, int, int]:
    """Decode whole records of 5 bytes; return (events, records read, status) as the kernel does.

    Status 0: all read. 1: the record after those read lies outside the sensor. 2: it is earlier than the
    event before it.
    """
    events: list[tuple[int, int, int, int]] = []
    overflow = 0
    for record in range(len(data) // RECORD):
        x, y, high, middle, low = data[record * RECORD : (record + 1) * RECORD]
        if y == OVERFLOW_ROW:
            overflow += OVERFLOW_US
            continue
        t = ((high & 0x7F) << 16) + (middle << 8) + low + overflow
        if x >= width or y >= height:
            return np.array(events, EVENT_DTYPE), record, 1
        if events and t < events[-1][2]:
            return np.array(events, EVENT_DTYPE), record, 2
        events.append((x, y, t, high >> 7))
    return np.array(events, EVENT_DTYPE), len(data) // RECORD, 0


def encode_nmnist(events: np.ndarray) -> bytes:
    """Encode events that fit the format, with an overflow marker wherever 23 bits of time run out."""
    out = bytearray()
    overflow = 0
    for x, y, t, p in events[["x", "y", "t", "p"]].tolist():
        while t - overflow > LAST_TIME:
            out += bytes([0, OVERFLOW_ROW, 0, 0, 0])
            overflow += OVERFLOW_US
        out += bytes([x, y]) + (p << 23 | t - overflow).to_bytes(3, "big")
    return bytes(out)
