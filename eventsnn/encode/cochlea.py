"""Lyon's passive-ear model of the cochlea: from sound to the firing rates of the auditory nerve.

A cascade of second-order sections models the travelling wave: each section filters out the frequencies of its
place and passes lower frequencies on. Half-wave rectifiers model the inner hair cells, four coupled stages of
gain control model adaptation, and differences of neighbouring channels sharpen the tuning.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from eventsnn._ext import cochlea as kernel
from eventsnn._util.arguments import check_number
from eventsnn.encode.signals import Floats, check_signal
from eventsnn.errors import SimulationError

# Hz: width of the lowest channels, and corner of the preemphasis of outer and middle ear.
_BREAK_HZ = 1000.0
_PREEMPHASIS_HZ = 300.0
# The zeros of a stage lie this many steps above its poles, and are this much sharper.
_ZERO_OFFSET = 1.5
_ZERO_SHARPNESS = 5.0
SAMPLES_AT_ONCE = 2**17
"""Samples that the kernel works on without a break, about a tenth of a second."""

_EXTREME = 1e9
_MOST_CHANNELS = 10_000

# Gain control, slow to fast: the level that a stage holds, and its time constant in s.
_TARGETS = (0.0032, 0.0016, 0.0008, 0.0004)
_TAUS = (0.64, 0.16, 0.04, 0.01)


@dataclass(frozen=True)
class Cochlea:
    """Lyon's cochlea.

    Parameters
    ----------
    sample_rate : float
        Hz.
    step : float
        Distance of neighbouring channels in bandwidths. 0.206 gives 78 channels at 8 kHz, 0.25 at 12.5 kHz.
    decimation : int
        Samples per frame of the output.
    ear_q : float
        Quality of the sections at high frequencies.
    differ : bool
        Take the next channel's output away from each channel's.
    gain_control : bool
        Adapt to loudness.
    tau_factor : float
        Time constant of the smoothing before decimation, in frames.

    Raises
    ------
    SimulationError
        A parameter is out of its range, or no channel is left.

    References
    ----------
    R. F. Lyon: A computational model of filtering, detection, and compression in the cochlea, ICASSP 1982.
    M. Slaney: Lyon's cochlear model, Apple Technical Report 13, 1988; Auditory Toolbox, Interval Research
    Technical Report 1998-010 (`LyonPassiveEar`, whose defaults and constants these are).
    """

    sample_rate: float = 8000.0
    step: float = 0.206
    decimation: int = 80
    ear_q: float = 8.0
    differ: bool = True
    gain_control: bool = True
    tau_factor: float = 3.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool):
                continue
            name = f"cochlea: {field.name}"
            check_number(name, value, SimulationError, least=1 / _EXTREME, most=_EXTREME)
        if self.decimation != int(self.decimation):
            raise SimulationError(f"cochlea: decimation must be a whole number: got {self.decimation!r}")
        if self.ear_q <= 0.5 or self._top <= 0.0 or self.channels < 1:
            raise SimulationError(
                f"cochlea: no channel is left at {self.sample_rate:g} Hz with step {self.step:g} and ear_q "
                f"{self.ear_q:g}; a smaller step gives more"
            )
        if self.channels > _MOST_CHANNELS:
            raise SimulationError(
                f"cochlea: step {self.step:g} gives {self.channels} channels, more than {_MOST_CHANNELS}; "
                "a larger step gives fewer"
            )

    @property
    def channels(self) -> int:
        """Number of channels: as many steps as fit between the highest frequency and that of quality 1/2."""
        lowest = _BREAK_HZ / math.sqrt(4.0 * self.ear_q**2 - 1.0)
        return math.floor(self.ear_q * (math.log(self._scale_top) - math.log(_span(lowest))) / self.step)

    @property
    def frequencies(self) -> Floats:
        """Centre frequency of each channel, Hz, from high to low; float64 of shape (channels,).

        Solves df/dn = -step * bandwidth(f), bandwidth(f) = sqrt(f^2 + 1000^2) / ear_q, for channel n = 1, ...
        """
        shrunk = self._scale_top * np.exp(-self.step / self.ear_q * np.arange(1, self.channels + 1))
        return (shrunk - _BREAK_HZ**2 / shrunk) / 2.0

    def __call__(self, signal: npt.ArrayLike) -> Floats:
        """Return the cochleagram of a sound.

        Parameters
        ----------
        signal : array_like of shape (samples,)
            Full scale is -1 .. 1.

        Returns
        -------
        ndarray of float64, shape (samples // decimation, channels)
            What each channel says at the end of each frame, 0 or more, below about 4e-4 with gain control.
            The filters start at rest.

        Raises
        ------
        SimulationError
            The signal is not one row of finite numbers.
        """
        sound = check_signal(signal, 1)
        sections, gains, smooth = self.sections(), self.gains(), self.smoothing()
        out = np.empty((len(sound) // int(self.decimation), self.channels))
        state = np.zeros((5 + len(gains), len(sections)))
        # In parts, between which Ctrl-C is heard; the state goes from one to the next.
        step = int(self.decimation)
        part = max(1, SAMPLES_AT_ONCE // step)
        for first in range(0, len(out), part):
            piece = sound[first * step : (first + part) * step]
            kernel.cochleagram(
                piece, sections, gains, smooth, step, self.differ, state, out[first : first + part]
            )
        return out

    def sections(self) -> Floats:
        """Second-order sections (2 + channels, 5): numerator b0 b1 b2, denominator (1) a1 a2.

        The first two are outer and middle ear: preemphasis, and a resonance at the highest frequency.
        """
        rate = self.sample_rate
        centres = self.frequencies
        width = np.sqrt(centres**2 + _BREAK_HZ**2) / self.ear_q
        zeros = centres + width * self.step * _ZERO_OFFSET
        numerator = _resonance(zeros, _ZERO_SHARPNESS * zeros / width, rate)
        denominator = _resonance(centres, centres / width, rate)
        stages = np.column_stack([numerator, denominator[:, 1:]])
        # A wave grows as it travels to places of lower frequency: gain f(n - 1) / f(n) at 0 Hz.
        ratio = np.ones(len(centres)) if len(centres) < 2 else centres[:-1] / centres[1:]
        stages[:, :3] *= (np.append(ratio[:1], ratio)[: len(stages)] / _gain(stages, 0.0))[:, None]
        pole = _resonance(np.array([self._top]), (centres / width)[:1], rate)[0]
        ear = np.array(
            [
                [0.0, 1.0, -math.exp(-2.0 * math.pi * _PREEMPHASIS_HZ / rate), 0.0, 0.0],
                [1.0, 0.0, -1.0, pole[1], pole[2]],
            ]
        )
        ear[:, :3] /= _gain(ear, 0.25)[:, None]
        return np.concatenate([ear, stages])

    def gains(self) -> Floats:
        """Target and epsilon of each stage of gain control, (stages, 2); (0, 2) without gain control."""
        epsilons = [_epsilon(tau * self.sample_rate) for tau in _TAUS]
        return np.array([*zip(_TARGETS, epsilons, strict=True)] if self.gain_control else np.empty((0, 2)))

    def smoothing(self) -> Floats:
        """Of the filter before decimation, g / (z^2 + a1 z + a2), unity at 0 Hz: (g, a1, a2)."""
        pole = 1.0 - _epsilon(self.decimation * self.tau_factor)
        a1, a2 = -2.0 * pole, pole**2
        return np.array([1.0 + a1 + a2, a1, a2])

    @property
    def _top(self) -> float:
        """Highest frequency, Hz: half the sample rate, less room for the first stage's zeros."""
        nyquist = self.sample_rate / 2.0
        width = math.sqrt(nyquist**2 + _BREAK_HZ**2) / self.ear_q * self.step
        return nyquist - (_ZERO_OFFSET - 1.0) * width

    @property
    def _scale_top(self) -> float:
        return _span(self._top)


def _span(frequency: float) -> float:
    """f + sqrt(f^2 + 1000^2), whose logarithm is the place along the cochlea in bandwidths / ear_q."""
    return frequency + math.sqrt(frequency**2 + _BREAK_HZ**2)


def _epsilon(samples: float) -> float:
    """Share by which a first-order filter of this time constant approaches its input in one sample."""
    return 1.0 - math.exp(-1.0 / samples)


def _resonance(frequency: Floats, q: Floats, rate: float) -> Floats:
    """Polynomials 1 + c1 z^-1 + c2 z^-2 of resonances of quality q; (n, 3)."""
    radius = np.exp(-np.pi * frequency / (rate * q))
    angle = 2.0 * np.pi * frequency / rate * np.sqrt(1.0 - 1.0 / (4.0 * q**2))
    return np.column_stack([np.ones_like(radius), -2.0 * radius * np.cos(angle), radius**2])


def _gain(sections: Floats, cycles: float) -> Floats:
    """Gain of sections (n, 5) at a frequency in cycles per sample; (n,)."""
    z = np.exp(2j * np.pi * cycles)
    above = sections[:, 0] * z**2 + sections[:, 1] * z + sections[:, 2]
    return np.abs(above / (z**2 + sections[:, 3] * z + sections[:, 4]))
