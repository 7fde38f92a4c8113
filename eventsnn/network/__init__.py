"""What a network is: frozen descriptions and weights, no behaviour."""

from eventsnn.network.layers import Connection, Dense, Input, Projection
from eventsnn.network.network import Network
from eventsnn.network.neurons import LIF
from eventsnn.network.reservoir import Reservoir
from eventsnn.network.settings import RunSettings
from eventsnn.network.spatial import Conv, Pool

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
