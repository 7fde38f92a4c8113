"""Layers and inputs as plain tables, for TOML and JSON files."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, TypeAlias

from eventsnn.errors import NetworkError
from eventsnn.model.layers import Dense, Input, build_from_table, drop_default_initial
from eventsnn.model.reservoir import Reservoir
from eventsnn.model.spatial import Conv, Pool

Layer: TypeAlias = Dense | Conv | Pool

KINDS: dict[str, type[Layer]] = {"dense": Dense, "conv": Conv, "pool": Pool, "reservoir": Reservoir}


def input_to_table(sensor: Input) -> dict[str, Any]:
    """The sensor as a table."""
    table = asdict(sensor)
    if not sensor.has_bias:  # files of networks without stay as they were before there were biases
        del table["bias_interval"]
    return table


def layer_to_table(layer: Layer) -> dict[str, Any]:
    """A layer as a table."""
    table = drop_default_initial(asdict(layer))
    table.pop("source_shape", None)
    if isinstance(layer, Reservoir):
        del table["neurons"]
        if not layer.self_synapses:  # as it was before there was a choice
            del table["self_synapses"]
    kind = next(name for name, cls in KINDS.items() if type(layer) is cls)
    # Files of dense networks stay as they were before there were other kinds.
    return table if kind == "dense" else {"type": kind, **table}


def layer_from_table(table: Any, owner: str) -> Layer:
    """A layer from a table; NetworkError, naming `owner`, if it is none."""
    if isinstance(table, dict) and "type" in table:
        kind = table["type"]
        if not isinstance(kind, str) or kind not in KINDS:
            raise NetworkError(f"{owner}: type must be one of {', '.join(KINDS)}, got {kind!r}")
        if "source_shape" in table:
            raise NetworkError(f"{owner}: unknown field 'source_shape'; it follows from the layer before")
        table = {field: value for field, value in table.items() if field != "type"}
        layer: Layer = build_from_table(KINDS[kind], table, owner)
        return layer
    dense: Layer = build_from_table(Dense, table, owner)
    return dense
