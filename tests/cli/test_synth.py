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


@pytest.fixture
def folder(tmp_path: Path, images: np.ndarray) -> Path:
    """IDX files of three images to train on and one to test on."""
    path = tmp_path / "idx"
    path.mkdir()
    for mark, rows in (("train", slice(0, 3)), ("t10k", slice(0, 1))):
        write_idx(path / f"{mark}-images-idx3-ubyte.gz", images[rows])
        write_idx(path / f"{mark}-labels-idx1-ubyte.gz", np.array([7, 2, 7])[rows])
    return path


def test_folder_of_idx_files(cli: Cli, tmp_path: Path, folder: Path) -> None:
    result = cli("synth", tmp_path / "out", "--images", folder, "--json").json
    assert (result["recordings"], result["sensor"]) == (4, [34, 34, 2])
    train = es.data.NMNIST(tmp_path / "out", split="Train")
    assert [Path(path).name for path in train.paths] == ["00002.bin", "00001.bin", "00003.bin"]
    assert len(es.data.NMNIST(tmp_path / "out", split="Test")) == 1

    # The same again goes on with it (and has nothing to do); other than that it is refused.
    assert cli("synth", tmp_path / "out", "--images", folder).code == 1
    assert cli("synth", tmp_path / "out", "--images", folder, "--resume").code == 0
    outcome = cli("synth", tmp_path / "out", "--images", folder, "--resume", "--seed", 5)
    assert (outcome.code, "other images, camera, seed" in outcome.err) == (1, True)

    # Numbers that name recordings elsewhere are left out.
    (tmp_path / "real" / "7").mkdir(parents=True)
    (tmp_path / "real" / "7" / "00001.bin").write_bytes(Path(train.paths[1]).read_bytes())
    options = ["--images", folder, "--split", "train", "--leave-out", tmp_path / "real"]
    assert cli("synth", tmp_path / "rest", *options, "--json").json["recordings"] == 2
    rest = es.data.NMNIST(tmp_path / "rest")
    assert sorted(Path(path).name for path in rest.paths) == ["00002.bin", "00003.bin"]


def test_motion_of_ones_own(cli: Cli, tmp_path: Path, folder: Path) -> None:
    (tmp_path / "path.csv").write_text("# ms, px, px\n0,0,0\n50,4,0\n80,4,0\n")
    options = ["--images", folder, "--split", "test", "--motion", tmp_path / "path.csv"]
    assert cli("synth", tmp_path / "out", *options).code == 0
    events = es.data.NMNIST(tmp_path / "out").stream(0).events
    assert len(events) > 200
    assert events["t"].max() < 80_000
    for text, problem in (
        ("0,0\n1,1\n", "three columns are needed (time, dx, dy): got 2"),
        ("a,b,c\n", "cannot be read as lines of time, dx, dy"),
        ("5,0,0\n6,1,1\n", "times_ms must begin with 0"),
        ("0,0,0\n", "a motion needs two points or more"),
    ):
        (tmp_path / "path.csv").write_text(text)
        outcome = cli("synth", tmp_path / "bad", *options)
        assert (outcome.code, problem in outcome.err) == (1, True), outcome.err


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--images", "digits", "--transpose"], "--transpose goes with IDX files only"),
        (["--images", "a.npz", "--split", "train"], "go with a folder of IDX files only"),
        (["--images", "FOLDER", "--leave-out", "d"], "--leave-out needs --split"),
        (["--images", "FOLDER", "--labels", "l"], "--labels goes with an IDX file of images only"),
    ],
)
def test_wrong_use(cli: Cli, tmp_path: Path, folder: Path, options: list[str], text: str) -> None:
    outcome = cli("synth", tmp_path / "out", *(str(folder) if part == "FOLDER" else part for part in options))
    assert (outcome.code, text in outcome.err) == (2, True), outcome.err


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
            "labels must be whole numbers, one for each of 2 images",
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


def test_gestures(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--images", "gestures", "--limit", 11, "--width", 48, "--height", 40, "--seed", 2]
    found = cli("synth", out, *options)
    assert found.out == f"22 recordings in {out}, sensor 48 x 40 x 2\n"
    data = es.data.Folder(out, split="Test")
    assert len(data) == 11
    assert data.stream(0).sensor_size == (48, 40, 2)
    assert "the folder is not empty" in cli("synth", out, *options).err


def test_what_does_not_go_with_gestures(cli: Cli, tmp_path: Path) -> None:
    motion = tmp_path / "a.csv"
    motion.write_text("0,0,0\n10,1,1\n")
    refused = cli("synth", tmp_path / "a", "--images", "gestures", "--motion", motion)
    assert refused.code == 2
    assert "--motion goes with images, not with gestures" in refused.err
    refused = cli("synth", tmp_path / "a", "--images", "digits", "--width", 300)
    assert refused.code == 2
    assert "hold 256 x 240 pixels at most" in refused.err
