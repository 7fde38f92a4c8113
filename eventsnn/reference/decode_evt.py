"""Readable twins of the kernels in cython_ext/io/decode_evt.pyx, the oracles of their tests.

See decode_records.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from eventsnn.reference.decode_records import Clock, Judge

GLITCH = 2**12


def _words(data: bytes, size: int) -> Iterator[int]:
    for at in range(0, len(data) - size + 1, size):
        yield int.from_bytes(data[at : at + size], "little")


def decode_evt2(data: bytes, judge: Judge) -> Iterator[None]:
    """EVT2."""
    return _decode_words(((word, 1) for word in _words(data, 4)), judge)


def decode_evt21(data: bytes, judge: Judge, swapped: bool = False) -> Iterator[None]:
    """EVT2.1."""
    halves = ((word & 0xFFFFFFFF, word >> 32) for word in _words(data, 8))
    return _decode_words(((low, high) if swapped else (high, low) for low, high in halves), judge)


def _decode_words(words: Iterable[tuple[int, int]], judge: Judge) -> Iterator[None]:
    """EVT2's words, each with a mask of the pixels from x on that have an event."""
    clock, base = Clock(2**34), None
    for word, valid in words:
        yield
        kind = word >> 28
        if kind in (0, 1) and base is not None:
            for k in range(32):
                if valid >> k & 1:
                    judge.put((word >> 11 & 0x7FF) + k, word & 0x7FF, base + (word >> 22 & 0x3F), kind)
        elif kind == 8:
            base = clock.read((word & 0xFFFFFFF) << 6)
        elif kind in (0, 1, 0xA, 0xE, 0xF) or judge.lenient:
            judge.ignored += 1
        else:
            judge.status = "damaged"
            return


def decode_evt3(data: bytes, judge: Judge) -> Iterator[None]:
    """EVT3."""
    clock, high, base, t = Clock(2**24), None, 0, 0
    y = vector_x = vector_p = 0

    def set_clock(new: int) -> int:
        if t - GLITCH < new < t:
            judge.ignored += 1
            return t
        return new

    for word in _words(data, 2):
        yield
        kind, value = word >> 12, word & 0xFFF
        if kind == 2 and high is not None:
            judge.put(value & 0x7FF, y, t, value >> 11)
        elif kind == 6:
            t = set_clock(base + value)
        elif kind == 0:
            y = value & 0x7FF
        elif kind == 3:
            vector_x, vector_p = value & 0x7FF, value >> 11
        elif kind in (4, 5):
            length = 12 if kind == 4 else 8
            judge.ignored += high is None
            for k in range(length):
                if value >> k & 1 and high is not None:
                    judge.put(vector_x + k, y, t, vector_p)
            vector_x += length
        elif kind == 8:
            if value != high:
                base = clock.read(value << 12)
                t = set_clock(base)
                high = value
        elif kind in (2, 7, 0xA, 0xE, 0xF) or judge.lenient:
            judge.ignored += 1
        else:
            judge.status = "damaged"
            return
