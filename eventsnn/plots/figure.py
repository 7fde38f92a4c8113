"""Shared by all pictures: size, colours, plain axes, and safe writing of the file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from eventsnn._util.atomic import replace_file
from eventsnn._util.names import printable
from eventsnn._util.zoom import busy_part
from eventsnn.errors import MissingExtraError, TraceError
from eventsnn.model import Network
from eventsnn.trace.reader import Trace
from eventsnn.trace.record import SpikeRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

WIDTH, HEIGHT, DPI = 1600, 1000, 100  # pixels, pixels, pixels per inch
FORMATS = (".png", ".pdf", ".svg")

# Colours that stay apart for colour-blind readers: Okabe & Ito 2008 for roles, Tol's "muted" for neurons.
INK, GREY, LIGHT = "#222222", "#767676", "#dddddd"
BLUE, ORANGE, GREEN, VERMILION = "#0072b2", "#e69f00", "#009e73", "#d55e00"
NEURONS = (
    "#332288",
    "#cc6677",
    "#117733",
    "#ddcc77",
    "#88ccee",
    "#882255",
    "#44aa99",
    "#999933",
    "#aa4499",
    GREY,
)
POLARITIES = ("OFF (p = 0)", "ON (p = 1)")
DIVERGING, SEQUENTIAL, FROM_WHITE = "RdBu_r", "cividis", "Blues"

STYLE: Any = {
    "font.size": 14,
    "axes.titlesize": 15,
    "axes.labelsize": 14,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 13,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


def check_picture(path: str | os.PathLike[str]) -> None:
    """Whether a picture can be drawn there, before the work whose result it shows; matplotlib stays unloaded.

    Raises MissingExtraError and TraceError as `picture` does, which finds more.
    """
    target = Path(path)
    if target.suffix.lower() not in FORMATS:
        raise TraceError(f"{target}: a picture's name must end in {', '.join(FORMATS)}")
    if find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", "plot", "drawing a picture")


@contextmanager
def picture(path: str | os.PathLike[str]) -> Iterator[Figure]:
    """A figure to draw on; it is written to `path` when the block ends without an error.

    The figure stands on its own (no pyplot): nothing opens a window, and no state is shared with the caller's
    figures.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    TraceError
        The file cannot be written, or its ending is not .png, .pdf or .svg.
    """
    target = Path(path)
    check_picture(target)
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with matplotlib.rc_context(STYLE):
        layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)  # inches
        figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, layout=layout)
        yield figure
        with replace_file(target, lambda text: TraceError(f"{target}: cannot be written ({text})")) as file:
            figure.savefig(file, format=target.suffix.lower().lstrip("."))


def read_sample(
    trace: str | os.PathLike[str] | Trace, sample: int, layer: str | None = None, why_not_input: str = ""
) -> tuple[SpikeRecord, Network, str]:
    """Spikes, network and heading of a sample of a trace, open or named by its path.

    Raises TraceError if there is no such sample, or no such layer; `why_not_input` says it of the input.
    """
    if not isinstance(trace, Trace):
        with Trace(trace) as reader:
            return read_sample(reader, sample, layer, why_not_input)
    record = trace.record(sample)
    if layer is not None:
        trace.spikes(layer, sample)
    if layer == "input":
        raise TraceError(f"{why_not_input}: give the name of a layer of neurons")
    return record, trace.network, describe_sample(trace, sample)


def describe_sample(trace: Trace, sample: int) -> str:
    """Heading of a picture: the sample, its source, and the decision."""
    row = trace.samples[sample]
    source = f" ({Path(row.source).name})" if row.source else ""
    decision = "no decision" if row.prediction is None else f"decision {row.prediction}"
    label = ""
    if row.label is not None:
        label = f", label {row.label} ({'right' if row.label == row.prediction else 'wrong'})"
    origin = f", times from {row.origin_us:,} us" if row.origin_us else ""
    return f"Sample {sample}{source}: {decision}{label}{origin}"


@contextmanager
def opened(trace: str | os.PathLike[str] | Trace) -> Iterator[Trace]:
    """A trace, open or named by its path, for the block; one that was open stays so."""
    if isinstance(trace, Trace):
        yield trace
        return
    if not isinstance(trace, str | os.PathLike):
        raise TraceError(f"trace: give a trace or its path, got {type(trace).__name__}")
    with Trace(trace) as reader:
        yield reader


def shorten(text: str, most: int) -> str:
    """A name of at most so many letters, its middle left out; printable."""
    shown = printable(text)
    if len(shown) <= most:
        return shown
    head = (most - 1) // 2
    return f"{shown[:head]}…{shown[len(shown) - (most - 1 - head) :]}"


def whole_ticks(*axes: Axis, most: int | Literal["auto"] = "auto") -> None:
    """Ticks at whole numbers only, such as pixels, neurons and epochs; by default those there is room for."""
    from matplotlib.ticker import MaxNLocator

    for axis in axes:
        axis.set_major_locator(MaxNLocator(most, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))


def neuron_colour(neuron: int) -> str:
    """Colour of an output neuron; repeats after ten."""
    return NEURONS[neuron % len(NEURONS)]


def polarity_name(polarity: int, polarities: int) -> str:
    """Heading of a polarity's panel."""
    return POLARITIES[polarity] if polarities == 2 else f"p = {polarity}"


def draw_sensor_maps(
    figure: Any,
    axes: list[Axes],
    maps: np.ndarray,
    sensor_size: tuple[int, int, int],
    *,
    label: str,
    signed: bool,
) -> None:
    """One map of the sensor per polarity with a common colour bar; a sensor of height 1 becomes bars.

    Where the values are in a small part of the sensor, this part is shown.

    Parameters
    ----------
    figure : Figure or SubFigure
        Gets the colour bar.
    axes : list of Axes
        One per polarity.
    maps : float array (polarities * height * width,)
    sensor_size : (width, height, polarities)
    label : str
        Name and unit of the quantity.
    signed : bool
        Diverging colours around 0; otherwise from 0 up.
    """
    width, height, polarities = sensor_size
    values = maps.reshape(polarities, height, width)
    x0, x1, y0, y1 = busy_part(values)
    of = ("", "") if (x1 - x0, y1 - y0) == (width, height) else (f" of {width}", f" of {height}")
    for polarity, panel in enumerate(axes):
        if polarities > 1:
            panel.set_title(polarity_name(polarity, polarities))
        if height == 1:
            colours = np.where(values[polarity, 0] < 0, BLUE, VERMILION) if signed else BLUE
            panel.bar(np.arange(width), values[polarity, 0], width=0.9, color=colours)
            panel.axhline(0.0, color=GREY, linewidth=0.8)
            panel.set_xlabel("channel")
            panel.set_ylabel(label)
            whole_ticks(panel.xaxis)
            continue
        top = float(np.abs(values).max()) or 1.0
        image = panel.imshow(
            values[polarity],
            cmap=DIVERGING if signed else SEQUENTIAL,
            vmin=-top if signed else 0.0,
            vmax=top,
            interpolation="nearest",
        )
        panel.set_xlim(x0 - 0.5, x1 - 0.5)
        panel.set_ylim(y1 - 0.5, y0 - 0.5)
        panel.set_xlabel(f"x (pixels{of[0]})")
        panel.set_ylabel(f"y (pixels{of[1]})")
        panel.spines[:].set_visible(True)
        whole_ticks(panel.xaxis, panel.yaxis)
    if height > 1:
        figure.colorbar(image, ax=axes, label=label, shrink=0.75, aspect=25)
