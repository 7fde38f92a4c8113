from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from eventsnn.data import NMNIST
from eventsnn.errors import EventFileError, TrainingError
from eventsnn.events import EVENT_DTYPE, write
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
    with pytest.raises(EventFileError, match="holds Train and Test; pass split='Train' or split='Test'"):
        NMNIST(tmp_path)
    with pytest.raises(TrainingError, match="split must be one of Train, Test: got 'valid'"):
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
    with pytest.raises(EventFileError, match="'20240101' is no class number: larger than 65535"):
        NMNIST(tmp_path)
    with pytest.raises(TrainingError, match="bad_files must be one of error, skip: got 'ignore'"):
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
