# ruff: noqa: E501
"""Bytes of event files, mostly sensible ones, and the twin of each decoder."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hypothesis import strategies as st

from eventsnn.reference import decode_evt as twin_evt
from eventsnn.reference import decode_records as twin_records
from eventsnn.reference.decode_records import Judge

WIDTH, HEIGHT = 40, 30
# Mostly inside the sensor; sometimes a stray.
X = st.one_of(*[st.integers(0, WIDTH - 1)] * 4, st.integers(0, 511))
Y = st.one_of(*[st.integers(0, HEIGHT - 1)] * 4, st.integers(0, 255))
P = st.integers(0, 1)


def near(largest: int) -> st.SearchStrategy[int]:
    """Times of a counter: mostly small, or near its wrap."""
    return st.one_of(st.integers(0, 9), st.integers(largest - 9, largest), st.integers(0, largest))


def big(size: int) -> Callable[[int], bytes]:
    return lambda word: word.to_bytes(size, "big")


def little(size: int) -> Callable[[int], bytes]:
    return lambda word: (word % 256**size).to_bytes(size, "little")


@dataclass(frozen=True)
class Case:
    """A format, a header, records that may follow it, and the twin that decodes them."""

    format: str
    header: bytes
    record: st.SearchStrategy[bytes]
    twin: Callable[[bytes, Judge], Iterator[None]]
    size: int = 1
    """Bytes of a record, where all are of one size."""

    def __str__(self) -> str:
        return f"{self.format}-{len(self.header)}"


def five(high_bits: Callable[[int, int], int]) -> st.SearchStrategy[bytes]:
    return st.builds(lambda x, y, p, t: big(5)(high_bits(x, y) << 24 | p << 23 | t), X, Y, P, near(2**23 - 1))


def nmnist_address(x: int, y: int) -> int:
    return x % 256 << 8 | y


def dat_word(x: int, y: int, p: int, bits: int) -> bytes:
    return little(4)(x | y << bits | p << (28 if bits == 14 else 17))


def dat(bits: int) -> st.SearchStrategy[bytes]:
    return st.builds(lambda t, x, y, p: little(4)(t) + dat_word(x, y, p, bits), near(2**32 - 1), X, Y, P)


def jaer(address_bytes: int, davis: bool) -> st.SearchStrategy[bytes]:
    def make(x: int, y: int, p: int, t: int, other: bool) -> bytes:
        a = x << 12 | y << 22 | p << 11 if davis else x % 128 << 1 | y % 128 << 8 | p
        mark = (1 << 31 if davis else 1 << 15) if other else 0
        return big(address_bytes)(a | mark) + big(4)(t)

    return st.builds(make, X, Y, P, near(2**32 - 1), st.sampled_from([False] * 7 + [True]))


ES_RECORD = st.one_of(
    st.sampled_from([b"\xff", b"\xfe"]),
    st.builds(
        lambda dt, p, x, y: bytes([dt << 1 | p]) + struct.pack("<HH", x, y), st.integers(0, 126), P, X, Y
    ),
)


@st.composite
def aedat3_packet(draw) -> bytes:
    event = st.builds(
        lambda ok, p, y, x, t: struct.pack("<II", ok | p << 1 | y << 2 | x << 17, t),
        st.sampled_from([1, 1, 1, 0]), P, Y, X, near(2**31 - 1),
    )  # fmt: skip
    kind = draw(st.sampled_from([1, 1, 1, 0, 2]))
    size = 8 if kind == 1 else draw(st.integers(0, 20))
    number = draw(st.integers(0, 4))
    body = b"".join(draw(event) for _ in range(number)) if kind == 1 else bytes(size * number)
    overflow = draw(st.integers(0, 2))
    return struct.pack("<HHIIIIII", kind, 1, size, 4, overflow, number, number, number) + body


def evt2_word() -> st.SearchStrategy[int]:
    event = st.builds(lambda p, t, x, y: p << 28 | t << 22 | x << 11 | y, P, st.integers(0, 63), X, Y)
    high = st.builds(lambda t: 8 << 28 | t, near(2**28 - 1))
    other = st.builds(lambda kind: kind << 28, st.sampled_from([0xA, 0xE, 0xF, 0xA, 0xE, 0xF, 0x5]))
    return st.one_of(event, event, event, high, other)


def evt21(swapped: bool) -> st.SearchStrategy[bytes]:
    def make(word: int, valid: int) -> bytes:
        return little(4)(word) + little(4)(valid) if swapped else little(4)(valid) + little(4)(word)

    masks = st.one_of(st.integers(0, 3), st.integers(0, 2**32 - 1), st.just(2**31))
    return st.builds(make, evt2_word(), masks)


EVT3_WORD = st.one_of(
    st.builds(lambda y: y, Y),
    st.builds(lambda p, x: 2 << 12 | p << 11 | x, P, X),
    st.builds(lambda p, x: 3 << 12 | p << 11 | x, P, X),
    st.builds(lambda v: 4 << 12 | v, st.integers(0, 2**12 - 1)),
    st.builds(lambda v: 5 << 12 | v, st.integers(0, 2**8 - 1)),
    st.builds(lambda t: 6 << 12 | t, near(2**12 - 1)),
    st.builds(lambda t: 8 << 12 | t, near(2**12 - 1)),
    st.builds(lambda kind: kind << 12, st.sampled_from([7, 0xA, 0xE, 0xF, 0xA, 1])),
)

CASES = [
    Case("nmnist", b"", st.one_of(five(nmnist_address), st.just(bytes([0, 240, 0, 0, 0]))), twin_records.decode_nmnist, 5),
    Case("bs1", b"", five(lambda x, y: x * (1 if y else 99)), twin_records.decode_bs1, 5),
    Case(
        "atis",
        b"",
        st.one_of(
            st.builds(
                lambda t, p, other, x, y: bytes([t & 255, p << 7 | other << 6 | (x >> 8) << 5 | t >> 8, x & 255, y]),
                near(2**13 - 1), P, st.sampled_from([0, 0, 0, 1]), X, Y,
            ),
            st.just(bytes([0, 0x20, 305 - 256, 240])),
        ),
        twin_records.decode_atis,
        4,
    ),
    Case("dat", b"% a\n% Version 2\n\x0c\x08", dat(14), twin_records.decode_dat, 8),
    Case("dat", b"% old\n\x00\x08", dat(9), lambda d, j: twin_records.decode_dat(d, j, old=True), 8),
    Case("aedat1", b"#!AER-DAT1.0\r\n", jaer(2, False), lambda d, j: twin_records.decode_jaer(d, j, 2, False), 6),
    Case("aedat2-dvs128", b"#!AER-DAT2.0\r\n", jaer(4, False), lambda d, j: twin_records.decode_jaer(d, j, 4, False), 8),
    Case("aedat2-davis", b"#!AER-DAT2.0\r\n# x\r\n", jaer(4, True), lambda d, j: twin_records.decode_jaer(d, j, 4, True), 8),
    Case("es", b"Event Stream\2\0\0\1" + struct.pack("<HH", WIDTH, HEIGHT), ES_RECORD, twin_records.decode_es),
    Case("aedat3", b"#!AER-DAT3.1\r\n#!END-HEADER\r\n", aedat3_packet(), twin_records.decode_aedat3),
    Case("evt2", b"% evt 2.0\n% end\n", evt2_word().map(little(4)), twin_evt.decode_evt2, 4),
    Case("evt21", b"% evt 2.1\n% end\n", evt21(False), twin_evt.decode_evt21, 8),
    Case("evt21-swapped", b"% evt 2.1\n% end\n", evt21(True), lambda d, j: twin_evt.decode_evt21(d, j, swapped=True), 8),
    Case("evt3", b"% evt 3.0\n% end\n", EVT3_WORD.map(little(2)), twin_evt.decode_evt3, 2),
]  # fmt: skip
