"""Shared by encoders of constant values (images): checks, and conversion to a stream."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eventsnn._util.arguments import check_whole
from eventsnn.errors import SimulationError
from eventsnn.events.stream import EVENT_DTYPE, EventStream, SensorSize, check_sensor_size

_MOST_DIMENSIONS = 3


def check_values(encoder: str, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return values as float64; raise SimulationError unless 0 .. 1, with one to three dimensions."""
    array = np.asarray(values)
    if array.dtype.kind not in "biuf" or not 1 <= array.ndim <= _MOST_DIMENSIONS or array.size == 0:
        raise SimulationError(
            f"{encoder}: values must be numbers of shape (n,), (height, width) or "
            "(polarities, height, width): "
            f"got shape {array.shape}, dtype {array.dtype}"
        )
    numbers = array.astype(np.float64)
    if not ((numbers >= 0) & (numbers <= 1)).all():
        raise SimulationError(
            f"{encoder}: values must lie in 0 .. 1 (divide bytes by 255): "
            f"got {numbers.min():g} .. {numbers.max():g}"
        )
    return numbers


def make_sensor(array: npt.NDArray[np.float64]) -> SensorSize:
    """Width, height, polarities of an array of values."""
    polarities, height, width = (1,) * (_MOST_DIMENSIONS - array.ndim) + array.shape
    return check_sensor_size((width, height, polarities))


def make_generator(seed: int, index: int) -> np.random.Generator:
    """The generator of sample `index` under `seed`; SimulationError unless both are whole numbers >= 0."""
    return np.random.default_rng(
        [check_whole("seed", seed, SimulationError), check_whole("index", index, SimulationError)]
    )


def to_stream(times: npt.NDArray[np.int64], places: npt.NDArray[np.int64], sensor: SensorSize) -> EventStream:
    """Events of spikes at `times` (microseconds) of inputs `places`, sorted by (time, input)."""
    order = np.lexsort((places, times))
    width, height, _ = sensor
    events = np.zeros(len(order), EVENT_DTYPE)
    events["t"] = times[order]
    events["x"] = places[order] % width
    events["y"] = places[order] // width % height
    events["p"] = places[order] // (width * height)
    return EventStream(events, sensor)
