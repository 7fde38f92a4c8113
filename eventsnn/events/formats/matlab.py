"""Matrices of numbers out of a MATLAB file (level 5, as MATLAB saves by default up to version 7).

A file is a header of 128 bytes and elements: a tag (type and size, 4 bytes each; or both in one word and up
to 4 bytes of data), the data, and bytes up to the next multiple of 8. A matrix is an element of elements:
flags, dimensions, name, numbers column by column; it may stand in a compressed element. A structure is such a
matrix too, with the names of its fields and a matrix for each. Other elements are skipped.

SciPy's reader ends the interpreter on some damaged files; this one checks every size before it follows it.

MathWorks, MAT-File Format (2024), "Level 5 MAT-File Format".
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_STRUCTURE = 2
_NUMERIC_CLASSES = range(6, 16)  # double, single, int8 .. uint64
_COMPLEX = 0x08
_DEEPEST = 8
"""How deep structures may be nested."""
_LARGEST = 1 << 28
"""Bytes that a compressed element may become."""


class MatlabError(ValueError):
    """The bytes are not a MATLAB file of level 5, or are damaged; the text says where and how."""


@dataclass(frozen=True)
class Matrix:
    """A numeric matrix of a file; its numbers are decoded on demand.

    Attributes
    ----------
    name : str
        With the names of the structures before it, ``TD.x``, if it is a field of one.
    shape : tuple of int
        As the file says.
    """

    name: str
    shape: tuple[int, ...]
    _numbers: memoryview
    _order: str

    def read(self) -> np.ndarray:
        """Real numbers of the type they are stored in; raises MatlabError if the file lacks some."""
        kind, numbers = next(_elements(self._numbers, self._order), (0, memoryview(b"")))
        if kind not in _NUMBERS:
            raise MatlabError(f"{self.name} holds numbers of an unknown type, {kind}")
        dtype = np.dtype(self._order + _NUMBERS[kind])
        if min(self.shape, default=-1) < 0 or math.prod(self.shape) * dtype.itemsize != len(numbers):
            text = (
                f"{self.name} of shape {list(self.shape)} has {len(numbers)} bytes of {dtype.itemsize} each"
            )
            raise MatlabError(text)
        return np.frombuffer(numbers, dtype).reshape(self.shape, order="F")


def find_matrices(data: bytes) -> Iterator[Matrix]:
    """The numeric matrices in the bytes of a file, fields of single structures among them.

    Raises
    ------
    MatlabError
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[HEADER - 2 : HEADER])
    if order is None:
        raise MatlabError("no header of a MATLAB file of level 5")
    for kind, body in _elements(memoryview(data)[HEADER:], order):
        if kind == _COMPRESSED:
            for inner, unpacked in _elements(memoryview(_decompress(body)), order):
                if inner == _MATRIX:
                    yield from _matrices(unpacked, order, "")
        elif kind == _MATRIX:
            yield from _matrices(body, order, "")


def read_matrix(data: bytes, name: str) -> np.ndarray | None:
    """The numeric matrix called `name` in the bytes of a file, or None.

    Returns
    -------
    ndarray
        Real numbers of the type they are stored in, of the shape that the file says.

    Raises
    ------
    MatlabError
    """
    return next((matrix.read() for matrix in find_matrices(data) if matrix.name == name), None)


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Type and data of one element after the other."""
    for kind, body, _ in _placed(data, order):
        yield kind, body


def _placed(data: memoryview, order: str) -> Iterator[tuple[int, memoryview, int]]:
    """Type, data and end of one element after the other."""
    at = 0
    while at < len(data):
        if len(data) - at < 8:
            raise MatlabError(f"{len(data) - at} bytes are left where an element of 8 or more should be")
        kind, size = (int(word) for word in np.frombuffer(data, f"{order}u4", 2, at))
        start = at + 8
        filled = (
            size if kind == _COMPRESSED else -(-size // 8) * 8
        )  # compressed elements alone are not filled up
        if kind >> 16:  # the short form: size and type in the first word
            kind, size, start, filled = kind & 0xFFFF, kind >> 16, at + 4, 4
            if size > 4:
                raise MatlabError(f"a short element of {size} bytes")
        if size > len(data) - start:
            raise MatlabError(f"an element of {size} bytes where {len(data) - start} are left")
        at = start + filled
        yield kind, data[start : start + size], at


def _decompress(data: memoryview) -> bytes:
    try:
        unpacker = zlib.decompressobj()
        out = unpacker.decompress(data, _LARGEST)
    except zlib.error as error:
        raise MatlabError(f"a compressed element is damaged ({error})") from None
    if not unpacker.eof:
        raise MatlabError(f"a compressed element is cut, or unpacks to more than {_LARGEST} bytes")
    return out


def _matrices(data: memoryview, order: str, prefix: str) -> Iterator[Matrix]:
    """A matrix element: itself if it is numeric, its fields if it is one structure."""
    head, remaining = _split(data, order, 3)
    if len(head) < 3 or len(head[0]) < 4:
        return
    word = int(np.frombuffer(head[0], f"{order}u4", 1)[0])
    shape = tuple(int(n) for n in np.frombuffer(head[1][: len(head[1]) // 4 * 4], f"{order}i4"))
    name = prefix or bytes(head[2]).decode("latin-1")
    if word & 0xFF in _NUMERIC_CLASSES and not (word >> 8) & _COMPLEX:
        yield Matrix(name, shape, remaining, order)
    elif word & 0xFF == _STRUCTURE and prefix.count(".") < _DEEPEST and math.prod(shape) == 1:
        (size, names), remaining = _split(remaining, order, 2)
        width = int(np.frombuffer(size, f"{order}i4", 1)[0]) if len(size) >= 4 else 0
        if width < 1:
            return
        fields = [bytes(names[k : k + width]).split(b"\0")[0] for k in range(0, len(names), width)]
        for field, (kind, body) in zip(fields, _elements(remaining, order), strict=False):
            if kind == _MATRIX:
                yield from _matrices(body, order, f"{name}.{field.decode('latin-1')}")


def _split(data: memoryview, order: str, n: int) -> tuple[list[memoryview], memoryview]:
    """The first `n` elements (fewer at the end of the data), and the remaining bytes."""
    elements, at = [], 0
    for _, body, end in islice(_placed(data, order), n):
        elements.append(body)
        at = end
    return elements, data[at:]
