"""Raster of a sample: spikes of input, hidden and output neurons over time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from eventsnn._util.words import number_of
from eventsnn.model import Input
from eventsnn.plots.figure import (
    BLUE,
    HEIGHT,
    INK,
    LIGHT,
    ORANGE,
    WIDTH,
    neuron_colour,
    picture,
    polarity_name,
    read_sample,
    whole_ticks,
)
from eventsnn.trace.reader import Trace
from eventsnn.trace.record import LayerSpikes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_DOTS = 200_000
"""Spikes of a panel that are drawn one by one."""

MOST_LABELS = 20
"""Output neurons that each have a label."""


def plot_raster(trace: str | os.PathLike[str] | Trace, sample: int, path: str | os.PathLike[str]) -> None:
    """Draw every spike of a sample, one panel per layer, the input first.

    Parameters
    ----------
    trace : path or Trace
    sample : int
    path : path
        File to write, .png (1600 x 1000), .pdf or .svg.

    Raises
    ------
    TraceError
        No such trace or sample, or a file that cannot be written.
    MissingExtraError
        matplotlib is not installed.
    """
    record, network, title = read_sample(trace, sample)
    with picture(path) as figure:
        heights = [3.0, *([2.5] * (len(record.layers) - 1))]
        # Each output neuron has a label where they are few: their panel grows with them.
        share = 0.025 * record.output.size if record.output.size <= MOST_LABELS else 0.0
        heights.append(max(2.5, sum(heights) * share / (1.0 - share)))
        axes = figure.subplots(len(heights), 1, sharex=True, gridspec_kw={"height_ratios": heights})
        figure.suptitle(title, fontsize=19, fontweight="bold")
        _draw_input(axes[0], record.input, network.input)
        for panel, spikes in zip(axes[1:-1], list(record.layers.values())[:-1], strict=True):
            _draw_hidden(panel, spikes)
        _draw_output(axes[-1], record.output, record.decision)
        last = max((s.times[-1] for s in (record.input, *record.layers.values()) if len(s)), default=1.0)
        axes[-1].set_xlim(0.0, last * 1.01)
        axes[-1].set_xlabel("time (ms)")
        figure.align_ylabels(axes)


def _marker_size(spikes: LayerSpikes) -> float:
    """Dots that stay visible when they are few and apart when they are many (area, points squared)."""
    return float(np.clip(9000.0 / max(1, len(spikes)), 1.5, 20.0))


def _visible(times: np.ndarray, neurons: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Where there are dots: of very many spikes one for each place of a grid finer than the picture."""
    if len(times) <= MOST_DOTS:
        return times, neurons
    columns, rows = 2 * WIDTH, HEIGHT
    x = (times * (columns / times[-1])).astype(np.int64).clip(0, columns - 1)
    y = neurons.astype(np.int64) * rows // size
    there = np.zeros(columns * rows, bool)
    there[x * rows + y] = True
    x, y = np.divmod(np.flatnonzero(there), rows)
    return (x + 0.5) * (times[-1] / columns), (y + 0.5) * (size / rows)


def _draw_input(panel: Axes, spikes: LayerSpikes, sensor: Input) -> None:
    pixels = sensor.width * sensor.height
    panel.set_title(f"input: {number_of(len(spikes), 'event')}", loc="left")
    polarity = spikes.neurons // pixels
    for p in range(sensor.polarities):
        of_polarity = polarity == p
        label = polarity_name(p, sensor.polarities) if sensor.polarities > 1 else None
        panel.scatter(
            *_visible(spikes.times[of_polarity], spikes.neurons[of_polarity], spikes.size),
            s=_marker_size(spikes),
            color=(ORANGE, BLUE)[p % 2],
            linewidths=0,
            label=label,
            rasterized=True,
        )
    panel.set_ylim(-0.02 * spikes.size, 1.02 * spikes.size)
    panel.set_ylabel("input neuron")
    whole_ticks(panel.yaxis, most=6)
    if sensor.polarities > 1:
        panel.legend(loc="lower right", bbox_to_anchor=(1.0, 0.97), ncols=sensor.polarities, markerscale=5)


def _draw_hidden(panel: Axes, spikes: LayerSpikes) -> None:
    active = int(np.count_nonzero(spikes.counts))
    panel.set_title(
        f"{spikes.name}: {number_of(len(spikes), 'spike')}, {active:,} of {spikes.size:,} neurons fired",
        loc="left",
    )
    panel.scatter(
        *_visible(spikes.times, spikes.neurons, spikes.size),
        s=_marker_size(spikes),
        color=INK,
        linewidths=0,
        rasterized=True,
    )
    panel.set_ylim(-0.02 * spikes.size, 1.02 * spikes.size)
    panel.set_ylabel("neuron")
    whole_ticks(panel.yaxis, most=6)


def _draw_output(panel: Axes, spikes: LayerSpikes, decision: int | None) -> None:
    counts = spikes.counts
    panel.set_title(f"{spikes.name}: {number_of(len(spikes), 'spike')}", loc="left")
    if decision is not None:
        panel.axhspan(decision - 0.5, decision + 0.5, color=LIGHT, alpha=0.6, linewidth=0)
    for neuron in range(spikes.size):
        panel.vlines(
            spikes.of(neuron), neuron - 0.38, neuron + 0.38, color=neuron_colour(neuron), linewidth=2.2
        )
    panel.set_ylim(-0.7, spikes.size - 0.3)
    panel.set_ylabel("neuron")
    if spikes.size > MOST_LABELS:
        whole_ticks(panel.yaxis, most=6)
        return
    panel.set_yticks(range(spikes.size))
    for neuron, count in enumerate(counts):
        panel.text(
            1.005,
            neuron,
            f"{count}",
            transform=panel.get_yaxis_transform(),
            va="center",
            fontsize=12,
            fontweight="bold" if neuron == decision else "normal",
        )
    panel.text(
        1.005, spikes.size - 0.3, "spikes", transform=panel.get_yaxis_transform(), va="bottom", fontsize=12
    )
