"""Spikes in a window of time, as many as a page can draw: one by one, or counted in an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eventsnn.trace.record import LayerSpikes

MOST_GLYPHS = 200_000
"""Spikes that are drawn one by one, in all layers together; a browser becomes slow beyond."""

COLUMNS, ROWS = 700, 160
"""Bins of an image in time, and at most over neurons."""


@dataclass(frozen=True, eq=False)
class Glyphs:
    """Spikes to be drawn one by one: float64 array of times (ms), int array of neurons."""

    times: np.ndarray
    neurons: np.ndarray

    @property
    def spikes(self) -> int:
        """How many."""
        return len(self.times)


@dataclass(frozen=True, eq=False)
class Binned:
    """Spikes counted in bins.

    Attributes
    ----------
    counts : float32 array (rows, columns)
        Spikes of a group of neurons in a step of time; row 0 is that of neuron 0.
    start, end : float
        Time that the columns cover, ms.
    neurons : int
        Number of neurons that the rows cover.
    """

    counts: np.ndarray
    start: float
    end: float
    neurons: int

    @property
    def spikes(self) -> int:
        """How many."""
        return int(self.counts.sum())


def find_window(times: np.ndarray, start: float, end: float) -> slice:
    """Rows of ascending `times` within [start, end]."""
    return slice(
        int(np.searchsorted(times, start, side="left")), int(np.searchsorted(times, end, side="right"))
    )


def bin_spikes(spikes: LayerSpikes, start: float, end: float) -> Binned:
    """Count the spikes within [start, end] (ms)."""
    window = find_window(spikes.times, start, end)
    rows = min(ROWS, spikes.size)
    column = ((spikes.times[window] - start) * (COLUMNS / max(end - start, 1e-9))).astype(np.int64)
    row = spikes.neurons[window].astype(np.int64) * rows // spikes.size
    flat = row * COLUMNS + np.minimum(column, COLUMNS - 1)
    counts = np.bincount(flat, minlength=rows * COLUMNS).reshape(rows, COLUMNS)
    return Binned(counts.astype(np.float32), start, end, spikes.size)


def draw_window(
    trains: Mapping[str, LayerSpikes], start: float, end: float, most: int = MOST_GLYPHS
) -> dict[str, Glyphs | Binned]:
    """Spikes of every layer within [start, end] (ms); the layers with most spikes are counted first.

    Parameters
    ----------
    trains : mapping of str to LayerSpikes
    start, end : float
    most : int
        How many spikes may be drawn one by one, in all layers together.
    """
    windows = {name: find_window(spikes.times, start, end) for name, spikes in trains.items()}
    sizes = {name: window.stop - window.start for name, window in windows.items()}
    drawn: dict[str, Glyphs | Binned] = {}
    left = most
    for name in sorted(sizes, key=lambda name: sizes[name]):
        spikes, window = trains[name], windows[name]
        if sizes[name] <= left:
            left -= sizes[name]
            drawn[name] = Glyphs(spikes.times[window], spikes.neurons[window])
        else:
            left = 0
            drawn[name] = bin_spikes(spikes, start, end)
    return {name: drawn[name] for name in trains}


def nearest_spike(spikes: LayerSpikes, time: float, neuron: float, reach: tuple[float, float]) -> int | None:
    """Row of the spike that is closest to a place of the raster; None if none is within reach.

    Parameters
    ----------
    spikes : LayerSpikes
    time, neuron : float
        The place; ms, and the number of a neuron.
    reach : (float, float)
        How far a spike may be from it, in ms and in neurons: the axes of an ellipse.
    """
    window = find_window(spikes.times, time - reach[0], time + reach[0])
    if window.start == window.stop:
        return None
    distance = np.hypot(
        (spikes.times[window] - time) / reach[0], (spikes.neurons[window] - neuron) / reach[1]
    )
    best = int(np.argmin(distance))
    return window.start + best if distance[best] <= 1.0 else None
