"""The door for all events that are given to simulations."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from eventsnn._util.words import number_of
from eventsnn.errors import EventStreamError, SimulationError
from eventsnn.events import EventStream, Stabilisation
from eventsnn.events.origin import find_origin
from eventsnn.model import Network

LATEST_START_MS = 2.0**23
"""From here on (2.3 hours) float64 times in ms are more than 1e-9 ms apart."""


class InputSpikes(NamedTuple):
    """What a network takes of a recording; `to_input` makes it."""

    times: np.ndarray
    """ms from the origin, float (n,)."""

    indices: np.ndarray
    """Input neurons, int (n,)."""

    origin_us: int | None
    """The recording's time that is 0 ms, microseconds; None where nothing says it: there are no events."""


def to_input(network: Network, events: Any, origin_us: int | None = None) -> InputSpikes:
    """Input spikes of a recording for the network's sensor; the door for all events given to simulations.

    Parameters
    ----------
    network : Network
    events : EventStream, structured array or (times_ms, indices)
    origin_us : int, optional
        Where time begins; the rule of `eventsnn.events.origin` without it. A pair has begun already.

    Raises
    ------
    SimulationError
        If the recording's sensor is not the network's, or a pair of floats begins so late that its times are
        no longer exact.
    EventStreamError
        If a structured array holds events that make no sense, or the recording begins before its origin.
    """
    if isinstance(events, tuple):
        return _check_pair(events, origin_us)
    if not isinstance(events, EventStream):
        if not hasattr(events, "__array__") and not hasattr(events, "to_records"):
            raise SimulationError(
                "events must be one recording, as an EventStream, a structured array or a pair (times_ms, "
                f"indices), got {type(events).__name__}; read(path) reads a file, recording.read() an open "
                "one, and evaluate takes many"
            )
        events = EventStream.from_structured(events, sensor_size=network.input.sensor_size)
    if tuple(events.sensor_size) != network.input.sensor_size:
        width, height, polarities = events.sensor_size
        want = network.input
        raise SimulationError(
            f"events: the recording's sensor is {width} x {height} x {polarities}, "
            f"the network's input is {want.width} x {want.height} x {want.polarities}"
        )
    try:
        origin = events.origin_us if origin_us is None else find_origin(events.events["t"], origin_us)
    except EventStreamError as error:
        raise EventStreamError(f"events: {error}") from None
    known = origin if len(events) or origin_us is not None else None
    if network.settings.stabilise is None:
        return InputSpikes(events.times_ms(origin), events.input_indices(), known)
    begun = events.events.copy()
    begun["t"] -= origin
    still = Stabilisation(network.settings.stabilise).apply(begun, events.sensor_size)
    events = EventStream(still, events.sensor_size)
    return InputSpikes(events.times_ms(0), events.input_indices(), known)


def _check_pair(pair: tuple[Any, ...], origin_us: int | None) -> InputSpikes:
    if len(pair) != 2:
        raise SimulationError(
            f"events: a tuple must be (times_ms, indices), got {number_of(len(pair), 'item')}"
        )
    if isinstance(pair[0], EventStream) or (times := np.asarray(pair[0])).dtype.names:
        raise SimulationError(
            "events: a tuple must be (times_ms, indices), got events and something else, such as the label "
            "of a data set's item; give the events alone"
        )
    if np.ma.is_masked(pair[0]) or np.ma.is_masked(pair[1]):
        raise SimulationError("events: some are masked; drop these first (np.ma.compressed)")
    if origin_us is None and times.size and times.dtype.kind in "iuf" and np.min(times) >= LATEST_START_MS:
        first = float(np.min(times))
        raise SimulationError(
            f"events: the first is at {first:g} ms, where float64 knows times to {np.spacing(first):.1g} ms "
            "only; give an EventStream, whose times are whole microseconds, or subtract the recording's "
            "start (origin_us=0 takes the times as they are)"
        )
    return InputSpikes(times, np.asarray(pair[1]), 0 if origin_us is None and times.size else origin_us)
