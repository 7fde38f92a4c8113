"""train and evaluate on images of IDX files."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.cli.conftest import Cli, experiment_text
from tests.data.test_idx import idx_bytes

EXPERIMENT = experiment_text(
    sensor="width = 6, height = 4", epochs=6, more="[coding]\nsteps = 60\nscale = 0.3"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Training and test images of two classes: bright on the left, bright on the right."""
    root = tmp_path / "images"
    root.mkdir()
    rng = np.random.default_rng(1)
    for split, n in (("train", 16), ("t10k", 6)):
        labels = np.arange(n, dtype=np.uint8) % 2
        images = rng.integers(0, 40, (n, 4, 6), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[:, 3 * label : 3 * label + 3] += 200
        (root / f"{split}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        (root / f"{split}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    return root


def test_train_and_evaluate(cli: Cli, experiment: Path, folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    outcome = cli("train", experiment, "--train", folder, "--out", run, "--json")
    assert outcome.code == 0, outcome.err
    assert f"taking the train images in {folder}" in outcome.err
    assert outcome.json["valid_accuracy"] == 1.0
    with h5py.File(run / "model.h5") as file:
        config = json.loads(file.attrs["training"])["config"]
    assert config["training_set"]["coder"] == {"steps": 60, "scale": 0.3, "step_us": 1000}
    assert config["training_set"]["recordings"] == 12

    outcome = cli("evaluate", run / "model.h5", "--data", folder, "--json")
    assert f"taking the test images in {folder}" in outcome.err
    assert (outcome.json["n"], outcome.json["accuracy"]) == (6, 1.0)
    assert cli("evaluate", run / "model.h5", "--data", folder, "--split", "train", "--json").json["n"] == 16
    file = folder / "train-images-idx3-ubyte"
    assert cli("evaluate", run / "model.h5", "--data", file, "--limit", 3, "--json").json["n"] == 3


def test_epochs_are_drawn_anew_and_resume_to_the_same_bits(
    cli: Cli, experiment: Path, folder: Path, tmp_path: Path
) -> None:
    options = ["train", experiment, "--train", folder, "--seed", 4, "--limit", 12, "--valid-fraction", 0]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert cli(*options, "--out", whole, "--epochs", 3, "--threads", 2).code == 0
    assert cli(*options, "--out", parts, "--epochs", 1, "--threads", 1).code == 0
    assert cli(*options, "--out", parts, "--epochs", 3, "--threads", 1, "--resume").code == 0
    assert (parts / "model.h5").read_bytes() == (whole / "model.h5").read_bytes()

    experiment.write_text(EXPERIMENT.replace("scale = 0.3", "scale = 0.2"))
    outcome = cli(*options, "--out", parts, "--epochs", 4, "--resume")
    assert outcome.code == 1
    assert "cannot resume, training_set.coder.scale was 0.3 and is now 0.2" in outcome.err


def test_augment_options(cli: Cli, experiment: Path, folder: Path, recordings: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ["train", experiment, "--train", folder, "--epochs", 1, "--out", run]
    outcome = cli(*options, "--augment", "elastic=8", "--augment", "shift=1", "--threads", 2)
    assert outcome.code == 0, outcome.err
    with h5py.File(run / "model.h5") as file:
        config = json.loads(file.attrs["training"])["config"]
    assert config["distortion"] == {"elastic": 8, "smoothing": 4.0, "scale": 0.0, "rotation": 0.0}
    assert config["augmentation"]["shift"] == 1
    # The same, from the file, on another number of threads.
    experiment.write_text(EXPERIMENT + "[augmentation]\nshift = 1\n[distortion]\nelastic = 8\n")
    again = ["train", experiment, "--train", folder, "--epochs", 1, "--out", tmp_path / "again"]
    assert cli(*again, "--threads", 1).code == 0
    assert (tmp_path / "again" / "model.h5").read_bytes() == (run / "model.h5").read_bytes()

    outcome = cli(*options, "--augment", "elastics=8")
    assert outcome.code == 1
    assert (
        "no augmentation 'elastics'; there are shift, drop, time_scale, jitter, flip, transforms, jitter_ms, "
        in outcome.err
    )
    outcome = cli(*options, "--augment", "elastic")
    assert (outcome.code, "such as elastic=13.4" in outcome.err) == (2, True)
    experiment.write_text(
        EXPERIMENT.replace("width = 6, height = 4", "width = 6, height = 5, polarities = 2")
    )
    outcome = cli(
        "train", experiment, "--train", recordings, "--out", tmp_path / "r", "--augment", "scale=0.1"
    )
    assert outcome.code == 0, outcome.err
    with h5py.File(tmp_path / "r" / "model.h5") as file:
        assert json.loads(file.attrs["training"])["config"]["distortion"]["scale"] == 0.1


def test_validation_set_is_named_by_its_file(
    cli: Cli, experiment: Path, folder: Path, tmp_path: Path
) -> None:
    options = ["train", experiment, "--train", folder, "--out", tmp_path / "run", "--epochs", 1]
    outcome = cli(*options, "--valid", folder)
    assert outcome.code == 2
    assert "name the IDX file of the images" in outcome.err
    outcome = cli(*options, "--valid", folder / "t10k-images-idx3-ubyte", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["valid_accuracy"] is not None


def test_refusals(cli: Cli, experiment: Path, folder: Path, recordings: Path, tmp_path: Path) -> None:
    options = ["train", experiment, "--out", tmp_path / "run", "--train"]
    outcome = cli(*options, recordings, "--limit", 3)
    assert (outcome.code, "--limit is for images" in outcome.err) == (2, True)
    outcome = cli(*options, folder / "train-images-idx3-ubyte", "--split", "train")
    assert (outcome.code, "--split is for folders" in outcome.err) == (2, True)
    (folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(3, np.uint8)))
    outcome = cli(*options, folder)
    assert outcome.code == 1
    assert "labels of shape (3,) for 16 images" in outcome.err
    cut = (folder / "train-images-idx3-ubyte").read_bytes()[:-5]
    (folder / "train-images-idx3-ubyte").write_bytes(cut)
    assert "needs 384 bytes, the file has 379" in cli(*options, folder).err
    (folder / "train-images-idx3-ubyte").write_bytes(b"\0\0\x0d\3")
    assert "IDX type 0x0d; only bytes (0x08) are read here" in cli(*options, folder).err
    experiment.write_text(EXPERIMENT.replace("scale = 0.3", "scale = 3"))
    assert (
        "experiment.toml: bernoulli: scale must be a finite number > 0 and <= 1" in cli(*options, folder).err
    )
