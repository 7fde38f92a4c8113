"""Conversion of polarities to 0 (OFF) and 1 (ON), for arrays and for files of every format.

Programs write OFF as 0, -1, 1 (where ON is 2), 255 or ``off``.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

_WORDS = {
    **dict.fromkeys(("1", "+1", "1.0", "+", "on", "true", "t", "pos", "positive", "up", "yes"), 1),
    **dict.fromkeys(("p", "increase", "increased", "brighter", "bright"), 1),
    **dict.fromkeys(("0", "0.0", "off", "false", "f", "neg", "negative", "down", "no"), 0),
    **dict.fromkeys(("n", "decrease", "decreased", "darker", "dark"), 0),
    **dict.fromkeys(("-1", "-1.0", "-"), -1),
    **dict.fromkeys(("2", "2.0"), 2),
}
_UNSIGNED_MINUS_ONE = (2**8 - 1, 2**16 - 1, 2**32 - 1, 2**64 - 1)
_CODES = (frozenset((0, 1)), frozenset((-1, 1)), frozenset((1, 2)))
"""The pairs of numbers that mean OFF and ON."""

_WHAT = "0 and 1, -1 and 1 (255 if unsigned), or 1 and 2 mean OFF and ON; convert it first"


class PolarityError(ValueError):
    """A number that cannot be a polarity; `at` is its position."""

    def __init__(self, at: int, text: str) -> None:
        self.at = at
        super().__init__(text)


class PolarityCode:
    """Which numbers or words of a recording mean OFF and ON.

    0 and 1, -1 and 1 (also as floats, and unsigned: 255, 65535, 4294967295), 1 and 2, False and True, and
    words such as OFF and ON. What the values before have shown holds for those that follow, so that a
    recording may come in parts.

    Parameters
    ----------
    polarities : int
        Of the sensor. With 1, all events must have the same polarity, which becomes 0: two polarities are
        never merged silently. With more than 2, values are the numbers of polarities, from 0.
    """

    def __init__(self, polarities: int = 2) -> None:
        self._polarities = polarities
        self._seen: frozenset[int] = frozenset()

    def convert(self, values: npt.ArrayLike) -> npt.NDArray[np.uint8]:
        """Polarities from 0; raises PolarityError for a value that is not one, or not of the code seen so
        far.
        """
        array = np.asarray(values)
        if array.size == 0:
            return np.zeros(0, np.uint8)
        numbers = _numbers(array)
        if self._polarities > 2:
            outside = (numbers < 0) | (numbers >= self._polarities)
            if outside.any():
                at = int(np.argmax(outside))
                text = f"p = {numbers[at]} is outside 0..{self._polarities - 1} of the sensor"
                raise PolarityError(at, text)
            return numbers.astype(np.uint8)
        numbers = _signed(numbers)
        before, self._seen = self._seen, self._seen | _distinct(numbers)
        if self._polarities == 1:
            self._check_single(numbers, array, before)
            return np.zeros(len(numbers), np.uint8)
        code = next((code for code in _CODES if self._seen <= code), None)
        # Events with 1 alone have been taken for ON; 2 says too late that they were OFF.
        if code is None or (2 in code and 1 in before and 2 not in before):
            self._refuse(numbers, array, before)
        return (numbers == max(code or (1,))).astype(np.uint8)

    def _check_single(self, numbers: np.ndarray, array: np.ndarray, before: frozenset[int]) -> None:
        first = next(iter(before), int(numbers[0]))
        different = numbers != first
        if different.any():
            at = int(np.argmax(different))
            raise PolarityError(
                at,
                f"p = {array[at]} where the events before have p = {first}, but the sensor has one polarity: "
                "give a sensor size with 2 polarities (sensor, --sensor), and merge_polarities "
                "(--merge-polarities) to make one of them",
            )

    def _refuse(self, numbers: np.ndarray, array: np.ndarray, before: frozenset[int]) -> None:
        """Raise the error for the first value that fits no code."""
        seen = set(before)
        for at, number in enumerate(numbers.tolist()):
            seen.add(number)
            if before == {1} and number == 2:
                raise PolarityError(at, "p = 2, but events before with p = 1 alone were taken for ON")
            if not any(seen <= code for code in _CODES):
                among = ", ".join(str(int(value)) for value in sorted(seen - {number}))
                among = f" among {among}" if among else ""
                raise PolarityError(at, f"p = {array[at]}{among} is not a polarity: {_WHAT}")


def word_value(text: str) -> int | None:
    """1, 0, -1 or 2 for a word or number that means a polarity (``ON``, ``b'off'``), else None."""
    return _WORDS.get(re.sub(r"^b?(['\"])(.*)\1$", r"\2", text.strip()).strip().lower())


def _numbers(array: np.ndarray) -> np.ndarray:
    """Values as numbers; words are looked up."""
    if array.dtype.kind in "biu":
        return array.view(np.uint8) if array.dtype == bool else array
    if array.dtype.kind == "f":
        odd = ~(np.isfinite(array) & (np.rint(array) == array))
        if odd.any():
            at = int(np.argmax(odd))
            raise PolarityError(at, f"p = {array[at]} is not a polarity: {_WHAT}")
        return array
    if array.dtype.kind not in "SUO":
        raise PolarityError(0, f"p is of dtype {array.dtype}; numbers or words such as ON, OFF are needed")
    texts, places = np.unique(_texts(array), return_inverse=True)
    numbers = np.empty(len(texts), np.int64)
    for k, word in enumerate(texts.tolist()):
        known = word_value(word)
        if known is None:
            at = int(np.argmax(places == k))
            raise PolarityError(
                at, f"p = {word[:40]!r} is not a polarity; ON and OFF, true and false, 1 and 0 are"
            )
        numbers[k] = known
    return numbers[places]


def _texts(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "S":
        return np.char.decode(array, "latin-1")
    if array.dtype.kind == "U":
        return array
    return np.array([v.decode("latin-1") if isinstance(v, bytes) else str(v) for v in array.tolist()], str)


def _signed(numbers: np.ndarray) -> np.ndarray:
    """-1 that was written as an unsigned number is -1 again; the type holds all polarities."""
    if numbers.dtype.kind != "f" and numbers.dtype.itemsize == 1 and numbers.dtype.kind == "i":
        return numbers
    if numbers.max() < _UNSIGNED_MINUS_ONE[0]:
        return numbers.astype(np.int64) if numbers.dtype.kind == "u" else numbers
    unsigned = np.zeros(len(numbers), bool)
    for value in _UNSIGNED_MINUS_ONE:
        if numbers.dtype.kind == "f" or value <= np.iinfo(numbers.dtype).max:
            unsigned |= numbers == numbers.dtype.type(value)
    wide = np.float64 if numbers.dtype.kind == "f" else np.int64
    return np.where(unsigned, -1, numbers.astype(wide))


def _distinct(numbers: np.ndarray) -> frozenset[int]:
    """The different values, or enough of them to see that they are not polarities."""
    ends = {int(numbers.min()), int(numbers.max())}
    if max(ends) - min(ends) <= 1:
        return frozenset(ends)
    return frozenset(ends | {int(value) for value in np.unique(numbers)[:5]})
