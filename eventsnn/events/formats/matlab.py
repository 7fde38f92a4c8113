"""One matrix of numbers out of a MATLAB file (level 5, as MATLAB saves by default up to version 7).

A file is a header of 128 bytes and elements: a tag (type and size, 4 bytes each; or both in one word and up
to 4 bytes of data), the data, and bytes up to the next multiple of 8. A matrix is an element of elements:
flags, dimensions, name, numbers column by column; it may stand in a compressed element. What is no such
matrix is passed over.

SciPy's reader ends the interpreter on some damaged files; this one checks every size before it follows it.

MathWorks, MAT-File Format (2024), "Level 5 MAT-File Format".
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator

import numpy as np

HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMERIC_CLASSES = range(6, 16)  # double, single, int8 .. uint64
_COMPLEX = 0x08
_LARGEST = 1 << 28
"""Bytes that a compressed element may become."""


class MatlabError(ValueError):
    """The bytes are no MATLAB file of level 5, or a damaged one; the text says what is wrong and where."""


def read_matrix(data: bytes, name: str) -> np.ndarray | None:
    """The numeric matrix called `name` in the bytes of a file, None if there is none.

    Returns
    -------
    ndarray
        Real numbers of the type they are stored in, of the shape that the file says.

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
                found = _matrix(unpacked, order, name) if inner == _MATRIX else None
                if found is not None:
                    return found
        elif kind == _MATRIX and (found := _matrix(body, order, name)) is not None:
            return found
    return None


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Type and data of one element after the other."""
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
        yield kind, data[start : start + size]
        at = start + filled


def _decompress(data: memoryview) -> bytes:
    try:
        unpacker = zlib.decompressobj()
        out = unpacker.decompress(data, _LARGEST)
    except zlib.error as error:
        raise MatlabError(f"a compressed element is damaged ({error})") from None
    if not unpacker.eof:
        raise MatlabError(f"a compressed element is cut, or unpacks to more than {_LARGEST} bytes")
    return out


def _matrix(data: memoryview, order: str, name: str) -> np.ndarray | None:
    """The numbers of a matrix element if it is called `name` and numeric."""
    parts = _elements(data, order)
    flags, dimensions, title = (next(parts, (0, memoryview(b"")))[1] for _ in range(3))
    if bytes(title) != name.encode() or len(flags) < 4:
        return None
    word = int(np.frombuffer(flags, f"{order}u4", 1)[0])
    if word & 0xFF not in _NUMERIC_CLASSES or (word >> 8) & _COMPLEX:
        return None
    shape = [int(n) for n in np.frombuffer(dimensions[: len(dimensions) // 4 * 4], f"{order}i4")]
    kind, numbers = next(parts, (0, memoryview(b"")))
    if kind not in _NUMBERS:
        raise MatlabError(f"{name} holds numbers of an unknown type, {kind}")
    dtype = np.dtype(order + _NUMBERS[kind])
    if min(shape, default=-1) < 0 or math.prod(shape) * dtype.itemsize != len(numbers):
        raise MatlabError(f"{name} of shape {shape} has {len(numbers)} bytes of {dtype.itemsize} each")
    return np.frombuffer(numbers, dtype).reshape(shape, order="F")
