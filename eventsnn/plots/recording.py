"""Overview of a recording: events per pixel, and events over time."""

from __future__ import annotations

import os

import numpy as np

from eventsnn.plots.figure import BLUE, SEQUENTIAL, picture, whole_ticks


def plot_recording(
    path: str | os.PathLike[str], counts: np.ndarray, rate: np.ndarray, step_ms: float, *, title: str = ""
) -> None:
    """Draw a recording into a picture file.

    Parameters
    ----------
    path : path
        Ends in .png, .svg or .pdf.
    counts : ndarray of shape (height, width)
        Events of each pixel, y = 0 on top.
    rate : ndarray of shape (n,)
        Events in each step of time.
    step_ms : float
        Length of a step, milliseconds.
    title : str
        Heading.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    TraceError
        The file cannot be written, or its ending is none of those.
    """
    with picture(path) as figure:
        above, below = figure.subplots(2, 1, height_ratios=(3, 1))
        if counts.shape[0] == 1:
            above.bar(np.arange(counts.shape[1]), counts[0], width=1.0, color=BLUE)
            above.set_ylabel("events")
            above.set_xlabel("channel")
            whole_ticks(above.xaxis)
        else:
            # A few hot pixels would leave all others dark.
            bright = float(np.percentile(counts[counts > 0], 99)) if counts.any() else 1.0
            image = above.imshow(counts, cmap=SEQUENTIAL, vmin=0, vmax=bright, interpolation="nearest")
            figure.colorbar(image, ax=above, label="events per pixel")
            above.set_xlabel("x (pixels)")
            above.set_ylabel("y (pixels)")
            whole_ticks(above.xaxis, above.yaxis)
        above.set_title(title)
        used = int(np.max(np.flatnonzero(rate), initial=0)) + 1
        below.stairs(rate[:used] / step_ms, np.arange(used + 1) * step_ms, color=BLUE, fill=True)
        below.set_xlabel("time since the first event (ms)")
        below.set_ylabel("events/ms")
        below.margins(x=0)
