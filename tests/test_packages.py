"""The wheel holds every package: what is missing in pyproject.toml is missed only where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import eventsnn

ROOT = Path(__file__).resolve().parent.parent


def project() -> dict[str, Any]:
    if not (ROOT / "pyproject.toml").exists() or not (ROOT / "eventsnn").exists():
        pytest.skip("not run from the source folder")
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_both_versions_are_one() -> None:
    assert project()["project"]["version"] == eventsnn.__version__


def test_every_package_is_listed() -> None:
    listed = project()["tool"]["setuptools"]["packages"]
    there = [
        ".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "eventsnn").rglob("__init__.py")
    ]
    assert listed == sorted(there)


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["-c", "import eventsnn; eventsnn.read('a.bin')"], "eventsnn.errors.NotBuiltError: "),
        (["-m", "eventsnn", "info", "a.bin"], "eventsnn: error: "),
    ],
)
def test_sources_that_are_not_built_say_so(tmp_path: Path, command: list[str], shown: str) -> None:
    """As in a clone beside which the package is installed: Python looks in the current folder first."""
    ignored = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__", "gpu", "view", "plots")
    shutil.copytree(Path(eventsnn.__file__).parent, tmp_path / "eventsnn", ignore=ignored)
    (tmp_path / "a.bin").write_bytes(bytes(5))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"{shown}{tmp_path} holds the sources of eventsnn without compiled modules")
