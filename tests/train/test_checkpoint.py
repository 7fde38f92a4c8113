"""Checkpoint files: there and back, damaged, of other versions."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest

from eventsnn.errors import TrainingError
from eventsnn.train.checkpoint import Checkpoint, load_checkpoint, load_for_all, save_checkpoint
from tests.thread_ranks import run_ranks
from tests.train.toy import toy_train


def some_checkpoint(**changes) -> Checkpoint:
    fields = {
        "epoch": 3,
        "step": 12,
        "arrays": {"weights/a b": np.arange(6.0, dtype=np.float32).reshape(2, 3), "boost": np.ones(4)},
        "history": [{"epoch": 1, "loss": 0.1}],
        "best": {"epoch": 1, "valid_accuracy": None},
        "config": {"seed": 1},
    }
    return Checkpoint(**(fields | changes))


def test_checkpoints_go_there_and_back(tmp_path):
    path = tmp_path / "checkpoint.h5"
    # Longer than the 64 KiB that an HDF5 attribute holds.
    history = [{"epoch": k, "loss": 1 / (k + 1), "text": "x" * 100} for k in range(1000)]
    saved = some_checkpoint(history=history)
    save_checkpoint(path, saved)
    found = load_checkpoint(path)
    assert found.arrays.keys() == saved.arrays.keys()
    for name, array in saved.arrays.items():
        assert found.arrays[name].dtype == array.dtype
        assert np.array_equal(found.arrays[name], array)
    assert dataclasses.replace(found, arrays={}) == dataclasses.replace(saved, arrays={})
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.h5"]


def test_arrays_that_fit_are_read_in_place(tmp_path):
    path = tmp_path / "checkpoint.h5"
    saved = some_checkpoint()
    save_checkpoint(path, saved)
    places = {"weights/a b": np.zeros((2, 3), np.float32), "boost": np.zeros(5), "another": np.zeros(2)}
    found = load_checkpoint(path, places)
    assert found.arrays["weights/a b"] is places["weights/a b"]
    assert found.arrays.keys() == saved.arrays.keys()
    for name, array in saved.arrays.items():
        assert np.array_equal(found.arrays[name], array)
    for wrong in (np.zeros((2, 3)), np.zeros((3, 2), np.float32), np.zeros((3, 2), np.float32).T):
        found = load_checkpoint(path, {"weights/a b": wrong})
        assert found.arrays["weights/a b"] is not wrong
        assert not wrong.any()


def test_all_ranks_are_given_the_checkpoint_of_the_first(tmp_path):
    path = tmp_path / "checkpoint.h5"
    saved = some_checkpoint(
        arrays={"a": np.arange(6.0).reshape(2, 3), "b": np.ones(4, np.float32), "c": np.zeros(0)}
    )

    def load(ranks):
        # Another shape on one rank: whoever resumes says so, and nothing must wait for ever.
        places = {"a": np.zeros((2, 3)), "b": np.zeros(4 + ranks.rank % 2, np.float32)}
        return places, load_for_all(path if ranks.first else tmp_path / "elsewhere", places, ranks)

    assert all(found is None for _, found in run_ranks(2, load))
    save_checkpoint(path, saved)
    for rank, (places, found) in enumerate(run_ranks(3, load)):
        assert found.arrays["a"] is places["a"]
        assert (found.arrays["b"] is places["b"]) == (rank != 1)
        assert dataclasses.replace(found, arrays={}) == dataclasses.replace(saved, arrays={})
        assert found.arrays.keys() == saved.arrays.keys()
        for name, array in saved.arrays.items():
            assert found.arrays[name].dtype == array.dtype
            assert np.array_equal(found.arrays[name], array)


def damage(path: Path, kind: str) -> None:
    data = path.read_bytes()
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("no HDF5 at all")
    elif kind == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif kind == "cut at the end":
        path.write_bytes(data[:-30])  # the trailer and more; without the trailer all is still there
    elif kind == "a flipped bit in an array":
        at = data.index(np.arange(6.0, dtype=np.float32).tobytes())
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    elif kind == "a digit of the metrics":
        assert data.count(b'"loss": 0.1') == 1
        path.write_bytes(data.replace(b'"loss": 0.1', b'"loss": 0.2'))
    elif kind == "half the metrics":
        path.write_bytes(data.replace(b'"loss": 0.1', b'"loss", 0.1'))
    elif kind == "no arrays":
        with h5py.File(path, "a") as file:
            del file["arrays"]
    elif kind == "another file of HDF5":
        with h5py.File(path, "w") as file:
            file["arrays/x"] = 1.0


@pytest.mark.parametrize(
    "kind",
    [
        "empty",
        "text",
        "cut",
        "cut at the end",
        "a flipped bit in an array",
        "a digit of the metrics",
        "half the metrics",
        "no arrays",
        "another file of HDF5",
    ],
)
def test_damaged_checkpoints_are_refused(tmp_path, kind):
    path = tmp_path / "checkpoint.h5"
    save_checkpoint(path, some_checkpoint())
    damage(path, kind)
    with pytest.raises(
        TrainingError, match=r"checkpoint\.h5: not a checkpoint of eventsnn, or a damaged one \("
    ):
        load_checkpoint(path)


def test_a_newer_checkpoint_is_refused(tmp_path):
    path = tmp_path / "checkpoint.h5"
    save_checkpoint(path, some_checkpoint())
    with h5py.File(path, "a") as file:
        file.attrs["eventsnn_checkpoint"] = 2
    with pytest.raises(TrainingError, match="written by a newer eventsnn"):
        load_checkpoint(path)


def test_a_checkpoint_without_the_arrays_of_this_network_is_refused(tmp_path):
    folder = tmp_path / "run"
    toy_train(folder, epochs=1)
    saved = load_checkpoint(folder / "checkpoint.h5")
    del saved.arrays["moment1/output"]
    save_checkpoint(folder / "checkpoint.h5", saved)
    with pytest.raises(TrainingError, match="array 'moment1/output' is missing or of another shape"):
        toy_train(folder, epochs=2, resume=True)


def test_a_checkpoint_that_cannot_be_written(tmp_path):
    with pytest.raises(TrainingError, match=r"checkpoint\.h5: the checkpoint cannot be written \("):
        save_checkpoint(tmp_path / "no folder" / "checkpoint.h5", some_checkpoint())
