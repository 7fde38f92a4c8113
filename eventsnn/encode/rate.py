"""Rate coding: more spikes for a larger value."""

from __future__ import annotations

from dataclasses import InitVar, dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from eventsnn._util.arguments import check_number, check_whole
from eventsnn._util.numbers import check_magnitudes
from eventsnn.encode.steps import check_step, readable_ms, take_ms
from eventsnn.encode.values import check_values, make_generator, make_sensor, to_stream
from eventsnn.errors import SimulationError
from eventsnn.events.stream import EventStream


@readable_ms("step_ms")
@dataclass(frozen=True)
class Bernoulli:
    """A coin per step: in each step an input has a spike with probability ``scale * value``.

    Parameters
    ----------
    steps : int
        Number of steps.
    scale : float
        Probability of a spike for the value 1; 0 .. 1.
    step_us : int
        Length of a step, microseconds; `step_ms` gives it in ms. Step i has the time ``i * step_us``.

    Raises
    ------
    SimulationError
        Steps or a step below 1, or a scale out of its range.

    References
    ----------
    Y. Jin, W. Zhang, P. Li: Hybrid macro/micro level backpropagation for training deep spiking neural
    networks, NeurIPS 2018; steps, length and scale (a pixel / 255 / 5.5) are those of its program for MNIST.
    """

    takes: ClassVar[str] = "values"
    random: ClassVar[bool] = True

    steps: int = 400
    scale: float = 1 / 5.5
    step_us: int = 1000
    step_ms: InitVar[float | None] = None

    def __post_init__(self, step_ms: float | None) -> None:
        check_magnitudes(self, SimulationError, "bernoulli: ")
        take_ms(self, step_ms=step_ms)
        check_whole("bernoulli: steps", self.steps, SimulationError, 1)
        check_number("bernoulli: scale", self.scale, SimulationError, above=0.0, most=1.0)
        check_step("bernoulli: step_us", self.step_us)

    def encode(self, values: npt.ArrayLike, seed: int, index: int = 0) -> EventStream:
        """Draw the spikes of one sample.

        Parameters
        ----------
        values : array_like of shape (n,), (height, width) or (polarities, height, width)
            0 .. 1.
        seed, index : int
            Name the draws, 0 or more: the same two give the same spikes; `index` is a sample's number.

        Returns
        -------
        EventStream
            Sensor (width, height, polarities), the last two 1 where `values` has no such axis.

        Raises
        ------
        SimulationError
            Values out of range or of another shape, or a negative seed or index.
        """
        array = check_values("bernoulli", values)
        generator = make_generator(seed, index)
        step, place = np.nonzero(generator.random((self.steps, array.size)) < self.scale * array.ravel())
        return to_stream(step * self.step_us, place, make_sensor(array))

    def decode(self, stream: EventStream) -> npt.NDArray[np.float64]:
        """Estimate the values, counts / (steps * scale); float64 of shape (polarities, height, width).

        The standard error of a value v is ``sqrt(v (1 / scale - v) / steps)``.
        """
        return _counts(stream) / (self.steps * self.scale)


@readable_ms("duration_ms")
@dataclass(frozen=True)
class Poisson:
    """A Poisson process per input, of rate ``rate_hz * value``, in continuous time (whole microseconds).

    Parameters
    ----------
    duration_us : int
        Length of the recording, microseconds; `duration_ms` gives it in ms.
    rate_hz : float
        Spikes per second for the value 1.

    Raises
    ------
    SimulationError
        A duration below 1 us, or a rate that is not above 0.

    References
    ----------
    D. Heeger: Poisson model of spike generation, 2000. Given their number, which is drawn first, the events
    of a Poisson process are independent and uniform over the interval.
    """

    takes: ClassVar[str] = "values"
    random: ClassVar[bool] = True

    duration_us: int = 400_000
    rate_hz: float = 180.0
    duration_ms: InitVar[float | None] = None

    def __post_init__(self, duration_ms: float | None) -> None:
        check_magnitudes(self, SimulationError, "poisson: ")
        take_ms(self, duration_ms=duration_ms)
        check_step("poisson: duration_us", self.duration_us)
        check_number("poisson: rate_hz", self.rate_hz, SimulationError, above=0.0)

    def encode(self, values: npt.ArrayLike, seed: int, index: int = 0) -> EventStream:
        """Draw the spikes of one sample; arguments, result and errors are those of `Bernoulli.encode`."""
        array = check_values("poisson", values)
        generator = make_generator(seed, index)
        counts = generator.poisson(array.ravel() * (self.rate_hz * self.duration_us * 1e-6))
        places = np.repeat(np.arange(array.size), counts)
        return to_stream(generator.integers(0, self.duration_us, len(places)), places, make_sensor(array))

    def decode(self, stream: EventStream) -> npt.NDArray[np.float64]:
        """Estimate the values, counts / (rate * duration); float64 of shape (polarities, height, width).

        The standard error of a value v is ``sqrt(v / (rate_hz * duration))``.
        """
        return _counts(stream) / (self.rate_hz * self.duration_us * 1e-6)


def _counts(stream: EventStream) -> npt.NDArray[np.float64]:
    """Events per input; float64 of shape (polarities, height, width)."""
    width, height, polarities = stream.sensor_size
    counts = np.bincount(stream.input_indices(), minlength=stream.n_inputs)
    return counts.astype(np.float64).reshape(polarities, height, width)
