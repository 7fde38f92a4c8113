"""A verification as a picture: output spikes of a recording on both sides, and the error against the step."""

from __future__ import annotations

import os

from eventsnn.interop.verify import Verification
from eventsnn.plots.figure import BLUE, GREEN, GREY, VERMILION, picture, whole_ticks


def plot_verification(found: Verification, path: str | os.PathLike[str]) -> None:
    """Draw a verification.

    Left: spikes of the output layer in the first recording, in exact time (lines) and in the other simulator
    at the shortest step (dots). Right: by step, how far spikes moved and how many decisions differ.

    Parameters
    ----------
    found : Verification
    path : path
        File to write, .png (1600 x 1000), .pdf or .svg.

    Raises
    ------
    TraceError
        The file cannot be written.
    MissingExtraError
        matplotlib is not installed.
    """
    rows = found.rows()
    with picture(path) as figure:
        figure.suptitle(f"Exact time against {found.title}", fontsize=19, fontweight="bold")
        raster, error = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1.6, 1.0]})
        if found.shown is not None:
            run, layers = found.shown
            exact, other = run.output, layers[run.output.name]
            raster.scatter(exact.times, exact.neurons, marker="|", s=160, color=BLUE, label="exact time")
            label = f"{found.title}, {min(found.comparisons):g} s"
            raster.scatter(other.times, other.neurons, s=14, color=VERMILION, label=label)
            raster.set_title("output spikes of the first recording", loc="left")
            raster.set_xlabel("time (ms)")
            raster.set_ylabel("neuron")
            raster.set_ylim(-0.7, exact.size - 0.3)
            whole_ticks(raster.yaxis)
            raster.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)
        steps = [row["dt_s"] for row in rows]
        moved = [row["moved_mean_ms"] for row in rows]
        error.plot(steps, moved, "o-", color=BLUE, label="mean distance of spikes (ms)")
        error.plot(steps, [1000.0 * dt for dt in steps], "--", color=GREY, label="the step (ms)")
        differing = [100.0 * (1.0 - row["equal_decisions"] / row["recordings"]) for row in rows]
        error.plot(steps, differing, "s-", color=GREEN, label="decisions that differ (%)")
        error.set_xscale("log")
        error.set_yscale("symlog", linthresh=0.01)
        error.set_ylim(bottom=0.0)
        error.set_xlabel("step (s)")
        error.set_title("error against the step", loc="left")
        error.legend(loc="upper left")
