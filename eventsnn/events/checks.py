"""Checks of events as arrays: sizes of sensors, whole numbers, polarities, order of time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.errors import EventStreamError
from eventsnn.events.polarity import PolarityCode, PolarityError

SensorSize = tuple[int, int, int]
"""Width, height (pixels) and number of polarities."""

_LONGEST_TEXT = 250
_LARGEST = {"x": 2**15, "y": 2**15, "p": 2**8}


def check_sensor_size(sensor_size: object) -> SensorSize:
    """Return `sensor_size` as a tuple of three int; raise EventStreamError if it is not a sensor size.

    Width and height are 1..32768 (addresses are int16), polarities 1..256, and an input index fits int32.
    """
    try:
        values: tuple[Any, ...] = tuple(sensor_size)  # type: ignore[arg-type]
        size = tuple(int(value) for value in values)
        whole = size == values
    except (TypeError, ValueError, OverflowError):
        size, whole = (), False
    if not whole or len(size) != 3 or min(size) < 1:
        raise EventStreamError(
            f"sensor_size must be (width, height, polarities), three positive int: got {sensor_size!r}"
        )
    width, height, polarities = size
    if (
        max(width, height) > _LARGEST["x"]
        or polarities > _LARGEST["p"]
        or width * height * polarities >= 2**31
    ):
        raise EventStreamError(
            f"sensor_size {size} is too large: at most 32768 x 32768 pixels, 256 polarities, 2^31-1 inputs"
        )
    return (width, height, polarities)


def to_vector(name: str, values: npt.ArrayLike) -> np.ndarray:
    """Values as a one-dimensional array; a single column or row, as MATLAB keeps vectors, is one too."""
    if np.ma.is_masked(values):
        raise EventStreamError(f"{name} has masked values, which are no events: drop these rows first")
    try:
        array = np.asarray(values)
    except (ValueError, TypeError) as error:  # lists of different lengths in a list, tensors on a card
        text = f"{name} must be a one-dimensional array of numbers: got {type(values).__name__} ({error})"
        raise EventStreamError(text[:_LONGEST_TEXT]) from None
    if array.size == 0 and array.dtype.kind in "fO":
        array = array.astype(np.int64)
    if array.ndim == 2 and 1 in array.shape:
        array = array.reshape(-1)
    if array.ndim != 1:
        raise EventStreamError(
            f"{name} must be a one-dimensional array of numbers: got shape {array.shape}, dtype {array.dtype}"
        )
    return array


def to_polarities(values: np.ndarray, polarities: int | None) -> npt.NDArray[np.int64]:
    """Polarities from 0; without a number of them, whole numbers up to 254 count them unless 1 and 2 do."""
    if polarities is None and values.dtype.kind in "iuf" and values.size:
        low, high = values.min(), values.max()
        polarities = int(high) + 1 if low >= 0 and 1 < high < 255 and not (low >= 1 and high == 2) else 2
    try:
        return PolarityCode(polarities or 2).convert(values).astype(np.int64)
    except PolarityError as error:
        raise EventStreamError(f"event {error.at}: {error}") from None


def to_whole_numbers(name: str, values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return a one-dimensional int64 array, refusing fractions, NaN and what int64 cannot hold."""
    array = to_vector(name, values)
    if array.dtype.kind not in "biuf":
        raise EventStreamError(
            f"{name} must be a one-dimensional array of numbers: got shape {array.shape}, dtype {array.dtype}"
        )
    if array.dtype.kind in "biu" and array.dtype != np.uint64:
        return array.astype(np.int64)
    with np.errstate(invalid="ignore"):
        whole = array.astype(np.int64)
    # 2^63 is the first float or uint64 that int64 cannot hold; the cast would have wrapped it.
    bad = (whole != array) | (array >= 2.0**63)
    if bad.any():
        at = int(np.argmax(bad))
        hint = " (microseconds; multiply seconds by 1e6 and round)" if name == "t" else ""
        raise EventStreamError(
            f"event {at}: {name} = {array[at]} is not a whole number in the int64 range{hint}"
        )
    return whole


def find_sensor(columns: dict[str, npt.NDArray[np.int64]], polarities: int) -> SensorSize:
    """Return the smallest sensor size that holds the events (at least one pixel)."""
    largest = {name: int(columns[name].max(initial=0)) for name in "xyp"}
    for name, value in largest.items():
        if value >= _LARGEST[name]:
            at = int(np.argmax(columns[name]))
            raise EventStreamError(f"event {at}: {name} = {value} is too large; at most {_LARGEST[name] - 1}")
    return check_sensor_size((largest["x"] + 1, largest["y"] + 1, max(polarities, largest["p"] + 1)))


def check_events(columns: Mapping[str, np.ndarray] | np.ndarray, sensor_size: SensorSize) -> None:
    """Raise EventStreamError naming the first event outside the sensor or earlier than the one before."""
    faults: list[tuple[int, str]] = []
    for name, bound in zip("xyp", sensor_size, strict=True):
        values = columns[name]
        outside = (values < 0) | (values >= bound)
        if outside.any():
            at = int(np.argmax(outside))
            text = f"{name} = {values[at]} is outside 0..{bound - 1} of sensor_size {sensor_size}"
            faults.append((at, f"{text}; give the sensor_size of the recording"))
    t = columns["t"]
    backwards = t[1:] < t[:-1]
    if backwards.any():
        at = int(np.argmax(backwards)) + 1
        text = f"t = {t[at]} us is earlier than event {at - 1} at {t[at - 1]} us"
        faults.append((at, f"{text}; sort the events by time first"))
    if faults:
        at, text = min(faults)
        raise EventStreamError(f"event {at}: {text}")
