"""eventsnn synth"""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

import eventsnn as es
from tests.cli.conftest import Cli


def write_idx(path: Path, array: np.ndarray) -> Path:
    header = struct.pack(f">2xBB{array.ndim}I", 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))
    return path


@pytest.fixture
def images() -> np.ndarray:
    """Three images of one bright bar each."""
    bars = np.zeros((3, 28, 28), np.uint8)
    for number in range(3):
        bars[number, 4:24, 6 + 5 * number : 9 + 5 * number] = 255
    return bars


def test_idx(cli: Cli, tmp_path: Path, images: np.ndarray) -> None:
    image_file = write_idx(tmp_path / "images-idx3-ubyte.gz", images)
    label_file = write_idx(tmp_path / "labels-idx1-ubyte.gz", np.array([7, 2, 7]))
    options = ["--images", image_file, "--labels", label_file, "--seed", 3]
    result = cli("synth", tmp_path / "out", *options, "--json").json
    assert result == {"out": str(tmp_path / "out"), "recordings": 3, "sensor": [34, 34, 2]}
    data = es.data.NMNIST(tmp_path / "out")
    assert data.labels.tolist() == [2, 7, 7]
    streams = [data.stream(index) for index in range(3)]
    assert all(len(stream) > 500 for stream in streams)
    # The bars stand side by side, and so do their events.
    assert (
        np.median(streams[1].events["x"])
        < np.median(streams[0].events["x"])
        < np.median(streams[2].events["x"])
    )

    cli("synth", tmp_path / "again", *options, "--limit", 1)
    again = es.data.NMNIST(tmp_path / "again")
    assert len(again) == 1
    assert again.stream(0) == streams[1]  # chance depends on seed and image alone


def test_npz_with_another_sensor(cli: Cli, tmp_path: Path, images: np.ndarray) -> None:
    np.savez(tmp_path / "bars.npz", images=images, labels=[0, 1, 2])
    outcome = cli("synth", tmp_path / "out", "--images", tmp_path / "bars.npz", "--width", 20, "--height", 24)
    assert outcome.code == 0, outcome.err
    assert "3 recordings in" in outcome.out
    assert "sensor 20 x 24 x 2" in outcome.out
    assert "take it from the model, or from --sensor" in outcome.out
    data = es.data.NMNIST(tmp_path / "out", sensor=(20, 24, 2))
    assert all(len(data.stream(index)) > 300 for index in range(3))


def test_digits(cli: Cli, tmp_path: Path) -> None:
    result = cli("synth", tmp_path / "out", "--images", "digits", "--limit", 4, "--json").json
    assert (result["recordings"], result["sensor"]) == (8, [20, 20, 2])
    for split in ("Train", "Test"):
        assert len(es.data.NMNIST(tmp_path / "out", split=split, sensor=(20, 20, 2))) == 4


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"x": [1]}, "needs arrays named images and labels; arrays here: x"),
        ({"images": np.zeros((2, 8, 8)), "labels": [0, 1]}, "images must be uint8 of shape"),
        (
            {"images": np.zeros((2, 8, 8), np.uint8), "labels": [0]},
            "2 images need as many whole-number labels",
        ),
        ({"images": np.zeros((1, 8, 8), np.uint8), "labels": [-1]}, "negative"),
    ],
)
def test_bad_npz(cli: Cli, tmp_path: Path, arrays: dict[str, object], text: str) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    outcome = cli("synth", tmp_path / "out", "--images", tmp_path / "bad.npz")
    assert outcome.code == 1
    assert text in outcome.err


def test_folder_in_use(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    np.savez(tmp_path / "a.npz", images=np.zeros((1, 8, 8), np.uint8), labels=[0])
    outcome = cli("synth", tmp_path, "--images", tmp_path / "a.npz")
    assert outcome.code == 1
    assert "the folder is not empty" in outcome.err
