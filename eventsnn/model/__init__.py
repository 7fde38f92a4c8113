"""Networks: frozen descriptions and weights, no behaviour."""

from eventsnn.model.layers import Connection, Dense, Input, Projection
from eventsnn.model.network import Network
from eventsnn.model.neuron import LIF
from eventsnn.model.reservoir import Reservoir
from eventsnn.model.settings import RunSettings
from eventsnn.model.spatial import Conv, Pool

__all__ = [
    "LIF",
    "Connection",
    "Conv",
    "Dense",
    "Input",
    "Network",
    "Pool",
    "Projection",
    "Reservoir",
    "RunSettings",
]
