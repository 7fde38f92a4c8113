"""The accuracy of spoken digits is measured on recordings that were not trained on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.test_encode import make_corpus

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def run(study: str, *arguments: object) -> list[dict]:
    """The lines that a study prints."""
    done = subprocess.run(
        [sys.executable, str(FOLDER), f"studies/{study}", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.skipif(not FOLDER.is_dir(), reason="benchmarks/ is not part of an installation")
def test_divisions(tmp_path: Path) -> None:
    root = make_corpus(tmp_path / "recordings")
    arguments = ["--epochs", 1, "--seeds", 5, 6, "--leave-one-out", "--threads", 1]
    *lines, summary = run("spoken_digits", root, *arguments)
    divisions = ["official", "official", "without ada", "without theo"]
    assert [line["division"] for line in lines] == divisions
    assert [line["seed"] for line in lines] == [5, 6, 1, 1]
    # Takes 0 .. 4 of two digits and two speakers, then all ten takes of both digits of one speaker.
    assert [(line["trained_on"], line["tested_on"]) for line in lines] == [(20, 20)] * 4
    assert summary["leave_one_out_worst"] == min(line["accuracy"] for line in lines[2:])
    assert summary["official_mean"] == (lines[0]["accuracy"] + lines[1]["accuracy"]) / 2


@pytest.mark.skipif(not FOLDER.is_dir(), reason="benchmarks/ is not part of an installation")
def test_unknown_speakers_with_the_normalisation(tmp_path: Path) -> None:
    root = make_corpus(tmp_path / "recordings")
    settings = ["trim_db=30", "level_db=-40", "frames=40", "sections=8", "pool=3"]
    experiment = FOLDER.parent / "datasets" / "spoken_digits" / "unknown_speakers.toml"
    arguments = ["--epochs", 1, "--seeds", "--leave-one-out", "--speakers", "theo", "--threads", 1]
    line, summary = run("spoken_digits", root, "--experiment", experiment, *arguments, "--set", *settings)
    assert (line["division"], line["tested_on"]) == ("without theo", 20)
    assert summary["leave_one_out_mean"] == line["accuracy"]


@pytest.mark.skipif(not FOLDER.is_dir(), reason="benchmarks/ is not part of an installation")
def test_what_each_setting_of_the_encoder_is_worth(tmp_path: Path) -> None:
    root = make_corpus(tmp_path / "recordings")
    ada, theo, line = run("unknown_speakers", root, "--only", "sections 8, pool 3")
    assert (ada["speaker"], theo["speaker"]) == ("ada", "theo")
    # A sine of 6000 / 32768 is 17.8 dB below full-scale power of 1 / 2, and lasts 0.2 s and more.
    assert ada["level_db"] == pytest.approx(20 * np.log10(6000 / 32768) - 3.0, abs=0.2)
    assert (ada["silence_before_ms"], 200 <= ada["word_ms"] <= 210) == (0.0, True)
    # Two tones, whoever "says" them: nothing is easier.
    assert (line["ada"], line["theo"], line["mean"]) == (100.0, 100.0, 100.0)
    assert line["development"] is None
