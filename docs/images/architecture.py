"""Draws architecture.png: a recording's way through the code.

    python docs/images/architecture.py

The background is opaque, so that the picture is readable on light and on dark pages.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

INK, PAPER = "#1f2328", "#ffffff"
FILE, SIMULATE, LEARN, CHECK = "#eef1f4", "#d7e9f7", "#fbe6c8", "#e3f1dc"

# name: (centre x, centre y, width, height, colour, title, lines below it)
BOXES: dict[str, tuple[float, float, float, float, str, str, str]] = {
    "files": (1.0, 6.3, 1.8, 1.0, FILE, "recordings", ".raw, .aedat4, .bin,\n.h5, .csv, ..."),
    "sources": (1.0, 4.8, 1.8, 1.0, FILE, "images, sounds", "IDX, .wav"),
    "events": (3.6, 6.3, 2.0, 1.0, SIMULATE, "events/", "formats/ decode\nEventStream"),
    "encode": (3.6, 4.8, 2.0, 1.0, SIMULATE, "encode/", "encoders, cochlea,\nsimulated camera"),
    "simulate": (6.5, 6.3, 2.3, 1.0, SIMULATE, "simulate/", "engines: queue, windows,\nsweep, clocked, twin"),
    "trace": (9.4, 6.3, 2.0, 1.0, SIMULATE, "trace/", "SpikeRecord, HDF5,\nexplanations"),
    "results": (11.9, 6.3, 1.6, 1.0, FILE, "results", "spikes, pictures,\naccuracy"),
    "data": (3.6, 3.0, 2.0, 1.0, LEARN, "data/", "labelled sets,\naugmentation"),
    "train": (6.5, 3.0, 2.3, 1.0, LEARN, "train/", "mini-batches, epochs,\ncheckpoints, accuracy"),
    "learn": (9.4, 3.0, 2.0, 1.0, LEARN, "learn/", "rules, heads,\noptimisers"),
    "model": (6.5, 4.65, 2.3, 0.9, SIMULATE, "model/", "layers, weights, model file"),
    "kernels": (4.6, 1.2, 3.6, 0.9, CHECK, "cython_ext/", "compiled kernels, imported as eventsnn._ext"),
    "twins": (9.3, 1.2, 3.6, 0.9, CHECK, "reference/", "the same kernels in readable Python"),
}


def draw_box(axes: Axes, name: str) -> None:
    x, y, width, height, colour, title, text = BOXES[name]
    frame = FancyBboxPatch(
        (x - width / 2, y - height / 2),
        width,
        height,
        boxstyle="round,pad=0,rounding_size=0.1",
        facecolor=colour,
        edgecolor=INK,
        linewidth=1.0,
    )
    axes.add_patch(frame)
    axes.text(x, y + height / 2 - 0.2, title, ha="center", va="center", fontsize=11, weight="bold", color=INK)
    axes.text(x, y - 0.17, text, ha="center", va="center", fontsize=8.5, color=INK)


def draw_arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], text: str = "", *, style: str = "->"
) -> None:
    axes.annotate("", xy=end, xytext=start, arrowprops={"arrowstyle": style, "color": INK, "linewidth": 1.3})
    if text:
        x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
        upright = abs(start[0] - end[0]) < 0.01
        axes.text(
            x + (0.08 if upright else 0),
            y + (0 if upright else 0.1),
            text,
            ha="left" if upright else "center",
            va="center" if upright else "bottom",
            fontsize=8,
            color=INK,
        )


def main() -> None:
    figure = plt.figure(figsize=(12.8, 7.0), facecolor=PAPER)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-0.1, 12.9), ylim=(0.5, 7.4))
    axes.axis("off")
    for name in BOXES:
        draw_box(axes, name)
    axes.text(0.1, 7.12, "Simulating", fontsize=13, weight="bold", color=INK)
    axes.text(0.1, 3.6, "Training", fontsize=13, weight="bold", color=INK)

    draw_arrow(axes, (1.9, 6.3), (2.6, 6.3))
    draw_arrow(axes, (1.9, 4.8), (2.6, 4.8))
    draw_arrow(axes, (3.6, 5.3), (3.6, 5.8), "events")
    draw_arrow(axes, (4.6, 6.3), (5.35, 6.3), "events")
    draw_arrow(axes, (7.65, 6.3), (8.4, 6.3), "spikes")
    draw_arrow(axes, (10.4, 6.3), (11.1, 6.3))
    draw_arrow(axes, (6.5, 5.1), (6.5, 5.8), "network")
    draw_arrow(axes, (3.6, 4.3), (3.6, 3.5), "labelled recordings")
    draw_arrow(axes, (4.6, 3.0), (5.35, 3.0), "batches")
    draw_arrow(axes, (7.65, 3.15), (8.4, 3.15), "spikes")
    draw_arrow(axes, (8.4, 2.85), (7.65, 2.85))
    axes.text(8.03, 2.74, "errors, steps", ha="center", va="top", fontsize=8, color=INK)
    draw_arrow(axes, (6.5, 3.5), (6.5, 4.2), "new weights")
    draw_arrow(axes, (6.4, 1.2), (7.5, 1.2), "same results", style="<->")
    axes.text(4.6, 1.78, "integrate, decode, update", ha="center", fontsize=8, color=INK)
    axes.text(9.3, 1.78, "oracle of the tests", ha="center", fontsize=8, color=INK)
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=125, facecolor=PAPER)


if __name__ == "__main__":
    main()
