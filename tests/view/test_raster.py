"""Spikes in a window: one by one, or counted."""

import numpy as np
import pytest

from eventsnn.trace.record import LayerSpikes
from eventsnn.view.raster import COLUMNS, ROWS, Binned, Glyphs, bin_spikes, draw_window, nearest_spike


def spikes(name: str, count: int, size: int) -> LayerSpikes:
    rng = np.random.default_rng(count)
    return LayerSpikes(name, size, np.sort(rng.uniform(0.0, 100.0, count)), rng.integers(0, size, count))


def test_window_holds_its_spikes_and_no_others() -> None:
    train = spikes("hidden", 500, 40)
    drawn = draw_window({"hidden": train}, 20.0, 30.0)["hidden"]
    assert isinstance(drawn, Glyphs)
    inside = (train.times >= 20.0) & (train.times <= 30.0)
    np.testing.assert_array_equal(drawn.times, train.times[inside])
    np.testing.assert_array_equal(drawn.neurons, train.neurons[inside])


def test_the_largest_layers_are_counted_first() -> None:
    trains = {"input": spikes("input", 900, 1000), "hidden": spikes("hidden", 90, 10)}
    trains["output"] = spikes("output", 5, 3)
    drawn = draw_window(trains, 0.0, 100.0, most=100)
    assert [type(drawn[name]) for name in trains] == [Binned, Glyphs, Glyphs]
    assert [part.spikes for part in drawn.values()] == [900, 90, 5]
    # A window with few spikes shows each.
    assert isinstance(draw_window(trains, 10.0, 12.0, most=100)["input"], Glyphs)


def test_counts_are_those_of_a_histogram() -> None:
    train = spikes("input", 5000, 1000)
    binned = bin_spikes(train, 25.0, 75.0)
    assert binned.counts.shape == (ROWS, COLUMNS)
    inside = (train.times >= 25.0) & (train.times <= 75.0)
    expected, _, _ = np.histogram2d(
        train.neurons[inside] * ROWS // 1000,
        train.times[inside],
        bins=[np.arange(ROWS + 1) - 0.5, np.linspace(25.0, 75.0, COLUMNS + 1)],
    )
    np.testing.assert_array_equal(binned.counts, expected)
    assert bin_spikes(spikes("output", 50, 3), 0.0, 100.0).counts.shape == (3, COLUMNS)


@pytest.mark.parametrize(
    ("place", "row"),
    [((10.2, 3.1), 1), ((10.9, 3.0), 1), ((14.6, 5.0), 2), ((13.0, 5.0), None), ((10.0, 9.0), None)],
)
def test_nearest_spike(place: tuple[float, float], row: int | None) -> None:
    train = LayerSpikes("hidden", 10, np.array([5.0, 10.0, 15.0]), np.array([0, 3, 5]))
    assert nearest_spike(train, *place, (1.0, 2.0)) == row
