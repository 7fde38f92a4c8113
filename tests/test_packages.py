"""The wheel holds every package: what is missing in pyproject.toml is missed only where it is installed."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_every_package_is_listed() -> None:
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("not run from the source folder")
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    there = [
        ".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "eventsnn").rglob("__init__.py")
    ]
    assert listed == sorted(there)
