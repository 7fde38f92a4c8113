"""Confusion matrix: decisions for the recordings of each label."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from eventsnn._util.names import are_numbers
from eventsnn.errors import TraceError
from eventsnn.plots.figure import FROM_WHITE, INK, VERMILION, picture, shorten, whole_ticks

MOST_NUMBERED = 20  # classes of which every cell can hold its number
MOST_NAMED = 60
LONGEST = 18


def plot_confusion(
    counts: np.ndarray, path: str | os.PathLike[str], *, classes: Sequence[str] | None = None
) -> None:
    """Draw how often each label was taken for each class.

    Parameters
    ----------
    counts : int array (labels, classes) or (labels, classes + 1)
        Recordings; a last column beyond the classes is no decision. `eventsnn.Evaluation.confusion` is one,
        `eventsnn.train.predictions.count_confusion` makes one.
    path : path
        File to write, .png (1600 x 1000), .pdf or .svg.
    classes : sequence of str, optional
        Names of the classes; their numbers by default.

    Raises
    ------
    TraceError
        The counts are no such array, or the file cannot be written.
    MissingExtraError
        matplotlib is not installed.
    """
    table = np.asarray(counts)
    if table.dtype.kind not in "iuf":
        raise TraceError("counts: a confusion matrix holds numbers of recordings")
    if table.ndim != 2 or not len(table) or table.shape[1] - len(table) not in (0, 1) or (table < 0).any():
        raise TraceError(
            f"counts: a confusion matrix has a row and a column for each class, got shape {table.shape}"
        )
    size = len(table)
    if table.shape[1] > size and not table[:, size].any():
        table = table[:, :size]
    names = [str(k) for k in range(size)]
    if classes is not None and not are_numbers(classes):
        names = [shorten(name, LONGEST) for name in (*classes[:size], *names[len(classes) :])]
    rows = table.sum(axis=1, keepdims=True)
    share = 100.0 * table / np.maximum(rows, 1)
    with picture(path) as figure:
        figure.set_layout_engine("compressed", w_pad=0.1, h_pad=0.1)
        panel = figure.subplots()
        image = panel.imshow(share, cmap=FROM_WHITE, vmin=0.0, vmax=100.0, interpolation="nearest")
        total = int(table.sum())
        right = int(np.trace(table))
        accuracy = f"{100.0 * right / total:.2f} % of {total:,} correct" if total else "no recordings"
        figure.suptitle(f"Decisions: {accuracy}", fontsize=19, fontweight="bold")
        _name_axes(panel, names, table.shape[1] > size)
        if size <= MOST_NUMBERED:
            _write_counts(panel, table, share)
        panel.spines[:].set_visible(True)
        figure.colorbar(image, ax=panel, label="share of the label's recordings (%)", aspect=30)


def _name_axes(panel: Any, names: list[str], has_none: bool) -> None:
    panel.set_xlabel("decision")
    panel.set_ylabel("label")
    size = len(names)
    if size > MOST_NAMED:
        panel.set_xlabel("decision (the last column: none)" if has_none else "decision")
        whole_ticks(panel.xaxis, panel.yaxis)
        return
    small = 8 if size > 30 else 11 if size > 15 else 14
    across = [*names, "none"] if has_none else names
    turned = max(map(len, across)) > (3 if size <= MOST_NUMBERED else 2)
    style = {"rotation": 90 if size > 30 else 45, "ha": "center" if size > 30 else "right"} if turned else {}
    if turned and size <= 30:
        style["rotation_mode"] = "anchor"
    panel.set_xticks(range(len(across)), across, fontsize=small, **style)
    panel.set_yticks(range(size), names, fontsize=small)


def _write_counts(panel: Any, table: np.ndarray, share: np.ndarray) -> None:
    cell = 540.0 / len(table)  # points
    small = float(np.clip(min(0.5 * cell, 1.3 * cell / len(str(table.max()))), 7.0, 18.0))
    for (row, column), n in np.ndenumerate(table):
        if n:
            colour = "white" if share[row, column] > 55.0 else INK if row == column else VERMILION
            panel.text(column, row, f"{n}", ha="center", va="center", color=colour, fontsize=small)
