"""Checkpoint files: there and back, damaged, of other versions."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest

from eventsnn.errors import TrainingError
from eventsnn.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
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
