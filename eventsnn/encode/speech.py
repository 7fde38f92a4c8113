"""From speech to spikes: a cochlea, then Ben's spiker algorithm, the front end of HM2-BP for TI46."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from eventsnn._util.arguments import check_kind, check_number, check_whole
from eventsnn.encode.bsa import BSA
from eventsnn.encode.cochlea import Cochlea
from eventsnn.errors import SimulationError
from eventsnn.events.stream import EventStream

# Steps between channels that make 78 of them at the sample rates that corpora of speech have.
_STEPS = {8000: 0.206, 12500: 0.25, 16000: 0.275, 20000: 0.297}


_LONGEST_HOLD = 10_000


@dataclass(frozen=True)
class SpeechEncoder:
    """Sound to spikes of 78 channels, high frequencies first.

    The cochleagram, times `gain`, is held for `hold` steps a frame and given to the spiker: with frames of
    10 ms and 10 steps each, a step is 1 ms.

    Parameters
    ----------
    cochlea : Cochlea
        Its sample rate is that of the sound.
    bsa : BSA
        The spiker; its `step_us` says how long a step is.
    gain : float
        From the cochlea's output (up to 2e-4) to the units of the spiker's kernel.
    hold : int
        Steps per frame.

    Raises
    ------
    SimulationError
        `cochlea` or `bsa` of another kind, a gain that is not above 0, or a hold out of its range.

    References
    ----------
    Y. Jin, W. Zhang, P. Li: Hybrid macro/micro level backpropagation for training deep spiking neural
    networks, NeurIPS 2018, and the configuration released with it (78 inputs, gain 2000, hold 10).
    """

    takes: ClassVar[str] = "sound"
    random: ClassVar[bool] = False

    cochlea: Cochlea = field(default_factory=Cochlea)
    bsa: BSA = field(default_factory=BSA)
    gain: float = 2000.0
    hold: int = 10

    def __post_init__(self) -> None:
        check_kind("speech: cochlea", self.cochlea, Cochlea, SimulationError)
        check_kind("speech: bsa", self.bsa, BSA, SimulationError)
        check_number("speech: gain", self.gain, SimulationError, above=0.0)
        check_whole("speech: hold", self.hold, SimulationError, 1, _LONGEST_HOLD, "steps")

    @classmethod
    def for_rate(cls, sample_rate: int) -> SpeechEncoder:
        """The encoder with 78 channels and frames of 10 ms for 8, 12.5, 16 or 20 kHz.

        Raises
        ------
        SimulationError
            Another sample rate: resample the sound, or choose `Cochlea(step=...)`.
        """
        if sample_rate not in _STEPS:
            rates = ", ".join(str(rate) for rate in _STEPS)
            raise SimulationError(
                f"no channels are defined for {sample_rate} Hz: resample the sound to one of "
                f"{rates}, or give a SpeechEncoder(Cochlea(sample_rate, step, decimation))"
            )
        return cls(Cochlea(float(sample_rate), _STEPS[sample_rate], sample_rate // 100))

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.cochlea.channels

    @property
    def sample_rate(self) -> float:
        """Samples a second of the sounds, Hz."""
        return self.cochlea.sample_rate

    def signal(self, sound: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Input of the spiker: the cochleagram of `sound` (samples,), scaled and held; (channels, steps)."""
        return np.repeat(self.cochlea(sound).T * self.gain, self.hold, axis=1)

    def encode(self, sound: npt.ArrayLike) -> EventStream:
        """Turn a sound into spikes.

        Parameters
        ----------
        sound : array_like of shape (samples,)
            Full scale is -1 .. 1.

        Returns
        -------
        EventStream
            Sensor (channels, 1, 1); address x is the channel, 0 the highest frequency.

        Raises
        ------
        SimulationError
            The sound is not one row of finite numbers.
        """
        return self.bsa.encode(self.signal(sound))
