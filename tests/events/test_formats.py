"""Whole files of every format: round trips, other programs' opinion, and what is told apart or refused."""

from __future__ import annotations

import gc
import struct
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st

from eventsnn.errors import EventFileError, EventFileWarning, MissingExtraError
from eventsnn.events import EVENT_DTYPE, EventStream, detect_format, open_events, read, write, write_parts
from eventsnn.events.formats import FORMATS, WRITERS
from tests.events.helpers import random_stream, streams
from tests.events.streams_of_bytes import CASES
from tests.real_data import real_data

SUFFIX = {known.name: known.suffixes[0] for known in FORMATS.values()}
WRITTEN = sorted(WRITERS)


def make(t, x=None, y=None, p=None, size=(40, 30, 2)) -> EventStream:
    n = len(t)
    rest = (np.arange(n) % k if column is None else column for column, k in ((x, 40), (y, 30), (p, 2)))
    return EventStream.from_arrays(t, *rest, sensor_size=size)


@pytest.mark.parametrize("name", WRITTEN)
@given(stream=streams(width=40, height=30), n=st.integers(1, 9))
def test_read_gives_back_what_was_written(tmp_path_factory, name: str, stream: EventStream, n: int) -> None:
    path = tmp_path_factory.mktemp("round") / f"a{SUFFIX[name]}"
    write_parts(path, stream.chunks(n), stream.sensor_size, format=name)
    assert read(path, sensor=stream.sensor_size, format=name) == stream
    write(path.with_name("whole"), stream, format=name)
    if name != "aedat3":  # a packet per part
        assert path.read_bytes() == path.with_name("whole").read_bytes() or name == "npz"
    assert [file for file in path.parent.iterdir() if file.suffix == ".part"] == []


@pytest.mark.parametrize("name", [name for name in WRITTEN if name != "nmnist"])
def test_files_say_their_format_and_sensor(tmp_path: Path, name: str) -> None:
    stream = random_stream(1000, sensor_size=(100, 70, 2))
    path = tmp_path / f"a{SUFFIX[name]}"
    write(path, stream, format=name)
    assert detect_format(path) == name
    assert read(path) == stream


@pytest.mark.parametrize(
    ("name", "gaps"),
    [
        ("evt3", [5, 2**24 - 1, 2**24, 3 * 2**24 + 7, 10**9]),
        ("evt2", [2**33 - 100] * 3),
        ("dat", [2**31 - 1] * 3),
        ("aedat3", [2**31, 2**31, 2**40]),
        ("nmnist", [2**23, 2**24]),
        ("es", [126, 127, 128, 10**7]),
    ],
)
def test_clocks_that_wrap(tmp_path: Path, name: str, gaps: list[int]) -> None:
    stream = make(np.cumsum([3, *gaps]))
    write(tmp_path / "a.x", stream, format=name)
    assert read(tmp_path / "a.x", format=name, sensor=(40, 30, 2)) == stream


@pytest.mark.parametrize(
    ("name", "t", "text"),
    [
        ("dat", [0, 2**31], "DAT's clock would have wrapped unseen"),
        ("dat", [2**32], r"begin at 0: stream\.shifted\(\) in Python, 'eventsnn convert --from-zero'"),
        ("evt2", [0, 2**33], "EVT2's clock"),
        ("evt3", [10**15], "EVT3's clock"),
        ("es", [10**12], "Event Stream's clock"),
        ("es", [-1], "event 0 has t = -1 us; Event Stream starts at 0"),
        ("aedat3", [-1], r"AEDAT 3\.1 has 0"),
    ],
)
def test_times_that_do_not_fit_are_refused(tmp_path: Path, name: str, t: list[int], text: str) -> None:
    with pytest.raises(EventFileError, match=text):
        write(tmp_path / "a.x", make(t), format=name)
    assert list(tmp_path.iterdir()) == []


def test_addresses_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    stream = make([0], [2048], size=(3000, 30, 2))
    for name in ("evt2", "evt3"):
        with pytest.raises(EventFileError, match=r"event 0 has x = 2048; EVT. ends at x = 2047"):
            write(tmp_path / "a.raw", stream, format=name)


REAL = [
    ("NTIDIGITS_1.bs1", "bs1", 898, 0, 1_079_040),
    ("evt2_sample.raw", "evt2", 539_481, 1_317_888, 1_367_888),
    ("evt3_sample.raw", "evt3", 219_596, 11_718_656, 11_727_467),
    ("sample.aedat4", "aedat4", 111_954, 1_605_537_493_718_345, 1_605_537_494_308_262),
    ("sample_ncars.dat", "dat", 2009, 0, 99_952),
    ("sample_stmnist.mat", "st-mnist", 2346, 196_626, 895_745),
]


@pytest.mark.parametrize(("file", "name", "events", "first", "last"), REAL)
def test_real_files(file: str, name: str, events: int, first: int, last: int) -> None:
    if name == "aedat4":
        pytest.importorskip("lz4")
    path = real_data("events", file)
    assert detect_format(path) == name
    stream = read(path)
    assert (len(stream), stream.t_first, stream.t_last) == (events, first, last)
    with open_events(path) as recording:
        parts = list(recording)
        assert recording.sensor_size == stream.sensor_size
        assert (recording.anomalies.outside, recording.anomalies.backwards) == (0, 0)
    np.testing.assert_array_equal(np.concatenate([part.events for part in parts]), stream.events)


@pytest.mark.parametrize("file", ["evt2_sample.raw", "evt3_sample.raw", "sample.aedat4"])
def test_real_files_as_faery_reads_them(file: str) -> None:
    faery = pytest.importorskip("faery")
    path = real_data("events", file)
    compare(read(path), faery.events_stream_from_file(path, dimensions_fallback=(1280, 720)).to_array())


def compare(stream: EventStream, other: np.ndarray) -> None:
    assert len(stream) == len(other)
    for ours, theirs in (("t", "t"), ("x", "x"), ("y", "y"), ("p", "on")):
        np.testing.assert_array_equal(stream.events[ours], other[theirs].astype(np.int64))


@pytest.mark.parametrize("name", ["dat", "evt2", "evt3", "es", "csv"])
def test_faery_agrees(tmp_path: Path, name: str) -> None:
    faery = pytest.importorskip("faery")
    rng = np.random.default_rng(1)
    t = np.sort(rng.integers(0, 40_000_000, 20_000))  # two wraps of EVT3
    stream = make(
        t, rng.integers(0, 100, len(t)), rng.integers(0, 70, len(t)), rng.integers(0, 2, len(t)), (100, 70, 2)
    )
    ours, theirs = tmp_path / f"ours{SUFFIX[name]}", tmp_path / f"theirs{SUFFIX[name]}"
    write(ours, stream, format=name)
    compare(stream, faery.events_stream_from_file(ours).to_array())
    array = np.empty(len(stream), [("t", "<u8"), ("x", "<u2"), ("y", "<u2"), (("p", "on"), "?")])
    for to, source in (("t", "t"), ("x", "x"), ("y", "y"), ("on", "p")):
        array[to] = stream.events[source]
    faery.events_stream_from_array(array, dimensions=(100, 70)).to_file(
        theirs, zero_t0=False, version={"evt2": "evt2", "evt3": "evt3"}.get(name)
    )
    assert detect_format(theirs) == name
    assert read(theirs) == stream


@pytest.mark.parametrize(("name", "header"), [("evt2", b""), ("evt21", b""), ("evt3", b"% Date today\n")])
def test_raw_without_a_version_is_not_guessed(tmp_path: Path, name: str, header: bytes) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(header + bytes(8))
    with pytest.raises(EventFileError, match=r"format evt2 or evt21 or evt21-swapped or evt3.*--format"):
        read(path)
    assert len(read(path, format=name)) == 0


def test_the_halves_of_evt21_are_told_apart(tmp_path: Path) -> None:
    high, event = (8 << 28) + 1, (1 << 28) | (5 << 11) | 7
    pairs = [(high, 0), (event, 0x5000_0003)]
    path = tmp_path / "a.raw"
    for name, swapped in (("evt21", False), ("evt21-swapped", True)):
        words = [pair if swapped else pair[::-1] for pair in pairs]
        path.write_bytes(b"% evt 2.1\n% end\n" + b"".join(struct.pack("<II", *word) for word in words))
        assert detect_format(path) == name
        assert read(path).events["x"].tolist() == [5, 6, 33, 35]
    path.write_bytes(b"% format EVT21;endianness=little;height=320;width=320\n% end\n")
    assert detect_format(path) == "evt21"
    assert read(path).sensor_size == (320, 320, 2)


def test_policies(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(bytes([1, 2, 0, 0, 9, 40, 2, 0, 0, 9, 3, 3, 0, 0, 5]))
    with pytest.raises(EventFileError, match="byte 5: an event at x=40"):
        read(path)
    with pytest.warns(
        EventFileWarning, match="1 event outside the sensor and 1 earlier than the one before were left out"
    ):
        assert read(path, on_bad="skip").events["x"].tolist() == [1]
    with pytest.warns(EventFileWarning, match="clamped"):
        clamped = read(path, on_bad="clamp").events
    assert (clamped["x"].tolist(), clamped["t"].tolist()) == ([1, 33, 3], [9, 9, 9])
    with pytest.raises(ValueError, match="on_bad must be one of error, skip, clamp"):
        read(path, on_bad="drop")  # type: ignore[arg-type]


def test_numpy_files(tmp_path: Path) -> None:
    stream = random_stream(40_000)
    tonic = np.empty(len(stream), [("p", bool), ("x", np.int64), ("t", np.int64), ("y", np.int64)])
    for name in "xytp":
        tonic[name] = stream.events[name]
    np.save(tmp_path / "a.npy", tonic)
    assert np.array_equal(read(tmp_path / "a.npy").events, stream.events)
    assert read(tmp_path / "a.npy", sensor=(34, 34, 2)) == stream
    np.savez(tmp_path / "a.npz", events=tonic)
    assert np.array_equal(read(tmp_path / "a.npz").events, stream.events)
    table = np.stack([stream.events["t"] / 1e6, stream.events["x"]], axis=1)
    np.save(tmp_path / "b.npy", table)
    with pytest.raises(EventFileError, match=r"an array of shape \(40000, 2\) without names; name them"):
        read(tmp_path / "b.npy")
    assert np.array_equal(read(tmp_path / "b.npy", columns="t[s],x").events["t"], stream.events["t"])
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(whole[:-30])
    with pytest.raises(EventFileError, match="is cut: 7232 rows are missing"):
        read(tmp_path / "a.npy")
    np.save(tmp_path / "c.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(EventFileError, match="cannot be read"):
        read(tmp_path / "c.npy")


def test_times_whose_differences_would_overflow_are_refused(tmp_path: Path) -> None:
    for t in (-(2**62), 2**63 - 1):
        np.savez(tmp_path / "a.npz", t=[t], x=[0])
        with pytest.raises(EventFileError, match=f"t = {t} is too large"):
            read(tmp_path / "a.npz")


def test_shd(tmp_path: Path) -> None:
    path = tmp_path / "shd.h5"
    times = [np.array([0.1, 0.5, 0.9], np.float16), np.array([0.25], np.float16)]
    with h5py.File(path, "w") as file:
        spikes = file.create_group("spikes")
        for name, values, dtype in (
            ("times", times, np.float16),
            ("units", [np.array([3, 699, 0], np.uint16), np.array([7], np.uint16)], np.uint16),
        ):
            data = spikes.create_dataset(name, (2,), h5py.vlen_dtype(dtype))
            for k in range(2):
                data[k] = values[k]
        file["labels"] = [1, 2]
    assert detect_format(path) == "shd"
    with pytest.raises(EventFileError, match=r"holds 2 recordings; pass sample=0 \.\. 1"):
        read(path)
    with pytest.raises(EventFileError, match="there is no sample 2"):
        read(path, sample=2)
    stream = read(path, sample=0)
    assert stream.sensor_size == (700, 1, 1)
    assert stream.events["t"].tolist() == [99976, 500000, 899902]  # what half precision has of them
    assert stream.events["x"].tolist() == [3, 699, 0]
    assert read(path, sample=1).events["t"].tolist() == [250000]


@pytest.mark.parametrize("compressed", [False, True])
def test_dsec_and_prophesee(tmp_path: Path, compressed: bool) -> None:
    options = pytest.importorskip("hdf5plugin").Blosc(cname="zstd") if compressed else {}
    stream = random_stream(100_000, sensor_size=(640, 480, 2))
    events = stream.events
    with h5py.File(tmp_path / "d.h5", "w") as file:
        for name, dtype in (("x", "u2"), ("y", "u2"), ("t", "u4"), ("p", "u1")):
            file.create_dataset(f"events/{name}", data=events[name].astype(dtype), chunks=(9999,), **options)
        file["t_offset"] = np.int64(10**12)
    assert detect_format(tmp_path / "d.h5") == "dsec"
    found = read(tmp_path / "d.h5")
    assert (found.sensor_size, found.t_first) == ((640, 480, 2), stream.t_first + 10**12)
    assert np.array_equal(found.events[["x", "y", "p"]], events[["x", "y", "p"]])
    with h5py.File(tmp_path / "p.hdf5", "w") as file:
        rows = np.empty(len(events), [("x", "u2"), ("y", "u2"), ("p", "i2"), ("t", "i8")])
        for name in "xypt":
            rows[name] = events[name]
        file["CD/events"] = rows
    assert detect_format(tmp_path / "p.hdf5") == "prophesee-h5"
    assert np.array_equal(read(tmp_path / "p.hdf5").events, events)


def test_st_mnist(tmp_path: Path) -> None:
    table = np.zeros((101, 3))
    table[[12, 99, 0], [0, 1, 2]] = 1, -1, 1
    table[100] = 0.001, 0.002, 0.0020004
    scipy.io.savemat(tmp_path / "a.mat", {"spiketrain": table})
    assert detect_format(tmp_path / "a.mat") == "st-mnist"
    assert read(tmp_path / "a.mat").events.tolist() == [(2, 1, 1000, 1), (9, 9, 2000, 0), (0, 0, 2000, 1)]
    scipy.io.savemat(tmp_path / "b.mat", {"other": table})
    with pytest.raises(EventFileError, match="needs an array 'spiketrain'"):
        read(tmp_path / "b.mat", format="st-mnist")


def test_bag(tmp_path: Path) -> None:
    rosbag1 = pytest.importorskip("rosbags.rosbag1")
    stream = random_stream(3000, sensor_size=(64, 48, 2))
    with rosbag1.Writer(tmp_path / "a.bag") as bag:
        topic = bag.add_connection(
            "/dvs/events",
            "dvs_msgs/msg/EventArray",
            msgdef="Header header\n",
            md5sum="5e8beee5a6c107e504c2e78903c224b8",
        )
        for part in stream.chunks(1000):
            rows = np.empty(len(part), [("x", "<u2"), ("y", "<u2"), ("s", "<u4"), ("ns", "<u4"), ("p", "u1")])
            events = part.events
            rows["x"], rows["y"], rows["p"] = events["x"], events["y"], events["p"]
            rows["s"], rows["ns"] = events["t"] // 10**6 + 7, events["t"] % 10**6 * 1000 + 999
            data = struct.pack("<IIII3sIII", 0, 0, 0, 3, b"dvs", 48, 64, len(part)) + rows.tobytes()
            bag.write(topic, int(part.t_last or 0) * 1000, data)
    assert detect_format(tmp_path / "a.bag") == "rosbag"
    found = read(tmp_path / "a.bag")
    assert found.sensor_size == (64, 48, 2)
    np.testing.assert_array_equal(found.events["t"], stream.events["t"] + 7 * 10**6)
    assert np.array_equal(found.events[["x", "y", "p"]], stream.events[["x", "y", "p"]])


@pytest.mark.parametrize("size", [(0, 0), (64, 48)])
def test_the_sensor_of_a_bag(tmp_path: Path, size: tuple[int, int]) -> None:
    """Drivers that do not know their sensor leave width and height 0."""
    rosbag1 = pytest.importorskip("rosbags.rosbag1")
    with rosbag1.Writer(tmp_path / "a.bag") as bag:
        topic = bag.add_connection("/e", "dvs_msgs/msg/EventArray", msgdef="Header header\n", md5sum="0" * 32)
        data = struct.pack("<IIIIIIIHHIIB", 0, 0, 0, 0, size[1], size[0], 1, 9, 7, 1, 2000, 1)
        bag.write(topic, 1, data)
    found = read(tmp_path / "a.bag")
    assert found.events.tolist() == [(9, 7, 1_000_002, 1)]
    assert found.sensor_size == ((*size, 2) if size[0] else (10, 8, 2))
    (tmp_path / "cut.bag").write_bytes((tmp_path / "a.bag").read_bytes()[:-300])
    with pytest.raises(EventFileError, match="rosbag reindex"):
        read(tmp_path / "cut.bag")


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("rosbags", "rosbags.rosbag1"):
        monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / "a.x").write_bytes(b"#ROSBAG V2.0\n")
    with pytest.raises(MissingExtraError, match=r"eventsnn\[ros\]"):
        read(tmp_path / "a.x")


@pytest.mark.parametrize("name", WRITTEN)
def test_no_file_stays_open(tmp_path: Path, name: str) -> None:
    """Python says so where a file is closed only because nothing names it any more."""
    stream, path = random_stream(100, sensor_size=(34, 34, 2)), tmp_path / f"a{SUFFIX[name]}"

    def broken_parts() -> Iterator[EventStream]:
        yield stream
        raise EventFileError(path, "broken")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        write(path, stream, format=name)
        next(iter(open_events(path, format=name)))
        with pytest.raises(EventFileError):
            read(path, format=name, sensor=(1, 40, 2))
        with pytest.raises(EventFileError, match="broken"):
            write_parts(path, broken_parts(), (34, 34, 2), format=name)
        gc.collect()
    assert [str(each.message) for each in caught] == []


def test_parts_of_a_long_file_are_bounded(tmp_path: Path) -> None:
    write(tmp_path / "a.es", random_stream(300_000, sensor_size=(1280, 720, 2)))
    with open_events(tmp_path / "a.es") as recording:
        sizes = [len(part) for part in recording]
    assert sum(sizes) == 300_000
    assert max(sizes) < 30_000
    assert recording.format == "es"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_headers_alone_are_recordings_without_events(tmp_path: Path, case) -> None:
    if not case.header:
        return
    path = tmp_path / "a.x"
    path.write_bytes(case.header)
    assert read(path, format=case.format, sensor=(40, 30, 2)).events.dtype == EVENT_DTYPE
    path.write_bytes(b"")
    with pytest.raises(EventFileError, match="the file is empty"):
        read(path, format=case.format)


def test_headers_that_are_wrong(tmp_path: Path) -> None:
    path = tmp_path / "a.x"
    for name, data, text in (
        ("dat", b"% a\n\x0e\x08", r"byte 4: events of type 0x0E and 8 bytes"),
        ("dat", bytes(9), "byte 0: no header"),
        ("dat", b"% a\n\x0c", "byte 5: the file ends in its header"),
        ("es", b"Event Stream\1\0\0\1\1\0\1\0", "byte 12: version 1 of Event Stream"),
        ("es", b"Event Stream\2\0\0\2\1\0\1\0", r"byte 15: events of type 2 \(ATIS\)"),
        ("es", b"Event Stram", "byte 0: does not begin"),
        ("aedat3", b"#!AER-DAT3.1\r\n#", "byte 15: the file ends in its header"),
        ("evt3", b"% geometry 0x5\n% end\n", "byte 0: the header says 0 x 5 pixels"),
        ("aedat4", b"nothing", "byte 0: does not begin with"),
        ("rosbag", b"nothing", "byte 0: does not begin with"),
        ("shd", b"nothing", "damaged HDF5 file"),
        ("npy", b"nothing", "damaged file of arrays"),
        ("st-mnist", b"nothing", "damaged MATLAB file"),
    ):
        if name == "rosbag":
            pytest.importorskip("rosbags")
        path.write_bytes(data)
        with pytest.raises(EventFileError, match=text):
            read(path, format=name)
