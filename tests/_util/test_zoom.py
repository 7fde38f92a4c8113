"""The part of a sensor that is shown."""

from __future__ import annotations

import numpy as np
import pytest

from eventsnn._util.zoom import LEAST, busy_part


def test_a_small_part_is_shown_with_a_margin() -> None:
    maps = np.zeros((2, 260, 346))
    maps[0, 100:140, 200:220] = 1.0
    maps[1, 120, 230] = -0.5
    maps[1, 5, 5] = 0.001  # too faint to matter
    x0, x1, y0, y1 = busy_part(maps)
    assert 0 < x0 < 200
    assert 231 < x1 < 346
    assert 0 < y0 < 100
    assert 140 < y1 < 260
    assert (x1 - x0) / (y1 - y0) == pytest.approx(346 / 260, rel=0.05)


@pytest.mark.parametrize(("x", "y"), [(0, 0), (345, 259), (345, 0), (100, 100)])
def test_a_single_pixel_is_shown_with_what_is_around_it(x: int, y: int) -> None:
    maps = np.zeros((1, 260, 346))
    maps[0, y, x] = 2.0
    x0, x1, y0, y1 = busy_part(maps)
    assert 0 <= x0 <= x < x1 <= 346
    assert 0 <= y0 <= y < y1 <= 260
    assert min(x1 - x0, y1 - y0) == LEAST


@pytest.mark.parametrize(
    "maps",
    [
        np.zeros((2, 34, 34)),
        np.ones((2, 34, 34)),
        np.eye(34)[None],
        np.zeros((1, 1, 700)),
        np.ones((1, 20, 20)),
    ],
)
def test_otherwise_all_is_shown(maps: np.ndarray) -> None:
    _, height, width = maps.shape
    assert busy_part(maps) == (0, width, 0, height)
