"""Spike times of a trace: on the clock of the whole file for every reader, and to the bit for us.

SONATA asks for times that grow through a whole file, so a spike at `local` ms of a sample that begins at
`start` stands there as ``start + local``, rounded. What rounding takes away is kept beside it in four bytes:
the lower half of the bits of `local`. As ``timestamp - start`` is close to `local`, there is one float64 near
it with these lower bits. Times of less than about 2^-32 of the file's, for which that does not hold, are
stored once more as they are (`split` says which).
"""

from __future__ import annotations

import numpy as np

_LOW = np.int64(0xFFFFFFFF)
_STEP = np.int64(1) << np.int64(32)


def split(local: np.ndarray, start: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a trace keeps of the spike times of a sample.

    Parameters
    ----------
    local : float64 array (n,)
        ms, >= 0, from the beginning of the sample.
    start : float
        ms, >= 0, where the sample begins on the clock of the file.

    Returns
    -------
    timestamps : float64 array (n,)
    low : uint32 array (n,)
    far : int64 array
        Numbers of the times that `unite` does not give back.
    """
    local = np.ascontiguousarray(local, np.float64)
    bits, timestamps = local.view(np.int64), start + local
    away = (timestamps - start).view(np.int64) - bits
    # Of the numbers with the same lower bits, 2^32 apart, the local time is then the nearest one.
    near = len(away) == 0 or -_STEP // 2 < away.min() <= away.max() < _STEP // 2
    far = np.empty(0, np.int64) if near else np.flatnonzero(np.abs(away) >= _STEP // 2)
    return timestamps, bits.astype(np.uint32), far


def unite(timestamps: np.ndarray, low: np.ndarray, start: float) -> np.ndarray:
    """The local times, ms, float64 array (n,), from what `split` gave."""
    near = (timestamps - start).view(np.int64)
    bits = (near & ~_LOW) | low
    away = bits - near
    # The nearest number with these lower bits may have the upper half above or below.
    bits -= np.where(away > _STEP // 2, _STEP, np.int64(0))
    bits += np.where(away < -_STEP // 2, _STEP, np.int64(0))
    times: np.ndarray = bits.view(np.float64)
    return times
