"""Networks: frozen descriptions and weights, no behaviour."""

from eventsnn.model.layers import (
    LAYERS,
    Connection,
    Conv,
    Dense,
    Input,
    Layer,
    Pool,
    Projection,
    Reservoir,
    SpatialLayer,
    WeightedLayer,
)
from eventsnn.model.network import Network
from eventsnn.model.neuron import LIF
from eventsnn.model.settings import RunSettings

__all__ = [
    "LAYERS",
    "LIF",
    "Connection",
    "Conv",
    "Dense",
    "Input",
    "Layer",
    "Network",
    "Pool",
    "Projection",
    "Reservoir",
    "RunSettings",
    "SpatialLayer",
    "WeightedLayer",
]
