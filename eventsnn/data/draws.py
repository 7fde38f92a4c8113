"""Named random numbers from a counter-based generator, instead of draws in sequence.

The 64 bits of draw number n of a stream are SplitMix64's output for the state ``key + (n + 1) * GOLDEN``
(Steele, Lea & Flood, Fast splittable pseudorandom number generators, OOPSLA 2014). The generator has no
state, so a draw depends on its name only, not on threads, batches or earlier draws. A draw is also the key of
a stream below it; the path of numbers from the seed down is the draw's name.

Twin of the draws in ``cython_ext/io/prepare.pyx``, with the same bits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

GOLDEN = 0x9E3779B97F4A7C15
AUGMENT, CODE, DISTORT, DROPOUT = 2, 3, 4, 5
"""What the number after the seed stands for; 1 is the order of an epoch (`eventsnn.train.batches`)."""

_WORD = 2**64 - 1
_FRACTION = 2.0**-53  # a float64 has 53 bits


def draw(key: int, number: int) -> int:
    """Draw `number` (0 or more) of the stream `key`: 64 bits, as an int 0 .. 2^64 - 1."""
    bits = (key + (number + 1) * GOLDEN) & _WORD
    bits = ((bits ^ bits >> 30) * 0xBF58476D1CE4E5B9) & _WORD
    bits = ((bits ^ bits >> 27) * 0x94D049BB133111EB) & _WORD
    return bits ^ bits >> 31


def draw_many(key: int | npt.NDArray[np.uint64], n: int) -> npt.NDArray[np.uint64]:
    """Draws 0 .. n - 1 of the stream `key`; uint64 of shape (n,), of several streams (keys, n)."""
    return draw_each(np.asarray(key, np.uint64)[..., None], np.arange(n, dtype=np.uint64))


def draw_each(key: int | npt.NDArray[np.uint64], numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Draws of these numbers of the stream `key`, or number by number of several; uint64, broadcast."""
    # Unsigned arrays wrap at 2^64.
    bits = np.asarray(key, np.uint64) + (numbers + np.uint64(1)) * np.uint64(GOLDEN)
    bits = (bits ^ bits >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ bits >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return bits ^ bits >> np.uint64(31)


def make_key(seed: int, *path: int) -> int:
    """Key of the stream at the end of a path of numbers (0 .. 2^64 - 1) from a seed (0 or more)."""
    key = 0
    while True:  # a seed may have any number of 64-bit words
        key = draw(key, seed & _WORD)
        seed >>= 64
        if not seed:
            break
    for number in path:
        key = draw(key, number)
    return key


def to_unit(bits: int) -> float:
    """A draw as a float uniform in [0, 1): its upper 53 bits times 2^-53."""
    return (bits >> 11) * _FRACTION


def to_unit_many(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """`to_unit` of an array of draws."""
    return (bits >> np.uint64(11)).astype(np.float64) * _FRACTION


def to_range(bits: int, n: int) -> int:
    """A draw as an int uniform in 0 .. n - 1, n < 2^32; no number is off its chance by more than n / 2^32."""
    return ((bits >> 32) * n) >> 32


def to_whole(bits: int, n: int) -> int:
    """A draw as an int uniform in 0 .. n - 1, any n; no number is off its chance by more than n / 2^64."""
    return (bits * n) >> 64


def threshold(probability: float) -> int:
    """The number below which a draw's upper 53 bits lie exactly when `to_unit` is below `probability`."""
    return int(np.ceil(probability * 2.0**53))
