"""Readable twins of the kernels in cython_ext/io/decode_records.pyx and aer.pyx: the oracles of their tests.

A twin takes the records of a whole file (no header) and a `Judge`, and gives the events up to the first
error; what it remembers stands in plain local variables.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from eventsnn.events.stream import EVENT_DTYPE

RECORD = 5
OVERFLOW_ROW = 240
OVERFLOW_US = 2**13
LAST_TIME = 2**23 - 1


class Stop(Exception):
    """A bad event with the policy "error"; holds the word for it."""


@dataclass
class Judge:
    """Decides about each event: the twin of ``put`` in cython_ext/io/decode.pxd."""

    width: int
    height: int
    on_bad: str = "error"
    events: list[tuple[int, int, int, int]] = field(default_factory=list)
    outside: int = 0
    backwards: int = 0
    ignored: int = 0
    status: str = "more"

    @property
    def lenient(self) -> bool:
        """Whether records of no known type are passed over."""
        return self.on_bad in ("skip", "clamp")

    def put(self, x: int, y: int, t: int, p: int) -> None:
        """Accept an event, or apply the policy for bad events."""
        before = max((event[2] for event in self.events), default=t)
        inside = 0 <= x < self.width and 0 <= y < self.height
        if not inside or t < before:
            if self.on_bad == "error" or (self.on_bad == "sort" and not inside):
                self.status = "backwards" if inside else "outside"
                raise Stop
            if inside:
                self.backwards += 1
            else:
                self.outside += 1
            if self.on_bad == "skip":
                return
            if self.on_bad == "clamp":
                x, y, t = min(max(x, 0), self.width - 1), min(max(y, 0), self.height - 1), max(t, before)
        self.events.append((x, y, t, p))

    def run(self, twin: Iterator[None]) -> np.ndarray:
        """Events of a twin, up to the first error."""
        try:
            for _ in twin:
                pass
        except Stop:
            pass
        return np.array(self.events, EVENT_DTYPE)


class Clock:
    """A counter that wraps, on a clock that does not."""

    def __init__(self, period: int) -> None:
        self.period, self.base, self.before = period, 0, 0

    def read(self, t: int) -> int:
        """The time of a counter reading."""
        if self.before - t > self.period // 2:
            self.base += self.period
        self.before = t
        return self.base + t


def _cut(data: bytes, size: int) -> Iterator[bytes]:
    """Whole records of `size` bytes."""
    for at in range(0, len(data) - size + 1, size):
        yield data[at : at + size]


def decode_nmnist(data: bytes, judge: Judge) -> Iterator[None]:
    """N-MNIST's records of 5 bytes."""
    overflow = 0
    for x, y, high, middle, low in _cut(data, RECORD):
        yield
        if y == OVERFLOW_ROW:
            overflow += OVERFLOW_US
        else:
            judge.put(x, y, ((high & 0x7F) << 16) + (middle << 8) + low + overflow, high >> 7)


def decode_bs1(data: bytes, judge: Judge) -> Iterator[None]:
    """SLAYER's one-dimensional records."""
    for record in _cut(data, RECORD):
        yield
        word = int.from_bytes(record, "big")
        judge.put(word >> 24, 0, word & 0x7FFFFF, word >> 23 & 1)


def decode_atis(data: bytes, judge: Judge) -> Iterator[None]:
    """Records of the ATIS."""
    overflow = 0
    for low, middle, x, y in _cut(data, 4):
        yield
        x += 256 * (middle >> 5 & 1)
        if (x, y) == (305, 240):
            overflow += OVERFLOW_US
        elif middle >> 6 & 1:
            judge.ignored += 1
        else:
            judge.put(x, y, (middle & 0x1F) * 256 + low + overflow, middle >> 7)


def decode_dat(data: bytes, judge: Judge, old: bool = False) -> Iterator[None]:
    """Prophesee's DAT; `old` is before version 2."""
    clock = Clock(2**32)
    x_bits, y_bits = (9, 8) if old else (14, 14)
    for record in _cut(data, 8):
        yield
        t = clock.read(int.from_bytes(record[:4], "little"))
        word = int.from_bytes(record[4:], "little")
        x, word = word % 2**x_bits, word >> x_bits
        judge.put(x, word % 2**y_bits, t, word >> y_bits & 1)


def decode_jaer(data: bytes, judge: Judge, address_bytes: int, davis: bool) -> Iterator[None]:
    """jAER's AEDAT 1 (addresses of 2 bytes) and 2 (4 bytes)."""
    clock = Clock(2**32)
    for record in _cut(data, address_bytes + 4):
        yield
        a = int.from_bytes(record[:address_bytes], "big")
        if a & (0x80000400 if davis else 0x80008000):
            judge.ignored += 1
            continue
        t = clock.read(int.from_bytes(record[address_bytes:], "big"))
        x, y, p = (
            (a >> 12 & 0x3FF, a >> 22 & 0x1FF, a >> 11 & 1) if davis else (a >> 1 & 127, a >> 8 & 127, ~a & 1)
        )
        judge.put(judge.width - 1 - x, judge.height - 1 - y, t, p)


def decode_es(data: bytes, judge: Judge) -> Iterator[None]:
    """Event Stream."""
    t = at = 0
    while at < len(data):
        yield
        if data[at] >= 0xFE:
            t += 127 if data[at] == 0xFF else 0
            judge.ignored += data[at] == 0xFE
            at += 1
            continue
        record = data[at : at + 5]
        if len(record) < 5:
            return
        t += record[0] >> 1
        x, y = int.from_bytes(record[1:3], "little"), int.from_bytes(record[3:], "little")
        judge.put(x, judge.height - 1 - y, t, record[0] & 1)
        at += 5


def decode_aedat3(data: bytes, judge: Judge) -> Iterator[None]:
    """AEDAT 3.1's packets."""
    at = 0
    while at + 28 <= len(data):
        kind = int.from_bytes(data[at : at + 2], "little")
        size, _, overflow, _, number = (
            int.from_bytes(data[at + k : at + k + 4], "little") for k in range(4, 24, 4)
        )
        if (kind == 1 and size != 8) or max(size, overflow, number) >= 2**31:
            judge.status = "damaged"
            return
        at += 28
        if kind != 1:
            judge.ignored += number
            at += number * size
            yield
            continue
        for _ in range(number):
            yield
            if at + 8 > len(data):
                return
            word, t = (int.from_bytes(data[at + k : at + k + 4], "little") for k in (0, 4))
            if word & 1:
                judge.put(word >> 17, word >> 2 & 0x7FFF, t + (overflow << 31), word >> 1 & 1)
            else:
                judge.ignored += 1
            at += 8


def encode_nmnist(events: np.ndarray) -> bytes:
    """Encode events that fit the format, with an overflow marker wherever 23 bits of time overflow."""
    out = bytearray()
    overflow = 0
    for x, y, t, p in events[["x", "y", "t", "p"]].tolist():
        while t - overflow > LAST_TIME:
            out += bytes([0, OVERFLOW_ROW, 0, 0, 0])
            overflow += OVERFLOW_US
        out += bytes([x, y]) + (p << 23 | t - overflow).to_bytes(3, "big")
    return bytes(out)
