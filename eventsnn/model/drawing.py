"""Random initial weights of a network."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from eventsnn.errors import NetworkError
from eventsnn.model.layers import Connection, Dense
from eventsnn.model.reservoir import Reservoir, draw_reservoir
from eventsnn.model.sparse import draw_sparse
from eventsnn.model.spatial import Conv, Pool

if TYPE_CHECKING:
    from eventsnn.model.network import Network


def draw_weights(network: Network, seed: int) -> dict[str, Any]:
    """Weights of every projection that has some, float32, by the rule of its layer or connection.

    Raises
    ------
    NetworkError
        The seed is no whole number >= 0, or a layer asks for more synapses of a neuron than it has sources.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise NetworkError(f"seed must be a whole number >= 0, got {seed!r}")
    owners: dict[str, Dense | Conv | Connection] = {
        str(layer.name): layer for layer in network.layers if not isinstance(layer, Pool)
    }
    owners |= {connection.key: connection for connection in network.connections}
    reservoirs = {layer.recurrent_key: layer for layer in network.layers if isinstance(layer, Reservoir)}
    _check_memory(network, {key: getattr(owner, "probability", 1.0) for key, owner in owners.items()})
    weights: dict[str, Any] = {}
    for n, (key, shape) in enumerate(network.weight_shapes().items()):
        # One generator per projection: adding a layer at the end leaves the earlier weights as they were.
        generator = np.random.default_rng([int(seed), n])
        if key in reservoirs:
            weights[key] = draw_reservoir(reservoirs[key], generator)
        else:
            bias = network.input.has_bias and key in network.names
            weights[key] = _draw(owners[key], shape, bias, generator)
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
    """Bytes of the machine's memory; infinite where the system does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return math.inf


def _draw(
    owner: Dense | Conv | Connection, shape: tuple[int, ...], bias: bool, generator: np.random.Generator
) -> Any:
    """Weights of one projection; `bias`: the last column is that of the biases."""
    limit = owner.initial_weight

    def draw(size: tuple[int, ...]) -> np.ndarray:
        if owner.initial_distribution == "gaussian":
            return (limit * generator.standard_normal(size)).astype(np.float32)
        return (limit * generator.uniform(-1.0, 1.0, size)).astype(np.float32)

    probability = getattr(owner, "probability", 1.0)
    if probability < 1.0:
        return draw_sparse(generator, (shape[0], shape[1]), probability, draw)
    if owner.initial_distribution == "fixed":
        return _draw_fixed(owner, shape, bias, generator)
    return draw(shape)


def _draw_fixed(
    owner: Dense | Conv | Connection, shape: tuple[int, ...], bias: bool, generator: np.random.Generator
) -> np.ndarray:
    """`initial_synapses` weights of a neuron are +-`initial_weight`, from distinct sources; others 0."""
    name = f"connection {owner.key!r}" if isinstance(owner, Connection) else owner.owner
    count, post = owner.initial_synapses or 0, shape[0]
    sources = math.prod(shape[1:]) - bias
    if count > sources:
        raise NetworkError(
            f"{name}: initial_synapses must not be above the number of sources, {sources}; got {count}"
        )
    weights = np.zeros((post, sources + bias), np.float32)
    for row in weights:
        chosen = generator.permutation(sources)[:count]
        row[chosen] = owner.initial_weight * generator.choice([-1.0, 1.0], count)
    return weights.reshape(shape)
