"""S-PSPs: the share of each pre-synaptic neuron in a neuron's spikes over a sample."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from eventsnn._util.words import number_of
from eventsnn.errors import TraceError
from eventsnn.model import Network, Projection
from eventsnn.plots.figure import (
    BLUE,
    DIVERGING,
    GREY,
    SEQUENTIAL,
    VERMILION,
    draw_sensor_maps,
    picture,
    read_sample,
    whole_ticks,
)
from eventsnn.trace.reader import Trace
from eventsnn.trace.record import SpikeRecord
from eventsnn.trace.selection import check_neuron
from eventsnn.trace.spsp import neuron_spsps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BARS = 40  # pre-synaptic neurons that can be told apart side by side
MOST_COLUMNS = 1000  # of a heat map, which has about as many pixels
MOST_PAIRS = 2**24  # of neurons, in a heat map


def plot_spsp(
    trace: str | os.PathLike[str] | Trace,
    sample: int,
    layer: str,
    neuron: int | None,
    path: str | os.PathLike[str],
    *,
    weighted: bool = True,
) -> None:
    """Draw the S-PSPs of the feed-forward projection into a layer.

    For a layer fed by the input: a map over the sensor for one neuron, one panel per polarity. For a deeper
    layer: bars of the strongest pre-synaptic neurons, or if `neuron` is None a heat map of all pairs.

    Parameters
    ----------
    trace : path or Trace
        Spikes and network are enough; the S-PSPs are computed from them.
    sample : int
    layer : str
    neuron : int or None
        Post-synaptic neuron; None for deeper layers only.
    path : path
        File to write, .png (1600 x 1000), .pdf or .svg.
    weighted : bool
        True: w e, the contributions, which add up to threshold times spike count (if nothing else feeds the
        neuron). False: e, what the neuron saw of each train whatever its synaptic weight.

    Raises
    ------
    TraceError
        No such trace, sample, layer or neuron, or a file that cannot be written.
    MissingExtraError
        matplotlib is not installed.
    """
    record, network, heading = read_sample(trace, sample, layer, "nothing feeds the input")
    projection = next(p for p in network.projections if p.key == layer)
    if neuron is not None:
        check_neuron(network, layer, neuron)
    elif not draws_pairs(network, layer):
        why = (
            "has too many pairs of neurons for one picture"
            if projection.source >= 0
            else "is fed by the sensor"
        )
        raise TraceError(
            f"layer {layer!r} {why}: give the neuron to draw its {'map' if projection.source < 0 else 'bars'}"
        )
    with picture(path) as figure:
        if neuron is None:
            _draw_pairs(figure, network, record, projection, weighted)
            what = "Contributions to all spikes" if weighted else "S-PSPs"
            figure.suptitle(f"{heading}\n{what} of layer {layer!r}, summed over the sample", fontsize=17)
            return
        values = _values(network, record, projection, neuron, weighted)
        count, threshold = int(record[layer].counts[neuron]), network[layer].threshold
        what = "Contributions to" if weighted else "S-PSPs in"
        total = f": {values.sum():.4g} in all" if weighted else ""
        spikes = number_of(count, "spike")
        about = f"{what} the {spikes} of neuron {neuron} in {layer!r} (threshold {threshold:g}){total}"
        figure.suptitle(f"{heading}\n{about}", fontsize=17)
        label = _quantity(weighted)
        if projection.source < 0:
            axes = list(figure.subplots(1, network.input.polarities, squeeze=False)[0])
            draw_sensor_maps(figure, axes, values, network.input.sensor_size, label=label, signed=weighted)
        else:
            _draw_bars(figure, values, network.names[projection.source], label)


def draws_pairs(network: Network, layer: str) -> bool:
    """Whether there is a picture of all neurons of a layer with all of its source, not of one alone."""
    number = network.index(layer)
    return number > 0 and network.layers[number].neurons * network.source_size(number - 1) <= MOST_PAIRS


def _quantity(weighted: bool) -> str:
    return "contribution w e (unit of the threshold)" if weighted else "S-PSP e (dimensionless)"


def _values(
    network: Network, record: SpikeRecord, projection: Projection, neuron: int, weighted: bool
) -> np.ndarray:
    values = neuron_spsps(network, record, projection, neuron)
    return values * network.afferent_weights(projection, neuron) if weighted else values


def _draw_bars(figure: Figure, values: np.ndarray, source: str, label: str) -> None:
    panel = figure.subplots()
    strongest = np.argsort(-np.abs(values), kind="stable")[:BARS]
    strongest = strongest[values[strongest] != 0.0]
    strongest = strongest[np.argsort(-values[strongest], kind="stable")]
    colours = np.where(values[strongest] < 0, BLUE, VERMILION)
    panel.bar(np.arange(strongest.size), values[strongest], color=colours, width=0.8)
    panel.axhline(0.0, color=GREY, linewidth=0.8)
    panel.margins(x=0.01)
    panel.set_xticks(
        np.arange(strongest.size), [str(j) for j in strongest], rotation=90 if strongest.size > 15 else 0
    )
    panel.set_xlabel(f"pre-synaptic neuron in layer {source!r}, sorted by contribution")
    panel.set_ylabel(label)
    others = np.count_nonzero(values) - strongest.size
    if others:
        remainder = values.sum() - values[strongest].sum()
        panel.set_title(
            f"the {strongest.size} strongest; the remaining {others} together {remainder:+.4g}", loc="left"
        )


def _draw_pairs(
    figure: Figure, network: Network, record: SpikeRecord, projection: Projection, weighted: bool
) -> None:
    post = network.layers[projection.target]
    matrix = np.stack([_values(network, record, projection, i, weighted) for i in range(post.neurons)])
    source, size = network.names[projection.source], matrix.shape[1]
    shown = np.arange(size)
    if size > MOST_COLUMNS:  # neurons without a share would hide those that have one
        shown = np.flatnonzero(matrix.any(axis=0))
        matrix = matrix[:, shown] if shown.size else np.zeros((post.neurons, 1))
    panel = figure.subplots()
    top = float(np.abs(matrix).max()) or 1.0
    image = panel.imshow(
        matrix,
        aspect="auto",
        interpolation="nearest",
        cmap=DIVERGING if weighted else SEQUENTIAL,
        vmin=-top if weighted else 0.0,
        vmax=top,
    )
    some = f", the {shown.size:,} of {size:,} that have a share" if shown.size < size else ""
    panel.set_xlabel(f"pre-synaptic neuron in layer {source!r}{some}")
    panel.set_ylabel(f"post-synaptic neuron in layer {post.name!r}")
    whole_ticks(panel.xaxis, panel.yaxis)
    panel.xaxis.set_major_formatter(
        lambda column, _: str(shown[int(column)]) if 0 <= column < shown.size else ""
    )
    if post.neurons <= 30:
        panel.set_yticks(range(post.neurons))
    figure.colorbar(image, ax=panel, label=_quantity(weighted))
