"""The event queue against a plain sorted list: order (time, source), whatever is updated when."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsnn._ext.event_queue import EventQueue

# Few different times, so that ties abound; the neighbours of one number; no event at all.
TIMES = st.one_of(
    st.sampled_from([0.0, 1.0, 2.0, math.inf]),
    st.sampled_from([math.nextafter(1.0, 0.0), math.nextafter(1.0, 2.0), 5e-324]),
    st.floats(0.0, 1e9),
)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.integers(1, 20))
def test_the_first_event_is_that_of_a_sorted_list(data, n):
    queue, times = EventQueue(n), [math.inf] * n
    assert queue.verify()
    assert queue.top() == (math.inf, 0)
    for source, time in data.draw(st.lists(st.tuples(st.integers(0, n - 1), TIMES), max_size=60)):
        queue.update(source, time)
        times[source] = time
        assert queue.verify()
        assert queue.top() == min(zip(times, range(n), strict=True))


@settings(max_examples=100, deadline=None)
@given(st.lists(TIMES, min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_events_come_out_sorted_whatever_the_order_they_went_in(times, rng):
    queue = EventQueue(len(times))
    order = list(range(len(times)))
    rng.shuffle(order)
    for source in order:
        queue.update(source, times[source])
    found = []
    while queue.top()[0] < math.inf:
        found.append(queue.top())
        queue.update(found[-1][1], math.inf)
        assert queue.verify()
    assert found == sorted((t, source) for source, t in enumerate(times) if t < math.inf)


def test_sources_that_do_not_exist_are_refused():
    queue = EventQueue(3)
    for source in (-1, 3):
        with pytest.raises(IndexError, match=f"source {source} is not one of 3"):
            queue.update(source, 0.0)
    assert queue.top() == (math.inf, 0)


@pytest.mark.parametrize("n", [0, -1])
def test_an_event_queue_has_sources(n):
    with pytest.raises(ValueError, match=f"at least one source, got {n}"):
        EventQueue(n)
