from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given

from eventsnn._ext import aer
from eventsnn.errors import EventFileError
from eventsnn.events import EventStream, detect_format, read, write
from eventsnn.reference import decode_records as twin_records
from tests.events.helpers import check_refused, random_stream, streams
from tests.real_data import real_data

RECORD_A = bytes([3, 7, 0x80, 0x01, 0x02])  # x 3, y 7, ON, 258 us
RECORD_B = bytes([33, 0, 0x7F, 0xFF, 0xFF])  # x 33, y 0, OFF, 2^23 - 1 us
MARKER = bytes([0, 240, 0, 0, 0])


def test_records_by_hand(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(RECORD_A + RECORD_B + MARKER + MARKER + RECORD_B)
    stream = read(path)
    assert stream.sensor_size == (34, 34, 2)
    assert stream.events["x"].tolist() == [3, 33, 33]
    assert stream.events["y"].tolist() == [7, 0, 0]
    assert stream.events["p"].tolist() == [1, 0, 0]
    assert stream.events["t"].tolist() == [258, 8388607, 8388607 + 2 * 8192]
    assert detect_format(path) == "nmnist"


@given(streams(width=256, height=240))
def test_kernel_encodes_as_twin(stream):
    expected = twin_records.encode_nmnist(stream.events)
    out = np.zeros(len(expected), np.uint8)
    aer.encode_nmnist(stream.events, out)
    assert out.tobytes() == expected


@given(streams(width=256, height=240))
def test_read_gives_back_what_was_written(tmp_path_factory, stream):
    path = tmp_path_factory.mktemp("round") / "a.bin"
    write(path, stream)
    assert read(path, sensor=stream.sensor_size) == stream


def test_empty_stream_is_written_as_one_marker(tmp_path):
    path = tmp_path / "a.bin"
    empty = EventStream.from_arrays([], [], [], [], sensor_size=(34, 34, 2))
    write(path, empty)
    assert path.read_bytes() == MARKER
    assert read(path) == empty


@pytest.mark.parametrize(
    ("data", "offset", "text"),
    [
        (b"", 0, "byte 0: the file is empty"),
        (
            RECORD_A + bytes([34, 0, 0, 9, 9]),
            5,
            r"byte 5: an event at x=34, y=0 is outside the 34 x 34 sensor.*sensor=\(240, 180, 2\)",
        ),
        (
            RECORD_A + MARKER + bytes([0, 99, 0, 9, 9]),
            10,
            "byte 10: an event at x=0, y=99 is outside the 34 x 34",
        ),
        (RECORD_B + RECORD_A, 5, "byte 5: time runs backwards.*8388607 us"),
    ],
)
def test_damaged_files(tmp_path, data, offset, text):
    check_refused(read, tmp_path / "a.bin", data, text, offset)


def test_ncaltech_needs_its_sensor(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes([239, 179, 0, 0, 1]))
    assert read(path, sensor=(240, 180, 2)).input_indices().tolist() == [179 * 240 + 239]
    with pytest.raises(EventFileError, match="this format has 2 polarities"):
        read(path, sensor=(240, 180, 1))


def test_unreadable_files(tmp_path):
    with pytest.raises(EventFileError, match=r"none\.bin: no such file"):
        read(tmp_path / "none.bin")
    with pytest.raises(EventFileError, match="is a folder; a recording is a file"):
        read(tmp_path, format="nmnist")
    path = tmp_path / "a.xyz"
    path.write_bytes(RECORD_A)
    with pytest.raises(
        EventFileError, match=r"not a known event format; known formats: nmnist \(\.bin, \.bs2\)"
    ):
        read(path)
    with pytest.raises(EventFileError, match="unknown format 'aedat9'; known formats: nmnist"):
        read(path, format="aedat9")
    assert len(read(path, format="nmnist")) == 1


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs permissions that bind the user")
def test_file_without_permission(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(RECORD_A)
    path.chmod(0)
    with pytest.raises(EventFileError, match="cannot be read: Permission denied"):
        read(path)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"x": [0, 256]}, "event 1 has x = 256; N-MNIST's format ends at x = 255"),
        ({"y": [240, 0]}, "event 0 has y = 240; N-MNIST's format ends at y = 239"),
        ({"t": [-1, 0]}, "event 0 has t = -1 us; N-MNIST's format starts at 0"),
        ({"t": [0, 10**15]}, "event is at 1000000000000000 us, too far from 0"),
        ({"sensor_size": (300, 300, 3)}, "needs 2 polarities"),
    ],
)
def test_what_the_format_cannot_hold_is_refused(tmp_path, changes, text):
    columns = {"t": [0, 1], "x": [0, 0], "y": [0, 0], "p": [0, 1], "sensor_size": (300, 300, 2)} | changes
    path = tmp_path / "a.bin"
    path.write_bytes(RECORD_A)
    with pytest.raises(EventFileError, match=text):
        write(path, EventStream.from_arrays(**columns))
    assert path.read_bytes() == RECORD_A


def test_failed_write_leaves_nothing_behind(tmp_path):
    with pytest.raises(EventFileError, match="cannot be written: No such file"):
        write(tmp_path / "missing" / "a.bin", random_stream(3))
    (tmp_path / "a.bin").mkdir()
    with pytest.raises(EventFileError, match="cannot be written"):
        write(tmp_path / "a.bin", random_stream(3))
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_real_recordings_match_an_independent_decoder():
    paths = sorted(real_data("nmnist-1k", "Train").glob("*/*.bin"))
    assert len(paths) == 1000
    total = 0
    for path in paths:
        raw = np.fromfile(path, np.uint8).reshape(-1, 5).astype(np.int64)
        assert not (raw[:, 1] == 240).any()
        events = read(path).events
        np.testing.assert_array_equal(events["x"], raw[:, 0])
        np.testing.assert_array_equal(events["y"], raw[:, 1])
        np.testing.assert_array_equal(events["p"], raw[:, 2] // 128)
        np.testing.assert_array_equal(events["t"], raw[:, 2] % 128 * 65536 + raw[:, 3] * 256 + raw[:, 4])
        total += len(events)
    assert total == 4_133_231


def test_a_real_recording_is_written_byte_by_byte(tmp_path):
    original = real_data("nmnist-1k", "Train", "0", "00002.bin")
    write(tmp_path / "a.bin", read(original))
    assert (tmp_path / "a.bin").read_bytes() == original.read_bytes()
