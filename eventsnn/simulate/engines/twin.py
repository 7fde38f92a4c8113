"""The readable engine, in plain Python: the algorithm of `eventsnn.reference.queue`."""

from __future__ import annotations

import math

import numpy as np

from eventsnn._util.saved import StateReader
from eventsnn.model import Network
from eventsnn.model.bias import NOTHING, Certain
from eventsnn.reference.queue import QueueTwin
from eventsnn.simulate.engines.engine import Engine, Settings, State, Train
from eventsnn.simulate.engines.precision import check_network, overflow


class TwinRun:
    """A network in the middle of a simulation; see `Run`."""

    def __init__(self, network: Network) -> None:
        check_network(network, np.float64)
        self._twin = QueueTwin(network)

    def advance(
        self, input_spikes: Train, horizon: float, stop: float, bias: Certain = NOTHING
    ) -> list[Train]:
        """See `Run`."""
        try:
            return self._twin.advance(input_spikes, horizon, stop, bias)
        except FloatingPointError:
            raise overflow(np.float64) from None

    def save(self) -> State:
        """See `Run`."""
        return self._twin.save()

    def restore(self, state: StateReader, horizon: float, following: float = math.inf) -> None:
        """See `Run`."""
        self._twin.restore(state, horizon, following)


class TwinEngine(Engine):
    """See `Engine`."""

    name = "twin"
    dtypes = ("float64",)

    def start(self, network: Network, settings: Settings) -> TwinRun:
        """See `Engine`."""
        return TwinRun(network.lowered)


ENGINE = TwinEngine()
run = ENGINE.run
