"""What a run leaves behind for the same run again with another input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from eventsnn.simulate.engines.engine import State, Train


class Kept(NamedTuple):
    """A run at some time."""

    time: float
    """ms; all events before it have been taken."""

    arrays: State
    """What the engine goes on from; none at time 0."""

    fired: list[int]
    """How many spikes of each layer are known: some may be later, behind a delay."""


@dataclass
class Undisturbed:
    """A run from rest to its end, as it was.

    Attributes
    ----------
    given : Train
        Its input.
    trains : list of Train
        Spikes of every layer.
    states : list of Kept
        States on its way, in order of time, the first that at time 0.
    stop : float
        Last time that was simulated, ms.
    """

    given: Train
    trains: list[Train]
    states: list[Kept]
    stop: float

    def latest(self, time: float) -> Kept:
        """The latest state that is not after `time`, ms."""
        return next(state for state in reversed(self.states) if state.time <= time or state.time == 0.0)
