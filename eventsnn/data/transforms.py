"""tonic's transforms as part of an augmentation, with the same results for any number of threads.

They draw from NumPy's global generator, which has one state for all threads. So they run one at a time,
behind a lock, with the generator seeded by the draw that names seed, epoch and recording; its state is
restored afterwards. (A program that uses this generator in another thread at the same time would disturb
both.)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from eventsnn.data.sequences import is_nothing, keep_valid
from eventsnn.errors import MissingExtraError, TrainingError
from eventsnn.events.stream import EVENT_DTYPE, SensorSize

_ONE_AT_A_TIME = threading.Lock()
_OF_OTHER_THINGS = ("NumpyAsType", "Repeat")
_NO_EVENTS = "augmentation: transform {} does not give events; choose one that does"


def check_transforms(transforms: Any) -> None:
    """Raise TrainingError unless `transforms` is a list of tables with a name, as `[augmentation]` has it."""
    if not isinstance(transforms, Sequence) or not all(
        isinstance(transform, Mapping) and isinstance(transform.get("name"), str) for transform in transforms
    ):
        raise TrainingError(
            "augmentation: transforms must be a list of tables such as "
            f'{{ name = "SpatialJitter", var_x = 0.5 }}: got {transforms!r}'
        )


class Transforms:
    """Some of tonic's transforms, one after the other.

    Parameters
    ----------
    transforms : sequence of mapping
        ``name``, a class of ``tonic.transforms``, and its arguments; ``sensor_size`` is filled in.
    sensor_size : tuple of 3 int
        Width, height, polarities.

    Raises
    ------
    TrainingError
        tonic is not installed, there is no such transform, or it does not take such arguments.
    """

    def __init__(self, transforms: Sequence[Mapping[str, Any]], sensor_size: SensorSize) -> None:
        check_transforms(transforms)
        self._sensor_size = sensor_size
        self._steps = [(str(transform["name"]), _make(transform, sensor_size)) for transform in transforms]

    def __call__(self, events: np.ndarray, bits: int) -> np.ndarray:
        """Changed events under a draw of 64 bits, inside the sensor and in order of time.

        `events` stay as they are. Events that leave the sensor, or are before 0, are dropped; simultaneous
        ones keep their order. On a sensor of one polarity that stays 0.
        """
        changed = events.copy()
        # Copies of the steps: CropTime and others keep something of the first recording that they meet.
        steps = [(name, copy(step)) for name, step in self._steps]
        with _ONE_AT_A_TIME:
            state = np.random.get_state()  # noqa: NPY002 (tonic draws from it)
            np.random.seed([bits & 0xFFFFFFFF, bits >> 32])  # noqa: NPY002
            try:
                for name, step in steps:
                    if not len(changed):  # as tonic's Compose: some fail without events
                        break
                    changed = _run(name, step, changed)
            finally:
                np.random.set_state(state)  # noqa: NPY002
        changed = keep_valid(changed, self._sensor_size)
        changed = changed[changed["p"] < self._sensor_size[2]]
        if changed.dtype == EVENT_DTYPE:
            return changed
        # By name: some transforms have another order of fields, and astype goes by place.
        result = np.empty(len(changed), EVENT_DTYPE)
        for field in "xytp":
            result[field] = changed[field]
        return result


def _make(transform: Mapping[str, Any], sensor_size: SensorSize) -> Callable[[np.ndarray], np.ndarray]:
    """The transform that a table describes."""
    try:
        from tonic import transforms
    except ImportError:
        raise MissingExtraError("tonic", "tonic", f"augmentation: {transform['name']}") from None
    cls = getattr(transforms, transform["name"], None)
    if cls is transforms.Compose:
        raise TrainingError("augmentation: instead of Compose, list its transforms: they run one by one")
    if not is_dataclass(cls):
        raise TrainingError(f"augmentation: tonic has no transform {transform['name']!r}")
    if transform["name"].startswith("To") or transform["name"] in _OF_OTHER_THINGS:
        raise TrainingError(_NO_EVENTS.format(transform["name"]))
    arguments = {key: _to_tuples(value) for key, value in transform.items() if key != "name"}
    if any(field.name == "sensor_size" for field in fields(cls)):
        arguments.setdefault("sensor_size", sensor_size)
    try:
        made: Callable[[np.ndarray], np.ndarray] = cls(**arguments)  # type: ignore[assignment, operator]
    except (TypeError, AssertionError) as error:
        raise TrainingError(f"augmentation: transform {transform['name']}: {error}") from None
    return made


def _to_tuples(value: Any) -> Any:
    """Lists as tuples: tonic knows ranges such as ``p = [0, 0.5]`` by that type, which TOML lacks."""
    return tuple(_to_tuples(item) for item in value) if isinstance(value, list) else value


def _run(name: str, step: Callable[[np.ndarray], np.ndarray], events: np.ndarray) -> np.ndarray:
    """One step; TrainingError if it fails, or if its result is not an array of events."""
    try:
        changed = step(events)
    except Exception as error:
        raise TrainingError(
            f"augmentation: transform {name} failed ({type(error).__name__}: {error})"
        ) from error
    if is_nothing(changed):
        return events[:0]
    if (
        not isinstance(changed, np.ndarray)
        or changed.dtype.names is None
        or set("xytp") - {*changed.dtype.names}
    ):
        raise TrainingError(_NO_EVENTS.format(name))
    return changed
