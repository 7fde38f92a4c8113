"""Membrane potentials of some neurons over a sample, exact at every point drawn."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from eventsnn._util.words import number_of
from eventsnn.errors import TraceError
from eventsnn.model import LIF, Network
from eventsnn.plots.figure import BLUE, GREY, LIGHT, VERMILION, picture, read_sample
from eventsnn.trace.potential import membrane_potential
from eventsnn.trace.reader import Trace
from eventsnn.trace.record import SpikeRecord
from eventsnn.trace.selection import check_neuron

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 3000  # two per pixel
MOST_NEURONS = 8  # more panels cannot be read
DEFAULT_NEURONS = 3


def plot_potential(
    trace: str | os.PathLike[str] | Trace,
    sample: int,
    layer: str,
    neurons: Sequence[int] | None = None,
    *,
    path: str | os.PathLike[str],
) -> None:
    """Draw membrane potentials with threshold, spikes, resets and refractory periods, one panel per neuron.

    Parameters
    ----------
    trace : path or Trace
        Spikes and network are enough; the potential is computed from them.
    sample : int
    layer : str
        A layer of neurons, not the input.
    neurons : sequence of int, optional
        At most 8; by default the 3 that fired most.
    path : path
        File to write, .png (1600 x 1000), .pdf or .svg.

    Raises
    ------
    TraceError
        No such trace, sample, layer or neuron, too many neurons, or a file that cannot be written.
    MissingExtraError
        matplotlib is not installed.
    """
    record, network, heading = read_sample(trace, sample, layer, "the input has no membrane potential")
    counts = record[layer].counts
    if neurons is None:
        neurons = np.sort(np.argsort(-counts, kind="stable")[:DEFAULT_NEURONS]).tolist()
    if not 1 <= len(neurons) <= MOST_NEURONS:
        raise TraceError(
            f"neurons: a picture holds 1 to {MOST_NEURONS} membrane potentials, got {len(neurons)}"
        )
    for neuron in neurons:
        check_neuron(network, layer, neuron)
    end = last_time(record)
    with picture(path) as figure:
        axes = figure.subplots(len(neurons), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        figure.suptitle(heading, fontsize=19, fontweight="bold")
        for panel, neuron in zip(axes, neurons, strict=True):
            _draw_neuron(panel, network, record, layer, neuron, end)
        fires = network[layer].fires
        if fires:
            low, high = axes[0].get_ylim()
            axes[0].set_ylim(low, max(high, 1.4 * network[layer].threshold))
        axes[0].legend(
            *(entries if fires else entries[:1] for entries in _legend(network[layer].lif)),
            loc="lower right",
            bbox_to_anchor=(1.0, 0.97),
            ncols=4,
            columnspacing=1.5,
        )
        axes[-1].set_xlim(0.0, end)
        axes[-1].set_xlabel("time (ms)")
        unit = "the threshold" if fires else "the weights"
        figure.supylabel(f"membrane potential (unit of {unit})", fontsize=14)


def last_time(record: SpikeRecord) -> float:
    """When to stop drawing: shortly after the last thing that happened."""
    last = max((s.times[-1] for s in (record.input, *record.layers.values()) if len(s)), default=1.0)
    return float(min(1.03 * last, record.t_end))


def curve(
    network: Network, record: SpikeRecord, layer: str, neuron: int, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Points (ms, potential) of a line through `times` that jumps at resets and stays 0 while refractory."""
    spikes = record[layer].of(neuron)
    spikes = spikes[spikes <= times[-1]]
    ends = np.minimum(spikes + network[layer].refractory, times[-1])
    exact = np.concatenate([times, spikes])
    potential = membrane_potential(network, record, layer, neuron, exact)
    at = np.concatenate([exact, spikes, ends])
    value = np.concatenate([potential, np.zeros(2 * spikes.size)])
    # At a spike: the threshold first, then the reset.
    rank = np.concatenate([np.zeros(exact.size), np.ones(spikes.size), np.full(spikes.size, 2.0)])
    order = np.lexsort((rank, at))
    return at[order], value[order]


def _draw_neuron(
    panel: Axes, network: Network, record: SpikeRecord, layer: str, neuron: int, end: float
) -> None:
    lif = network[layer].lif
    spikes = record[layer].of(neuron)
    for t in spikes:
        panel.axvspan(t, t + lif.refractory, color=LIGHT, linewidth=0)
    panel.axhline(0.0, color=GREY, linewidth=0.8)
    if network[layer].fires:
        panel.axhline(lif.threshold, color=VERMILION, linewidth=1.4, linestyle="--")
    panel.plot(
        *curve(network, record, layer, neuron, np.linspace(0.0, end, POINTS)), color=BLUE, linewidth=1.6
    )
    panel.plot(
        spikes,
        np.full(spikes.size, 0.97),
        "v",
        color=VERMILION,
        markersize=8,
        linewidth=0,
        transform=panel.get_xaxis_transform(),  # at the top, whatever the range of potentials
    )
    panel.set_title(f"{layer}, neuron {neuron}: {number_of(spikes.size, 'spike')}", loc="left")


def _legend(lif: LIF) -> tuple[list, list[str]]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Line2D([], [], color=BLUE, linewidth=2),
        Line2D([], [], color=VERMILION, linestyle="--"),
        Line2D([], [], color=VERMILION, marker="v", markersize=8, linewidth=0),
        Patch(color=LIGHT),
    ]
    texts = [
        "membrane potential",
        f"threshold {lif.threshold:g}",
        "spike",
        f"refractory ({lif.refractory:g} ms)",
    ]
    return handles, texts
