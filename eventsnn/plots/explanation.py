"""Picture of an explanation: where and when the events came that drove a neuron to its threshold."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from eventsnn._util.words import number_of
from eventsnn.plots.figure import BLUE, GREY, INK, VERMILION, draw_sensor_maps, picture
from eventsnn.trace.explain import Explanation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

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
    with picture(path) as figure:
        figure.suptitle(
            f"Why neuron {e.neuron} of {e.layer!r} fired at {e.time_ms:.3f} ms "
            f"(spike {e.spike} counted from 0, sample {e.sample})\n"
            f"{number_of(e.events.size, 'input event')}; contributions sum to the threshold, {e.threshold:g}",
            fontsize=17,
        )
        upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.35, 1.0))[:, 0]
        draw_contributions(upper, lower, e)


def draw_contributions(upper: SubFigure, lower: SubFigure, e: Explanation, columns: int = 4) -> None:
    """Contributions over the sensor, and over time with their running sum, which ends at the threshold."""
    values = e.events["contribution"]
    draw_events_on_sensor(upper, e.events, values, e.sensor_size, "contribution\n(unit of the threshold)")
    panel = lower.subplots()
    draw_events_in_time(panel, e.events, values, e.time_ms, e.sum, ("excitation", "inhibition"))
    panel.axhline(e.threshold, color=INK, linestyle="--", linewidth=1.2, label=f"threshold {e.threshold:g}")
    panel.set_ylabel("contribution")
    panel.legend(loc="lower left", bbox_to_anchor=(0.0, 0.99), ncols=columns)


def draw_events_on_sensor(
    figure: SubFigure, events: np.ndarray, values: np.ndarray, sensor_size: tuple[int, int, int], label: str
) -> None:
    """The sum of the events' values at every pixel, a map for each polarity."""
    width, height, polarities = sensor_size
    pixels = (events["p"] * height + events["y"]) * width + events["x"]
    maps = np.bincount(pixels, weights=values, minlength=width * height * polarities)
    axes = list(figure.subplots(1, polarities, squeeze=False)[0])
    draw_sensor_maps(figure, axes, maps.astype(np.float64), sensor_size, label=label, signed=True)


def draw_events_in_time(
    panel: Axes, events: np.ndarray, values: np.ndarray, until: float, total: float, signs: tuple[str, str]
) -> None:
    """The events' values in bins of time, up and down, and their running sum, which ends at `total`.

    Parameters
    ----------
    panel : Axes
    events : structured array with t_us
    values : float64 array (events,)
    until : float
        Time of the spike, ms.
    total : float
    signs : (str, str)
        What positive and negative values are called.
    """
    times = events["t_us"] / 1000.0
    edges = np.linspace(0.0, until, BINS + 1)
    width = edges[1] - edges[0]
    for chosen, colour, name in zip((values > 0, values < 0), (VERMILION, BLUE), signs, strict=True):
        heights, _ = np.histogram(times[chosen], edges, weights=values[chosen])
        panel.bar(edges[:-1], heights, width, align="edge", color=colour, label=f"{name} per {width:.3g} ms")
    panel.step(
        np.append(times, until),
        np.append(np.cumsum(values), total),
        where="post",
        color=INK,
        linewidth=2.0,
        label="running sum",
    )
    panel.axhline(0.0, color=GREY, linewidth=0.8)
    panel.plot([until], [total], "o", color=INK, markersize=7)
    panel.set_xlim(0.0, until * 1.01)
    panel.set_xlabel("time of the input event (ms)")
