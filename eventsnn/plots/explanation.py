"""Picture of an explanation: where and when the events came that drove a neuron to its threshold."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from eventsnn.plots.figure import BLUE, GREY, INK, VERMILION, draw_sensor_maps, picture
from eventsnn.trace.explain import Explanation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 120


def plot_explanation(explanation: Explanation, path: str | os.PathLike[str]) -> None:
    """Draw the contributions of the input events to one spike, over the sensor and over time.

    Parameters
    ----------
    explanation : Explanation
    path : path
        File to write, .png (1600 x 1000), .pdf or .svg.

    Raises
    ------
    TraceError
        The file cannot be written.
    MissingExtraError
        matplotlib is not installed.
    """
    e = explanation
    width, height, polarities = e.sensor_size
    pixels = (e.events["p"] * height + e.events["y"]) * width + e.events["x"]
    maps = np.bincount(pixels, weights=e.events["contribution"], minlength=width * height * polarities)
    with picture(path) as figure:
        figure.suptitle(
            f"Why neuron {e.neuron} of {e.layer!r} fired at {e.time_ms:.3f} ms "
            f"(spike {e.spike} counted from 0, sample {e.sample})\n"
            f"{e.events.size} input events add up to the threshold of {e.threshold:g}",
            fontsize=17,
        )
        upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.35, 1.0))[:, 0]
        axes = list(upper.subplots(1, polarities, squeeze=False)[0])
        label = "contribution\n(unit of the threshold)"
        draw_sensor_maps(upper, axes, maps.astype(np.float64), e.sensor_size, label=label, signed=True)
        _draw_times(lower.subplots(), e)


def _draw_times(panel: Axes, e: Explanation) -> None:
    """Contributions in bins of time, up and down, and their running sum, which ends at the threshold."""
    times, contributions = e.events["t_us"] / 1000.0, e.events["contribution"]
    edges = np.linspace(0.0, e.time_ms, BINS + 1)
    width = edges[1] - edges[0]
    for chosen, colour, name in (
        (contributions > 0, VERMILION, "excitation"),
        (contributions < 0, BLUE, "inhibition"),
    ):
        heights, _ = np.histogram(times[chosen], edges, weights=contributions[chosen])
        panel.bar(edges[:-1], heights, width, align="edge", color=colour, label=f"{name} per {width:.3g} ms")
    panel.step(
        np.append(times, e.time_ms),
        np.append(np.cumsum(contributions), e.sum),
        where="post",
        color=INK,
        linewidth=2.0,
        label="running sum",
    )
    panel.axhline(0.0, color=GREY, linewidth=0.8)
    panel.axhline(e.threshold, color=INK, linestyle="--", linewidth=1.2, label=f"threshold {e.threshold:g}")
    panel.plot([e.time_ms], [e.sum], "o", color=INK, markersize=7)
    panel.set_xlim(0.0, e.time_ms * 1.01)
    panel.set_xlabel("time of the input event (ms)")
    panel.set_ylabel("contribution")
    panel.legend(loc="lower left", bbox_to_anchor=(0.0, 0.99), ncols=4)
