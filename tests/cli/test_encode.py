"""eventsnn encode"""

from pathlib import Path

import numpy as np

import eventsnn as es
from tests.cli.conftest import Cli
from tests.events.test_audio import write_wav


def make_corpus(root: Path) -> Path:
    """Two speakers, two digits that differ in pitch, takes 0 .. 9."""
    rng = np.random.default_rng(0)
    for digit, pitch in ((0, 400.0), (1, 2000.0)):
        for speaker in ("ada", "theo"):
            for take in range(10):
                t = np.arange(1600 + 8 * take) / 8000.0
                sound = 6000 * np.sin(2 * np.pi * pitch * t) + rng.normal(0, 300, len(t))
                write_wav(root / f"{digit}_{speaker}_{take}.wav", sound.astype("<i2").tobytes())
    return root


def test_from_sounds_to_a_model(cli: Cli, tmp_path: Path) -> None:
    root = make_corpus(tmp_path / "recordings")
    result = cli("encode", root, "--split", "train", "--out", tmp_path / "train.esp", "--json").json
    assert result["recordings"] == 20
    assert result["speakers"] == ["ada", "theo"]
    assert result["sensor"] == [78, 1, 1]
    assert result["classes"] == list("0123456789")
    assert result["events"] == es.data.Packed(tmp_path / "train.esp").events > 1000
    text = cli("encode", root, "--split", "TEST", "--out", tmp_path / "test.esp").out
    assert text.startswith("20 recordings of ada, theo; ")
    experiment = tmp_path / "experiment.toml"
    experiment.write_text(
        "[network]\ninput = { width = 78 }\n[[network.layers]]\nneurons = 10\n"
        "[rule]\nhead = 'softmax'\n[optimiser]\nlearning_rate = 0.05\n[training]\n"
        "valid_fraction = 0.0\nepochs = 10\n"
    )
    assert cli("train", experiment, "--train", tmp_path / "train.esp", "--out", tmp_path / "run").code == 0
    outcome = cli("evaluate", tmp_path / "run" / "model.h5", "--data", tmp_path / "test.esp", "--json").json
    assert outcome["n"] == 20
    assert outcome["accuracy"] == 1.0


def test_speakers(cli: Cli, tmp_path: Path) -> None:
    root = make_corpus(tmp_path / "recordings")
    one = cli("encode", root, "--speaker", "ada", "--out", tmp_path / "a.esp", "--json").json
    other = cli("encode", root, "--without", "theo", "--out", tmp_path / "b.esp", "--json").json
    assert one["recordings"] == other["recordings"] == 20
    assert one["speakers"] == ["ada"]
    assert (tmp_path / "a.esp").read_bytes() == (tmp_path / "b.esp").read_bytes()


def test_normalised(cli: Cli, tmp_path: Path) -> None:
    root = make_corpus(tmp_path / "recordings")
    settings = ["--set", "trim_db=30", "--set", "level_db=-40", "--set", "frames=20", "--set", "pool=3"]
    options = ["encode", root, "--out", tmp_path / "a.esp", *settings, "--set"]
    assert cli(*options, "sections=4", "--json").json["sensor"] == [26, 4, 1]
    data = es.data.Packed(tmp_path / "a.esp")
    assert len(data) == 40
    # 20 frames of 10 steps of 1 ms.
    assert all(0 < data.stream(i).events["t"].max() <= 200_000 for i in range(40))
    wrong = cli(*options, "sections=0")
    assert wrong.code == 1
    assert "speech: sections must be a whole number of sections, from 1 to 1000, got 0" in wrong.err


def test_errors(cli: Cli, tmp_path: Path) -> None:
    root = make_corpus(tmp_path / "recordings")
    missing = cli("encode", root, "--speaker", "eve", "--out", tmp_path / "a.esp")
    assert missing.code == 1
    assert "no speaker 'eve'" in missing.err
    assert cli("encode", root, "--corpus", "timit", "--out", tmp_path / "a.esp").code == 2
    (root / "1_ada_3.wav").write_bytes(b"RIFF")
    bad = cli("encode", root, "--out", tmp_path / "a.esp")
    assert bad.code == 1
    assert "1_ada_3.wav" in bad.err
    assert not (tmp_path / "a.esp").exists()
    skipping = cli("encode", root, "--out", tmp_path / "a.esp", "--bad-files", "skip", "--json")
    assert skipping.json["recordings"] == 39
    assert skipping.json["skipped"] == 1
    assert "1_ada_3.wav" in skipping.err
