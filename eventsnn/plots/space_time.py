"""Space-time plot of a recording: events where and when they happened."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from eventsnn._util.words import number_of
from eventsnn.events import EventStream
from eventsnn.events.stream import EVENT_DTYPE
from eventsnn.plots.figure import BLUE, ORANGE, picture, polarity_name, shorten, whole_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_EVENTS = 20_000
LONGEST = 60


def plot_space_time(
    events: EventStream | Iterable[EventStream], path: str | os.PathLike[str], *, title: str = ""
) -> None:
    """Draw the events of a recording over space and time: in three dimensions, and as seen from two sides.

    Of more than 20,000 events every second, fourth, ... is drawn. A sensor of height 1 has one picture,
    channels over time.

    Parameters
    ----------
    events : EventStream, or iterable of its parts, such as what `eventsnn.open_events` gives
        At least one part, which says what the sensor is.
    path : path
        File to write, .png (1600 x 1000), .pdf or .svg.
    title : str
        Heading.

    Raises
    ------
    TraceError
        The file cannot be written.
    MissingExtraError
        matplotlib is not installed.
    """
    kept, count, size = thin_events([events] if isinstance(events, EventStream) else events)
    times = (kept["t"] - (kept["t"][0] if len(kept) else 0)) / 1000.0
    with picture(path) as figure:
        drawn = "" if len(kept) == count else f", {len(kept):,} drawn"
        heading = f"{shorten(title, LONGEST)}: " if title else ""
        figure.suptitle(f"{heading}{number_of(count, 'event')}{drawn}", fontsize=19, fontweight="bold")
        if size[1] == 1:
            panel = figure.subplots()
            _draw_side(panel, times, kept["x"], kept["p"], size[2])
            _finish_side(panel, "channel", size[0])
            panel.set_xlabel("time since the first event (ms)")
            _add_legend(panel, size[2])
            return
        halves: Any = figure.subfigures(1, 2, width_ratios=(1.35, 1.0))
        left, right = halves
        _draw_cube(left, times, kept, size)
        upper, lower = right.subplots(2, 1, sharex=True)
        for panel, axis, most in ((upper, "x", size[0]), (lower, "y", size[1])):
            _draw_side(panel, times, kept[axis], kept["p"], size[2])
            _finish_side(panel, f"{axis} (pixels)", most)
        lower.set_xlabel("time since the first event (ms)")
        lower.invert_yaxis()
        _add_legend(upper, size[2])


def thin_events(
    parts: Iterable[EventStream], most: int = MOST_EVENTS
) -> tuple[np.ndarray, int, tuple[int, int, int]]:
    """Every k-th event of a recording of any length: k is a power of two, at most `most` are left.

    Returns
    -------
    structured array of EVENT_DTYPE, int, (width, height, polarities)
        The events, how many the recording has, its sensor.
    """
    kept: list[np.ndarray] = []
    count, held, every, size = 0, 0, 1, (1, 1, 1)
    for part in parts:
        size = part.sensor_size
        chosen = part.events[-count % every :: every]
        count += len(part)
        kept.append(chosen.copy())
        held += len(chosen)
        while held > most:
            whole = np.concatenate(kept)[::2]
            kept, held, every = [whole], len(whole), 2 * every
    return np.concatenate(kept) if kept else np.empty(0, EVENT_DTYPE), count, size


def _colour(polarity: int) -> str:
    return (ORANGE, BLUE)[polarity % 2]


def _size(count: int) -> float:
    """Dots that stay visible when they are few and apart when they are many (area, points squared)."""
    return float(np.clip(20_000.0 / max(1, count), 1.5, 20.0))


def _draw_side(panel: Axes, times: np.ndarray, places: np.ndarray, polarity: np.ndarray, count: int) -> None:
    for p in range(count):
        chosen = polarity == p
        panel.scatter(
            times[chosen],
            places[chosen],
            s=_size(len(times)),
            color=_colour(p),
            linewidths=0,
            rasterized=True,
        )


def _finish_side(panel: Axes, label: str, most: int) -> None:
    panel.set_ylabel(label)
    panel.set_ylim(-0.5, most - 0.5)
    panel.margins(x=0.01)
    whole_ticks(panel.yaxis, most=6)


def _add_legend(panel: Axes, polarities: int) -> None:
    if polarities < 2:
        return
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=_colour(p), marker="o", markersize=8, linewidth=0) for p in range(polarities)
    ]
    names = [polarity_name(p, polarities) for p in range(polarities)]
    panel.legend(handles[:4], names[:4], loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)


def _draw_cube(figure: Any, times: np.ndarray, events: np.ndarray, size: tuple[int, int, int]) -> None:
    """Time to the right and back, y up with 0 on top, as the sensor has it."""
    panel: Any = figure.subplots(subplot_kw={"projection": "3d"})
    for p in range(size[2]):
        chosen = events["p"] == p
        panel.scatter(
            times[chosen],
            events["x"][chosen],
            events["y"][chosen],
            s=_size(len(times)),
            color=_colour(p),
            linewidths=0,
            depthshade=False,
            rasterized=True,
        )
    panel.set_xlabel("time (ms)", labelpad=14)
    panel.set_ylabel("x (pixels)", labelpad=10)
    panel.set_zlabel("y (pixels)", labelpad=6)
    panel.set_ylim(-0.5, size[0] - 0.5)
    panel.set_zlim(size[1] - 0.5, -0.5)
    panel.set_box_aspect((2.2, 1.0, float(np.clip(size[1] / size[0], 0.4, 2.0))))
    panel.view_init(elev=18, azim=-62)
    whole_ticks(panel.yaxis, panel.zaxis, most=5)
