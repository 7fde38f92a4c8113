"""The bias neuron: an extra source of every layer that fires regularly."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from eventsnn._util.saved import StateReader
from eventsnn.model import Input


def spike_times(sensor: Input, last_event: float) -> np.ndarray:
    """Spikes of the bias neuron in a recording whose last event is at `last_event` ms (0 for none).

    These are k times the interval, k = 1, 2, ...; float64, ms. None without biases.
    """
    return _numbered(sensor, 0, _count(sensor, last_event))


def _count(sensor: Input, last_event: float) -> int:
    """How many spikes there are until then."""
    if not sensor.has_bias:
        return 0
    count = int(last_event / sensor.bias_interval) + 1
    while count * float(sensor.bias_interval) > last_event:  # the division may have been rounded
        count -= 1
    return count


def _numbered(sensor: Input, first: int, last: int) -> np.ndarray:
    """Spikes number first, ..., last - 1, counted from 0."""
    return np.arange(first + 1, last + 1) * float(sensor.bias_interval)


class Certain(NamedTuple):
    """Knowledge about the bias neuron in a part of a run."""

    times: np.ndarray
    """Spikes that were not known before, float64, ms."""

    following: float
    """Time of the next, of which nothing is known; infinite if there is none."""


NOTHING = Certain(np.empty(0), math.inf)
"""In networks without biases."""


class InParts:
    """The bias neuron when input comes in parts: it fires until the last event, which is known only at the
    end.

    Parameters
    ----------
    sensor : Input
    duration : float, optional
        Until when it fires, ms, whatever the events; then all of it is known at once.
    """

    def __init__(self, sensor: Input, duration: float | None = None) -> None:
        self._sensor, self._duration = sensor, duration
        self._sent, self._last = 0, duration or 0.0

    @property
    def last_event(self) -> float:
        """Time of the last event of all parts so far, ms."""
        return self._last

    @property
    def last_spike(self) -> np.ndarray:
        """The last spike that was taken, float64 (1,), ms; (0,) if there was none."""
        return _numbered(self._sensor, max(0, self._sent - 1), self._sent)

    def limit(self, last_event: float) -> float:
        """The first spike after the last event of this part or an earlier one: it occurs only if another
        event follows.
        """
        if self._duration is not None:
            return math.inf
        self._last = max(self._last, last_event)
        if not self._sensor.has_bias:
            return math.inf
        return self._after(_count(self._sensor, self._last))

    def take(self, horizon: float) -> Certain:
        """The spikes before a horizon, which is not beyond `limit`, or all where it is infinite: the end."""
        if not self._sensor.has_bias:
            return NOTHING
        before = _count(self._sensor, min(self._last, float(np.nextafter(horizon, -math.inf))))
        spikes = _numbered(self._sensor, self._sent, before)
        self._sent = max(self._sent, before)
        return Certain(spikes, math.inf if horizon == math.inf else self._after(self._sent))

    def _after(self, count: int) -> float:
        """Time of the spike after the first `count`."""
        return (count + 1) * float(self._sensor.bias_interval) if self._sensor.has_bias else math.inf

    def save(self) -> dict[str, np.ndarray]:
        """The state: how many spikes were taken, and the last event, ms."""
        return {"sent": np.array(self._sent), "last_event": np.array(self._last)}

    def restore(self, state: StateReader, horizon: float) -> float:
        """Restore the result of `save`, when everything was certain up to `horizon`; returns the next spike.

        Raises
        ------
        StateError
            No simulation can have been in that state then.
        """
        sent = int(state.numbers("sent", (), np.int64))
        last = float(state.numbers("last_event", (), np.float64, lowest=0.0, highest=horizon))
        state.close()
        before = max(0.0, min(last, float(np.nextafter(horizon, -math.inf))))
        if sent != _count(self._sensor, before):
            raise state.error("sent", f"tells of {sent} spikes before a last event at {last} ms")
        self._sent, self._last = sent, last
        return self._after(self._sent)


def insert(
    times: np.ndarray, neurons: np.ndarray, ptr: np.ndarray, trains: list[np.ndarray], number: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arrivals with those from the bias neuron among them.

    Parameters
    ----------
    times, neurons, ptr
        Arrivals of some samples, see `eventsnn.simulate.engines.arrivals.Arrivals`.
    trains : list of float64 arrays
        When the bias neuron's spikes arrive in each sample, ms, ascending.
    number : int
        Its number as a source neuron, the largest: at equal times it comes last.

    Returns
    -------
    times, neurons, ptr
    """
    place = np.concatenate(
        [
            start + np.searchsorted(times[start:end], train, side="right")
            for start, end, train in zip(ptr[:-1], ptr[1:], trains, strict=True)
        ]
    )
    added = np.cumsum([0, *(len(train) for train in trains)])
    return (
        np.insert(times, place, np.concatenate(trains)),
        np.insert(neurons, place, np.int32(number)),
        ptr + added,
    )
