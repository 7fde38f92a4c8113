from __future__ import annotations

import numpy as np
import pytest

from eventsnn.errors import SimulationError
from eventsnn.events import NMNIST_MOTION, NMNIST_SACCADES, MotionPath, Saccade


def test_minimum_jerk():
    path = MotionPath.minimum_jerk(
        (Saccade(10.0, 80.0, 4.0, -2.0), Saccade(90.0, 20.0, -4.0, 0.0)), step_ms=1.0
    )
    times, x, y = path.sample(150.0, step_ms=1.0)
    # Half way at half time; at rest before, between and after.
    at = {t: (x[k], y[k]) for k, t in enumerate(times.round(6).tolist())}
    assert at[0.0] == at[10_000.0] == (0.0, 0.0)
    assert at[50_000.0] == pytest.approx((2.0, -1.0))
    assert at[90_000.0] == pytest.approx((4.0, -2.0))
    assert at[110_000.0] == at[150_000.0] == pytest.approx((0.0, -2.0))
    # Its velocity is greatest half way, 15/8 of the mean one, and 0 at both ends.
    speed = np.diff(x[1:82])
    assert speed.max() == pytest.approx(15 / 8 * 4.0 / 80.0, rel=1e-3)
    assert speed[[0, -1]] == pytest.approx([0.0, 0.0], abs=1e-4)
    # Points only where something moves: 0, then 80 + 1 and 20 more, and the end.
    assert len(times) == 1 + 81 + 20 + 1


def test_straight_paths_are_cut_into_steps():
    path = MotionPath([0.0, 2.0, 5.0, 5.5], [0.0, 4.0, 4.0, 4.0], [1.0, 1.0, 1.0, -1.0])
    times, x, y = path.sample(8.0, step_ms=0.5)
    np.testing.assert_allclose(times, [0, 500, 1000, 1500, 2000, 5000, 5500, 8000])
    np.testing.assert_allclose(x, [0, 1, 2, 3, 4, 4, 4, 4])
    np.testing.assert_allclose(y, [1, 1, 1, 1, 1, 1, -1, -1])
    # A path that ends with the recording ends once; a step that does not divide the time is made smaller.
    times, _, _ = MotionPath([0.0, 10.0], [0.0, 1.0], [0.0, 0.0]).sample(10.0, step_ms=4.0)
    np.testing.assert_allclose(times, [0, 10_000 / 3, 20_000 / 3, 10_000])


def test_standing_still():
    times, x, y = MotionPath.standing_still().sample(100.0, step_ms=1.0)
    assert (times.tolist(), x.tolist(), y.tolist()) == ([0.0, 100_000.0], [0.0, 0.0], [0.0, 0.0])


def test_paths_compare_by_value():
    # Cameras are keys of caches; equal ones must be equal keys.
    a, b = (MotionPath(np.array([0.0, 1.0]), [0, 2], (0.0, 1.0)) for _ in range(2))
    assert (a, hash(a)) == (b, hash(b))
    assert a != MotionPath([0.0, 1.0], [0, 2], [0, 2])


def test_path_of_nmnist():
    times, x, y = NMNIST_MOTION.sample(310.0, step_ms=1.0)
    plain = MotionPath.minimum_jerk(NMNIST_SACCADES).sample(310.0, step_ms=1.0)
    moments = 1000.0 * np.arange(0, 310, 5)
    # The whole path is the three plain movements and less than a pixel and a half besides.
    for whole, three in zip((x, y), plain[1:], strict=True):
        gap = np.interp(moments, times, whole) - np.interp(moments, plain[0], three)
        assert np.abs(gap - gap.mean()).max() < 1.5


@pytest.mark.parametrize(
    ("points", "text"),
    [
        (([0, 1], [0, 1], [0]), "times_ms, dx_px and dy_px have 2, 2, 1 values"),
        (([], [], []), "must begin with 0"),
        (([1, 2], [0, 1], [0, 1]), "must begin with 0 and increase"),
        (([0, 2, 2], [0, 1, 1], [0, 1, 1]), "must begin with 0 and increase"),
        (([0, 1], [0, np.nan], [0, 1]), "dx_px must be a row of finite numbers"),
        (([0, 1], [0, 1], [[0, 1]]), r"dy_px must be a row of finite numbers: got shape \(1, 2\)"),
        (([0, 1], ["a", "b"], [0, 1]), "dx_px must be numbers"),
    ],
)
def test_bad_points(points, text):
    with pytest.raises(SimulationError, match=text):
        MotionPath(*points)


def test_bad_movements():
    with pytest.raises(SimulationError, match="saccades must follow one another"):
        MotionPath.minimum_jerk([Saccade(0, 10, 1, 1), Saccade(5, 10, 1, 1)])
    with pytest.raises(SimulationError, match="saccades must follow one another"):
        MotionPath.minimum_jerk([Saccade(0, 0, 1, 1)])
    with pytest.raises(SimulationError, match="step_ms must be a finite number > 0, got 0"):
        MotionPath.minimum_jerk([], step_ms=0)
