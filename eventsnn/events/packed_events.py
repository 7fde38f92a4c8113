"""Events as 64-bit words, the form in packed files.

From the lowest bit: x, y, p, each as wide as the sensor needs (6 + 6 + 1 bits for 34 x 34 x 2), then the time
in microseconds. Words decode with shifts only.
"""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from eventsnn.errors import EventFileError
from eventsnn.events.stream import EVENT_DTYPE, SensorSize


def to_packed_events(
    events: np.ndarray, sensor_size: SensorSize, out: str | os.PathLike[str] = "", name: str = ""
) -> npt.NDArray[np.uint64]:
    """Events as words; EventFileError, naming `out` and `name`, if one does not hold their times."""
    x_bits, y_bits, p_bits = field_bits(sensor_size)
    address = x_bits + y_bits + p_bits
    latest = 2 ** (64 - address) - 1
    if len(events) and not (events["t"][0] >= 0 and events["t"][-1] <= latest):
        raise EventFileError(
            out,
            f"recording {name} has times {events['t'][0]} .. {events['t'][-1]} us; "
            f"0 .. {latest} us can be packed",
        )
    words = events["t"].astype(np.uint64) << np.uint64(address)
    words |= events["p"].astype(np.uint64) << np.uint64(x_bits + y_bits)
    words |= events["y"].astype(np.uint64) << np.uint64(x_bits)
    words |= events["x"].astype(np.uint64)
    return words


def from_packed_events(words: npt.NDArray[np.uint64], sensor_size: SensorSize) -> np.ndarray:
    """Events of words, not checked; twin of ``place_words`` in ``cython_ext/io/prepare.pyx``."""
    events = np.empty(len(words), EVENT_DTYPE)
    shift = 0
    for name, bits in zip("xyp", field_bits(sensor_size), strict=True):
        events[name] = words >> np.uint64(shift) & np.uint64(2**bits - 1)
        shift += bits
    events["t"] = words >> np.uint64(shift)
    return events


def field_bits(sensor_size: SensorSize) -> tuple[int, int, int]:
    """Bits of x, y and p in a word."""
    width, height, polarities = sensor_size
    return (width - 1).bit_length(), (height - 1).bit_length(), (polarities - 1).bit_length()
