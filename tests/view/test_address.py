"""The state of a page in its address."""

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsnn.view.address import SpikeName, TraceView, format_numbers, parse_numbers

NAMES = st.builds(SpikeName, st.text(min_size=1, max_size=8), st.integers(0, 99), st.integers(0, 99))
VIEWS = st.builds(
    TraceView,
    sample=st.integers(0, 10**6),
    path=st.lists(NAMES, max_size=4).map(tuple),
    mode=st.sampled_from(["contribution", "sensitivity"]),
    removed=st.frozensets(st.integers(0, 200), max_size=20),
    silenced=st.frozensets(st.tuples(st.text(min_size=1, max_size=8), st.integers(0, 99)), max_size=4),
    window=st.none() | st.integers(-99, 99).map(lambda start: (float(start), start + 0.25)),
    sort=st.sampled_from(["", "spikes", "-label"]),
    verdict=st.sampled_from(["all", "wrong", "no decision"]),
    text=st.text(max_size=8),
)


@given(VIEWS)
def test_a_view_comes_back_from_its_address(view: TraceView) -> None:
    assert TraceView.from_query(dict(parse_qsl(view.to_address({"theme": "dark"})))) == view


def test_address_is_short_and_plain() -> None:
    path = SpikeName("output", 7, 0), SpikeName("hidden", 12, 4)
    view = TraceView(3, path, removed=frozenset({3, 4, 5, 9}))
    assert view.to_address({}) == "sample=3&path=output%3A7%3A0+hidden%3A12%3A4&remove=3-5.9"
    assert view.spike == SpikeName("hidden", 12, 4)
    assert view.of_sample(4) == TraceView(4)
    kept = {"mode": "sensitivity", "sort": "-spikes", "verdict": "wrong", "text": "a"}
    assert TraceView(3, path, window=(1.0, 2.0), **kept).of_sample(4) == TraceView(4, **kept)


@pytest.mark.parametrize(
    "query",
    [
        {"sample": "x"},
        {"path": "output"},
        {"path": "a:b:c"},
        {"mode": "guess"},
        {"window": "3"},
        {"window": "5 4"},
        {"window": "0 inf"},
        {"window": "0 nan"},
        {"sort": "colour"},
        {"verdict": "perhaps"},
        {"remove": "-1"},
        {"remove": "0-999999999999"},
        {"silence": "hidden"},
        {"unknown": "1"},
    ],
)
def test_what_cannot_be_read_is_left_out(query: dict[str, str]) -> None:
    assert TraceView.from_query({**query, "token": "t"}) == TraceView()


def test_numbers() -> None:
    assert format_numbers([5, 3, 4, 9]) == "3-5.9"
    assert parse_numbers("3-5.9") == [3, 4, 5, 9]
    with pytest.raises(ValueError):
        parse_numbers("")
