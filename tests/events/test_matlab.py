"""The reader of MATLAB's matrices against SciPy's."""

from __future__ import annotations

import io

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from eventsnn.events.formats.matlab import MatlabError, read_matrix

DTYPES = st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "i8", "u8", "f4", "f8"])
SHAPES = array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=5)


def saved(compressed: bool = False, **arrays: object) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, arrays, do_compression=compressed)
    return file.getvalue()


@given(DTYPES.flatmap(lambda dtype: arrays(np.dtype(dtype), SHAPES)), st.booleans())
def test_numbers_come_back(array, compressed) -> None:
    data = saved(compressed, other=np.arange(3.0), text="abc", wanted=array, last=np.ones(9))
    found = read_matrix(data, "wanted")
    assert found is not None
    np.testing.assert_array_equal(found, array)


def test_what_is_not_there_or_no_numbers() -> None:
    data = saved(text="abc", wave=np.array([[1j]]), cell=np.array([[1, "a"]], object), good=[1.0])
    for name in ("missing", "text", "wave", "cell"):
        assert read_matrix(data, name) is None
    assert read_matrix(data, "good") == [[1.0]]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda d: d[:60], "no header"),
        (lambda d: d[:-1], "an element of"),
        (lambda d: d[:132] + b"\xff\xff\xff\x7f" + d[136:], "an element of 2147483647 bytes where"),
        (lambda d: d[:-80] + b"\x63" + d[-79:], "unknown type, 99|an element of"),
    ],
)
def test_damage_is_named(change, text) -> None:
    with pytest.raises(MatlabError, match=text):
        read_matrix(change(saved(wanted=np.arange(9.0))), "wanted")


def test_a_bomb_is_refused(monkeypatch) -> None:
    monkeypatch.setattr("eventsnn.events.formats.matlab._LARGEST", 1000)
    with pytest.raises(MatlabError, match="unpacks to more than 1000 bytes"):
        read_matrix(saved(True, wanted=np.zeros(10_000)), "wanted")


@given(st.data())
def test_no_bytes_crash_it(data) -> None:
    whole = bytearray(saved(data.draw(st.booleans()), wanted=np.arange(20.0)))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read_matrix(bytes(whole), "wanted")
    except MatlabError:
        return
    assert found is None or found.size <= 20
