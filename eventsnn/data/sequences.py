"""What a sequence of (events, target), such as a data set of tonic's, states about itself and its events.

tonic itself is not imported: everything is found by attributes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn._util.names import are_numbers, class_key
from eventsnn.errors import EventStreamError, TrainingError
from eventsnn.events.fields import REMEDY, find_fields
from eventsnn.events.stream import EVENT_DTYPE, EventStream, SensorSize

SENSORS: dict[str, SensorSize] = {"NCALTECH101": (240, 180, 2)}
"""Sensors of tonic's classes that state none: the largest that a recording can have."""


def find_sensor_size(dataset: Any) -> tuple[int, ...] | None:
    """The sensor size that a data set, or what it wraps, states; else that of a known class of tonic's."""
    for part in _unwrap(dataset):
        size = getattr(part, "sensor_size", None)
        if size is None:
            size = next((SENSORS[name] for name in SENSORS if _is_a(part, name)), None)
        if size is not None:
            return size
    return None


def find_class_names(dataset: Any, labels: npt.NDArray[np.int64]) -> list[str] | None:
    """Names of the classes by number, if the data set lists them: a list, or numbers by name.

    Names such as ``"3 - three"``, as tonic and torchvision have them for digits, are those numbers. Targets
    that are transformed have other numbers than the list.
    """
    listed = _find_untransformed(dataset, ("classes", "class_map"))
    if isinstance(listed, Mapping):
        by_number = {number: name for name, number in listed.items()}
        listed = [by_number.get(number) for number in range(len(by_number))]
        if None in listed:
            return None
    listed = listed.tolist() if isinstance(listed, np.ndarray) else listed
    if not isinstance(listed, Sequence) or isinstance(listed, str) or len(listed) <= int(labels.max()):
        return None
    names = [name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in listed]
    numbers = [name.partition(" - ")[0] for name in names]
    if are_numbers(numbers):
        return numbers
    return names if all(names) and len({class_key(name) for name in names}) == len(names) else None


def find_targets(dataset: Any) -> np.ndarray:
    """Return the target of every sample, numbers or names.

    Those that the data set lists, unless it transforms them; a wrapper's samples are read. Bytes, which a
    DiskCachedDataset gives for names, are names.

    Raises TrainingError if a target is neither.
    """
    targets = None if _changes_targets(dataset) else getattr(dataset, "targets", None)
    if targets is None or len(targets) != len(dataset) or _are_of_files(targets, dataset):
        targets = [dataset[index][1] for index in range(len(dataset))]
    targets = [item.decode("utf-8", "replace") if isinstance(item, bytes) else item for item in targets]
    try:
        array = np.asarray(targets)
    except ValueError:  # targets of different shapes, such as poses at several times
        array = np.asarray(None)
    if array.ndim != 1 or array.dtype.kind not in "iubU":
        found = type(targets[0]).__name__
        shown = f"shape {array.shape}, dtype {array.dtype}" if array.shape else f"each of type {found}"
        raise TrainingError(f"targets must be class numbers or names: got {shown}")
    return array


def is_changed(dataset: Any) -> bool:
    """Whether a data set, or anything that it wraps, has a transform of its events."""
    names = ("transform", "transforms")
    return any(getattr(part, name, None) is not None for part in _unwrap(dataset) for name in names)


def is_unsorted(dataset: Any) -> bool:
    """Whether a data set is tonic's SMNIST, whose doubled events are not in order of time."""
    return any(_is_a(part, "SMNIST") for part in _unwrap(dataset))


def keep_valid(events: Any, sensor_size: SensorSize) -> Any:
    """The result of a transform without events outside the sensor or before 0, sorted by time.

    Simultaneous events keep their order. Polarities stay as they are, but on a sensor of one they become 0:
    transforms invert or draw them there too. Streams and tables are not looked into.

    Raises EventStreamError for what holds no events, such as frames.
    """
    if isinstance(events, EventStream) or hasattr(events, "to_records"):
        return events
    if is_nothing(events):
        return np.empty(0, EVENT_DTYPE)
    names = getattr(getattr(events, "dtype", None), "names", None) or ()
    found = find_fields(names, remedy=REMEDY)
    if not isinstance(events, np.ndarray) or found is None:
        shape = getattr(events, "shape", None)
        shown = type(events).__name__ + ("" if shape is None else f" of shape {tuple(shape)}")
        raise EventStreamError(
            f"the data set's transform gives no events but {shown}: leave out those of its steps that make "
            "frames or tensors (ToFrame, ToVoxelGrid, ...); eventsnn computes with the events themselves"
        )
    events = events.reshape(-1)
    fields = {role: events[names[k]] for role, k in found.place.items()}
    keep = fields["t"] >= 0
    for role, size in zip("xy", sensor_size, strict=False):
        if role in fields:
            keep &= (fields[role] >= 0) & (fields[role] < size)
    kept = events[keep][np.argsort(fields["t"][keep], kind="stable")]
    if sensor_size[2] == 1 and "p" in found.place:
        kept[names[found.place["p"]]] = 0
    return kept


def is_nothing(events: Any) -> bool:
    """Whether this is an empty array without fields: tonic's Decimation, for one, gives it for no events."""
    return isinstance(events, np.ndarray) and events.shape == (0,) and events.dtype.names is None


def _unwrap(dataset: Any) -> Iterator[Any]:
    """The data set, what it wraps as ``dataset``, what that wraps, and so on."""
    seen: list[Any] = []
    while dataset is not None and all(dataset is not part for part in seen):
        seen.append(dataset)
        yield dataset
        dataset = getattr(dataset, "dataset", None)


def _is_a(dataset: Any, name: str) -> bool:
    """Whether a data set is of the class of tonic's with this name, or of one made from it."""
    return any(cls.__name__ == name for cls in type(dataset).__mro__)


def _are_of_files(targets: Any, dataset: Any) -> bool:
    """Whether names that a data set lists as targets are not those of its samples.

    ThreeET_Eyetracking lists the files with the positions that its samples have as targets.
    """
    if not len(targets) or not isinstance(targets[0], str):
        return False
    return not np.array_equal(targets[0], dataset[0][1])


def _changes_targets(dataset: Any) -> bool:
    return any(getattr(dataset, name, None) is not None for name in ("target_transform", "transforms"))


def _find_untransformed(dataset: Any, names: Sequence[str]) -> Any:
    """The first of these attributes that the data set or what it wraps has; None behind changed targets."""
    for part in _unwrap(dataset):
        if _changes_targets(part):
            return None
        for name in names:
            if (value := getattr(part, name, None)) is not None:
                return value
    return None
