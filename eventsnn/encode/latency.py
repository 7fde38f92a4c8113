"""Latency coding: one spike per input, earlier for a larger value."""

from __future__ import annotations

import math
from dataclasses import InitVar, dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt

from eventsnn._util.arguments import check_choice, check_number, check_whole
from eventsnn._util.numbers import LARGEST
from eventsnn.encode.steps import readable_ms, take_ms
from eventsnn.encode.values import check_values, make_sensor, to_stream
from eventsnn.errors import SimulationError
from eventsnn.events.stream import EventStream

Law = Literal["linear", "logarithmic"]


@readable_ms("first_ms", "last_ms")
@dataclass(frozen=True)
class Latency:
    """One spike per input whose value is at least `least`, at a time that falls as the value grows.

    ::

        linear       t = first + (last - first) (1 - v) / (1 - least)
        logarithmic  t = first + (last - first) log(v) / log(least)

    so that the value 1 fires at `first_us` and the value `least` at `last_us`.

    Parameters
    ----------
    first_us, last_us : int
        Microseconds, 0 <= first < last; `first_ms` and `last_ms` give them in ms.
    law : {"linear", "logarithmic"}
        How the time falls; with the logarithmic law a factor in the value is a shift in time.
    least : float
        Smaller values are silent; 0 < least < 1.

    Raises
    ------
    SimulationError
        No such law, times that are not in order, or a least value out of its range.

    References
    ----------
    S. Thorpe, A. Delorme, R. Van Rullen: Spike-based strategies for rapid processing, Neural Networks 14,
    2001. The logarithmic law: J. J. Hopfield: Pattern recognition computation using action potential timing
    for stimulus representation, Nature 376, 1995.
    """

    takes: ClassVar[str] = "values"
    random: ClassVar[bool] = False

    first_us: int = 0
    last_us: int = 100_000
    law: Law = "linear"
    least: float = 0.01
    first_ms: InitVar[float | None] = None
    last_ms: InitVar[float | None] = None

    def __post_init__(self, first_ms: float | None, last_ms: float | None) -> None:
        take_ms(self, first_ms=first_ms, last_ms=last_ms)
        check_choice("latency: law", self.law, get_args(Law), SimulationError)
        check_whole("latency: first_us", self.first_us, SimulationError, 0, LARGEST, "microseconds")
        least, name = self.first_us + 1, "latency: last_us (after first_us)"
        check_whole(name, self.last_us, SimulationError, least, LARGEST, "microseconds")
        check_number("latency: least", self.least, SimulationError, above=0.0, below=1.0)

    def encode(self, values: npt.ArrayLike) -> EventStream:
        """Turn values into spikes; nothing is drawn.

        Parameters
        ----------
        values : array_like of shape (n,), (height, width) or (polarities, height, width)
            0 .. 1.

        Returns
        -------
        EventStream
            Sensor (width, height, polarities); times rounded to microseconds.

        Raises
        ------
        SimulationError
            Values out of range or of another shape.
        """
        array = check_values("latency", values)
        places = np.flatnonzero(array.ravel() >= self.least)
        chosen = array.ravel()[places]
        if self.law == "linear":
            share = (1.0 - chosen) / (1.0 - self.least)
        else:
            share = np.log(chosen) / math.log(self.least)
        times = np.rint(self.first_us + (self.last_us - self.first_us) * share).astype(np.int64)
        return to_stream(times, places, make_sensor(array))

    def decode(self, stream: EventStream) -> npt.NDArray[np.float64]:
        """Return the values, from the first spike of each input; silent inputs give 0.

        Exact but for the rounding of times to microseconds; float64 of shape (polarities, height, width).

        Raises
        ------
        SimulationError
            An event lies outside first_us .. last_us.
        """
        times = stream.events["t"]
        if len(times) and not self.first_us <= times[0] <= times[-1] <= self.last_us:
            raise SimulationError(
                f"latency: events at {times[0]} .. {times[-1]} us, "
                f"outside {self.first_us} .. {self.last_us} us"
            )
        places, first = np.unique(stream.input_indices(), return_index=True)
        share = (times[first] - self.first_us) / (self.last_us - self.first_us)
        if self.law == "linear":
            values = 1.0 - share * (1.0 - self.least)
        else:
            values = self.least**share
        width, height, polarities = stream.sensor_size
        array = np.zeros(stream.n_inputs)
        array[places] = values
        return array.reshape(polarities, height, width)
