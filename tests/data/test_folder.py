from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from eventsnn.data import NMNIST, Folder, Packed, pack
from eventsnn.errors import EventFileError, EventFileWarning, TrainingError
from eventsnn.events import EVENT_DTYPE, ReadingOptions, write
from tests.events.helpers import random_stream
from tests.real_data import real_data


def make_tree(root, files, n=4):
    """Write a recording of n + k events as the k-th file."""
    for k, name in enumerate(files):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, random_stream(n + k, seed=k))


def test_order_labels_and_samples(tmp_path):
    make_tree(tmp_path, ["7/b.bin", "10/a.bin", "7/a.bin", "2/z.bin"])
    (tmp_path / "readme.txt").write_text("not a recording")
    (tmp_path / "7" / "notes.txt").write_text("not a recording")
    (tmp_path / ".hidden").mkdir()
    source = NMNIST(tmp_path)
    assert [path[len(str(tmp_path)) + 1 :] for path in source.paths] == [
        "2/z.bin",
        "7/a.bin",
        "7/b.bin",
        "10/a.bin",
    ]
    assert source.labels.tolist() == [2, 7, 7, 10]
    assert source.labels.dtype == np.int64
    assert source.classes == tuple(str(k) for k in range(11))
    assert len(source) == 4
    events, label = source[1]
    assert events.dtype == EVENT_DTYPE
    assert (len(events), label, type(label)) == (6, 7, int)
    events["x"] = 0  # a transform may work in place
    assert source.stream(1) == random_stream(6, seed=2)
    assert [label for _, label in source] == [2, 7, 7, 10]
    assert pickle.loads(pickle.dumps(source)).stream(3) == source.stream(3)


def test_named_classes(tmp_path):
    make_tree(tmp_path, ["zebra/1.bin", "ant/2.bin", "9/3.bin"])
    source = NMNIST(tmp_path)
    assert source.classes == ("9", "ant", "zebra")
    assert source.labels.tolist() == [0, 1, 2]


def test_splits(tmp_path):
    make_tree(tmp_path, ["Train/0/a.bin"])
    assert NMNIST(tmp_path).root.endswith("Train")
    make_tree(tmp_path, ["Test/0/a.bin", "Test/1/a.bin"])
    assert len(NMNIST(tmp_path, split="Test")) == 2
    assert len(NMNIST(tmp_path, split="train")) == 1
    with pytest.raises(
        EventFileError, match="holds Train and Test; name one of these folders, or pass split='Train'"
    ):
        NMNIST(tmp_path)
    with pytest.raises(TrainingError, match="split must be one of Train, Test, got 'valid'"):
        NMNIST(tmp_path, split="valid")
    with pytest.raises(EventFileError, match="no folder 'Train' in it; leave split out"):
        NMNIST(tmp_path / "Test", split="Train")
    # Label folders beside Train: the folder itself is meant.
    make_tree(tmp_path, ["3/a.bin"])
    assert NMNIST(tmp_path).root == str(tmp_path)


def test_folders_that_are_no_data_set(tmp_path):
    with pytest.raises(EventFileError, match="none: no such folder"):
        NMNIST(tmp_path / "none")
    with pytest.raises(EventFileError, match="no label folders in it; expected <label>/<recordings>"):
        NMNIST(tmp_path)
    (tmp_path / "0").mkdir()
    with pytest.raises(EventFileError, match=r"no recordings in its folders; expected files ending in \.bin"):
        NMNIST(tmp_path)
    make_tree(tmp_path, ["0/a.bin"])
    with pytest.raises(EventFileError, match="is a file; a folder"):
        NMNIST(tmp_path / "0" / "a.bin")
    with pytest.raises(EventFileError, match="no label folders"):
        NMNIST(tmp_path / "0")
    make_tree(tmp_path, ["20240101/a.bin"])
    with pytest.raises(EventFileError, match="'20240101' is not a class number: larger than 65535"):
        NMNIST(tmp_path)
    with pytest.raises(TrainingError, match="bad_files must be one of error, skip, got 'ignore'"):
        NMNIST(tmp_path, bad_files="ignore")


def test_bad_recordings_are_skipped_and_noted(tmp_path):
    make_tree(tmp_path, [f"0/{k}.bin" for k in range(8)])
    for k in (5, 2):
        (tmp_path / "0" / f"{k}.bin").write_bytes(b"\0\0\0")
    strict = NMNIST(tmp_path)
    with pytest.raises(EventFileError, match="the last record is cut: 3 of 5 bytes"):
        strict.read_or_none(2)
    lenient = NMNIST(tmp_path, bad_files="skip")
    with pytest.raises(EventFileError, match="cut"):
        lenient.stream(2)
    assert lenient.skipped == []
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lenient.read_or_none, list(range(8)) * 3))
    assert [stream is None for stream in found] == [k in (2, 5) for k in range(8)] * 3
    assert lenient.read_or_none(-3) is None  # index 5 once more
    assert [path[-5:] for path, _ in lenient.skipped] == ["2.bin", "5.bin"]
    assert all("the last record is cut" in reason for _, reason in lenient.skipped)


def test_sensor_is_passed_on(tmp_path):
    write(tmp_path / "a.bin", random_stream(20, sensor_size=(240, 180, 2)))
    (tmp_path / "cup").mkdir()
    (tmp_path / "a.bin").rename(tmp_path / "cup" / "a.bin")
    with pytest.raises(EventFileError, match=r"e\.g\. sensor=\(240, 180, 2\)"):
        NMNIST(tmp_path).stream(0)
    assert NMNIST(tmp_path, sensor=(240, 180, 2)).stream(0).sensor_size == (240, 180, 2)


def test_real_folder():
    source = NMNIST(real_data("nmnist-1k"))
    assert len(source) == 1000
    assert np.bincount(source.labels).tolist() == [97, 116, 99, 93, 105, 92, 94, 117, 87, 100]
    assert source.paths == sorted(source.paths)


def places(source):
    return [path[len(source.root) + 1 :] for path in source.paths]


def test_recordings_lie_deeper(tmp_path):
    make_tree(tmp_path, [f"{c}/s{s}/{c}{s}.bin" for c in ("right", "left") for s in (1, 0)])
    make_tree(tmp_path, ["left/top.bin"])
    source = Folder(tmp_path, sensor=(34, 34, 2))
    assert source.classes == ("left", "right")
    assert places(source) == ["left/top.bin", "left/s0/left0.bin", "left/s1/left1.bin",
                              "right/s0/right0.bin", "right/s1/right1.bin"]  # fmt: skip
    assert source.labels.tolist() == [0, 0, 0, 1, 1]


def test_subjects_above_classes(tmp_path):
    make_tree(tmp_path, [f"s{s}/{c}/{k}.bin" for c in ("right", "left") for s in (1, 0) for k in (1, 0)])
    source = Folder(tmp_path, label_from="parent")
    assert source.classes == ("left", "right")
    assert source.labels.tolist() == [0] * 4 + [1] * 4
    assert places(source)[:3] == ["s0/left/0.bin", "s0/left/1.bin", "s1/left/0.bin"]
    assert Folder(tmp_path).classes == ("s0", "s1")
    with pytest.raises(TrainingError, match="label_from must be one of top, parent, got 'bottom'"):
        Folder(tmp_path, label_from="bottom")
    # Packed, every recording has a name of its own.
    pack(source, tmp_path / "set.esp")
    packed = Packed(tmp_path / "set.esp")
    assert len(set(packed.paths)) == 8
    assert packed.paths[0].endswith("set.esp/left/s0/left/0.bin")
    assert packed.classes == source.classes


def test_what_is_no_class_is_left_out(tmp_path):
    make_tree(tmp_path, ["2/a.bin", "10/a.bin", "__MACOSX/2/a.bin", ".ipynb_checkpoints/a.bin", "2/.x/b.bin"])
    (tmp_path / "plots").mkdir()
    with pytest.warns(EventFileWarning) as caught:
        source = Folder(tmp_path)
    assert places(source) == ["2/a.bin", "10/a.bin"]
    assert source.labels.tolist() == [2, 10]
    assert [str(warning.message)[len(str(tmp_path)) + 2 :] for warning in caught] == [
        "left out the folders '.ipynb_checkpoints', '__MACOSX': no class",
        "left out the folder 'plots': holds no recordings",
    ]


def test_splits_are_no_classes(tmp_path):
    make_tree(tmp_path, ["set/Train/0/a.bin", "set/Test/0/a.bin", "set/valid/0/a.bin"])
    with pytest.raises(
        EventFileError, match=r"holds no label folders; name .*set, which holds Test, Train, val"
    ):
        Folder(tmp_path)
    with pytest.raises(
        EventFileError, match="holds Test and Train and valid; name the folder of one of them"
    ):
        Folder(tmp_path / "set")
    assert len(Folder(tmp_path / "set", split="Test")) == 1
    make_tree(tmp_path, ["two/training/0/a.bin", "two/validation/0/a.bin"])
    with pytest.raises(EventFileError, match="holds training and validation; name the folder"):
        Folder(tmp_path / "two")


def test_a_link_to_a_folder_above_is_followed_once(tmp_path):
    make_tree(tmp_path, ["0/a.bin"])
    (tmp_path / "0" / "loop").symlink_to(tmp_path / "0", target_is_directory=True)
    assert places(Folder(tmp_path)) == ["0/a.bin"]


def test_reading_options(tmp_path):
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        np.save(tmp_path / label / "0.npy", np.array([[1, 2, 3000, 1], [4, 5, 6000, 0]]))
    with pytest.warns(EventFileWarning, match=r"do not state the size of their sensor; taken as 5 x 6 x 2"):
        assert Folder(tmp_path, columns="x,y,t,p").sensor_size == (5, 6, 2)
    source = Folder(tmp_path, columns="x,y,t,p", sensor=(8, 8, 2))
    assert source.stream(1).events["t"].tolist() == [3000, 6000]
    assert source.sensor_size == (8, 8, 2)
    assert len(Folder(tmp_path, columns="x,y,t,p", t_until=5.0, sensor=(8, 8, 2)).stream(0)) == 1
    cropped = Folder(tmp_path, reading=ReadingOptions(columns="x,y,t,p", sensor=(8, 8, 2), crop=(0, 0, 3, 4)))
    assert (cropped.sensor_size, len(cropped.stream(0))) == ((3, 4, 2), 1)
    with pytest.raises(
        TrainingError, match="no option 'colums' for reading recordings; there are sensor, fo"
    ):
        Folder(tmp_path, colums="x,y,t,p")
    with pytest.raises(TrainingError, match="give reading or sensor, not both"):
        Folder(tmp_path, sensor=(8, 8, 2), reading=ReadingOptions())


def test_options_are_not_passed_over_by_the_quick_way(tmp_path):
    make_tree(tmp_path, ["0/a.bin"], n=30)
    indices = np.arange(1)
    assert Folder(tmp_path, sensor=(34, 34, 2)).load(indices) is not None
    assert Folder(tmp_path, sensor=(34, 34, 2), t_until=1.0).load(indices) is None


def test_the_first_readable_recording_says_how_large_the_sensor_is(tmp_path):
    make_tree(tmp_path, ["0/a.npz", "0/b.npz"])
    (tmp_path / "0" / "a.npz").write_bytes(b"\0\0\0")
    assert Folder(tmp_path, bad_files="skip").sensor_size == (34, 34, 2)
    with pytest.raises(EventFileError, match=r"a\.npz"):
        Folder(tmp_path)
    (tmp_path / "0" / "b.npz").write_bytes(b"\0\0\0")
    with pytest.raises(EventFileError, match="no recording of it can be read; the last"):
        Folder(tmp_path, bad_files="skip")


def test_texts_are_recordings_where_there_is_nothing_else(tmp_path):
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "a.txt").write_text("t,x,y,p\n5,1,2,1\n")
    assert places(Folder(tmp_path, sensor=(34, 34, 2))) == ["0/a.txt"]
    make_tree(tmp_path, ["0/b.bin"])
    assert places(Folder(tmp_path, sensor=(34, 34, 2))) == ["0/b.bin"]


def test_in_a_line(tmp_path):
    make_tree(tmp_path, ["ant/a.bin", "bee/a.bin"])
    assert repr(NMNIST(tmp_path)) == (
        f"<NMNIST of '{tmp_path}': 2 recordings of 2 classes ('ant', 'bee'), sensor 34 x 34 x 2>"
    )


def test_on_bad_was_once_what_bad_files_is_called(tmp_path):
    make_tree(tmp_path, ["0/a.bin", "0/b.bin"])
    (tmp_path / "0" / "b.bin").write_bytes(b"123")
    with pytest.warns(DeprecationWarning, match=r"on_bad='skip': write bad_files for unreadable"):
        source = Folder(tmp_path, sensor=(34, 34, 2), on_bad="skip")
    assert source.read_or_none(1) is None
    assert source.reading.on_bad == "skip"
    source = Folder(tmp_path, sensor=(34, 34, 2), on_bad="clamp")
    with pytest.raises(EventFileError):
        source.read_or_none(1)
    pack(Folder(tmp_path, sensor=(34, 34, 2), bad_files="skip"), tmp_path / "a.esp")
    with pytest.warns(DeprecationWarning, match=r"on_bad='skip': write bad_files"):
        assert Packed(tmp_path / "a.esp", on_bad="skip").bad_files == "skip"
    for wrong in ({"bad_files": "clamp"}, {"bad_files": "warn"}):
        with pytest.raises(TrainingError, match="bad_files must be one of error, skip"):
            Folder(tmp_path, **wrong)
