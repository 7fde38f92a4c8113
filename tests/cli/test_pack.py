"""eventsnn pack, and the commands that take its file instead of a folder"""

from pathlib import Path

import eventsnn as es
from eventsnn.train.checkpoint import load_checkpoint
from tests.cli.conftest import EXPERIMENT, SENSOR, Cli, interrupt_when, write_recordings
from tests.events.helpers import random_stream
from tests.train.toy import assert_same_weights

AUGMENTED = EXPERIMENT + "[augmentation]\nshift = 1\ndrop = 0.1\ntime_scale = 0.1\n"


def test_a_folder_and_its_file_are_the_same_to_the_bit(cli: Cli, tmp_path: Path) -> None:
    experiment = tmp_path / "experiment.toml"
    experiment.write_text(AUGMENTED)
    folder, file = write_recordings(tmp_path / "folder", 8), tmp_path / "set.esp"
    outcome = cli("pack", folder, "--out", file, "--sensor", "6x5x2", "--json")
    assert outcome.code == 0, outcome.err
    result = outcome.json
    assert result.pop("seconds") > 0
    assert result == {
        "out": str(file),
        "recordings": 16,
        "events": 16 * 120,
        "bytes": file.stat().st_size,
        "sensor": list(SENSOR),
        "skipped": 0,
    }
    assert cli("train", experiment, "--train", folder, "--out", tmp_path / "a", "--threads", 2).code == 0
    # The file of the folder it began with: names and order are the same, so a run may go on from it.
    options = ["--epochs", 2, "--threads", 1]
    assert cli("train", experiment, "--train", folder, "--out", tmp_path / "b", *options).code == 0
    outcome = cli("train", experiment, "--train", file, "--out", tmp_path / "b", "--resume")
    assert outcome.code == 0, outcome.err
    networks = [es.Network.load(tmp_path / run / "model.h5") for run in "ab"]
    assert_same_weights(*networks)
    assert networks[0].weights["hidden"].std() > 0
    configs = [load_checkpoint(tmp_path / run / "checkpoint.h5").config for run in "ab"]
    assert configs[0] == configs[1]

    evaluations = [
        cli("evaluate", tmp_path / "a" / "model.h5", "--data", data, "--json").json for data in (folder, file)
    ]
    assert [evaluation.pop("data") for evaluation in evaluations] == [str(folder), str(file)]
    assert all(evaluation.pop("seconds") > 0 for evaluation in evaluations)
    assert evaluations[0] == evaluations[1]


def test_info(cli: Cli, recordings: Path, tmp_path: Path) -> None:
    file = tmp_path / "set.esp"
    assert cli("pack", recordings, "--out", file, "--sensor", "6x5x2").code == 0
    assert cli("info", file, "--json").json == {
        "format": "packed",
        "sensor": list(SENSOR),
        "recordings": 6,
        "events": 720,
        "classes": ["0", "1"],
    }
    assert cli("info", file).out.startswith(f"{file}: a packed data set\n  sensor      6 x 5 x 2")


def test_text(cli: Cli, recordings: Path, tmp_path: Path) -> None:
    file = tmp_path / "set.esp"
    outcome = cli("pack", recordings, "--out", file, "--sensor", "6x5x2")
    assert outcome.out.startswith(f"6 recordings, 720 events, sensor 6 x 5 x 2: {file}, 0.0 MB")


def test_bad_recordings(cli: Cli, recordings: Path, tmp_path: Path) -> None:
    (recordings / "0" / "00001.bin").write_bytes(b"123")
    file = tmp_path / "set.esp"
    outcome = cli("pack", recordings, "--out", file, "--sensor", "6x5x2")
    assert outcome.code == 1
    assert "00001.bin, byte 0: the last record is cut" in outcome.err
    assert not file.exists()
    outcome = cli("pack", recordings, "--out", file, "--sensor", "6x5x2", "--bad-files", "skip", "--json")
    assert (outcome.code, outcome.json["recordings"], outcome.json["skipped"]) == (0, 5, 1)
    assert "skipped 1 unreadable recording:" in outcome.err


def test_wrong_use(cli: Cli, model: Path, recordings: Path, tmp_path: Path) -> None:
    file = tmp_path / "set.esp"
    assert cli("pack", recordings, "--out", file, "--sensor", "6x5x2").code == 0
    outcome = cli("evaluate", model, "--data", file, "--split", "Train")
    assert outcome.code == 2
    assert "--split is for folders" in outcome.err
    outcome = cli("evaluate", model, "--data", model)
    assert outcome.code == 1
    assert "is not a packed data set; 'eventsnn pack' makes one" in outcome.err
    assert cli("pack", tmp_path / "nowhere", "--out", file).code == 1


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    folder, out = tmp_path / "folder" / "0", tmp_path / "out"
    folder.mkdir(parents=True)
    out.mkdir()
    es.write(folder / "0000.bin", random_stream(5000))
    for number in range(1, 3000):
        (folder / f"{number:04d}.bin").hardlink_to(folder / "0000.bin")
    file = out / "set.esp"
    outcome = interrupt_when(lambda: any(out.iterdir()), "pack", folder.parent, "--out", file)
    assert outcome.code == 130, outcome.err
    assert "nothing was kept" in outcome.err
    assert list(out.iterdir()) == []
