"""The accuracy of spoken digits is measured on recordings that were not trained on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_encode import make_corpus

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.skipif(not FOLDER.is_dir(), reason="benchmarks/ is not part of an installation")
def test_divisions(tmp_path: Path) -> None:
    root = make_corpus(tmp_path / "recordings")
    arguments = [str(root), "--epochs", "1", "--seeds", "5", "6", "--leave-one-out", "--threads", "1"]
    done = subprocess.run(
        [sys.executable, str(FOLDER), "studies/spoken_digits", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *lines, summary = [json.loads(line) for line in done.stdout.splitlines()]
    divisions = ["official", "official", "without ada", "without theo"]
    assert [line["division"] for line in lines] == divisions
    assert [line["seed"] for line in lines] == [5, 6, 1, 1]
    # Takes 0 .. 4 of two digits and two speakers, then all ten takes of both digits of one speaker.
    assert [(line["trained_on"], line["tested_on"]) for line in lines] == [(20, 20)] * 4
    assert summary["leave_one_out_worst"] == min(line["accuracy"] for line in lines[2:])
    assert summary["official_mean"] == (lines[0]["accuracy"] + lines[1]["accuracy"]) / 2
