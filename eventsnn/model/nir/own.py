"""Our own description of a network in a graph's metadata: what NIR cannot say, and the exact numbers.

A graph that has been changed since must not be taken for what it was: whoever reads it builds the network
from the description and from the weights of the nodes, writes that network again, and takes it only if the
two graphs are equal in every bit. So the description can add something to a graph, and never contradict it.

Layout of ``metadata["eventsnn"]``: ``description``, JSON of the network's table, its run settings, the
dialect, the step in ms, the node of each layer, the shape of the weights of each key and the node that holds
them; and arrays ``<n>_<what>`` of the key number n: what its node does not hold, which is ``biases``,
``delays``, ``indices`` and ``indptr`` of sparse weights, or all ``data``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from eventsnn.errors import EventSNNError
from eventsnn.model.network import Network
from eventsnn.model.settings import RunSettings
from eventsnn.model.sparse import is_sparse

KEY = "eventsnn"
VERSION = 1


def describe(
    network: Network, dialect: str, dt_ms: float | None, populations: Sequence[str], nodes: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Metadata for a graph with these nodes of neurons, whose `nodes` hold the weights of these keys."""
    text = {
        "version": VERSION,
        "network": network.to_table(),
        "settings": network.settings.to_table(),
        "dialect": dialect,
        "dt_ms": dt_ms,
        "populations": list(populations),
        "nodes": dict(nodes),
        "shapes": [[key, list(weights.shape)] for key, weights in network.weights.items()],
    }
    found: dict[str, Any] = {"description": json.dumps(text, sort_keys=True)}
    with_bias = {layer.name for layer in network.layers if layer.has_bias}
    for n, (key, weights) in enumerate(network.weights.items()):
        if is_sparse(weights):
            found[f"{n}_indices"], found[f"{n}_indptr"] = weights.indices, weights.indptr
            if key in with_bias or key not in nodes:
                found[f"{n}_data"] = weights.data
        elif key not in nodes:
            found[f"{n}_data"] = weights
        elif key in with_bias:
            found[f"{n}_biases"] = weights[:, -1]
        if key in network.delays:
            found[f"{n}_delays"] = network.delays[key]
    return {KEY: found}


def read_header(graph: Any) -> dict[str, Any] | None:
    """The JSON of a graph's description; None if it has none that can be read."""
    own = graph.metadata.get(KEY) if isinstance(graph.metadata, dict) else None
    try:
        header = json.loads(own["description"]) if isinstance(own, dict) else None
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return header if isinstance(header, dict) and header.get("version") == VERSION else None


def rebuild(graph: Any, header: Mapping[str, Any]) -> Network | None:
    """The network of a description and of a graph's weights; None if they make none."""
    own = graph.metadata[KEY]
    try:
        table, nodes = header["network"], header["nodes"]
        settings = RunSettings(**header["settings"])
        weights: dict[str, Any] = {}
        delays: dict[str, Any] = {}
        for n, (key, shape) in enumerate(header["shapes"]):
            node = graph.nodes[nodes[key]].weight if key in nodes else None
            weights[key] = _weights(own, n, tuple(shape), node)
            if f"{n}_delays" in own:
                delays[key] = np.asarray(own[f"{n}_delays"])
        return Network.from_table(table, weights=weights, delays=delays).with_settings(settings)
    except (EventSNNError, KeyError, TypeError, ValueError, AttributeError, IndexError):
        return None


def _weights(own: Mapping[str, Any], n: int, shape: tuple[int, ...], node: Any) -> Any:
    data = own.get(f"{n}_data")
    if f"{n}_indices" in own:
        from scipy.sparse import csr_array

        indices, indptr = np.asarray(own[f"{n}_indices"]), np.asarray(own[f"{n}_indptr"])
        if data is None:
            rows = np.repeat(np.arange(shape[0]), np.diff(indptr))
            data = np.asarray(node)[rows, indices]
        return csr_array((np.asarray(data), indices, indptr), shape=shape)
    if data is not None:
        return np.asarray(data)
    matrix = np.asarray(node)
    if f"{n}_biases" in own:
        biases = np.asarray(own[f"{n}_biases"])
        return np.hstack([matrix.reshape(len(biases), -1), biases[:, None]])
    return matrix


def equal_graphs(one: Any, other: Any) -> bool:
    """Whether two graphs have the same nodes, numbers and edges; metadata are not looked at."""
    if set(one.nodes) != set(other.nodes):
        return False
    if sorted(map(tuple, one.edges)) != sorted(map(tuple, other.edges)):
        return False
    return all(_equal_nodes(node, other.nodes[name]) for name, node in one.nodes.items())


def _equal_nodes(one: Any, other: Any) -> bool:
    first, second = one.to_dict(), other.to_dict()
    first.pop("metadata", None)
    second.pop("metadata", None)
    if set(first) != set(second) or first["type"] != second["type"]:
        return False
    return all(_equal_values(value, second[name]) for name, value in first.items())


def _equal_values(one: Any, other: Any) -> bool:
    if isinstance(one, str) or isinstance(other, str) or one is None or other is None:
        return bool(one == other)
    return bool(np.array_equal(np.asarray(one), np.asarray(other)))
