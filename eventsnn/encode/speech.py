"""From speech to spikes: a cochlea, then Ben's spiker algorithm, the front end of HM2-BP for TI46."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from eventsnn._util.arguments import check_kind, check_number, check_whole
from eventsnn.encode.bsa import BSA
from eventsnn.encode.cochlea import Cochlea
from eventsnn.encode.loudness import find_speech, set_level
from eventsnn.encode.signals import Floats, check_signal
from eventsnn.errors import SimulationError
from eventsnn.events.stream import EventStream, SensorSize

# Steps between channels that make 78 of them at the sample rates that corpora of speech have.
_STEPS = {8000: 0.206, 12500: 0.25, 16000: 0.275, 20000: 0.297}

_LONGEST_HOLD = 10_000
_MOST_FRAMES = 100_000
_MOST_SECTIONS = 1000
_QUIETEST_DB = 200.0


@dataclass(frozen=True)
class SpeechEncoder:
    """Sound to spikes of 78 channels, high frequencies first.

    The cochleagram, times `gain`, is held for `hold` steps a frame and given to the spiker: with frames of
    10 ms and 10 steps each, a step is 1 ms. The last five settings make unknown speakers less different from
    known ones; without them, sounds are taken as they are.

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
    trim_db : float, optional
        Cut silence before and after the word: frames more than this below the loudest one, dB
        (`eventsnn.encode.loudness`).
    level_db : float, optional
        Amplify the sound until its speech has this level, dB below full scale, -200 .. 0: a loud and a soft
        voice give the same spikes.
    frames : int, optional
        Stretch every cochleagram to so many frames, by linear interpolation: a fast and a slow voice take the
        same time.
    sections : int
        Divide the word into so many parts of equal length, each with input neurons of its own: row y of the
        sensor is section y. Neurons that count spikes then know the order of the sounds.
    pool : int
        So many neighbouring channels share an input neuron, from channel 0 on.

    Raises
    ------
    SimulationError
        `cochlea` or `bsa` of another kind, or a setting out of its range.

    Notes
    -----
    `frames` and `sections` need the whole word: they are for words that are cut out, not for a stream.

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
    trim_db: float | None = None
    level_db: float | None = None
    frames: int | None = None
    sections: int = 1
    pool: int = 1

    def __post_init__(self) -> None:
        check_kind("speech: cochlea", self.cochlea, Cochlea, SimulationError)
        check_kind("speech: bsa", self.bsa, BSA, SimulationError)
        check_number("speech: gain", self.gain, SimulationError, above=0.0)
        check_whole("speech: hold", self.hold, SimulationError, 1, _LONGEST_HOLD, "steps")
        if self.trim_db is not None:
            check_number("speech: trim_db", self.trim_db, SimulationError, above=0.0, most=_QUIETEST_DB)
        if self.level_db is not None:
            check_number("speech: level_db", self.level_db, SimulationError, least=-_QUIETEST_DB, most=0.0)
        if self.frames is not None:
            check_whole("speech: frames", self.frames, SimulationError, 1, _MOST_FRAMES, "frames")
        check_whole("speech: sections", self.sections, SimulationError, 1, _MOST_SECTIONS, "sections")
        check_whole("speech: pool", self.pool, SimulationError, 1, self.cochlea.channels, "channels")

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
        """Number of channels that have an input neuron: the cochlea's, `pool` of them to one."""
        return -(-self.cochlea.channels // self.pool)

    @property
    def sensor_size(self) -> SensorSize:
        """Width, height, polarities of the spikes: (channels, sections, 1)."""
        return self.channels, self.sections, 1

    @property
    def sample_rate(self) -> float:
        """Samples a second of the sounds, Hz."""
        return self.cochlea.sample_rate

    def signal(self, sound: npt.ArrayLike) -> Floats:
        """Input of the spiker: the cochleagram of `sound` (samples,), scaled and held.

        Returns
        -------
        ndarray of float64, shape (channels of the cochlea, steps)
        """
        frame = int(self.cochlea.decimation)
        samples = check_signal(sound, 1)
        if self.trim_db is not None:
            samples = samples[slice(*find_speech(samples, frame, self.trim_db))]
        if self.level_db is not None:
            samples = set_level(samples, frame, self.level_db)
        cochleagram = self.cochlea(samples)
        if self.frames is not None:
            cochleagram = stretch_frames(cochleagram, self.frames)
        return np.repeat(cochleagram.T * self.gain, self.hold, axis=1)

    def encode(self, sound: npt.ArrayLike) -> EventStream:
        """Turn a sound into spikes.

        Parameters
        ----------
        sound : array_like of shape (samples,)
            Full scale is -1 .. 1.

        Returns
        -------
        EventStream
            Of `sensor_size`; address x is the channel, 0 the highest frequency, address y the section.

        Raises
        ------
        SimulationError
            The sound is not one row of finite numbers.
        """
        signal = self.signal(sound)
        stream = self.bsa.encode(signal)
        if self.sensor_size == stream.sensor_size:
            return stream
        events = stream.events.copy()
        events["x"] //= self.pool
        # The spike of step i comes at the step's end, (i + 1) step_us.
        step = events["t"] // self.bsa.step_us - 1
        events["y"] = step * self.sections // max(signal.shape[1], 1)
        return EventStream(events, self.sensor_size)


def stretch_frames(cochleagram: Floats, n: int) -> Floats:
    """A cochleagram (frames, channels) with `n` frames, by linear interpolation between frames' middles.

    New frame k shows the old one number ``(k + 1/2) frames / n - 1/2``, and beyond the ends the first or last
    one. Without frames the result is zeros.
    """
    old = len(cochleagram)
    if old == 0:
        return np.zeros((n, cochleagram.shape[1]))
    place = np.clip((np.arange(n) + 0.5) * (old / n) - 0.5, 0.0, old - 1.0)
    before = place.astype(np.intp)
    share = (place - before)[:, None]
    result: Floats = (1.0 - share) * cochleagram[before] + share * cochleagram[
        np.minimum(before + 1, old - 1)
    ]
    return result
