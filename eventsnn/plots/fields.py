"""Receptive fields: the weights of neurons as images over what they see."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from eventsnn._util.arguments import is_whole
from eventsnn.errors import TraceError
from eventsnn.model import Network
from eventsnn.model.fields import receptive_fields, strongest_fields
from eventsnn.plots.figure import DIVERGING, HEIGHT, WIDTH, picture, whole_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_FIELDS = 24  # more cannot be told apart
GAP = 1  # pixels between the maps of a neuron


def plot_receptive_fields(
    network: Network | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    layer: str | None = None,
    neurons: Sequence[int] | None = None,
) -> None:
    """Draw the weights of a layer: over the sensor or the source's maps, or as a matrix where it sees a line.

    Parameters
    ----------
    network : Network or path
        A network, or the file of a model.
    path : path
        File to write, .png (1600 x 1000), .pdf or .svg.
    layer : str, optional
        The first by default.
    neurons : sequence of int, optional
        Neurons of a dense layer or channels of a convolution, at most 24; by default those with the largest
        norms.

    Raises
    ------
    TraceError
        The layer has no weights or no such neurons, or the file cannot be written.
    NetworkError
        No such layer, or no such model.
    MissingExtraError
        matplotlib is not installed.
    """
    network = network if isinstance(network, Network) else Network.load(network)
    name = network.names[0] if layer is None else layer
    fields = receptive_fields(network, name)
    if fields is None:
        raise TraceError(f"layer {name!r} has no weights of its own to draw")
    part = network[name]
    what = "channel" if part.shares_weights else "neuron"
    for neuron in neurons or ():
        if not is_whole(neuron) or not 0 <= neuron < len(fields):
            raise TraceError(f"layer {name!r} has the {what}s 0..{len(fields) - 1}, got {neuron!r}")
    if neurons is not None and not 1 <= len(neurons) <= MOST_FIELDS:
        raise TraceError(f"neurons: a picture holds 1 to {MOST_FIELDS} receptive fields, got {len(neurons)}")
    source = network.projections[[p.key for p in network.projections].index(name)].source
    seen = "input" if source < 0 else network.names[source]
    with picture(path) as figure:
        if fields.shape[2] == 1:
            _draw_matrix(figure, fields, name, seen)
            return
        chosen = np.sort(strongest_fields(fields, MOST_FIELDS)) if neurons is None else np.asarray(neurons)
        figure.set_layout_engine("compressed", w_pad=0.1, h_pad=0.1)
        every = "" if len(chosen) == len(fields) or neurons is not None else ", the strongest"
        maps = "" if fields.shape[1] == 1 else f", a tile for each channel of {seen!r}"
        maps = "; OFF left, ON right" if source < 0 and fields.shape[1] == 2 else maps
        figure.suptitle(
            f"Weights of {len(chosen)} of {len(fields)} {what}s of {name!r} from {seen!r}{every}{maps}",
            fontsize=17,
        )
        _draw_fields(figure, fields[chosen], [f"{what} {k}" for k in chosen.tolist()])


def tile_maps(field: np.ndarray, columns: int) -> np.ndarray:
    """The maps of a field (maps, height, width) beside and below each other, NaN between them."""
    maps, height, width = field.shape
    rows = -(-maps // columns)
    tiled = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP), np.nan)
    for k, values in enumerate(field):
        top, left = (k // columns) * (height + GAP), (k % columns) * (width + GAP)
        tiled[top : top + height, left : left + width] = values
    return tiled


def _draw_fields(figure: Figure, fields: np.ndarray, titles: list[str]) -> None:
    count, maps, height, width = fields.shape
    # Polarities stand side by side; the many maps of a deeper layer as nearly in a square as they can.
    columns = maps if maps <= 2 else math.ceil(math.sqrt(maps * height / width))
    tiled = [tile_maps(field, columns) for field in fields]
    shape = tiled[0].shape
    across = choose_columns(count, shape[1] / shape[0])
    axes = list(figure.subplots(-(-count // across), across, squeeze=False).flat)
    top = float(np.abs(fields).max()) or 1.0
    for panel in axes[count:]:
        panel.set_axis_off()
    for number, (panel, values, title) in enumerate(zip(axes, tiled, titles, strict=False)):
        image = panel.imshow(values, cmap=DIVERGING, vmin=-top, vmax=top, interpolation="nearest")
        panel.set_title(title, fontsize=12)
        panel.spines[:].set_visible(True)
        _label_pixels(panel, columns, width, is_corner=number == (count - 1) // across * across)
    figure.colorbar(image, ax=axes, label="synaptic weight (unit of the threshold)", shrink=0.75, aspect=25)


def _label_pixels(panel: Axes, columns: int, width: int, *, is_corner: bool) -> None:
    """Pixels along the edges of the field in the lower left corner; the others have the same."""
    panel.tick_params(labelsize=10)
    if not is_corner or columns > 2:
        panel.set_xticks([])
        panel.set_yticks([])
        return
    panel.set_xticks([0, width - 1], ["0", str(width - 1)])
    panel.set_xlabel("x (pixels)", fontsize=10)
    panel.set_ylabel("y (pixels)", fontsize=10)
    whole_ticks(panel.yaxis, most=3)


def choose_columns(count: int, aspect: float) -> int:
    """Columns in which `count` pictures of this width by height fill the figure best."""

    def scale(columns: int) -> float:
        rows = -(-count // columns)
        return min(WIDTH / (columns * aspect), HEIGHT / rows)

    return max(range(1, count + 1), key=scale)


def _draw_matrix(figure: Figure, fields: np.ndarray, name: str, seen: str) -> None:
    """All weights of a layer over a line of inputs, or over neurons without a place."""
    matrix = fields.reshape(len(fields), -1)
    top = float(np.abs(matrix).max()) or 1.0
    panel = figure.subplots()
    image = panel.imshow(matrix, cmap=DIVERGING, vmin=-top, vmax=top, interpolation="nearest", aspect="auto")
    panel.set_title(f"Weights of {name!r} from {seen!r}", fontsize=17)
    panel.set_xlabel(f"neuron of {seen!r}")
    panel.set_ylabel(f"neuron of {name!r}")
    whole_ticks(panel.xaxis, panel.yaxis)
    figure.colorbar(image, ax=panel, label="synaptic weight (unit of the threshold)", aspect=30)
