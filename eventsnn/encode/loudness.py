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


def trim_silence(sound: Floats, frame: int, below_db: float) -> Floats:
    """Cut what comes before the first loud frame, and what comes after the last one.

    Parameters
    ----------
    sound : ndarray of float64, shape (samples,)
    frame : int
        Samples of a frame. The rest after the last whole frame is cut, too.
    below_db : float
        A frame is loud if its level is at most this far below that of the loudest frame, dB.

    Returns
    -------
    ndarray of float64
        Whole frames of `sound`, a view; `sound` itself if it is silent or shorter than a frame.
    """
    power = _frame_power(sound, frame)
    loud = np.flatnonzero(_is_loud(power, below_db))
    return sound[loud[0] * frame : (loud[-1] + 1) * frame] if len(loud) else sound


def set_level(sound: Floats, frame: int, level_db: float) -> Floats:
    """Amplify a sound, so that its speech has a given level.

    The level of the speech is the mean power of the frames within `ACTIVE_DB` of the loudest, so that silence
    around and within a word does not count (as in the active speech level of ITU-T P.56, with a simpler
    measure of activity).

    Parameters
    ----------
    sound : ndarray of float64, shape (samples,)
    frame : int
        Samples of a frame.
    level_db : float
        The level to reach, dB.

    Returns
    -------
    ndarray of float64, shape (samples,)
        `sound` times one factor; `sound` itself if it is silent or shorter than a frame.
    """
    power = _frame_power(sound, frame)
    speech = power[_is_loud(power, ACTIVE_DB)]
    return sound * np.sqrt(10.0 ** (level_db / 10.0) / speech.mean()) if len(speech) else sound


def _frame_power(sound: Floats, frame: int) -> Floats:
    """Mean square of each whole frame, (frames,)."""
    n = len(sound) // frame
    centred = sound - sound.mean() if n else sound
    power: Floats = np.square(centred[: n * frame].reshape(n, frame)).mean(axis=1)
    return power


def _is_loud(power: Floats, below_db: float) -> np.ndarray:
    """Which frames are at most `below_db` below the loudest; none of a silent sound."""
    return power >= max(power.max(initial=0.0) * 10.0 ** (-below_db / 10.0), _SILENT)
