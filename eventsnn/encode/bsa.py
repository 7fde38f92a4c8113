"""Ben's spiker algorithm: spikes whose convolution with a kernel reconstructs the signal."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from typing import ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt

from eventsnn._ext import cochlea as kernel
from eventsnn._util.arguments import check_choice, check_number
from eventsnn.encode.signals import check_signal
from eventsnn.encode.steps import check_step, from_raster, readable_ms, take_ms, to_raster
from eventsnn.errors import SimulationError
from eventsnn.events.stream import EventStream

Form = Literal["subtractive", "multiplicative"]

_DEFAULT_THRESHOLD = {"subtractive": 0.6, "multiplicative": 0.955}


def gaussian_kernel(taps: int = 24, centre: float = 12.0, width: float = 25.0) -> tuple[float, ...]:
    """``exp(-(k - centre)^2 / width)``, k = 0 .. taps - 1, scaled to sum 1: that of the HM2-BP authors."""
    values = np.exp(-((np.arange(taps) - centre) ** 2) / width)
    return tuple((values / values.sum()).tolist())


@readable_ms("step_ms")
@dataclass(frozen=True)
class BSA:
    """Ben's spiker algorithm (BSA).

    At each step i of a channel, with s the signal less what earlier spikes explain and h the kernel::

        e1 = sum_k |s[i + k] - h[k]|        e2 = sum_k |s[i + k]|

    there is a spike, and h is taken from s, if ``e1 < e2 - threshold`` (subtractive) or
    ``e1 <= e2 * threshold`` (multiplicative). The signal is followed by zeros. The spike of step i has the
    time ``(i + 1) * step_us``: it takes that step's value to decide it.

    Parameters
    ----------
    threshold : float, optional
        0.6 (subtractive) or 0.955 (multiplicative) if left out. In multiplicative form 0 .. 1.
    form : {"subtractive", "multiplicative"}
        Which of the two conditions.
    kernel : tuple of float
        h; see `gaussian_kernel`.
    step_us : int
        Length of a step, microseconds; `step_ms` gives it in ms.

    Raises
    ------
    SimulationError
        No such form, a threshold out of its range, a kernel of zeros, or a step below 1 us.

    References
    ----------
    B. Schrauwen, J. Van Campenhout: BSA, a fast and accurate spike train encoding scheme, IJCNN 2003
    (multiplicative form). The subtractive form with 0.6 and this kernel: Y. Jin, W. Zhang, P. Li: Hybrid
    macro/micro level backpropagation for training deep spiking neural networks, NeurIPS 2018.
    """

    takes: ClassVar[str] = "signal"
    random: ClassVar[bool] = False

    threshold: float | None = None
    form: Form = "subtractive"
    kernel: tuple[float, ...] = field(default_factory=gaussian_kernel, repr=False)
    step_us: int = 1000
    step_ms: InitVar[float | None] = None

    def __post_init__(self, step_ms: float | None) -> None:
        take_ms(self, step_ms=step_ms)
        check_choice("bsa: form", self.form, get_args(Form), SimulationError)
        most = 1.0 if self.form == "multiplicative" else None
        check_number(f"bsa: threshold ({self.form})", self._limit, SimulationError, least=0.0, most=most)
        taps = check_signal(self.kernel, 1)
        if not taps.any():
            raise SimulationError("bsa: the kernel needs at least one value other than 0")
        object.__setattr__(self, "kernel", tuple(taps.tolist()))
        check_step("bsa: step_us", self.step_us)

    @property
    def _limit(self) -> float:
        return _DEFAULT_THRESHOLD[self.form] if self.threshold is None else self.threshold

    def encode(self, signal: npt.ArrayLike) -> EventStream:
        """Turn a signal into spikes.

        Parameters
        ----------
        signal : array_like of shape (channels, steps)
            In units of the kernel: a spike stands for an area of ``sum(kernel)``, so that values up to the
            kernel's peak (0.113) times a few can be followed.

        Returns
        -------
        EventStream
            Sensor (channels, 1, 1); the spike of step i at ``(i + 1) * step_us``.

        Raises
        ------
        SimulationError
            The signal is not an array of finite numbers with two dimensions.
        """
        values = check_signal(signal, 2)
        taps = np.array(self.kernel)
        unexplained = np.pad(values, ((0, 0), (0, len(taps))))
        spikes = np.empty(values.shape, np.uint8)
        kernel.ben_spiker(unexplained, taps, self._limit, self.form == "multiplicative", spikes)
        return from_raster(spikes, self.step_us)

    def decode(self, stream: EventStream, steps: int) -> npt.NDArray[np.float64]:
        """Reconstruct the signal, the spikes convolved with the kernel; float64 of shape (channels, steps).

        Raises
        ------
        SimulationError
            The events are not on the steps of this encoder, or beyond the last.
        """
        spikes = to_raster(stream, self.step_us, steps)
        whole = np.zeros((len(spikes), steps + len(self.kernel)))
        for k, tap in enumerate(self.kernel):
            whole[:, k : k + steps] += tap * spikes
        return whole[:, :steps]
