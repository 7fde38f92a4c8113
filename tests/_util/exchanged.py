"""What processes tell each other, checked on each: python -m tests._util.exchanged under a launcher."""

from __future__ import annotations

import numpy as np

from eventsnn._util.mpi import SMALL
from eventsnn._util.ranks import find_ranks


def check_complete() -> None:
    ranks = find_ranks()
    sizes = 7, 1, SMALL, 12
    wholes = [np.arange(n, dtype=kind) for n, kind in zip(sizes, ("i1", "f8", "f4", "i8"), strict=True)]
    given = [np.full_like(whole, -1) for whole in wholes]
    for array, whole in zip(given, wholes, strict=True):
        own = ranks.part(len(array))
        array[own.start : own.stop] = whole[own.start : own.stop]
    ranks.complete(*given)
    for array, whole in zip(given, wholes, strict=True):
        np.testing.assert_array_equal(array, whole)


def letter(sender: int, to: int) -> np.ndarray:
    """Of any length: none at all, and more than is sent at once."""
    return np.full((0, 3, 1 << 21)[(sender + to) % 3], 16 * sender + to, np.uint8)


def check_swap() -> None:
    ranks = find_ranks()
    for _ in range(3):
        found = ranks.swap([letter(ranks.rank, to) for to in range(ranks.size)])
        for sender, got in enumerate(found):
            np.testing.assert_array_equal(got, letter(sender, ranks.rank))


def check_relay() -> None:
    """Sums whose last digits tell the order, with other exchanges between."""
    ranks = find_ranks()
    terms = 10.0 ** np.arange(0, -4 * ranks.size, -4.0) / 3.0
    expected = np.zeros(5)
    for term in terms:
        expected += term
    for eager in (False, True):
        total = np.zeros(5)

        def add(total: np.ndarray = total) -> None:
            total += terms[ranks.rank]

        relay = ranks.relay(total, add)
        check_complete()
        if eager:
            relay.advance()
        check_complete()
        relay.complete()
        np.testing.assert_array_equal(total, expected)


if __name__ == "__main__":
    check_complete()
    check_swap()
    check_relay()
