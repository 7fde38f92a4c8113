"""The reader of MATLAB's matrices against SciPy's."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from eventsnn.errors import EventFileError
from eventsnn.events import detect_format, read
from eventsnn.events.formats.matlab import MatlabError, find_matrices, read_matrix

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


def test_fields_of_structures() -> None:
    data = saved(
        TD={"x": np.arange(3), "note": "abc", "p": [1.5]}, many=np.zeros(2, [("x", "f8")]), last=[2.0]
    )
    found = {matrix.name: matrix.read().ravel().tolist() for matrix in find_matrices(data)}
    assert found == {"TD.x": [0, 1, 2], "TD.p": [1.5], "last": [2.0]}


def events_file(path: Path, **more: object) -> Path:
    columns = {"x": [5, 7], "y": [6, 8], "ts": [100.0, 200.0], "pol": np.array([1, 0], np.uint8)} | more
    scipy.io.savemat(path, columns, oned_as="column")
    return path


@pytest.mark.parametrize(
    "pol", [[1, 0], [2, 1], [1.0, -1.0], np.array([True, False]), np.array([1, 255], np.uint8)]
)
def test_asl_dvs(tmp_path: Path, pol: object) -> None:
    path = events_file(tmp_path / "a.mat", pol=pol, label=np.arange(9))
    assert detect_format(path) == "matlab"
    stream = read(path)
    assert (stream.sensor_size, stream.events.tolist()) == ((8, 9, 2), [(5, 6, 100, 1), (7, 8, 200, 0)])


def test_structures_and_tables(tmp_path: Path) -> None:
    path, left = tmp_path / "a.mat", {"x": [1, 2], "y": [3, 4], "t_ms": [0.1, 0.2], "p": [1, -1]}
    scipy.io.savemat(path, {"left": left, "right": left | {"x": [5, 6]}})
    with pytest.raises(EventFileError, match=r"holds 2 event streams: 0 left \(2 events\); 1 right"):
        read(path)
    assert read(path, stream="right").events.tolist() == [(5, 3, 100, 1), (6, 4, 200, 0)]
    scipy.io.savemat(path, {"events": np.array([[100, 5, 6, 1], [200, 7, 8, 0], [300, 9, 1, 1]])})
    with pytest.raises(EventFileError, match=r"the columns of the table events have no names.*--columns"):
        read(path)
    assert read(path, columns="t[ms],x,y,p").events[0].tolist() == (5, 6, 100_000, 1)
    scipy.io.savemat(path, {"image": np.zeros((7, 9))})
    with pytest.raises(EventFileError, match=r"needs vectors x, y, ts, \[pol\]; it holds image"):
        read(path)
    events_file(path, ts=[0.000100, 0.000205])
    assert read(path).events["t"].tolist() == [100, 205]
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(EventFileError, match="damaged MATLAB file"):
        read(path, format="matlab")


def test_structures_in_structures(tmp_path: Path) -> None:
    """As AedatTools of iniVation imports a recording: aedat.data.polarity beside other kinds of events."""
    path = tmp_path / "a.mat"
    polarity = {"timeStamp": [100, 200], "x": [5, 7], "y": [6, 8], "polarity": np.array([True, False])}
    data = {
        "polarity": polarity | {"numEvents": 2},
        "frame": {"timeStampStart": [1, 2], "samples": np.zeros((2, 2))},
    }
    scipy.io.savemat(
        path, {"aedat": {"info": {"source": "Davis240C", "deviceAddressSpace": [240, 180]}, "data": data}}
    )
    assert read(path).events.tolist() == [(5, 6, 100, 1), (7, 8, 200, 0)]
    deep: dict[str, object] = dict(polarity)
    for _ in range(50):
        deep = {"s": deep}
    scipy.io.savemat(path, deep)
    with pytest.raises(EventFileError, match="needs vectors"):
        read(path)


def test_a_recording_without_events(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {name: np.zeros((0, 0)) for name in ("x", "y", "ts", "pol")})
    assert len(read(tmp_path / "a.mat")) == 0


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
