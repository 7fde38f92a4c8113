"""Normalisation of sounds: silence around a word is cut, and the level of the speech is set.

Both work on frames. A frame's level is the mean square of its samples, the mean of the whole sound
subtracted, in dB: 0 dB is the mean square of a full-scale square wave, -3 dB that of a full-scale sine.
"""

from __future__ import annotations

import numpy as np

from eventsnn.encode.signals import Floats

ACTIVE_DB = 30.0
"""Frames at most this far below the loudest frame count as speech."""
_SILENT = 1e-20  # power, -200 dB: rounding errors of a constant sound are below this


def find_speech(sound: Floats, frame: int, below_db: float) -> tuple[int, int]:
    """Samples between which a sound is not silent: (first, end) of the loud frames, whole frames.

    Parameters
    ----------
    sound : ndarray of float64, shape (samples,)
    frame : int
        Samples of a frame; the rest after the last whole frame does not count.
    below_db : float
        A frame is loud if its level is at most this far below that of the loudest frame, dB.

    Returns
    -------
    tuple of 2 int
        ``(0, samples)`` of a sound that is silent throughout, or shorter than a frame.
    """
    loud = np.flatnonzero(_is_loud(_frame_power(sound, frame), below_db))
    return (int(loud[0]) * frame, (int(loud[-1]) + 1) * frame) if len(loud) else (0, len(sound))


def measure_level(sound: Floats, frame: int) -> float:
    """Level of the speech of a sound, dB; -inf without any.

    It is the mean power of the frames within `ACTIVE_DB` of the loudest, so that silence around and within a
    word does not count (as in the active speech level of ITU-T P.56, with a simpler measure of activity).
    """
    power = _frame_power(sound, frame)
    speech = power[_is_loud(power, ACTIVE_DB)]
    return float(10.0 * np.log10(speech.mean())) if len(speech) else -np.inf


def set_level(sound: Floats, frame: int, level_db: float) -> Floats:
    """A sound times the factor that gives its speech a level, dB; itself if it has no speech."""
    level = measure_level(sound, frame)
    return sound * 10.0 ** ((level_db - level) / 20.0) if np.isfinite(level) else sound


def _frame_power(sound: Floats, frame: int) -> Floats:
    """Mean square of each whole frame, (frames,)."""
    n = len(sound) // frame
    centred = sound - sound.mean() if n else sound
    power: Floats = np.square(centred[: n * frame].reshape(n, frame)).mean(axis=1)
    return power


def _is_loud(power: Floats, below_db: float) -> np.ndarray:
    """Which frames are at most `below_db` below the loudest; none of a silent sound."""
    return power >= max(power.max(initial=0.0) * 10.0 ** (-below_db / 10.0), _SILENT)
