from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsnn.data import Augmentation
from eventsnn.errors import TrainingError
from eventsnn.events import EventStream
from tests.events.helpers import random_stream, streams

SENSOR = (34, 34, 2)

# Seed, epoch, index.
NAMES = st.tuples(st.integers(0, 2**70), st.integers(0, 2**32), st.integers(0, 2**32))


@given(streams(), st.integers(0, 5), st.floats(0, 0.9), st.floats(0, 0.9), NAMES)
def test_result_is_a_valid_stream_and_input_is_left_alone(stream, shift, drop, time_scale, name):
    before = stream.events.copy()
    changed = Augmentation(shift, drop, time_scale).apply(stream.events, SENSOR, *name)
    EventStream(changed, SENSOR)  # raises if not sorted or not inside
    np.testing.assert_array_equal(stream.events, before)


def test_nothing_asked_nothing_changed():
    events = random_stream(100).events
    np.testing.assert_array_equal(Augmentation().apply(events, SENSOR, seed=0), events)


def test_shift_moves_all_events_alike_and_drops_those_that_leave():
    stream = random_stream(2000)
    seen = set()
    for index in range(60):
        changed = Augmentation(shift=2).apply(stream.events, SENSOR, seed=0, index=index)
        moves = {
            (dx, dy)
            for dx in range(-2, 3)
            for dy in range(-2, 3)
            for x, y in [(stream.events["x"] + dx, stream.events["y"] + dy)]
            for keep in [(x >= 0) & (x < 34) & (y >= 0) & (y < 34)]
            if np.array_equal(x[keep], changed["x"]) and np.array_equal(y[keep], changed["y"])
        }
        assert len(moves) == 1
        seen |= moves
    assert {dx for dx, _ in seen} == {dy for _, dy in seen} == {-2, -1, 0, 1, 2}


def test_drop_fraction():
    changed = Augmentation(drop=0.3).apply(random_stream(10_000).events, SENSOR, seed=0)
    assert len(changed) == pytest.approx(7000, abs=4 * np.sqrt(10_000 * 0.3 * 0.7))  # 4 sigma


def test_time_scale_is_uniform_around_one():
    events = random_stream(10).events
    stretch = Augmentation(time_scale=0.2)
    scaled = [stretch.apply(events, SENSOR, seed=0, epoch=epoch)["t"] for epoch in range(400)]
    factors = np.array([t[-1] / events["t"][-1] for t in scaled])
    np.testing.assert_allclose(scaled[0], events["t"] * factors[0], atol=1)
    assert 0.8 <= factors.min() < 0.82
    assert 1.18 < factors.max() <= 1.2
    assert factors.mean() == pytest.approx(1.0, abs=4 * 0.2 / np.sqrt(3 * 400))  # 4 sigma of a uniform mean


def test_a_line_of_receptors_moves_along_itself_only():
    stream = random_stream(200, sensor_size=(64, 1, 1))
    changed = Augmentation(shift=3).apply(stream.events, stream.sensor_size, seed=1)
    assert 150 < len(changed) <= 200
    assert (changed["y"] == 0).all()


def full_line(columns: int, times: int) -> EventStream:
    """An event in every column at every microsecond."""
    t, x = np.divmod(np.arange(columns * times), columns)
    return EventStream.from_arrays(t, x, sensor_size=(columns, 1, 1))


def test_time_shift_moves_all_events_alike_and_drops_those_before_0():
    events = full_line(1, 20).events
    shifts = []
    for index in range(700):
        t = Augmentation(time_shift=3).apply(events, (1, 1, 1), seed=0, index=index)["t"]
        shifts.append(t[-1] - 19)
        np.testing.assert_array_equal(t, np.arange(max(shifts[-1], 0), 20 + shifts[-1]))
    # Seven shifts, 100 times each: 5 standard deviations are 5 sqrt(700 * 1/7 * 6/7) = 46.
    assert set(shifts) == set(range(-3, 4))
    assert np.bincount(np.add(shifts, 3)) == pytest.approx(100, abs=46)


@pytest.mark.parametrize("field", ["mask_x", "mask_time"])
def test_a_mask_is_one_gap_of_uniform_width_and_place(field):
    # Columns 0 .. 5 at one time, or times 0 .. 5 of one column.
    name, line = ("x", full_line(6, 1)) if field == "mask_x" else ("t", full_line(1, 6))
    gaps = []
    for index in range(1200):
        changed = Augmentation(**{field: 2}).apply(line.events, line.sensor_size, seed=1, index=index)
        gaps.append(tuple(sorted(set(range(6)) - set(changed[name].tolist()))))
    # Widths 0, 1, 2 equally likely (400 each); then one of 6 places of width 1, or of 5 places of width 2.
    wanted = {(): 400} | {(k,): 400 / 6 for k in range(6)} | {(k, k + 1): 400 / 5 for k in range(5)}
    assert set(gaps) == set(wanted)
    for gap, n in wanted.items():
        assert gaps.count(gap) == pytest.approx(n, abs=5 * np.sqrt(n))


def test_masks_may_be_wider_than_the_sensor_and_longer_than_the_recording():
    line = full_line(4, 5)
    change = Augmentation(mask_x=300, mask_time_ms=1.0)
    left = [len(change.apply(line.events, line.sensor_size, seed=0, index=k)) for k in range(50)]
    assert min(left) == 0
    assert len(change.apply(line.events[:0], line.sensor_size, seed=0)) == 0


def test_times_in_ms():
    in_ms = Augmentation(jitter_ms=0.5, time_shift_ms=20.0, mask_time_ms=50.0)
    assert in_ms == Augmentation(jitter=500.0, time_shift=20_000.0, mask_time=50_000.0)


def test_tables_of_earlier_checkpoints_stay_the_same():
    assert set(Augmentation(shift=1).to_table()) == {
        *("shift", "drop", "time_scale", "jitter", "flip", "transforms")
    }
    assert Augmentation(mask_x=3).to_table()["mask_x"] == 3


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"mask_x": 1.5}, "mask_x must be a whole number of pixels, from 0 to 32768, got 1.5"),
        ({"mask_time": -1.0}, "mask_time must be a finite number >= 0 and <= 1e\\+12, got -1.0"),
        ({"time_shift_ms": float("inf")}, "time_shift_ms must be a finite number, got inf"),
        ({"shift": -1}, "shift must be a whole number of pixels, from 0 to 32768, got -1"),
        ({"shift": 0.5}, "shift must be a whole number"),
        ({"shift": 40_000}, "from 0 to 32768, got 40000"),
        ({"drop": 1.0}, "drop must be a finite number >= 0 and < 1, got 1.0"),
        ({"time_scale": float("nan")}, "time_scale must be a finite number >= 0 and < 1, got nan"),
    ],
)
def test_bad_parameters(change, text):
    with pytest.raises(TrainingError, match=text):
        Augmentation(**change)
