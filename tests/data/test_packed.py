"""A data set in one file: what goes in comes out, damage is noticed, nothing half-written stays."""

from __future__ import annotations

import json
import pickle
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsnn.data import NMNIST, Augmentation, ListDataset, Packed, pack
from eventsnn.errors import EventFileError, TrainingError
from eventsnn.events import EVENT_DTYPE, EventStream
from eventsnn.events.packed_events import from_packed_events, to_packed_events
from eventsnn.train.batches import BatchLoader
from tests.events.helpers import random_stream
from tests.real_data import real_data
from tests.train.toy import SENSOR, toy_data, write_toy_folder

SIZES = st.tuples(st.integers(1, 70), st.integers(1, 70), st.integers(1, 5))


@st.composite
def sized_streams(draw):
    """A stream of any small sensor, ties included."""
    size = draw(SIZES)
    event = st.tuples(st.integers(0, 2**40), *(st.integers(0, bound - 1) for bound in size))
    events = np.array(sorted(draw(st.lists(event, max_size=20))), np.int64).reshape(-1, 4)
    return EventStream.from_arrays(*events.T, sensor_size=size)


@pytest.fixture
def packed_file(tmp_path):
    """Six toy recordings in a file."""
    path = tmp_path / "set.esp"
    pack(NMNIST(write_toy_folder(tmp_path / "folder", 6), sensor=SENSOR), path)
    return path


@settings(max_examples=100, deadline=None)
@given(sized_streams())
def test_words_hold_events(stream):
    words = to_packed_events(stream.events, stream.sensor_size)
    assert EventStream(from_packed_events(words, stream.sensor_size), stream.sensor_size) == stream


@settings(max_examples=40, deadline=None)
@given(sized_streams(), st.integers(0, 99))
def test_the_kernel_decodes_words_as_the_twin_does(tmp_path_factory, stream, seed):
    path = tmp_path_factory.mktemp("words") / "set.esp"
    width, height, polarities = stream.sensor_size
    augmentation = Augmentation(shift=2, drop=0.2, time_scale=0.2)
    source = ListDataset([stream], [0])
    pack(source, path)
    ours = BatchLoader(Packed(path), width * height * polarities, augmentation, seed).prepare([0], 3)
    expected = BatchLoader(source, width * height * polarities, augmentation, seed).prepare([0], 3)
    assert ours.times.tobytes() == expected.times.tobytes()
    assert ours.neurons.tobytes() == expected.neurons.tobytes()


def test_it_is_the_folder_in_one_file(tmp_path):
    folder = NMNIST(write_toy_folder(tmp_path / "folder", 7), sensor=SENSOR)
    advanced = []
    n = pack(folder, tmp_path / "set.esp", progress=advanced.append)
    packed = Packed(tmp_path / "set.esp")
    assert (len(packed), advanced) == (7, [1] * 7)
    assert packed.labels.tolist() == folder.labels.tolist()
    assert packed.labels.dtype == np.int64
    assert (packed.classes, packed.sensor_size) == (folder.classes, folder.sensor_size)
    assert [packed.stream(k) for k in range(7)] == [folder.stream(k) for k in range(7)]
    assert n == sum(len(folder.stream(k)) for k in range(7))
    # The class and the name of the file, by which a resumed run knows a recording.
    assert [path.split("/")[-2:] for path in packed.paths] == [path.split("/")[-2:] for path in folder.paths]
    assert packed.paths[0] == f"{tmp_path / 'set.esp'}/0/00000.bin"
    events, label = packed[5]
    assert (events.dtype, label) == (EVENT_DTYPE, 2)
    events["x"] = 0  # a transform may work in place
    assert packed.stream(-1) == folder.stream(6)
    assert packed.skipped == []
    again = pickle.loads(pickle.dumps(packed))
    assert again.stream(3) == packed.stream(3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "set.esp"]


def test_any_source_can_be_packed_and_replaces_an_older_file(tmp_path):
    path = tmp_path / "set.esp"
    pack(toy_data(9), path)
    pack(ListDataset([random_stream(50, sensor_size=(1, 1, 1))], [1], classes=["a", "é"]), path)
    packed = Packed(path)
    assert (len(packed), packed.classes, packed.labels.tolist()) == (1, ("a", "é"), [1])
    assert packed.paths == [f"{path}/é/sample 0"]
    assert packed.stream(0) == random_stream(50, sensor_size=(1, 1, 1))


def test_empty_recordings_stay(tmp_path):
    pack(ListDataset([random_stream(0), random_stream(3)], [0, 1]), tmp_path / "set.esp")
    packed = Packed(tmp_path / "set.esp")
    assert [len(packed.stream(k)) for k in range(2)] == [0, 3]
    assert np.diff(BatchLoader(packed, 2312).prepare([0, 1], 0).ptr).tolist() == [0, 3]


def test_unreadable_recordings(tmp_path):
    root = write_toy_folder(tmp_path / "folder", 6)
    (root / "1" / "00004.bin").write_bytes(b"123")
    with pytest.raises(EventFileError, match=r"00004\.bin, byte 0: the last record is cut"):
        pack(NMNIST(root, sensor=SENSOR), tmp_path / "set.esp")
    assert not list(tmp_path.glob("*.esp*"))
    lenient = NMNIST(root, sensor=SENSOR, bad_files="skip")
    pack(lenient, tmp_path / "set.esp")
    assert [path[-9:] for path in Packed(tmp_path / "set.esp").paths] == [
        "00000.bin",
        "00003.bin",
        "00001.bin",
        "00002.bin",
        "00005.bin",
    ]
    for path in root.rglob("*.bin"):
        path.write_bytes(b"")
    with pytest.raises(EventFileError, match="no readable recording to pack"):
        pack(NMNIST(root, sensor=SENSOR, bad_files="skip"), tmp_path / "other.esp")
    assert not list(tmp_path.glob("other*"))


@pytest.mark.parametrize(
    ("times", "problem"),
    [
        ([-1, 5], r"sample 0: event 0 is at -1 us, before 0; .* stream\.shifted\(\) .* convert --from-zero"),
        ([5, 2**51], r"set\.esp: recording sample 0 has times .* 0 \.\. 2251799813685247 us"),
    ],
)
def test_times_that_do_not_fit(tmp_path, times, problem):
    stream = EventStream.from_arrays(times, [0, 0], [0, 0], [0, 0], sensor_size=(34, 34, 2))
    with pytest.raises(EventFileError, match=problem):
        pack(ListDataset([stream], [0]), tmp_path / "set.esp")
    assert not list(tmp_path.iterdir())


def test_an_interrupt_leaves_nothing(tmp_path):
    (tmp_path / "set.esp").write_bytes(b"what was there before")

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(toy_data(3), tmp_path / "set.esp", progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["set.esp"]
    assert (tmp_path / "set.esp").read_bytes() == b"what was there before"
    with pytest.raises(EventFileError, match="cannot be written: No such file or directory"):
        pack(toy_data(3), tmp_path / "nowhere" / "set.esp")


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda data: b"", "byte 0: is not a packed data set; 'eventsnn pack' makes one"),
        (lambda data: b"\x89HDF\r\n\x1a\n" + data[8:], "byte 0: is not a packed data set"),
        (lambda data: data[:30], "byte 0: the header is damaged; pack the data set again"),
        (lambda data: flip(data, 13), "byte 0: the header is damaged"),
        (lambda data: data[:-1], "bytes and should have"),
        (lambda data: data + b"x", "bytes and should have"),
        (lambda data: flip(data, len(data) - 3), r"byte \d+: the index is damaged; pack the data set again"),
        (
            lambda data: (
                (h := data[:8] + b"\x02" + data[9:52]) + zlib.crc32(h).to_bytes(4, "little") + data[56:]
            ),
            "written in version 2, and this eventsnn reads up to 1; install a newer one",
        ),
    ],
)
def test_damaged_and_foreign_files_are_refused_at_the_door(packed_file, damage, text):
    packed_file.write_bytes(damage(packed_file.read_bytes()))
    with pytest.raises(EventFileError, match=rf"set\.esp.*{text}"):
        Packed(packed_file)


def test_what_is_no_file(tmp_path):
    with pytest.raises(EventFileError, match="no such file"):
        Packed(tmp_path / "set.esp")
    with pytest.raises(EventFileError, match="cannot be read: Is a directory"):
        Packed(tmp_path)
    with pytest.raises(TrainingError, match="bad_files must be one of error, skip, got 'maybe'"):
        Packed(tmp_path / "set.esp", bad_files="maybe")


def without_checksums(data: bytes) -> bytes:
    """A packed file as earlier versions wrote it."""
    *head, n, start, _, _ = struct.unpack("<8s4I3QI", data[:52])
    numbers, text = data[start:][: 8 * (2 * n + 1)], data[start:][8 * (2 * n + 1) :]
    facts = json.loads(text)
    del facts["crc32"]
    index = numbers + json.dumps(facts).encode()
    header = struct.pack("<8s4I3QI", *head, n, start, len(index), zlib.crc32(index))
    return header + struct.pack("<I", zlib.crc32(header)) + bytes(8) + data[64:start] + index


@pytest.mark.parametrize(
    ("value", "text"),
    [(7, "event 0: x = 7 is outside 0..5"), (2**40 << 7, "event 1: t = .* is earlier than event 0")],
)
@pytest.mark.parametrize("checksums", [True, False], ids=["", "of an earlier version"])
def test_a_damaged_event_is_no_crash(packed_file, value, text, checksums):
    """The events have checksums; where they have none, they are checked one by one when they are used."""
    data = packed_file.read_bytes() if checksums else without_checksums(packed_file.read_bytes())
    packed_file.write_bytes(data)
    assert len(Packed(packed_file).stream(0)) > 1
    packed_file.write_bytes(data[:64] + value.to_bytes(8, "little") + data[72:])
    text = "its checksum is wrong" if checksums else text
    text = rf"set\.esp, byte 64: recording 0 \(.*/0/00000\.bin\) is damaged, pack the set again: {text}"
    for use in (
        Packed(packed_file).stream,
        lambda k: BatchLoader(Packed(packed_file), 60).prepare([1, k], 0),
    ):
        with pytest.raises(EventFileError, match=text):
            use(0)
    lenient = Packed(packed_file, bad_files="skip")
    assert BatchLoader(lenient, 60).prepare([1, 0, 2], 0).indices.tolist() == [1, 2]
    assert [path for path, _ in lenient.skipped] == [lenient.paths[0]]


def test_a_file_cut_while_it_is_open_is_no_crash(packed_file):
    packed = Packed(packed_file)
    with open(packed_file, "r+b") as file:
        file.truncate(200)
    for use in (packed.stream, lambda k: BatchLoader(packed, 60).prepare([k], 0)):
        with pytest.raises(EventFileError, match=r"recording 3 .* is damaged.*the file has been cut"):
            use(3)


def test_real_recordings(tmp_path):
    folder = NMNIST(real_data("nmnist-1k"))
    pack(folder, tmp_path / "set.esp")
    packed = Packed(tmp_path / "set.esp")
    for change in (None, Augmentation(shift=1, drop=0.1, time_scale=0.1)):
        ours, theirs = (
            BatchLoader(source, 2312, change, 1).prepare(np.arange(0, 1000, 7), 2)
            for source in (packed, folder)
        )
        for name in ("times", "neurons", "ptr", "indices", "labels"):
            assert getattr(ours, name).tobytes() == getattr(theirs, name).tobytes()
