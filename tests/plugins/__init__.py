"""Modules as other packages would write them, and a way to install them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest


def install(points: Mapping[tuple[str, str], str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package in `folder` that declares the entry points (group, name): "module:object"."""
    info = folder / "site" / "plugins-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugins\nVersion: 1.0\n")
    lines = (f"[{group}]\n{name} = {target}\n" for (group, name), target in points.items())
    (info / "entry_points.txt").write_text("".join(lines))
    monkeypatch.syspath_prepend(folder / "site")
