"""Random initial weights of a network."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from eventsnn._util.arguments import check_whole
from eventsnn.errors import NetworkError

if TYPE_CHECKING:
    from eventsnn.model.network import Network


def draw_weights(network: Network, seed: int) -> dict[str, Any]:
    """Weights of every projection that has some, float32, by the rule of its layer or connection.

    Raises
    ------
    NetworkError
        The seed is no whole number >= 0, or a layer asks for more synapses of a neuron than it has sources.
    """
    seed = check_whole("seed", seed, NetworkError)
    layers = {str(layer.name): layer for layer in network.layers}
    connections = {connection.key: connection for connection in network.connections}
    _check_memory(network, {key: part.probability for key, part in (layers | connections).items()})
    weights: dict[str, Any] = {}
    targets = {p.key: network.layers[p.target] for p in network.projections}
    for n, (key, shape) in enumerate(network.weight_shapes().items()):
        # One generator per projection: adding a layer at the end leaves the earlier weights as they were.
        generator = np.random.default_rng([seed, n])
        if key in layers:
            weights[key] = layers[key].draw(generator)
        elif key in connections:
            weights[key] = connections[key].draw(shape, generator)
        else:
            weights[key] = targets[key].draw_recurrent(key, generator)
    return weights


def _check_memory(network: Network, probabilities: dict[str, float]) -> None:
    """Refuse weights that do not fit the machine's memory: the system would end the program at once."""
    needs = {}
    for key, shape in network.weight_shapes().items():
        probability = probabilities.get(key, 1.0)
        bytes_each = 4 if probability == 1.0 else 16  # of sparse weights also where they are
        needs[key] = math.prod(shape) * probability * bytes_each
    need, memory = sum(needs.values()), _memory()
    if need > memory:
        largest = max(needs, key=lambda key: needs[key])
        raise NetworkError(
            f"the weights need {need / 2**30:,.1f} GiB, {needs[largest] / 2**30:,.1f} of them those of "
            f"{largest!r} of shape {network.weight_shapes()[largest]}; this machine has "
            f"{memory / 2**30:,.1f} GiB of memory"
        )


def _memory() -> float:
    """Bytes of the machine's memory; infinite if the system does not report it."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return math.inf
