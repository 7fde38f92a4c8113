"""A divided run that the first rank leads: it alone reads, decides and writes, the others follow.

What the first rank does may depend on its clock, its input or its user: live input, say, or states saved
every half minute. So it does everything as a process that is alone does it, and before each call of its run
it tells the other ranks to make the same call. They do nothing else until they are dismissed.
"""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from eventsnn._util.ranks import Ranks
from eventsnn._util.saved import StateError, StateReader
from eventsnn.errors import SimulationError
from eventsnn.model import Network
from eventsnn.model.bias import NOTHING, Certain
from eventsnn.simulate.engines.divided import DividedRun
from eventsnn.simulate.engines.engine import BrokenOff, Engine, Settings, State, Train

# Neurons a rank from which on a second one gains: below, exchanges cost more than what they share out.
WORTH = 2000


class Leader(Ranks):
    """The ranks as the first one hands them to a simulation that it leads."""

    def __init__(self, ranks: Ranks) -> None:
        self.ranks, self.rank, self.size = ranks, ranks.rank, ranks.size

    def is_worth(self, network: Network, chosen: Engine, settings: Settings) -> bool:
        """Whether the ranks can divide a network among them, and gain by it."""
        neurons = sum(layer.neurons for layer in network.layers)
        return neurons >= WORTH * self.size and chosen.undivided(network, settings) is None

    def tell(self, call: str, *arguments: Any) -> None:
        """Have the other ranks make a call of their run."""
        self.ranks.of_first(lambda: (call, arguments))

    def dismiss(self) -> None:
        """Tell the other ranks that there is no more to do."""
        self.tell("end")


class LeadingRun:
    """The run of the first rank; see `Run`."""

    def __init__(self, network: Network, leader: Leader) -> None:
        self._leader = leader
        leader.tell("start")
        self._run = DividedRun(network, leader.ranks)

    def advance(
        self, input_spikes: Train, horizon: float, stop: float, bias: Certain = NOTHING
    ) -> list[Train]:
        """See `Run`."""
        self._leader.tell("advance", len(input_spikes[0]), horizon, stop)
        for array in input_spikes:
            self._leader.ranks.spread(np.ascontiguousarray(array), 0)
        return self._run.advance(input_spikes, horizon, stop, bias)

    def save(self) -> State:
        """See `Run`."""
        self._leader.tell("save")
        return self._run.save()

    def restore(self, state: StateReader, horizon: float, following: float = math.inf) -> None:
        """See `Run`."""
        self._leader.tell("restore", state, horizon)
        self._run.restore(state, horizon, following)


def follow(load: Callable[[], Network], ranks: Ranks) -> None:
    """Do what the first rank says, as one of the others, until it dismisses them.

    `load` gives the network, if one is needed. The first rank has the same errors, and tells them.
    """
    run: Any = None
    network: Network | None = None
    with _deaf():
        while True:
            call, arguments = ranks.of_first(_nothing)
            if call == "end":
                return
            try:
                if call == "start":
                    network = network or load()
                    run = DividedRun(network, ranks)
                elif call == "advance":
                    train = np.empty(arguments[0]), np.empty(arguments[0], np.int32)
                    for array in train:
                        ranks.spread(array, 0)
                    run.advance(train, *arguments[1:])
                else:
                    getattr(run, call)(*arguments)
            except (SimulationError, OverflowError, StateError, BrokenOff):
                continue


def _nothing() -> tuple[str, tuple[Any, ...]]:
    """What others than the first rank have to tell."""
    return "", ()


@contextmanager
def _deaf() -> Iterator[None]:
    """Leave Ctrl-C to the first rank, which keeps what is complete and ends all."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
