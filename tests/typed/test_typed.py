"""The package is typed for its users: a strict type checker accepts a program, and finds its mistakes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("program.py")


def check(program: Path, cache: Path) -> tuple[int, str]:
    """Exit code and output of ``mypy --strict`` by its own rules, not those of this project."""
    pytest.importorskip("mypy")
    options = ["--strict", "--config-file=", "--follow-imports=silent", f"--cache-dir={cache}"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(program)],
        env=os.environ | {"MYPYPATH": str(ROOT)},
        cwd=program.parent,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_a_program_passes_strictly_and_its_mistakes_do_not(tmp_path: Path) -> None:
    code, output = check(PROGRAM, tmp_path / "cache")
    assert code == 0, output
    wrong = tmp_path / "wrong.py"
    text = PROGRAM.read_text()
    mistakes = {
        "threshold=2.0": 'threshold="2"',
        "accuracy: float = outcome": "accuracy: str = outcome",
        "epochs=3": "epoch=3",
        "samples=range(3))\n": 'samples="3")\n',
    }
    for right, mistake in mistakes.items():
        assert right in text
        text = text.replace(right, mistake)
    wrong.write_text(text)
    code, output = check(wrong, tmp_path / "cache")
    assert code == 1
    assert output.count("error:") >= len(mistakes), output
