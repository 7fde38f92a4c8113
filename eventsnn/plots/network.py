"""A network in bars: neurons, synapses, and what a trace makes them do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from eventsnn._util.hdf5 import read_marks
from eventsnn.errors import TraceError
from eventsnn.model import Network
from eventsnn.plots.figure import BLUE, GREEN, GREY, ORANGE, opened, picture, shorten
from eventsnn.trace.operations import count_additions
from eventsnn.trace.reader import Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LONGEST = 24


def plot_network(source: Network | Trace | str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Draw the layers of a network with their neurons and synapses, and what a trace tells of their work.

    Of a network alone: neurons, synapses and trained weights of each layer. Of a trace: neurons, synapses,
    spikes per recording, and additions per recording (`eventsnn.trace.operations.count_additions`).

    Parameters
    ----------
    source : Network, Trace or path
        A network, a trace, or the file of a model or a trace.
    path : path
        File to write, .png (1600 x 1000), .pdf or .svg.

    Raises
    ------
    TraceError
        No such trace, or the file cannot be written.
    NetworkError
        A damaged model.
    MissingExtraError
        matplotlib is not installed.
    """
    if isinstance(source, str | os.PathLike) and "eventsnn_network" in (read_marks(source) or ()):
        source = Network.load(source)
    if isinstance(source, Network):
        _draw(path, source, _describe(source), describe_size(source))
        return
    with opened(source) as trace:
        if not len(trace):
            raise TraceError(f"{trace.path}: holds no complete sample")
        values = describe_size(trace.network) | describe_work(trace)
        additions = float(np.nansum(values["additions per recording"]))
        title = f"{_describe(trace.network)}; {_short(additions)} additions per recording"
        del values["weights"]
        _draw(path, trace.network, title, values)


def describe_size(network: Network) -> dict[str, np.ndarray]:
    """Neurons, synapses and weights of the input and of each layer; NaN where there is no such thing."""
    synapses = dict.fromkeys(network.names, 0)
    for projection in network.projections:
        synapses[network.names[projection.target]] += int(network.fan_out(projection).sum())
    weights = dict.fromkeys(network.names, 0)
    targets = {projection.key: network.names[projection.target] for projection in network.projections}
    for key, shape in network.weight_shapes().items():
        stored = network.weights[key]
        weights[targets[key]] += int(stored.nnz if hasattr(stored, "nnz") else np.prod(shape))
    neurons = [network.input.neurons, *(layer.neurons for layer in network.layers)]
    return {
        "neurons": np.array(neurons, float),
        "synapses": np.array([np.nan, *synapses.values()]),
        "weights": np.array([np.nan, *weights.values()]),
    }


def describe_work(trace: Trace) -> dict[str, np.ndarray]:
    """Spikes and additions per recording of the input and of each layer; NaN where there are none ever."""
    names, n = ("input", *trace.network.names), len(trace)
    fires = [True, *(layer.fires for layer in trace.network.layers)]
    spikes = [trace.n_spikes(name) / n if fire else np.nan for name, fire in zip(names, fires, strict=True)]
    additions = [count / n for count in count_additions(trace).values()]
    return {
        "spikes per recording": np.array(spikes),
        "additions per recording": np.array([np.nan, *additions]),
    }


def _describe(network: Network) -> str:
    sizes = "-".join(str(n) for n in (network.input.neurons, *(layer.neurons for layer in network.layers)))
    return f"Network {shorten(sizes, 60)}"


def _draw(path: str | os.PathLike[str], network: Network, title: str, values: dict[str, np.ndarray]) -> None:
    names = [shorten(name, LONGEST) for name in ("input", *network.names)]
    kinds = [" x ".join(map(str, network.input.sensor_size)), *map(_describe_layer, network.layers)]
    with picture(path) as figure:
        figure.suptitle(title, fontsize=19, fontweight="bold")
        axes = figure.subplots(1, len(values), sharey=True, squeeze=False)[0]
        colours = (GREY, GREY, BLUE, ORANGE) if len(values) == 4 else (GREY, BLUE, GREEN)
        for panel, (what, numbers), colour in zip(axes, values.items(), colours, strict=False):
            _draw_bars(panel, what, numbers, colour)
        small = 13 if len(names) <= 12 else 8
        axes[0].set_yticks(
            range(len(names)), [f"{a}\n{b}" for a, b in zip(names, kinds, strict=True)], fontsize=small
        )
        axes[0].invert_yaxis()


def _draw_bars(panel: Axes, what: str, numbers: Sequence[float] | np.ndarray, colour: str) -> None:
    known = np.nan_to_num(np.asarray(numbers, float))
    panel.barh(np.arange(len(known)), known, color=colour, height=0.6)
    panel.set_xscale("symlog", linthresh=1.0)
    panel.set_xlim(0.0, max(10.0, 30.0 * float(known.max())))
    panel.set_xlabel(what)
    panel.tick_params(axis="x", labelsize=11)
    _thin_decades(panel)
    small = 13 if len(known) <= 12 else 9
    for row, value in enumerate(numbers):
        text = "-" if np.isnan(value) else _short(float(value))
        panel.annotate(
            text, (known[row], row), (4, 0), textcoords="offset points", va="center", fontsize=small
        )


def _thin_decades(panel: Axes) -> None:
    """Zero and at most four powers of ten."""
    most = int(np.log10(panel.get_xlim()[1]))
    step = max(1, -(-most // 4))
    panel.set_xticks([0.0, *(10.0**k for k in range(0, most + 1, step))])
    panel.minorticks_off()


def _describe_layer(layer: Any) -> str:
    shape = layer.shape
    size = f"{shape[0]} x {shape[2]} x {shape[1]}" if shape[1] * shape[2] > 1 else f"{shape[0]}"
    return f"{layer.kind} {size}"


def _short(value: float) -> str:
    """``1,234``, ``12.3``, ``4.5 M``."""
    for unit, name in ((1e9, " G"), (1e6, " M")):
        if value >= unit:
            return f"{value / unit:.3g}{name}"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
