"""The layers: one file for each type, found by name in `LAYERS`, and the parts of a network beside them."""

from __future__ import annotations

from typing import Any

from eventsnn._util.registry import Registry
from eventsnn.errors import NetworkError
from eventsnn.model.layers.connection import BIAS, Connection, Projection
from eventsnn.model.layers.conv import Conv
from eventsnn.model.layers.dense import Dense
from eventsnn.model.layers.input import Input
from eventsnn.model.layers.layer import SLACK, Layer, WeightedLayer
from eventsnn.model.layers.pool import Pool
from eventsnn.model.layers.readout import Readout
from eventsnn.model.layers.reservoir import Reservoir
from eventsnn.model.layers.spatial_layer import SpatialLayer
from eventsnn.model.layers.tables import build_from_table

__all__ = [
    "BIAS",
    "LAYERS",
    "SLACK",
    "Connection",
    "Conv",
    "Dense",
    "Input",
    "Layer",
    "Pool",
    "Projection",
    "Readout",
    "Reservoir",
    "SpatialLayer",
    "WeightedLayer",
    "layer_from_table",
]

LAYERS: Registry[type[Layer]] = Registry(
    "layer type",
    "type",
    {
        "dense": "eventsnn.model.layers.dense:Dense",
        "conv": "eventsnn.model.layers.conv:Conv",
        "pool": "eventsnn.model.layers.pool:Pool",
        "reservoir": "eventsnn.model.layers.reservoir:Reservoir",
        "readout": "eventsnn.model.layers.readout:Readout",
    },
    NetworkError,
    "eventsnn.layers",
)
"""Types of layers: what ``type`` names in a file, "dense" where it names nothing."""


def layer_from_table(table: Any, owner: str) -> Layer:
    """A layer from the result of `Layer.to_table`; NetworkError, naming `owner`, for another value."""
    kind, options = "dense", table
    if isinstance(table, dict):
        options = {field: value for field, value in table.items() if field != "type"}
        kind = table.get("type", kind)
    try:
        cls = LAYERS.get(kind)
    except NetworkError as error:
        raise NetworkError(f"{owner}: {error}") from None
    layer: Layer = build_from_table(cls, options, owner)
    return layer
