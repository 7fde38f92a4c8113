"""Counts with their nouns."""

import pytest

from eventsnn._util.words import number_of


@pytest.mark.parametrize(
    ("n", "noun", "text"),
    [
        (0, "sample", "0 samples"),
        (1, "sample", "1 sample"),
        (1200, "input event", "1,200 input events"),
        (1, "class", "1 class"),
        (2, "class", "2 classes"),
    ],
)
def test_one_is_singular(n: int, noun: str, text: str) -> None:
    assert number_of(n, noun) == text
