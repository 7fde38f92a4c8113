"""The counter-based generator: the published bits, independence of what is asked for together, statistics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsnn.data import draws

WORDS = st.integers(0, 2**64 - 1)


def test_draws_are_those_of_splitmix64():
    # The first outputs of Vigna's splitmix64.c for state 1234567, as other implementations test them.
    known = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert [draws.draw(1234567, n) for n in range(4)] == known
    assert draws.draw_many(1234567, 4).tolist() == known


@given(WORDS, st.integers(0, 30))
def test_one_by_one_or_together(key, n):
    assert draws.draw_many(key, n).tolist() == [draws.draw(key, number) for number in range(n)]


@given(st.integers(0, 2**200), st.lists(WORDS, max_size=4))
def test_keys_name_a_path(seed, path):
    assert draws.make_key(seed, *path, 5) == draws.draw(draws.make_key(seed, *path), 5)
    assert draws.make_key(seed, *path) != draws.make_key(seed + 1, *path)


def test_a_seed_of_several_words_is_used_whole():
    keys = {draws.make_key(seed) for seed in (0, 1, 2**64, 2**64 + 1, 2**128)}
    assert len(keys) == 5


@given(WORDS, st.integers(1, 2**32 - 1))
def test_ranges(bits, n):
    assert 0 <= draws.to_unit(bits) < 1
    assert 0 <= draws.to_range(bits, n) < n


@given(WORDS, st.floats(0, 1, exclude_max=True))
def test_a_threshold_says_what_comparing_floats_says(bits, probability):
    assert (bits >> 11 < draws.threshold(probability)) == (draws.to_unit(bits) < probability)


@pytest.mark.parametrize("path", [(0,), (1,), (1, 2), (1, 2, 0)])
def test_draws_are_uniform_and_unlike_their_neighbours(path):
    n = 100_000
    unit = (draws.draw_many(draws.make_key(*path), n) >> np.uint64(11)) * 2.0**-53
    counts = np.histogram(unit, bins=100, range=(0, 1))[0]
    # Chi-squared of 99 degrees of freedom: 99 + 5 standard deviations of sqrt(2 * 99).
    assert ((counts - n / 100) ** 2 / (n / 100)).sum() < 99 + 5 * np.sqrt(198)
    assert abs(np.corrcoef(unit[1:], unit[:-1])[0, 1]) < 5 / np.sqrt(n)


def test_first_draws_of_neighbouring_keys_are_independent():
    n = 20_000
    unit = np.array(
        [draws.to_unit(draws.make_key(3, epoch, index)) for epoch in range(2) for index in range(n)]
    )
    counts = np.histogram(unit, bins=100, range=(0, 1))[0]
    assert ((counts - n / 50) ** 2 / (n / 50)).sum() < 99 + 5 * np.sqrt(198)
    assert abs(np.corrcoef(unit[:n], unit[n:])[0, 1]) < 5 / np.sqrt(n)
