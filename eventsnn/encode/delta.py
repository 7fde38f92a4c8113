"""Delta coding: a spike whenever a signal has changed by a threshold."""

from __future__ import annotations

from dataclasses import InitVar, dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from eventsnn._util.arguments import check_number
from eventsnn.encode.signals import check_signal
from eventsnn.encode.steps import check_step, readable_ms, take_ms
from eventsnn.errors import SimulationError
from eventsnn.events.stream import EVENT_DTYPE, EventStream

# Doubles count whole thresholds exactly up to here, and no recording has that many events.
_MOST_LEVELS = 2**31


@readable_ms("step_ms")
@dataclass(frozen=True)
class Delta:
    """Send on delta: each channel keeps a reference; when the signal is a threshold or more above (below) it,
    there is an ON (OFF) event for each whole threshold, and the reference moves by as much.

    Parameters
    ----------
    threshold : float
        In units of the signal.
    step_us : int
        Length of a step, microseconds; `step_ms` gives it in ms. Events of step i have the time
        ``i * step_us``.

    Raises
    ------
    SimulationError
        A threshold that is not above 0, or a step below 1 us.

    References
    ----------
    M. Miskowicz: Send-on-delta concept: an event-based data reporting strategy, Sensors 6, 2006; it is what a
    pixel of an event camera does with the logarithm of its light.
    """

    takes: ClassVar[str] = "signal"
    random: ClassVar[bool] = False

    threshold: float
    step_us: int = 1000
    step_ms: InitVar[float | None] = None

    def __post_init__(self, step_ms: float | None) -> None:
        take_ms(self, step_ms=step_ms)
        check_number("delta: threshold", self.threshold, SimulationError, above=0.0)
        check_step("delta: step_us", self.step_us)

    def encode(self, signal: npt.ArrayLike) -> EventStream:
        """Turn a signal into events.

        Parameters
        ----------
        signal : array_like of shape (channels, steps)
            The reference of a channel starts at its first value.

        Returns
        -------
        EventStream
            Sensor (channels, 1, 2), polarity 1 for upward; sorted by (time, channel).

        Raises
        ------
        SimulationError
            The signal is not a two-dimensional array of finite numbers, or has too many thresholds in it.
        """
        values = check_signal(signal, 2)
        channels, steps = values.shape
        # References are counted in whole thresholds above the first value: no rounding adds up.
        levels = np.zeros((steps, channels), np.int64)
        now = np.zeros(channels, np.int64)
        for i in range(1, steps):
            distance = (values[:, i] - values[:, 0]) / self.threshold - now
            if np.abs(distance).max(initial=0.0) > _MOST_LEVELS:
                raise SimulationError(
                    f"delta: the signal moves by more than {_MOST_LEVELS} thresholds of {self.threshold:g}; "
                    "use a larger one"
                )
            now = now + np.trunc(distance).astype(np.int64)
            levels[i] = now
        moves = np.diff(levels, axis=0, prepend=levels[:1])
        step, channel = np.nonzero(moves)
        counts = np.abs(moves[step, channel])
        events = np.zeros(int(counts.sum()), EVENT_DTYPE)
        events["t"] = np.repeat(step * self.step_us, counts)
        events["x"] = np.repeat(channel, counts)
        events["p"] = np.repeat(moves[step, channel] > 0, counts)
        return EventStream(events, (channels, 1, 2))

    def decode(self, stream: EventStream, steps: int, start: npt.ArrayLike = 0.0) -> npt.NDArray[np.float64]:
        """Add the events up: the reference of each channel after each step.

        Parameters
        ----------
        stream : EventStream
            What `encode` gave.
        steps : int
            Number of steps.
        start : float or array_like of shape (channels,)
            First values, which events do not tell.

        Returns
        -------
        ndarray of float64, shape (channels, steps)
            Less than one threshold away from the signal.

        Raises
        ------
        SimulationError
            The events are not on these steps, or of another sensor.
        """
        width, height, polarities = stream.sensor_size
        step, beside = np.divmod(stream.events["t"], self.step_us)
        if (
            (height, polarities) != (1, 2)
            or beside.any()
            or (len(step) and not 0 <= step[0] <= step[-1] < steps)
        ):
            raise SimulationError(
                f"delta: these are not events of a line of channels, 2 polarities, on {steps} steps of "
                f"{self.step_us} us"
            )
        moves = np.zeros((width, steps))
        np.add.at(moves, (stream.events["x"], step), np.where(stream.events["p"] == 1, 1.0, -1.0))
        first = np.broadcast_to(np.asarray(start, np.float64), (width,))
        return np.asarray(first[:, None] + self.threshold * np.cumsum(moves, axis=1))
