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
    Readout,
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
    "Readout",
    "Reservoir",
    "RunSettings",
    "SpatialLayer",
    "WeightedLayer",
]
