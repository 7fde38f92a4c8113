"""The readable engine: checks and record around the algorithm of `eventsnn.reference.queue`."""

from __future__ import annotations

import math

import numpy as np

from eventsnn._util.saved import StateReader
from eventsnn.model import Network
from eventsnn.model.bias import NOTHING, Certain, until
from eventsnn.reference.queue import QueueTwin
from eventsnn.simulate.engines.arguments import check_input, endless
from eventsnn.simulate.engines.precision import check_network, overflow
from eventsnn.trace.record import SpikeRecord, make_record

Train = tuple[np.ndarray, np.ndarray]


class TwinStream:
    """A network in the middle of a simulation; see `eventsnn.simulate.engines.streaming.Stream`."""

    def __init__(self, network: Network) -> None:
        check_network(network, np.float64)
        self._twin = QueueTwin(network)

    def advance(self, given: Train, horizon: float, stop: float, bias: Certain = NOTHING) -> list[Train]:
        """See `Stream`."""
        try:
            return self._twin.advance(given, horizon, stop, bias)
        except FloatingPointError:
            raise overflow(np.float64) from None

    def save(self) -> dict[str, np.ndarray]:
        """See `Stream`."""
        return self._twin.save()

    def restore(self, state: StateReader, horizon: float, following: float = math.inf) -> None:
        """See `Stream`."""
        self._twin.restore(state, horizon, following)


def run(
    network: Network, times_ms: np.ndarray, indices: np.ndarray, *, t_stop: float | None = None
) -> SpikeRecord:
    """Simulate in float64; arguments and result as `eventsnn.simulate.engines.queue.run`."""
    times, inputs, stop = check_input(network, times_ms, indices, t_stop)
    biases = until(network, times_ms, stop)
    try:
        trains = TwinStream(network).advance((times, inputs), math.inf, stop, Certain(biases, math.inf))
    except OverflowError as error:
        raise endless(error) from None
    return make_record(network, trains, (times, inputs), stop, "twin", "float64", bias=biases)
