"""Networks made from others: with other parameters or delays, of dense layers alone, without a readout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from eventsnn.errors import NetworkError
from eventsnn.model.chain import INPUT
from eventsnn.model.delays import check_delays
from eventsnn.model.layers import Connection, Dense, Layer
from eventsnn.model.layers.tables import given_fields
from eventsnn.model.neuron import LIF
from eventsnn.model.sparse import is_sparse, with_data

if TYPE_CHECKING:
    from eventsnn.model.network import Network


def parts(network: Network) -> dict[str, Any]:
    """What `Network` takes besides input and layers, to make the same network again."""
    return {
        "connections": network.connections,
        "weights": dict(network.weights),
        "delays": dict(network.delays),
        "classes": network.classes,
        "settings": network.settings,
    }


def replace_part(network: Network, name: str, changes: dict[str, Any]) -> Network:
    """See `eventsnn.model.Network.replace`."""
    if "delay" in changes and name in network.delays:
        network = network.with_delays({name: None})
    sensor = _changed(network.input, "input", changes) if name == INPUT else network.input
    keys: dict[str, str] = {}  # of weights, before and after: those of a renamed layer have its name
    layers = [
        _change_layer(layer, changes, keys) if layer.name == name else layer for layer in network.layers
    ]
    connections = [_change_connection(c, name, changes, keys) for c in network.connections]
    known = [INPUT, *network.names, *(c.key for c in network.connections)]
    if name not in known:
        raise NetworkError(f"no layer or connection {name!r}; there are {', '.join(known)}")
    weights = {keys.get(key, key): array for key, array in network.weights.items()}
    replaced = name if changes.get("delays") is not None else None
    delays = {keys.get(key, key): each for key, each in network.delays.items() if key != replaced}
    changed = {"connections": connections, "weights": weights, "delays": delays}
    try:
        return type(network)(sensor, *layers, **(parts(network) | changed))
    except NetworkError as error:
        raise NetworkError(f"{name!r} cannot be changed so, with the same weights: {error}") from None


def _change_layer(layer: Layer, changes: dict[str, Any], keys: dict[str, str]) -> Layer:
    changed: Layer = _changed(layer, layer.owner, changes)
    keys[str(layer.name)] = str(changed.name)
    loops = zip(layer.recurrent_projections(0), changed.recurrent_projections(0), strict=True)
    keys.update((before.key, after.key) for before, after in loops)
    return changed


def _change_connection(
    connection: Connection, name: str, changes: dict[str, Any], keys: dict[str, str]
) -> Connection:
    """The connection, changed if it is the one called `name`, and following a layer that has a new name."""
    changed = connection
    if connection.key == name:
        changed = _changed(connection, f"connection {name!r}", changes)
    changed = replace(
        changed,
        source=keys.get(changed.source, changed.source),
        target=keys.get(changed.target, changed.target),
    )
    keys[connection.key] = changed.key
    return changed


def _changed(part: Any, owner: str, changes: dict[str, Any]) -> Any:
    """A frozen description with other fields; NetworkError for a field that it does not have."""
    known = [field.name for field in given_fields(part)]
    for field in changes:
        if field not in known:
            raise NetworkError(f"{owner}: no field {field!r} to change; there are {', '.join(known)}")
    if "name" in changes and changes["name"] is None:
        raise NetworkError(f"{owner}: name must be a non-empty text")
    return replace(part, **changes)


def replace_fields(
    network: Network, changes: Mapping[str, Mapping[str, Any]]
) -> tuple[tuple[Layer, ...], tuple[Connection, ...]]:
    """A network's layers and connections, those whose name or key is in `changes` with these fields."""

    def changed(part: Any, key: str) -> Any:
        return replace(part, **changes[key]) if key in changes else part

    layers = tuple(changed(layer, str(layer.name)) for layer in network.layers)
    return layers, tuple(changed(connection, connection.key) for connection in network.connections)


def replace_delays(
    network: Network, delays: Mapping[str, Any]
) -> tuple[tuple[Layer, ...], tuple[Connection, ...], dict[str, np.ndarray]]:
    """Layers, connections and all delays of single synapses of `eventsnn.model.Network.with_delays`."""
    gone = {key for key, each in delays.items() if each is None and key in network.delays}
    layers, connections = replace_fields(network, {key: {"initial_delays": None} for key in gone})
    kept = {key: each for key, each in network.delays.items() if key not in delays}
    found = {
        key: check_delays(network, key, each, network.weights.get(key))
        for key, each in delays.items()
        if each is not None
    }
    return layers, connections, kept | found


def split_delays(
    constants: Mapping[str, Mapping[str, Any]],
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Fields of layers and connections, and delays of single synapses, both by name or key."""
    fields_of = {
        key: {field: value for field, value in each.items() if field != "delays"}
        for key, each in constants.items()
    }
    return fields_of, {key: each["delays"] for key, each in constants.items() if "delays" in each}


def lower(network: Network) -> Network:
    """See `eventsnn.model.Network.lowered`."""
    if not network.is_spatial:
        return network
    weights = dict(network.weights)
    layers: list[Layer] = []
    for layer in network.layers:
        if not layer.shares_weights:
            layers.append(layer)
            continue
        weights[str(layer.name)] = layer.lower(network.weights.get(str(layer.name)))
        common = ("name", "delay", "lateral_inhibition", "bias", *(field.name for field in fields(LIF)))
        layers.append(Dense(layer.neurons, **{field: getattr(layer, field) for field in common}))
    return type(network)(network.input, *layers, **(parts(network) | {"weights": weights}))


def number_weights(network: Network) -> dict[str, Any]:
    """See `eventsnn.model.Network.numbered`."""
    shared = {layer.name for layer in network.layers if layer.shares_weights}
    numbers: dict[str, Any] = {}
    for key, weights in network.weights.items():
        if is_sparse(weights):
            numbers[key] = with_data(weights, np.arange(1.0, 1.0 + weights.nnz))
        else:
            numbers[key] = (
                np.arange(1.0, 1.0 + weights.size).reshape(weights.shape) if key in shared else weights
            )
    return numbers


def without_readout(network: Network) -> Network | None:
    """See `eventsnn.model.Network.firing`, of a network whose last layer never fires."""
    if len(network.layers) == 1:
        return None
    connections = [c for c in network.connections if c.target != network.output.name]
    gone = {p.key for p in network.projections if p.target == len(network.layers) - 1}
    return type(network)(
        network.input,
        *network.layers[:-1],
        connections=connections,
        weights={key: array for key, array in network.weights.items() if key not in gone},
        delays={key: each for key, each in network.delays.items() if key not in gone},
        settings=network.settings,
    )
