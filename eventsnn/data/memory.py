"""Labelled recordings that are in memory already, or come from tonic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from eventsnn.errors import EventStreamError, TrainingError
from eventsnn.events.stream import EventStream, check_sensor_size


class EventTargetSequence(Protocol):
    """What tonic's data sets and their wrappers have in common."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[Any, Any]: ...


class ListDataset:
    """Labelled recordings in memory; a `LabelledSource`.

    Parameters
    ----------
    streams : sequence of EventStream
        Of one sensor size, at least one.
    labels : array_like of int, shape (n,)
        Class numbers, 0 or more.
    names : sequence of str, optional
        What to call the recordings; left out, ``sample 0``, ``sample 1``, ...
    classes : sequence of str, optional
        Names of the classes; left out, their numbers.

    Raises
    ------
    TrainingError
        No streams, different sensor sizes, or lengths or labels that do not fit.
    """

    def __init__(
        self,
        streams: Sequence[EventStream],
        labels: npt.ArrayLike,
        *,
        names: Sequence[str] | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        self._streams = list(streams)
        if not self._streams:
            raise TrainingError("a data set needs at least one recording")
        self.sensor_size = self._streams[0].sensor_size
        for index, stream in enumerate(self._streams):
            if stream.sensor_size != self.sensor_size:
                raise TrainingError(
                    f"sample {index} has sensor_size {stream.sensor_size}, sample 0 has {self.sensor_size}"
                )
        self.labels = _check_labels(labels, len(self._streams))
        self.classes = _name_classes(self.labels, classes)
        self.paths = [f"sample {index}" for index in range(len(self))] if names is None else list(names)
        if len(self.paths) != len(self):
            raise TrainingError(f"{len(self.paths)} names for {len(self)} recordings")
        self.skipped: list[tuple[str, str]] = []  # nothing in memory is unreadable

    def __len__(self) -> int:
        return len(self._streams)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return self._streams[index].events.copy(), int(self.labels[index])

    def stream(self, index: int) -> EventStream:
        """Return recording `index`."""
        return self._streams[index]

    def read_or_none(self, index: int) -> EventStream | None:
        """Return recording `index`; never None."""
        return self._streams[index]


class TonicDataset:
    """A sequence of (events, target) as a `LabelledSource`; made by `from_tonic`."""

    def __init__(self, dataset: EventTargetSequence, sensor_size: tuple[int, ...]) -> None:
        self._dataset = dataset
        self.sensor_size = check_sensor_size(sensor_size)
        targets = _targets(dataset)
        if targets.dtype.kind in "iub":
            self.labels = _check_labels(targets, len(dataset))
            self.classes = _name_classes(self.labels, None)
        else:
            names, numbers = np.unique(targets, return_inverse=True)
            self.labels = numbers.astype(np.int64)
            self.classes = tuple(str(name) for name in names)
        self.paths = [f"{type(dataset).__name__}[{index}]" for index in range(len(dataset))]
        self.skipped: list[tuple[str, str]] = []  # bad recordings of such a sequence always raise

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return self.stream(index).events.copy(), int(self.labels[index])

    def stream(self, index: int) -> EventStream:
        """Return recording `index`; EventStreamError names it if its events break a rule."""
        events = self._dataset[index][0]
        try:
            return EventStream.from_structured(events, self.sensor_size)
        except EventStreamError as error:
            raise EventStreamError(f"{self.paths[index]}: {error}") from None

    def read_or_none(self, index: int) -> EventStream | None:
        """Return recording `index`; never None."""
        return self.stream(index)


def from_tonic(dataset: EventTargetSequence, sensor_size: tuple[int, ...] | None = None) -> TonicDataset:
    """Use a tonic data set (or any sequence of (events, target)) as a source of labelled recordings.

    Parameters
    ----------
    dataset : sequence of (events, target)
        Events are structured arrays with the fields t, x, [y], [p], found by name; read on access. Targets
        are class numbers or names (numbered in sorted order).
    sensor_size : tuple of 3 int, optional
        Width, height, polarities; left out, the data set's own ``sensor_size``.

    Returns
    -------
    TonicDataset
        A `LabelledSource`.

    Raises
    ------
    TrainingError
        No sensor size is known, the data set is empty, or a target is neither a number nor a name.

    Notes
    -----
    Labels are the data set's ``targets`` where it has them and does not transform them; otherwise each
    sample is read once to learn its target.
    """
    size = sensor_size if sensor_size is not None else getattr(dataset, "sensor_size", None)
    if size is None:
        raise TrainingError(
            "the data set does not state its sensor size: pass sensor_size=(width, height, polarities)"
        )
    if len(dataset) == 0:
        raise TrainingError("a data set needs at least one recording")
    return TonicDataset(dataset, size)


def as_source(data: Any) -> Any:
    """A labelled source as it is; anything else as tonic's data sets are, through `from_tonic`."""
    return data if hasattr(data, "read_or_none") else from_tonic(data)


def _targets(dataset: EventTargetSequence) -> np.ndarray:
    """Return the target of every sample, numbers or names."""
    transformed = any(getattr(dataset, name, None) is not None for name in ("target_transform", "transforms"))
    targets = None if transformed else getattr(dataset, "targets", None)
    if targets is None or len(targets) != len(dataset):
        targets = [dataset[index][1] for index in range(len(dataset))]
    array = np.asarray(targets)
    if array.ndim != 1 or array.dtype.kind not in "iubU":
        raise TrainingError(
            f"targets must be class numbers or names: got shape {array.shape}, dtype {array.dtype}"
        )
    return array


def _check_labels(labels: npt.ArrayLike, n: int) -> npt.NDArray[np.int64]:
    array = np.asarray(labels)
    if array.shape != (n,) or array.dtype.kind not in "iub":
        raise TrainingError(
            f"one int label per recording is needed, {n}: got shape {array.shape}, dtype {array.dtype}"
        )
    if array.min() < 0:
        at = int(np.argmin(array))
        raise TrainingError(f"label {array[at]} of sample {at} is negative; class numbers start at 0")
    return array.astype(np.int64)


def _name_classes(labels: npt.NDArray[np.int64], classes: Sequence[str] | None) -> tuple[str, ...]:
    n = int(labels.max()) + 1
    if classes is None:
        return tuple(str(number) for number in range(n))
    if len(classes) < n:
        raise TrainingError(f"{len(classes)} class names, but a label is {n - 1}")
    return tuple(classes)
