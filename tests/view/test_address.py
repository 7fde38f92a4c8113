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


@pytest.mark.parametrize(
    "query",
    [
        {"sample": "x"},
        {"path": "output"},
        {"path": "a:b:c"},
        {"mode": "guess"},
        {"remove": "-1"},
        {"remove": "0-999999999999"},
        {"silence": "hidden"},
        {"unknown": "1"},
    ],
)
def test_what_cannot_be_read_is_left_out(query: dict[str, str]) -> None:
    assert TraceView.from_query({**query, "token": "t"}).path == ()
    assert TraceView.from_query(query).sample == 0


def test_numbers() -> None:
    assert format_numbers([5, 3, 4, 9]) == "3-5.9"
    assert parse_numbers("3-5.9") == [3, 4, 5, 9]
    with pytest.raises(ValueError):
        parse_numbers("")
