"""A trace in a notebook."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from eventsnn._util import html
from eventsnn._util.words import number_of

if TYPE_CHECKING:
    from eventsnn.trace.reader import Trace

PAGE = "eventsnn.view.notebook"
"""Found by its name, as a plugin would be: a trace knows no page."""


def describe_trace(trace: Trace) -> str:
    """Layers with their spikes, and the spikes of the first sample, as HTML."""
    network = trace.network
    sizes = {"input": network.input.neurons}
    sizes |= {name: layer.neurons for name, layer in zip(network.names, network.layers, strict=True)}
    table = [("layer", "neurons", "spikes")]
    table += [(name, f"{size:,}", f"{trace.n_spikes(name):,}") for name, size in sizes.items()]
    first = [trace.spikes(name, 0) for name in sizes] if len(trace) else []
    picture = html.paint_spikes([(train.times, train.neurons, train.size) for train in first])
    return html.describe(
        f"Trace {trace.path.name}: {number_of(len(trace), 'sample')}; spikes of the first", table, picture
    )


def open_page(trace: Trace, height: int, state: dict[str, object]) -> Any:
    """See `Trace.view`."""
    page = import_module(PAGE).NotebookPage
    return page(trace.path, {name: str(value) for name, value in state.items()}, height)
