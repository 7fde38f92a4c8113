from __future__ import annotations

import builtins
import struct
from dataclasses import replace

import numpy as np
import pytest

from eventsnn.data import (
    DIGITS_CAMERA,
    NMNIST,
    load_digits,
    write_dataset,
    write_digits,
    write_idx_folder,
)
from eventsnn.encode import SaccadeCamera
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
    with pytest.raises(TrainingError, match="1 name for 2 images"):
        write_dataset(images, [0, 1], tmp_path / "a", camera=CAMERA, seed=0, names=["x"])
    with pytest.raises(TrainingError, match="label -1 is negative"):
        write_dataset(images, [0, -1], tmp_path / "a", camera=CAMERA, seed=0)
    for seed in (-1, 10**5000, 1.5, "x", None):
        with pytest.raises(TrainingError, match="seed must be a whole number from 0 to"):
            write_dataset(images, [0, 1], tmp_path / "a", camera=CAMERA, seed=seed)
    for threads in (0, -1, 10**6, 1.5):
        with pytest.raises(TrainingError, match="threads must be a whole number from 1 to 1024"):
            write_dataset(images, [0, 1], tmp_path / "a", camera=CAMERA, seed=0, threads=threads)
    for name in ("../x", "/x", "", 1):
        with pytest.raises(TrainingError, match="names must be names of files"):
            write_dataset(images, [0, 1], tmp_path / "a", camera=CAMERA, seed=0, names=["y", name])
    with pytest.raises(TrainingError, match="two recordings of a class have the same name"):
        write_dataset(images, [1, 1], tmp_path / "a", camera=CAMERA, seed=0, names=["y", "y"])
    with pytest.raises(TrainingError, match="limit must be a whole number >= 1, got 0"):
        write_digits(tmp_path / "a", limit=0)
    assert not (tmp_path / "a").exists()
    with pytest.raises(SimulationError, match="dtype uint8 or float"):
        write_dataset(images.astype(int), [0, 1], tmp_path / "a", camera=CAMERA, seed=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(EventFileError, match="cannot be made"):
        write_dataset(images, [0, 1], tmp_path / "file", camera=CAMERA, seed=0)


def test_resuming_gives_the_files_of_an_undisturbed_run(tmp_path):
    digits = load_digits()
    images, labels = digits.images[:8], digits.labels[:8]
    arguments = {"camera": CAMERA, "seed": 1, "threads": 1}
    write_dataset(images, labels, tmp_path / "whole", **arguments)
    expected = contents(tmp_path / "whole")

    def stop_after_three(_):
        done.append(1)
        if len(done) == 3:
            raise KeyboardInterrupt

    done: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        write_dataset(images, labels, tmp_path / "part", progress=stop_after_three, **arguments)
    kept = contents(tmp_path / "part")
    assert 3 <= len(kept) < 8
    # What a killed run leaves besides: a file that was not finished.
    (tmp_path / "part" / "0" / "00001.bin.1-2.part").write_bytes(b"abc")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "part").rglob("*.bin")}
    write_dataset(images, labels, tmp_path / "part", resume=True, **{**arguments, "threads": 4})
    assert contents(tmp_path / "part") == expected
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())  # they were not made again
    assert not list((tmp_path / "part").rglob("*.part"))
    assert not (tmp_path / "new").exists()
    write_dataset(images, labels, tmp_path / "new", resume=True, **arguments)
    assert contents(tmp_path / "new") == expected


def test_resuming_refuses_another_set(tmp_path):
    digits = load_digits()
    images, labels = digits.images[:2], digits.labels[:2]
    write_dataset(images, labels, tmp_path / "a", camera=CAMERA, seed=1)
    others = (
        {"seed": 2},
        {"camera": replace(CAMERA, scale=1.9)},
        {"images": 255 - images},
        {"labels": labels + 1},
        {"names": ["x", "y"]},
    )
    for other in others:
        given = {"images": images, "labels": labels, "camera": CAMERA, "seed": 1, **other}
        with pytest.raises(EventFileError, match="begun with other images, camera, seed or version"):
            write_dataset(given.pop("images"), given.pop("labels"), tmp_path / "a", resume=True, **given)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "notes").write_text("mine")
    with pytest.raises(EventFileError, match="the folder is not empty"):
        write_dataset(images, labels, tmp_path / "b", camera=CAMERA, seed=1, resume=True)


@pytest.mark.parametrize("resume", [False, True])
def test_two_runs_into_one_folder(tmp_path, resume):
    """The second is refused, and what the first is writing at the moment stays."""
    digits = load_digits()
    arguments = {"camera": CAMERA, "seed": 1, "threads": 1}

    def start_another(_):
        unfinished = tmp_path / "a" / "0" / "00001.bin.0123456789.part"
        unfinished.write_bytes(b"abc")
        with pytest.raises(EventFileError, match="a: another run is writing it"):
            write_dataset(digits.images[:3], digits.labels[:3], tmp_path / "a", resume=resume, **arguments)
        assert unfinished.exists()
        unfinished.unlink()
        refused.append(1)

    refused: list[int] = []
    write_dataset(
        digits.images[:3],
        digits.labels[:3],
        tmp_path / "a",
        progress=start_another,
        resume=resume,
        **arguments,
    )
    assert refused == [1, 1, 1]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["0", "1", "2", "synth.json"]


def test_a_run_that_was_killed_before_its_first_recording(tmp_path):
    """A lock that nobody holds and a plan that was not finished are no content."""
    digits = load_digits()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".lock").write_text("123\n")
    (tmp_path / "a" / "synth.json.0123456789.part").write_text("{")
    write_dataset(digits.images[:1], digits.labels[:1], tmp_path / "a", camera=CAMERA, seed=1)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["0", "synth.json"]


def write_idx(path, array):
    path.write_bytes(
        struct.pack(f">2xBB{array.ndim}I", 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    )


def idx_folder(folder, prefix=""):
    """Five images to train on and two to test on: a bar each, upright in even ones, else flat."""
    images = np.zeros((7, 28, 28), np.uint8)
    images[::2, 4:24, 12:16] = 255
    images[1::2, 12:16, 4:24] = 255
    labels = np.arange(7) % 2
    folder.mkdir()
    for split, rows in (("train", slice(0, 5)), ("test", slice(5, 7))):
        write_idx(folder / f"{prefix}{split}-images-idx3-ubyte", images[rows])
        write_idx(folder / f"{prefix}{split}-labels-idx1-ubyte", labels[rows])
    return images, labels


def test_idx_folder_in_the_layout_of_nmnist(tmp_path):
    images, labels = idx_folder(tmp_path / "idx")
    camera = SaccadeCamera()
    assert write_idx_folder(tmp_path / "idx", tmp_path / "out", camera=camera, seed=3) == 7
    assert sorted(contents(tmp_path / "out")) == sorted(
        [f"Train/{labels[i]}/{i + 1:05d}.bin" for i in range(5)]
        + [f"Test/{labels[5 + i]}/{i + 1:05d}.bin" for i in range(2)]
    )
    train = NMNIST(tmp_path / "out", split="Train")
    assert train.stream(1) == camera.record(images[2], np.random.default_rng([6, 2]))
    # A part, without the second image, and not more than two.
    n = write_idx_folder(
        tmp_path / "idx", tmp_path / "some", camera=camera, seed=3, splits=["train"], leave_out=[2], limit=2
    )
    assert n == 2
    assert sorted(contents(tmp_path / "some")) == ["Train/0/00001.bin", "Train/0/00003.bin"]
    with pytest.raises(TrainingError, match="leave_out numbers the images of one part"):
        write_idx_folder(tmp_path / "idx", tmp_path / "no", camera=camera, seed=3, leave_out=[1])
    with pytest.raises(TrainingError, match="limit must be a whole number >= 1, got 0"):
        write_idx_folder(tmp_path / "idx", tmp_path / "no", camera=camera, seed=3, limit=0)
    (tmp_path / "idx" / "test-labels-idx1-ubyte").unlink()
    with pytest.raises(EventFileError, match="no file whose name contains t10k-labels or test-labels"):
        write_idx_folder(tmp_path / "idx", tmp_path / "no", camera=camera, seed=3)
    assert not (tmp_path / "no").exists()


def test_emnist_stands_upright(tmp_path):
    images, _ = idx_folder(tmp_path / "emnist", "emnist-letters-")
    camera = SaccadeCamera()
    write_idx_folder(tmp_path / "emnist", tmp_path / "upright", camera=camera, seed=0, limit=1)
    write_idx_folder(tmp_path / "emnist", tmp_path / "as-is", camera=camera, seed=0, limit=1, transpose=False)
    for name, image in (("upright", images[0].T), ("as-is", images[0])):
        stream = NMNIST(tmp_path / name, split="Train").stream(0)
        assert stream == camera.record(image, np.random.default_rng([0, 0]))


def test_without_scikit_learn(monkeypatch):
    real_import = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r"pip install 'eventsnn\[demo\]'"):
        load_digits()
