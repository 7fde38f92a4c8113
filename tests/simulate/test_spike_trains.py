"""Which spikes are one that moved, and distances: kernels against twins, twins against definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsnn._ext.spike_trains import add_van_rossum, match_trains
from eventsnn.reference.spike_trains import match, van_rossum, victor_purpura
from eventsnn.simulate.differences import compare_trains

# Multiples of a quarter: many equal distances, so that ties are decided too.
TRAIN = st.lists(st.integers(0, 120).map(lambda n: n / 4.0), max_size=14).map(sorted)


def pairs_of_kernel(
    before: list[list[float]], after: list[list[float]], within: float
) -> list[list[tuple[float, float]]]:
    ptr = [np.cumsum([0, *map(len, trains)]) for trains in (before, after)]
    flat = [np.array([t for train in trains for t in train], np.float64) for trains in (before, after)]
    partner = np.full(len(flat[0]), -2)
    match_trains(flat[0], ptr[0], flat[1], ptr[1], within, partner)
    found = []
    for k, (a, b) in enumerate(zip(before, after, strict=True)):
        own = partner[ptr[0][k] : ptr[0][k + 1]].tolist()
        assert all(-1 <= j < len(b) for j in own)
        alone = [j for j in range(len(b)) if j not in own]
        found.append(
            [(t, math.nan if j < 0 else b[j]) for t, j in zip(a, own, strict=True)]
            + [(math.nan, b[j]) for j in alone]
        )
    return found


def in_order(pairs: list[tuple[float, float]]) -> list[str]:
    return sorted(map(repr, pairs))


@given(
    st.lists(st.tuples(TRAIN, TRAIN), min_size=1, max_size=4), st.sampled_from([0.1, 1.0, 3.7, 5.0, 100.0])
)
def test_kernel_pairs_as_its_twin(trains: list[tuple[list[float], list[float]]], within: float) -> None:
    before, after = map(list, zip(*trains, strict=True))
    for found, a, b in zip(pairs_of_kernel(before, after, within), before, after, strict=True):
        assert in_order(found) == in_order(match(a, b, within))


def test_kernel_pairs_long_trains_as_its_twin() -> None:
    rng = np.random.default_rng(1)
    before = [np.sort(rng.uniform(0.0, 200.0, n)).tolist() for n in (300, 0, 1, 40)]
    after = [np.sort(rng.uniform(0.0, 200.0, n)).tolist() for n in (280, 3, 0, 60)]
    for within in (0.5, 5.0, 50.0):
        found = pairs_of_kernel(before, after, within)
        assert [in_order(pairs) for pairs in found] == [
            in_order(match(a, b, within)) for a, b in zip(before, after, strict=True)
        ]


def least_cost(a: tuple[float, ...], b: tuple[float, ...], cost: float) -> float:
    """The definition, by trying everything that can be done about the last spikes."""
    if not a or not b:
        return float(len(a) + len(b))
    return min(
        1.0 + least_cost(a[:-1], b, cost),
        1.0 + least_cost(a, b[:-1], cost),
        cost * abs(a[-1] - b[-1]) + least_cost(a[:-1], b[:-1], cost),
    )


@given(
    st.lists(st.integers(0, 40).map(float), max_size=5).map(sorted),
    st.lists(st.integers(0, 40).map(float), max_size=5).map(sorted),
    st.sampled_from([0.01, 0.3, 2.0]),
)
def test_pairs_are_the_cheapest_way(a: list[float], b: list[float], cost: float) -> None:
    expected = least_cost(tuple(a), tuple(b), cost)
    assert victor_purpura(a, b, cost) == pytest.approx(expected, abs=1e-12)
    paid = sum(1.0 if math.isnan(t - s) else cost * abs(t - s) for t, s in match(a, b, 2.0 / cost))
    assert paid == pytest.approx(expected, abs=1e-12)


def kernel_van_rossum(a: list[float], b: list[float], tau: float) -> float:
    times = np.array([*a, *b])
    order = np.argsort(times, kind="stable")
    signs = np.repeat([1.0, -1.0], [len(a), len(b)])[order]
    return math.sqrt(max(0.0, add_van_rossum(times[order], signs, np.array([0, len(times)]), tau)))


@given(TRAIN, TRAIN, st.sampled_from([0.2, 5.0, 80.0]))
def test_van_rossum_kernel_is_its_twin(a: list[float], b: list[float], tau: float) -> None:
    assert kernel_van_rossum(a, b, tau) == pytest.approx(van_rossum(a, b, tau), rel=1e-9, abs=1e-6)


def test_van_rossum_is_the_integral() -> None:
    a, b, tau = [3.0, 9.5, 10.0], [4.0, 30.0], 5.0
    t = np.linspace(0.0, 300.0, 3_000_001)  # fine enough for steps to 1e-4
    traces = [sum(np.where(t >= s, np.exp(-(t - s) / tau), 0.0) for s in train) for train in (a, b)]
    integral = np.trapezoid((traces[0] - traces[1]) ** 2, t)
    assert van_rossum(a, b, tau) == pytest.approx(math.sqrt(2.0 * integral / tau), rel=1e-4)
    assert van_rossum([7.0], [], tau) == 1.0


def test_squares_of_trains_add_up() -> None:
    trains = [([1.0, 5.0], [1.5]), ([], [2.0]), ([8.0], [])]
    signed = [sorted([(t, 1.0) for t in a] + [(t, -1.0) for t in b]) for a, b in trains]
    flat = np.array([spike for train in signed for spike in train])
    ptr = np.cumsum([0, *map(len, signed)])
    total = add_van_rossum(flat[:, 0].copy(), flat[:, 1].copy(), ptr, 3.0)
    assert total == pytest.approx(sum(van_rossum(a, b, 3.0) ** 2 for a, b in trains), rel=1e-12)


def test_distances_are_those_of_elephant() -> None:
    """Against another library, where it is installed (extra dev)."""
    pq = pytest.importorskip("quantities")
    elephant = pytest.importorskip("elephant.spike_train_dissimilarity")
    neo = pytest.importorskip("neo")
    rng = np.random.default_rng(4)
    for n, m in ((0, 2), (1, 1), (5, 4), (30, 25)):
        a, b = (np.sort(rng.uniform(0.0, 100.0, k)) for k in (n, m))
        both = [neo.SpikeTrain(train * pq.ms, t_stop=100.0 * pq.ms) for train in (a, b)]
        expected = elephant.victor_purpura_distance(both, cost_factor=0.4 / pq.ms)[0, 1]
        assert victor_purpura(a.tolist(), b.tolist(), 0.4) == pytest.approx(float(expected), abs=1e-9)
        expected = elephant.van_rossum_distance(both, time_constant=5.0 * pq.ms)[0, 1]
        assert van_rossum(a.tolist(), b.tolist(), 5.0) == pytest.approx(float(expected), abs=1e-6)


def test_changes_of_a_layer() -> None:
    before = np.array([1.0, 4.0, 4.0, 20.0, 30.0]), np.array([0, 1, 2, 1, 0])
    after = np.array([1.0, 4.0 + 5e-10, 6.5, 21.0, 50.0]), np.array([0, 1, 2, 1, 3])
    found = compare_trains(before, after, 5.0)
    assert [tuple(map(repr, row)) for row in found.tolist()] == [
        ("2", "4.0", "6.5"),
        ("1", "20.0", "21.0"),
        ("0", "30.0", "nan"),
        ("3", "nan", "50.0"),
    ]
    assert len(compare_trains(before, before, 5.0)) == 0
    nothing = np.empty(0), np.empty(0, np.int32)
    assert np.isnan(compare_trains(before, nothing, 5.0)["after_ms"]).all()
    assert np.isnan(compare_trains(nothing, before, 5.0)["before_ms"]).all()
