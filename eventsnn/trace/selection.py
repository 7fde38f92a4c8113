"""What is asked of a recorded run: a projection, a neuron, a spike; clear errors for what there is not."""

from __future__ import annotations

import numpy as np

from eventsnn._util.arguments import is_whole
from eventsnn.errors import TraceError
from eventsnn.model import Network
from eventsnn.trace.record import LayerSpikes


def check_neuron(network: Network, layer: str, neuron: int) -> None:
    """Raise TraceError unless layer `layer` has a neuron of this number."""
    size = network.source_size(network.index(layer))
    if not is_whole(neuron) or not 0 <= neuron < size:
        raise TraceError(f"layer {layer!r} has the neurons 0..{size - 1}, got {neuron!r}")


def find_projection(network: Network, layer: str, projection: str | None, where: str = "") -> str:
    """Key of a projection into a layer: `projection`, or that of the layer itself for None.

    Raises TraceError, which begins with `where`, if the layer has no such projection.
    """
    keys = [p.key for p in network.projections if p.target == network.index(layer)]
    key = layer if projection is None else projection
    if key not in keys:
        there = f"there are {', '.join(keys)}" if keys else "nothing feeds the input"
        raise TraceError(f"{where}no projection {key!r} into layer {layer!r}; {there}")
    return key


def find_spike(
    network: Network,
    layer: str,
    spikes: LayerSpikes,
    neuron: int,
    spike: int,
    where: tuple[str, str] = ("", ""),
) -> int:
    """Row in `spikes`, those of the layer, of a neuron's spike of this number, counted from 0.

    Raises TraceError if the layer has no such neuron, or the neuron no such spike; `where` is how that text
    begins and ends.
    """
    check_neuron(network, layer, neuron)
    rows = np.flatnonzero(spikes.neurons == neuron)
    if not is_whole(spike) or not 0 <= spike < rows.size:
        had = f"has the spikes 0..{rows.size - 1}" if rows.size else "stayed silent"
        raise TraceError(f"{where[0]}no spike {spike!r}: neuron {neuron} of {layer!r} {had}{where[1]}")
    return int(rows[spike])
