"""Firing rates over time and over neurons, and intervals between the spikes of a neuron."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from eventsnn._util.words import number_of
from eventsnn.errors import TraceError
from eventsnn.plots.figure import BLUE, GREY, INK, VERMILION, opened, picture, shorten, whole_ticks
from eventsnn.trace.reader import Trace
from eventsnn.trace.record import LayerSpikes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 120
MOST_LAYERS = 6
INTERVAL_EDGES = np.logspace(-2.0, 5.0, 7 * 16 + 1)  # ms
LONGEST = 30


def plot_rates(
    trace: str | os.PathLike[str] | Trace,
    path: str | os.PathLike[str],
    *,
    sample: int | None = None,
    layers: Sequence[str] | None = None,
) -> None:
    """Draw the mean firing rate of each layer over time, and the rate of each of its neurons.

    Recordings that have ended count as silent.

    Parameters
    ----------
    trace : path or Trace
    path : path
        File to write, .png (1600 x 1000), .pdf or .svg.
    sample : int, optional
        One recording; the mean of all by default.
    layers : sequence of str, optional
        At most 6, "input" among them; by default the input and the last layers that fire.

    Raises
    ------
    TraceError
        No such trace, sample or layer, a trace without recordings, or a file that cannot be written.
    MissingExtraError
        matplotlib is not installed.
    """
    with opened(trace) as reader:
        names = _choose_layers(reader, layers, with_input=True)
        chosen = _choose_samples(reader, sample)
        lengths = np.array([reader.samples[number].length for number in chosen])
        edges = np.linspace(0.0, float(lengths.max()) or 1.0, BINS + 1)
        with picture(path) as figure:
            figure.suptitle(_describe(reader, chosen, "firing rates"), fontsize=19, fontweight="bold")
            axes = figure.subplots(len(names), 2, squeeze=False, width_ratios=(2, 1))
            for name, (left, right) in zip(names, axes, strict=True):
                trains = _trains(reader, name, chosen)
                first = next(trains)
                counts, spikes = np.histogram(first.times, edges)[0], first.counts
                for train in trains:
                    counts += np.histogram(train.times, edges)[0]
                    spikes += train.counts
                _draw_profile(left, name, counts, len(spikes) * len(chosen), edges)
                _draw_neurons(right, spikes / (lengths.sum() / 1000.0 or 1.0))
            axes[-1, 0].set_xlabel("time (ms)")
            axes[-1, 1].set_xlabel("neuron, by rate")
            figure.align_ylabels(axes[:, 0])


def plot_intervals(
    trace: str | os.PathLike[str] | Trace,
    path: str | os.PathLike[str],
    *,
    sample: int | None = None,
    layers: Sequence[str] | None = None,
) -> None:
    """Draw how often intervals between two successive spikes of a neuron are how long, for each layer.

    Parameters
    ----------
    trace : path or Trace
    path : path
        File to write, .png (1600 x 1000), .pdf or .svg.
    sample : int, optional
        One recording; all by default.
    layers : sequence of str, optional
        At most 6, "input" among them; by default the last ones that fire.

    Raises
    ------
    TraceError
        No such trace, sample or layer, a trace without recordings, or a file that cannot be written.
    MissingExtraError
        matplotlib is not installed.
    """
    with opened(trace) as reader:
        names = _choose_layers(reader, layers, with_input=False)
        chosen = _choose_samples(reader, sample)
        with picture(path) as figure:
            figure.suptitle(
                _describe(reader, chosen, "inter-spike intervals"), fontsize=19, fontweight="bold"
            )
            axes = list(figure.subplots(len(names), 1, squeeze=False, sharex=True)[:, 0])
            all_counts = np.zeros(len(INTERVAL_EDGES) - 1)
            for name, panel in zip(names, axes, strict=True):
                counts, sums = np.zeros(len(INTERVAL_EDGES) - 1), np.zeros(3)
                for train in _trains(reader, name, chosen):
                    intervals = find_intervals(train)
                    counts += np.histogram(intervals, INTERVAL_EDGES)[0]
                    sums += (len(intervals), intervals.sum(), np.square(intervals).sum())
                refractory = None if name == "input" else reader.network[name].refractory
                _draw_intervals(panel, name, counts, sums, refractory)
                all_counts += counts
            used = np.flatnonzero(all_counts)
            if used.size:
                marks = [line.get_xdata()[0] for panel in axes for line in panel.lines]  # refractory
                shortest = min(INTERVAL_EDGES[used[0]], *marks, np.inf)
                axes[0].set_xlim(0.75 * shortest, 1.3 * INTERVAL_EDGES[used[-1] + 1])
            axes[-1].set_xlabel("interval between two spikes of a neuron (ms)")


def find_intervals(spikes: LayerSpikes) -> np.ndarray:
    """Times between successive spikes of a neuron, of all neurons, ms: float64 array."""
    order = np.argsort(spikes.neurons, kind="stable")
    same = np.diff(spikes.neurons[order]) == 0
    return np.diff(spikes.times[order])[same]


def _choose_layers(trace: Trace, layers: Sequence[str] | None, *, with_input: bool) -> list[str]:
    layers = [layers] if isinstance(layers, str) else layers
    firing = [name for name in trace.network.names if trace.network[name].fires]
    if layers is None:
        first = ["input"] if with_input else []
        return [*first, *firing[-(MOST_LAYERS - len(first)) :]]
    for name in layers:
        if name != "input" and name not in trace.network.names:
            there = ", ".join(("input", *trace.network.names))
            raise TraceError(f"{trace.path}: no layer {name!r}; there are {there}")
    if not 1 <= len(layers) <= MOST_LAYERS:
        raise TraceError(f"layers: a picture holds 1 to {MOST_LAYERS} layers, got {len(layers)}")
    return list(layers)


def _choose_samples(trace: Trace, sample: int | None) -> list[int]:
    if sample is None:
        if not len(trace):
            raise TraceError(f"{trace.path}: holds no complete sample")
        return list(range(len(trace)))
    trace.spikes("input", sample)  # refuses one that is not there
    return [sample]


def _trains(trace: Trace, layer: str, samples: list[int]) -> Iterator[LayerSpikes]:
    for number in samples:
        yield trace.spikes(layer, number)


def _describe(trace: Trace, samples: list[int], what: str) -> str:
    name = shorten(trace.path.name, 60)
    return f"{name}: {what}, " + (
        f"sample {samples[0]}" if len(samples) == 1 else f"{len(samples):,} recordings"
    )


def _draw_profile(panel: Axes, name: str, counts: np.ndarray, neurons: int, edges: np.ndarray) -> None:
    seconds = (edges[1] - edges[0]) / 1000.0 * neurons
    panel.stairs(counts / seconds, edges, color=BLUE, fill=True)
    panel.set_title(f"{shorten(name, LONGEST)}: {number_of(int(counts.sum()), 'spike')}", loc="left")
    panel.set_ylabel("rate (Hz)")
    panel.margins(x=0)
    panel.set_ylim(bottom=0.0)


def _draw_neurons(panel: Axes, rates: np.ndarray) -> None:
    silent = int(np.count_nonzero(rates == 0.0))
    values, counts = np.unique(rates, return_counts=True)  # one stair for neurons of the same rate
    edges = np.concatenate([[0], np.cumsum(counts[::-1])])
    panel.stairs(values[::-1], edges, color=INK, linewidth=1.5, baseline=None)
    panel.axhline(float(rates.mean()), color=GREY, linestyle="--", linewidth=1.2)
    panel.set_title(
        f"mean {rates.mean():.3g} Hz; {silent:,} of {len(rates):,} silent", loc="left", fontsize=12
    )
    panel.margins(x=0)
    panel.set_ylim(bottom=0.0)
    whole_ticks(panel.xaxis, most=5)


def _draw_intervals(
    panel: Axes, name: str, counts: np.ndarray, sums: np.ndarray, refractory: float | None
) -> None:
    n, total, squares = sums
    panel.set_xscale("log")
    panel.stairs(100.0 * counts / max(1.0, n), INTERVAL_EDGES, color=BLUE, fill=True)
    panel.set_ylim(bottom=0.0)
    text = f"{shorten(name, LONGEST)}: {number_of(int(n), 'interval')}"
    if n:
        mean = total / n
        deviation = np.sqrt(max(0.0, squares / n - mean * mean))
        text += f", mean {mean:.3g} ms, coefficient of variation {deviation / mean if mean else 0.0:.3g}"
    panel.set_title(text, loc="left")
    panel.set_ylabel("share (%)")
    if refractory:
        panel.axvline(refractory, color=VERMILION, linestyle="--", label=f"refractory {refractory:g} ms")
        panel.legend(loc="upper right")
