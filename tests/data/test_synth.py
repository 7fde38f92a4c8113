from __future__ import annotations

import builtins
from dataclasses import replace

import numpy as np
import pytest

from eventsnn.data import DIGITS_CAMERA, NMNIST, load_digits, write_dataset, write_digits
from eventsnn.errors import EventFileError, MissingExtraError, SimulationError, TrainingError

CAMERA = replace(DIGITS_CAMERA, step_ms=4.0)  # coarse and fast


def contents(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.bin")}


def test_files_do_not_depend_on_order_or_threads(tmp_path):
    digits = load_digits()
    images, labels = digits.images[:12], digits.labels[:12]
    done: list[int] = []
    write_dataset(images, labels, tmp_path / "a", camera=CAMERA, seed=1, threads=1, progress=done.append)
    write_dataset(images, labels, tmp_path / "b", camera=CAMERA, seed=1, threads=4)
    write_dataset(images[:5], labels[:5], tmp_path / "c", camera=CAMERA, seed=1)
    write_dataset(images, labels, tmp_path / "d", camera=CAMERA, seed=2)
    first = contents(tmp_path / "a")
    assert done == [1] * 12
    assert sorted(first) == sorted(f"{label}/{i + 1:05d}.bin" for i, label in enumerate(labels))
    assert contents(tmp_path / "b") == first
    assert contents(tmp_path / "c").items() <= first.items()
    assert all(first[name] != data for name, data in contents(tmp_path / "d").items())
    stream = NMNIST(tmp_path / "a", sensor=CAMERA.sensor_size).stream(0)
    assert stream == CAMERA.record(images[0], np.random.default_rng([1, 0]))  # labels[0] is 0: first in order


def test_digits(tmp_path):
    write_digits(tmp_path, DIGITS_CAMERA, seed=3, limit=40)
    digits = load_digits()
    assert (len(digits.train), len(digits.test), digits.images.shape) == (1438, 359, (1797, 8, 8))
    assert digits.images.dtype == np.uint8
    assert digits.images.max() == 255
    assert not set(digits.train) & set(digits.test)
    for split, indices in (("Train", digits.train), ("Test", digits.test)):
        source = NMNIST(tmp_path, split=split, sensor=(20, 20, 2))
        assert {path[-9:-4] for path in source.paths} == {f"{index + 1:05d}" for index in indices[:40]}
        counts = [len(source.stream(index)) for index in range(40)]
        assert 800 < np.mean(counts) < 2000
    with pytest.raises(EventFileError, match="Train: the folder is not empty; remove it or name another"):
        write_digits(tmp_path, limit=1)


def test_errors(tmp_path):
    images = np.zeros((2, 8, 8), np.uint8)
    with pytest.raises(TrainingError, match=r"got shapes \(2, 8, 8\) and \(3,\)"):
        write_dataset(images, [0, 1, 2], tmp_path / "a", camera=CAMERA, seed=0)
    with pytest.raises(TrainingError, match="1 names for 2 images"):
        write_dataset(images, [0, 1], tmp_path / "a", camera=CAMERA, seed=0, names=["x"])
    with pytest.raises(TrainingError, match="label -1 is negative"):
        write_dataset(images, [0, -1], tmp_path / "a", camera=CAMERA, seed=0)
    with pytest.raises(TrainingError, match="seed must be 0 or more: got -1"):
        write_dataset(images, [0, 1], tmp_path / "a", camera=CAMERA, seed=-1)
    with pytest.raises(TrainingError, match="limit must be at least 1: got 0"):
        write_digits(tmp_path / "a", limit=0)
    assert not (tmp_path / "a").exists()
    with pytest.raises(SimulationError, match="dtype uint8"):
        write_dataset(images.astype(float), [0, 1], tmp_path / "a", camera=CAMERA, seed=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(EventFileError, match="cannot be made"):
        write_dataset(images, [0, 1], tmp_path / "file", camera=CAMERA, seed=0)


def test_without_scikit_learn(monkeypatch):
    real_import = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r"pip install 'eventsnn\[demo\]'"):
        load_digits()
