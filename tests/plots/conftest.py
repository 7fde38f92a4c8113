"""Figures that tests write, and what every picture has to be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is written."""
    written: list[Figure] = []
    save = Figure.savefig

    def remember(figure: Figure, *arguments: Any, **options: Any) -> None:
        written.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", remember)
    return written


def check_picture(path: Path) -> None:
    """A PNG of 1600 x 1000 that shows something, and nothing left over beside it."""
    pixels = imread(path)
    assert pixels.shape[:2] == (1000, 1600)
    ink = (pixels[..., :3] < 0.9).any(axis=2)
    assert 0.005 < ink.mean() < 0.9
    coloured = np.ptp(pixels[..., :3], axis=2) > 0.2
    assert coloured.mean() > 0.0005
    # Drawn over the whole width and height, not into a corner.
    assert np.ptp(np.flatnonzero(ink.any(axis=0))) > 1200
    assert np.ptp(np.flatnonzero(ink.any(axis=1))) > 800
    assert [other for other in path.parent.iterdir() if other.name.endswith(".part")] == []
