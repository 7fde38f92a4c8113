"""Projections: the layers and connections of a network as bundles of synapses, as engines see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from eventsnn.errors import NetworkError
from eventsnn.model.chain import INPUT
from eventsnn.model.delays import branches_of
from eventsnn.model.layers import BIAS, Layer, Projection
from eventsnn.model.layers.branches import Branches
from eventsnn.model.layers.connection import PAIRS
from eventsnn.model.sparse import is_sparse, row_of, rows_of

if TYPE_CHECKING:
    from eventsnn.model.network import Network


class AfferentSynapses(NamedTuple):
    """The synapses of a projection onto some neurons, neuron by neuron.

    Attributes
    ----------
    ptr : int64 array (neurons + 1,)
        Where those of each neuron begin.
    pre : int array (synapses,)
        Source neuron of each.
    weights, delays : float64 array (synapses,)
    """

    ptr: np.ndarray
    pre: np.ndarray
    weights: np.ndarray
    delays: np.ndarray


def list_projections(network: Network) -> tuple[Projection, ...]:
    """All of a network: of its layers, then of its connections, then those within layers.

    Raises
    ------
    NetworkError
        For a connection that cannot be, naming it.
    """
    projections = [
        _project(network, str(layer.name), n - 1, n, layer.delay) for n, layer in enumerate(network.layers)
    ]
    for connection in network.connections:
        if connection.target == INPUT:
            raise NetworkError(f"connection {connection.key!r}: the input cannot be a target")
        if connection.key in {p.key for p in projections}:
            raise NetworkError(f"connection {connection.key!r}: the name is taken; give it another")
        try:
            source, target = network.index(connection.source), network.index(connection.target)
        except NetworkError as error:
            raise NetworkError(f"connection {connection.key!r}: {error}") from None
        if source >= 0 and not network.layers[source].fires:
            raise NetworkError(
                f"connection {connection.key!r}: {connection.source!r} is a readout, which never fires"
            )
        projections.append(_project(network, connection.key, source, target, float(connection.delay)))
    for n, layer in enumerate(network.layers):
        for p in layer.inner_projections(n):
            key = str(layer.name) if p.source == BIAS else p.key
            own = key in network.delays
            projections.append(_project(network, key, p.source, n, p.delay) if own else p)
    return tuple(projections)


def _project(
    network: Network, key: str, source: int, target: int, delay: float | Sequence[float]
) -> Projection:
    """A projection with weights; `key` is that of the weights, `delay` what its layer or connection says."""
    name = f"{key}:bias" if source == BIAS else key
    size = network.source_size(source)
    if key in network.delays:
        branches = branches_of(network.weights[key], network.delays[key], size, source == BIAS)
    elif isinstance(delay, Sequence):
        branches = Branches.by_source(delay[:size])
    else:
        return Projection(name, source, target, float(delay))
    return Projection(name, source, target, float(branches.delays.min(initial=np.inf)), branches=branches)


def shapes_of_weights(network: Network) -> dict[str, tuple[int, ...]]:
    """See `eventsnn.model.Network.weight_shapes`."""
    shapes: dict[str, tuple[int, ...]] = {}
    for p in network.projections:
        target = network.layers[p.target]
        if p.key == target.name:
            if target.weight_shape is not None:
                shapes[p.key] = target.weight_shape
        elif p.source != BIAS and not p.lateral:
            shapes[p.key] = (target.neurons, network.source_size(p.source))
    return shapes


def axes_of_weights(network: Network) -> dict[str, tuple[str, ...]]:
    """See `eventsnn.model.Network.weight_axes`."""
    axes = {layer.name: layer.weight_axes for layer in network.layers}
    return {key: axes.get(key, PAIRS) for key in network.weight_shapes()}


def senders(network: Network, projection: Projection) -> int:
    """See `eventsnn.model.Network.senders`."""
    branches = projection.branches
    if branches is not None and branches.each_synapse:
        return len(branches.delays)
    return network.source_size(projection.source)


def weights_of(network: Network, projection: Projection) -> np.ndarray:
    """See `eventsnn.model.Network.projection_weights`."""
    if projection.lateral:
        size = network.layers[projection.target].neurons
        return np.asarray(-projection.lateral * (1.0 - np.eye(size)))
    weights = network.lowered.weights[_weight_key(network, projection)]
    array = np.asarray(weights.toarray() if is_sparse(weights) else weights)
    return array[:, _columns(network, projection)]


def weights_by_branch(network: Network, projection: Projection) -> np.ndarray:
    """See `eventsnn.model.Network.sender_weights`."""
    branches = projection.branches
    assert branches is not None
    return np.asarray(network.weights[_weight_key(network, projection)].data[branches.place])


def weights_to(network: Network, projection: Projection, neuron: int) -> np.ndarray:
    """See `eventsnn.model.Network.afferent_weights`."""
    if projection.lateral:
        row = np.full(network.layers[projection.target].neurons, -projection.lateral)
        row[neuron] = 0.0
        return row
    layer, key = network.layers[projection.target], _weight_key(network, projection)
    weights = network.weights.get(key)
    if layer.shares_weights and key == layer.name:
        row = layer.lower_row(weights, neuron)
    elif is_sparse(weights):
        row = row_of(weights, neuron)
    else:
        assert weights is not None
        row = np.asarray(weights[neuron], np.float64)
    return row[_columns(network, projection)]


def synapses_to(network: Network, projection: Projection, neurons: np.ndarray) -> AfferentSynapses | None:
    """See `eventsnn.model.Network.afferent_synapses`."""
    if projection.lateral:
        return None
    layer, key = network.layers[projection.target], _weight_key(network, projection)
    weights, branches = network.weights.get(key), projection.branches
    if branches is not None and branches.each_synapse:
        ptr, chosen = branches.onto_each(neurons)
        pre = np.searchsorted(branches.ptr, chosen, side="right") - 1
        values = network.sender_weights(projection)[chosen].astype(np.float64)
        return AfferentSynapses(ptr, pre, values, branches.delays[chosen])
    if layer.shares_weights and key == layer.name:
        ptr, pre, values = layer.lower_rows(weights, neurons)
    elif is_sparse(weights):
        ptr, pre, values = rows_of(weights, neurons)
    else:
        return None
    bias = projection.source == BIAS  # whose column is the last, after those of the layer's own source
    first = network.source_size(projection.target - 1) if bias else 0
    chosen = (pre >= first) & (pre < first + network.source_size(projection.source))
    ptr = np.concatenate([[0], np.cumsum(chosen)])[ptr]
    pre = pre[chosen] - first
    delays = projection.delay if branches is None else branches.delays[pre]
    return AfferentSynapses(ptr, pre, values[chosen], np.broadcast_to(delays, pre.shape))


def fan_out(network: Network, projection: Projection, nonzero: bool) -> np.ndarray:
    """See `eventsnn.model.Network.fan_out`."""
    if projection.lateral:
        size = network.layers[projection.target].neurons
        return np.full(size, size - 1, np.int64)
    key, layer = _weight_key(network, projection), network.layers[projection.target]
    weights: Any = network.weights.get(key)
    if layer.shares_weights and key == layer.name:
        synapses = _fan_out_of_patches(layer, weights, nonzero)
    elif is_sparse(weights):
        places = weights.indices[weights.data != 0.0] if nonzero else weights.indices
        synapses = np.bincount(places, minlength=weights.shape[1])
    elif nonzero:
        synapses = np.count_nonzero(weights, axis=0).astype(np.int64)
    else:
        synapses = np.full(weights.shape[1], weights.shape[0], np.int64)
    return synapses[_columns(network, projection)]


def _fan_out_of_patches(layer: Layer, weights: Any, nonzero: bool) -> np.ndarray:
    """Of a layer that shares weights: they are counted by where a source neuron is in a patch."""
    exists = layer.connected
    if nonzero:
        exists = exists & (layer.shared_weights(weights) != 0.0)
    channels = exists.sum(axis=0)  # of the layer, that have each input
    ptr, _, offset = layer.geometry.table
    cells, area = len(ptr) - 1, layer.geometry.area
    cell = np.repeat(np.arange(cells), np.diff(ptr))
    maps = channels[: layer.patch].reshape(-1, area)
    synapses = [np.bincount(cell, each[offset], cells).astype(np.int64) for each in maps]
    return np.concatenate([*synapses, channels[layer.patch :] * layer.positions])


def _weight_key(network: Network, projection: Projection) -> str:
    """Key of the weights of a projection that is not lateral."""
    return network.names[projection.target] if projection.source == BIAS else projection.key


def _columns(network: Network, projection: Projection) -> slice:
    """Where a projection's sources are in the rows of its weights, whose last column may be the biases."""
    return slice(-1, None) if projection.source == BIAS else slice(network.source_size(projection.source))
