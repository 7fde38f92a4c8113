"""The recipe of datasets/shd on a made-up file in that data set's layout."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

import eventsnn as es

tonic = pytest.importorskip("tonic")

ROOT = Path(__file__).parents[2]


def write_shd(folder: Path, labels: list[int]) -> None:
    """``shd_train.h5``: times (float16, s) and units (channels), vectors of any length."""
    folder.mkdir(parents=True)
    (folder / "shd_train.h5.zip").touch()  # tonic looks for what it fetched
    rng = np.random.default_rng(0)
    with h5py.File(folder / "shd_train.h5", "w") as file:
        n = len(labels)
        times = file.create_dataset("spikes/times", (n,), h5py.vlen_dtype(np.float16))
        units = file.create_dataset("spikes/units", (n,), h5py.vlen_dtype(np.uint16))
        for i, label in enumerate(labels):
            times[i] = np.sort(rng.uniform(0, 0.7, 300)).astype(np.float16)
            units[i] = (rng.integers(0, 35, 300) + 35 * label).astype(np.uint16)
        file["labels"] = np.array(labels, np.uint16)
        file["extra/speaker"] = np.zeros(n, np.uint16)
        file["extra/keys"] = np.array([b"zero"] * 20)


def test_recipe(tmp_path: Path) -> None:
    write_shd(tmp_path / "data" / "SHD", [3, 0, 19, 3])
    recordings = tonic.datasets.SHD(save_to=str(tmp_path / "data"), train=True)
    es.data.pack(es.data.from_tonic(recordings), tmp_path / "shd-train.esp")
    packed = es.data.Packed(tmp_path / "shd-train.esp")
    assert packed.sensor_size == (700, 1, 1)
    assert packed.labels.tolist() == [3, 0, 19, 3]
    first = packed.stream(0)
    assert len(first) == 300
    assert first.events["x"].min() >= 105
    assert first.events["x"].max() < 140
    assert first.t_last == pytest.approx(700_000, rel=0.05)
    # The experiment file of the recipe takes it.
    experiment = es.Experiment.load(ROOT / "datasets" / "shd" / "dense.toml")
    result = experiment.run(packed, out=tmp_path / "run", epochs=1, valid_fraction=0.0)
    assert result.network.output.neurons == 20
