"""The wheel holds every package: what is missing in pyproject.toml is missed only where it is installed."""

from __future__ import annotations

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
