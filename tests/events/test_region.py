"""What a region keeps of a recording, against plain Python."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsnn.errors import EventStreamError
from eventsnn.events import EventStream
from eventsnn.events.region import Region

WIDTH, HEIGHT = 9, 7


def make(n: int = 200) -> EventStream:
    rng = np.random.default_rng(1)
    x, y, p = rng.integers(0, WIDTH, n), rng.integers(0, HEIGHT, n), rng.integers(0, 2, n)
    return EventStream.from_arrays(np.sort(rng.integers(0, 5000, n)), x, y, p, sensor_size=(WIDTH, HEIGHT, 2))


@st.composite
def regions(draw) -> Region:
    x0, y0 = draw(st.integers(0, WIDTH - 1)), draw(st.integers(0, HEIGHT - 1))
    crop = (x0, y0, draw(st.integers(x0 + 1, WIDTH)), draw(st.integers(y0 + 1, HEIGHT)))
    start = draw(st.sampled_from([0.0, 0.5, 1.234]))
    until = draw(st.sampled_from([2.0, 3.003, math.inf]))
    merge = draw(st.booleans())
    return Region(draw(st.sampled_from([None, crop])), draw(st.integers(1, 4)), start, until, merge)


@given(regions())
def test_a_region_keeps_what_it_says(region):
    stream = make()
    before = stream.events.copy()
    x0, y0, x1, y1 = region.crop or (0, 0, WIDTH, HEIGHT)
    expected = [
        ((x - x0) // region.downsample, (y - y0) // region.downsample, t, p * (not region.merge_polarities))
        for x, y, t, p in stream.events.tolist()
        if x0 <= x < x1 and y0 <= y < y1 and region.t_from <= t / 1000.0 < region.t_until
    ]
    kept = region.cut(stream)
    assert kept.events.tolist() == expected
    width, height = (math.ceil(n / region.downsample) for n in (x1 - x0, y1 - y0))
    size = (width, height, 1 if region.merge_polarities else 2)
    assert kept.sensor_size == size == region.sensor(stream.sensor_size)
    EventStream(kept.events.copy(), size)  # on its sensor, in order
    assert np.array_equal(stream.events, before)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"crop": (3, 0, 3, 5)}, "crop must be x0,y0,x1,y1"),
        ({"crop": (-1, 0, 3, 5)}, "crop must be x0,y0,x1,y1"),
        ({"downsample": 0}, "downsample must be a whole number from 1 to"),
        ({"merge_polarities": 1}, "merge_polarities must be true or false"),
        ({"t_from": -1.0}, "0 <= from < until"),
        ({"t_from": 2.0, "t_until": 2.0}, "0 <= from < until"),
        ({"t_from": math.nan}, "0 <= from < until"),
    ],
)
def test_regions_that_make_no_sense(options, text):
    with pytest.raises(EventStreamError, match=text):
        Region(**options)


def test_a_crop_beyond_the_sensor():
    with pytest.raises(EventStreamError, match="reaches beyond the 9 x 7 sensor"):
        Region(crop=(0, 0, 9, 8)).cut(make())
