"""Yin-Yang: classes by the symbol's geometry, the coding, and what a source must do."""

from __future__ import annotations

import math

import numpy as np
import pytest

from eventsnn.data import YinYang, open_source
from eventsnn.data.yinyang import find_class
from eventsnn.errors import TrainingError
from eventsnn.train.batches import BatchLoader


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (0.5, 0.99, 1),  # above
        (0.5, 0.01, 0),  # below
        (0.25, 0.3, 1),  # around the left dot, below the middle
        (0.75, 0.7, 0),  # around the right dot, above the middle
        (0.25, 0.5, 2),
        (0.75, 0.59, 2),
        (0.25, 0.35, 1),
        (0.02, 0.02, None),  # outside
    ],
)
def test_classes(x, y, expected):
    assert find_class(x, y) == expected


def test_the_symbol_is_its_own_opposite():
    """Turned by half a circle, yin becomes yang; dots stay dots, and what is outside stays there."""
    opposite = {0: 1, 1: 0, 2: 2, None: None}
    for x, y in np.random.default_rng(0).random((500, 2)).tolist():
        assert find_class(1.0 - x, 1.0 - y) == opposite[find_class(x, y)]


def test_points_and_their_times():
    data = YinYang("valid", early=5.0, late=35.0, bias=2.0)
    assert len(data) == len(data.labels) == 1000
    assert np.bincount(data.labels).min() > 280
    for index in range(50):
        x, y = data.points[index]
        assert find_class(x, y) == data.labels[index]
        events = data.stream(index).events
        times = dict(zip(events["x"].tolist(), (events["t"] / 1000).tolist(), strict=True))
        expected = [5.0 + 30.0 * v for v in (x, y, 1.0 - x, 1.0 - y)]
        assert [times[k] for k in range(4)] == pytest.approx(expected, abs=0.0005001)
        assert times[4] == 2.0
        assert math.hypot(x - 0.5, y - 0.5) <= 0.5


def test_splits_differ_and_are_the_same_again():
    points = {name: YinYang(name, 200).points for name in ("train", "valid", "test")}
    for name, mine in points.items():
        np.testing.assert_array_equal(YinYang(name).points[:200], mine)
        for other in points.keys() - {name}:
            assert not np.isin(mine, points[other]).any()


def test_records_hold_the_events_of_the_streams():
    """Training reads them undecoded."""
    data = YinYang(samples=20)
    batch = BatchLoader(data, 5).prepare(np.arange(20), 0)
    for index, (times, neurons) in enumerate(batch.samples):
        events = data.stream(index).events
        np.testing.assert_allclose(times, events["t"] / 1000)
        np.testing.assert_array_equal(neurons, events["x"])


def test_by_name_and_what_is_wrong_with_it():
    assert len(open_source("yinyang", "test", samples=7)) == 7
    assert YinYang("test", 7).classes == ("yin", "yang", "dot")
    with pytest.raises(TrainingError, match="split of yinyang must be one of train, valid, test, got 'all'"):
        open_source("yinyang", "all")
    with pytest.raises(TrainingError, match="early must be a time >= 0 ms"):
        YinYang(early=-1.0)
    with pytest.raises(TrainingError, match="samples"):
        YinYang(samples=0)
