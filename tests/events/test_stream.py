from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsnn.errors import EventStreamError
from eventsnn.events import EVENT_DTYPE, EventStream
from tests.events.helpers import random_stream, streams


def three_events(**changes) -> EventStream:
    columns = {"t": [5, 5, 20], "x": [0, 3, 1], "y": [1, 0, 2], "p": [1, 0, 1]} | changes
    sensor_size = columns.pop("sensor_size", (4, 3, 2))
    return EventStream.from_arrays(**columns, sensor_size=sensor_size)


def test_fields_and_derived_values():
    stream = three_events()
    assert len(stream) == 3
    assert stream.events.dtype == EVENT_DTYPE
    assert (stream.t_first, stream.t_last, stream.duration) == (5, 20, 15)
    assert stream.n_inputs == 24
    assert stream.on_fraction == pytest.approx(2 / 3)
    # p * 12 + y * 4 + x
    np.testing.assert_array_equal(stream.input_indices(), np.array([16, 3, 21], np.int32))
    assert stream.input_indices().dtype == np.int32
    np.testing.assert_array_equal(stream.times_ms(), [0.005, 0.005, 0.02])
    assert repr(stream) == "EventStream(3 events, sensor 4 x 3 x 2, t 5 .. 20 us)"


def test_input_indices_reach_the_last_input_of_a_large_sensor():
    stream = EventStream.from_arrays([0], [1279], [719], [1], sensor_size=(1280, 720, 2))
    assert stream.input_indices().tolist() == [1280 * 720 * 2 - 1]


def test_empty_stream_is_legal():
    stream = EventStream.from_arrays([], [], [], [], sensor_size=(4, 3, 2))
    assert len(stream) == 0
    assert (stream.t_first, stream.t_last, stream.duration, stream.on_fraction) == (None, None, 0, None)
    assert stream.input_indices().shape == stream.times_ms().shape == (0,)
    assert list(stream.chunks(5)) == []
    assert stream.window(0, 10) == stream


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"t": [5, 4, 20]}, r"event 1: t = 4 us is earlier than event 0 at 5 us; sort"),
        (
            {"x": [0, 4, 1]},
            r"event 1: x = 4 is outside 0\.\.3 of sensor_size \(4, 3, 2\); give the sensor_size",
        ),
        ({"y": [1, 0, -1]}, r"event 2: y = -1 is outside 0\.\.2"),
        ({"p": [0, 2, 1]}, r"event 1: p = 2 among 0 is not a polarity"),
        ({"y": [1, 0, 3], "x": [0, 4, 1]}, r"event 1: x = 4"),
        ({"x": [2**16, 0, 1]}, r"event 0: x = 65536 is outside"),
        ({"t": [5.0, 5.5, 20.0]}, r"event 1: t = 5\.5 is not a whole number .*multiply seconds by 1e6"),
        ({"t": [5.0, np.nan, 20.0]}, r"event 1: t = nan"),
        ({"t": np.array([1, 2, 2**63], np.uint64)}, r"event 2: t = 9223372036854775808 is not"),
        ({"p": [1, 0]}, r"one p per event is needed: 2 p for 3 t"),
        ({"x": [["a"]]}, r"x must be a one-dimensional array of numbers: got shape \(1,\), dtype <U1"),
        ({"x": np.zeros((3, 2))}, r"x must be a one-dimensional array of numbers: got shape \(3, 2\)"),
        ({"sensor_size": (4, 3)}, r"sensor_size must be \(width, height, polarities\).*got \(4, 3\)"),
        ({"sensor_size": (4.5, 3, 2)}, r"three positive int: got \(4\.5, 3, 2\)"),
        ({"sensor_size": (0, 3, 2)}, r"three positive int: got \(0, 3, 2\)"),
        ({"sensor_size": (40000, 3, 2)}, r"too large"),
    ],
)
def test_bad_events_are_named(changes, text):
    with pytest.raises(EventStreamError, match=text):
        three_events(**changes)


def test_constructor_checks_too():
    events = three_events().events.copy()
    events["t"][2] = 0
    with pytest.raises(EventStreamError, match="event 2: t = 0 us is earlier"):
        EventStream(events, (4, 3, 2))
    with pytest.raises(EventStreamError, match=r"use EventStream\.from_structured"):
        EventStream(np.zeros(3), (4, 3, 2))


def test_cannot_be_changed_and_leaves_the_callers_array_alone():
    mine = np.array([(5, 1, 2, 1)], dtype=[("t", "i8"), ("x", "i2"), ("y", "i2"), ("p", "u1")])
    stream = EventStream.from_structured(mine, (4, 3, 2))
    mine["x"] = 3
    assert stream.events["x"].tolist() == [1]
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(stream)["x"] = 0
    with pytest.raises(ValueError, match="read-only"):
        pickle.loads(pickle.dumps(stream)).events["x"] = 0
    np.array(stream)["x"] = 0  # a copy may be changed
    assert stream.events["x"].tolist() == [1]


@pytest.mark.parametrize(
    "dtype",
    [
        [("x", "i8"), ("y", "i8"), ("t", "i8"), ("p", "i8")],  # tonic N-MNIST
        [("x", "i2"), ("y", "i2"), ("p", "?"), ("t", "i8")],  # tonic DVSGesture
        [("t", "f8"), ("extra", "f4"), ("p", "f4"), ("y", "u2"), ("x", "u2")],
    ],
)
def test_structured_fields_are_found_by_name(dtype):
    expected = three_events()
    array = np.zeros(3, dtype)
    for name in "txyp":
        array[name] = expected.events[name]
    assert EventStream.from_structured(array, (4, 3, 2)) == expected


def test_silicon_cochlea_has_height_one():
    # tonic's SHD: no y, polarity 1 throughout, yet a sensor of one polarity.
    array = np.array([(10, 3, 1), (11, 699, 1)], dtype=[("t", "i8"), ("x", "i8"), ("p", "i8")])
    stream = EventStream.from_structured(array, (700, 1, 1))
    assert stream.input_indices().tolist() == [3, 699]
    array["p"][1] = 0
    with pytest.raises(
        EventStreamError,
        match=r"event 1: p = 0 where the events before have p = 1.*one polarity.*merge_polarities",
    ):
        EventStream.from_structured(array, (700, 1, 1))
    assert EventStream.from_structured(array[["t", "x"]]).sensor_size == (700, 1, 1)


def test_smallest_sensor_when_none_is_given():
    assert EventStream.from_arrays([1, 2], [5, 0], [0, 7], [0, 0]).sensor_size == (6, 8, 2)
    assert EventStream.from_arrays([], []).sensor_size == (1, 1, 1)
    with pytest.raises(EventStreamError, match="event 1: x = 40000 is too large; at most 32767"):
        EventStream.from_arrays([1, 2], [5, 40000])


def test_fields_missing():
    with pytest.raises(EventStreamError, match=r"fields t, x, \[y\], \[p\] is needed; fields here: t, y"):
        EventStream.from_structured(np.zeros(1, [("t", "i8"), ("y", "i2")]))
    with pytest.raises(EventStreamError, match=r"fields here: none \(dtype float64, shape \(3,\)\)"):
        EventStream.from_structured(np.zeros(3))


def test_window_is_half_open():
    stream = three_events()
    assert stream.window(5, 20).events["x"].tolist() == [0, 3]
    assert stream.window(6, 21).events["x"].tolist() == [1]
    assert len(stream.window(6, 20)) == 0
    with pytest.raises(EventStreamError, match=r"must not end before it starts: got 7 \.\. 6"):
        stream.window(7, 6)


@given(streams(), st.integers(1, 8))
def test_chunks_joined_are_the_stream(stream, n):
    chunks = list(stream.chunks(n))
    assert all(len(chunk) == n for chunk in chunks[:-1])
    joined = np.concatenate([chunk.events for chunk in chunks]) if chunks else stream.events[:0]
    assert EventStream(joined, stream.sensor_size) == stream
    with pytest.raises(EventStreamError, match="n=0"):
        next(stream.chunks(0))


def test_equality_and_pickle():
    stream = random_stream(50)
    assert pickle.loads(pickle.dumps(stream)) == stream
    assert stream != random_stream(50, seed=1)
    assert stream != EventStream.from_structured(stream, (35, 34, 2))
    with pytest.raises(TypeError):
        hash(stream)


def test_times_in_ms():
    stream = EventStream.from_arrays([4034, 4035, 9001], [0, 1, 2])
    assert (stream.first_ms, stream.last_ms, stream.duration_ms) == (4.034, 9.001, 4.967)
    assert stream.between(4.035).events["x"].tolist() == [1, 2]
    assert stream.between(0, 4.035).events["x"].tolist() == [0]
    assert stream.between(4.0345, 9.0011).events["x"].tolist() == [1, 2]
    assert stream.between(-math.inf) == stream
    empty = stream.between(5, 6)
    assert (empty.first_ms, empty.last_ms, empty.duration_ms) == (None, None, 0.0)
    with pytest.raises(EventStreamError, match="the second not before the first: got 3 and 2"):
        stream.between(3, 2)
