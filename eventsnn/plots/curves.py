"""Curves of training runs over the epochs, several runs in one picture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eventsnn.errors import TraceError
from eventsnn.plots.figure import NEURONS, SEQUENTIAL, picture, shorten, whole_ticks
from eventsnn.train.history import Run, find_runs, group_curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 9
MOST_NAMED = 12  # runs that a legend can hold
LONGEST = 40
LINES: Any = ("-", "--", ":", "-.")
UNITS = {
    "accuracy": "fraction",
    "silent neurons (fraction)": "fraction",
    "spikes per neuron": "spikes per recording",
    "seconds per epoch": "s",
}
LOGARITHMIC = ("loss", "learning rate", "gradient norm")


def plot_curves(
    runs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], path: str | os.PathLike[str]
) -> None:
    """Draw the metrics of training runs: loss, accuracy, silent neurons, spikes, learning rate, and others.

    Parameters
    ----------
    runs : path or sequence of paths
        Folders that `eventsnn.train` wrote, or folders of such.
    path : path
        File to write, .png (1600 x 1000), .pdf or .svg.

    Raises
    ------
    TraceError
        No run, or one without an epoch, or the file cannot be written.
    MissingExtraError
        matplotlib is not installed.
    """
    given = [runs] if isinstance(runs, str | os.PathLike) else runs
    found = [_open_run(folder) for place in given for folder in _find(Path(place))]
    if not found:
        raise TraceError("runs: give at least one folder of a training run")
    names = _name_runs(found)
    groups = {heading: curves for heading, curves in group_curves(found).items() if curves}
    shown = list(groups.items())[:MOST_PANELS]
    with picture(path) as figure:
        columns = min(3, len(shown))
        axes = figure.subplots(-(-len(shown) // columns), columns, squeeze=False)
        colours = _colours(len(found))
        for panel in axes.flat[len(shown) :]:
            panel.set_axis_off()
        for panel, (heading, curves) in zip(axes.flat, shown, strict=False):
            metrics = list(dict.fromkeys(curve.metric for curve in curves))
            _draw_metrics(panel, heading, metrics, found, colours)
        _draw_legend(figure, names, colours)


def _find(place: Path) -> list[Path]:
    folders = find_runs(place)
    if not folders:
        raise TraceError(
            f"{place}: no training run: no folder with metrics.jsonl, which 'eventsnn train' writes"
        )
    return folders


def _open_run(folder: Path) -> Run:
    run = Run(folder)
    run.refresh()
    if not run.lines:
        raise TraceError(run.problem or f"{folder}: the run has not finished an epoch yet")
    return run


def _name_runs(runs: list[Run]) -> list[str]:
    """Names of the folders, or with those they lie in where names are the same."""
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = ["/".join(run.folder.resolve().parts[-2:]) for run in runs]
    return [shorten(name, LONGEST) for name in names]


def _colours(count: int) -> list[Any]:
    """One that stays apart for each run; of many runs shades in order."""
    if count <= len(NEURONS):
        return list(NEURONS[:count])
    import matplotlib

    return list(matplotlib.colormaps[SEQUENTIAL](np.linspace(0.0, 0.95, count)))


def _draw_metrics(panel: Axes, heading: str, metrics: list[str], runs: list[Run], colours: list[Any]) -> None:
    values = []
    for run, colour in zip(runs, colours, strict=True):
        for number, metric in enumerate(metrics):
            curve = run.curve(metric)
            dot = "o" if len(curve.epochs) == 1 else None
            style = LINES[number % len(LINES)]
            panel.plot(curve.epochs, curve.values, style, color=colour, linewidth=1.8, marker=dot)
            values += curve.values[np.isfinite(curve.values)].tolist()
    panel.set_title(heading, loc="left")
    panel.set_xlabel("epoch")
    panel.set_ylabel(UNITS.get(heading, ""))
    whole_ticks(panel.xaxis, most=6)
    if heading in LOGARITHMIC and values and 0.0 < 50.0 * min(values) < max(values):
        panel.set_yscale("log")
    if len(metrics) > 1:
        _name_lines(panel, metrics)


def _name_lines(panel: Axes, metrics: list[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color="0.3", linestyle=LINES[k % len(LINES)]) for k in range(len(metrics))]
    told = [_name_metric(metric) for metric in metrics]
    panel.legend(handles[:6], told[:6], fontsize=10, loc="best")


def _name_metric(metric: str) -> str:
    """``validation`` for valid_loss, ``hidden`` for "gradient_norm hidden"."""
    if metric.startswith("valid_"):
        return "validation"
    name, _, layer = metric.partition(" ")
    return shorten(layer, 20) if layer else "training" if name in ("loss", "accuracy") else shorten(name, 20)


def _draw_legend(figure: Figure, names: list[str], colours: list[Any]) -> None:
    from matplotlib.lines import Line2D

    shown = min(len(names), MOST_NAMED)
    handles = [Line2D([], [], color=colour, linewidth=3) for colour in colours[:shown]]
    texts = names[:shown]
    if shown < len(names):
        texts[-1] += f" ... and {len(names) - shown} more"
    columns = max(1, min(shown, 130 // (max(map(len, texts)) + 6)))
    figure.legend(handles, texts, loc="outside upper left", ncols=columns)
