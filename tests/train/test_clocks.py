"""Whether several processes divide the reading: by the time that it takes, as the first of them decides."""

from __future__ import annotations

import pytest

from eventsnn._util.ranks import ALONE, Ranks
from eventsnn.train.clocks import SHARE, Clocks


@pytest.mark.parametrize(("read", "divides"), [(0.9 * SHARE, False), (1.1 * SHARE, True)])
def test_slow_reading_is_divided(read: float, divides: bool) -> None:
    clocks, ranks = Clocks(), Ranks()
    ranks.size = 4
    clocks.read, clocks.learned = read, 1.0
    assert clocks.divides_reading(ranks) is (ranks if divides else ALONE)
    assert (clocks.read, clocks.learned) == (0.0, 0.0), "every epoch is judged by the one before"
    # Of four that read, each takes a quarter of the time that one would take.
    clocks.read, clocks.learned = read / (4 if divides else 1), 1.0
    assert clocks.divides_reading(ranks) is (ranks if divides else ALONE)


def test_times_are_added() -> None:
    clocks = Clocks()
    with clocks.learning():
        sum(range(10_000))
    once = clocks.learned
    with clocks.learning(), clocks.reading():
        sum(range(100_000))
    assert clocks.learned > once > 0.0
    assert clocks.read > 0.0
