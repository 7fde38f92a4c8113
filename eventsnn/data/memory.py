"""Labelled recordings in memory, or from tonic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from eventsnn._util.names import list_names
from eventsnn._util.words import number_of
from eventsnn.data.sequences import (
    find_class_names,
    find_sensor_size,
    find_targets,
    is_changed,
    is_unsorted,
    keep_valid,
)
from eventsnn.data.source import Source
from eventsnn.errors import EventStreamError, TrainingError
from eventsnn.events.stream import EventStream, SensorSize, check_sensor_size


class EventTargetSequence(Protocol):
    """Common interface of tonic's data sets and their wrappers."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[Any, Any]: ...


class ListDataset(Source):
    """Labelled recordings in memory; a `LabelledSource`.

    Parameters
    ----------
    streams : sequence of EventStream or of structured arrays
        Of one sensor size, at least one. Arrays have the fields t (microseconds), x, [y], [p], as tonic's do.
    labels : array_like of int or str, shape (n,)
        Class numbers, 0 or more; or names of classes, numbered as in `classes`, else in sorted order.
    names : sequence of str, optional
        What to call the recordings; left out, ``sample 0``, ``sample 1``, ...
    classes : sequence of str, optional
        Names of the classes; left out, their numbers.
    sensor_size : tuple of 3 int, optional
        Width, height, polarities of the arrays; left out, the smallest sensor that holds all their events.

    Raises
    ------
    TrainingError
        No streams, different sensor sizes, or lengths or labels that do not fit.
    EventStreamError
        An array whose events break the rules of event streams; names the recording.
    """

    def __init__(
        self,
        streams: Sequence[EventStream | np.ndarray],
        labels: npt.ArrayLike,
        *,
        names: Sequence[str] | None = None,
        classes: Sequence[str] | None = None,
        sensor_size: tuple[int, ...] | None = None,
    ) -> None:
        self._streams = _to_streams(list(streams), sensor_size)
        if not self._streams:
            raise TrainingError("a data set needs at least one recording")
        self.sensor_size = self._streams[0].sensor_size
        for index, stream in enumerate(self._streams):
            if stream.sensor_size != self.sensor_size:
                raise TrainingError(
                    f"sample {index} has sensor_size {stream.sensor_size}, sample 0 has {self.sensor_size}"
                )
        labels, classes = _number_labels(labels, classes)
        self.labels = _check_labels(labels, len(self._streams))
        self.classes, self.numbered = name_classes(self.labels, classes), classes is None
        n = len(self._streams)
        self.paths = [f"sample {index}" for index in range(n)] if names is None else list(names)
        if len(self.paths) != n:
            raise TrainingError(f"{number_of(len(self.paths), 'name')} for {number_of(n, 'recording')}")

    def stream(self, index: int) -> EventStream:
        """Return recording `index`."""
        return self._streams[index]


class TonicDataset(Source):
    """A sequence of (events, target) as a `LabelledSource`; made by `from_tonic`."""

    def __init__(self, dataset: EventTargetSequence, sensor_size: tuple[int, ...]) -> None:
        self._dataset = dataset
        self._changed, self._unsorted = is_changed(dataset), is_unsorted(dataset)
        self.sensor_size = check_sensor_size(sensor_size)
        targets = find_targets(dataset)
        self.numbered = False
        if targets.dtype.kind in "iub":
            self.labels = _check_labels(targets, len(dataset))
            listed = find_class_names(dataset, self.labels)
            self.classes, self.numbered = name_classes(self.labels, listed), listed is None
        else:
            names, numbers = np.unique(targets, return_inverse=True)
            self.labels = numbers.astype(np.int64)
            self.classes = tuple(str(name) for name in names)
        self.paths = [f"{type(dataset).__name__}[{index}]" for index in range(len(dataset))]

    def stream(self, index: int) -> EventStream:
        """Return recording `index`; EventStreamError names it if its events break a rule."""
        events = self._dataset[index][0]
        try:
            if self._changed:
                events = keep_valid(events, self.sensor_size)
            elif self._unsorted:
                events = events[np.argsort(events["t"], kind="stable")]
            return EventStream.from_structured(events, self.sensor_size)
        except EventStreamError as error:
            raise EventStreamError(f"{self.paths[index]}: {error}") from None


def from_tonic(dataset: EventTargetSequence, sensor_size: tuple[int, ...] | None = None) -> TonicDataset:
    """Use a tonic data set (or any sequence of (events, target)) as a source of labelled recordings.

    Parameters
    ----------
    dataset : sequence of (events, target)
        Events are structured arrays with the fields t, x, [y], [p], found by name; read on access. Targets
        are class numbers or names (numbered in sorted order). The names of numbered classes are those of the
        data set's attribute ``classes`` (or ``class_map``), where it has one. Wrappers such as tonic's
        SlicedDataset have the sensor size and the names of what they wrap.
    sensor_size : tuple of 3 int, optional
        Width, height, polarities; left out, the data set's own ``sensor_size``. N-Caltech101 of tonic, which
        states none, has the 240 x 180 pixels of its camera.

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

    Where the data set, or what it wraps, has a ``transform`` (or ``transforms``), its events are put in order
    of time, without those outside the sensor or before 0, as in `Augmentation`. Otherwise such events are
    errors. A transform that draws at random draws anew at each reading, from a generator that threads
    share: for training use `Augmentation`, whose draws have names.
    """
    size = sensor_size if sensor_size is not None else find_sensor_size(dataset)
    if size is None:
        raise TrainingError(
            "the data set does not state its sensor size: pass sensor_size=(width, height, polarities)"
        )
    if len(dataset) == 0:
        raise TrainingError("a data set needs at least one recording")
    return TonicDataset(dataset, size)


def as_source(data: Any, sensor_size: SensorSize | None = None) -> Any:
    """A labelled source unchanged; any other sequence of (events, target) through `from_tonic`.

    `sensor_size` is that of a data set that does not state its own, such as a list of (events, label).
    """
    if hasattr(data, "read_or_none") and not isinstance(data, type):
        return data
    sequence = hasattr(data, "__len__") and hasattr(data, "__getitem__")
    if not sequence or isinstance(data, str | Mapping | np.ndarray | type):
        got = f"the class {data.__name__} itself" if isinstance(data, type) else type(data).__name__
        raise TrainingError(
            f"a data set is needed, such as eventsnn.data.Folder, or a list of (events, label): got {got}"
        )
    for number, item in enumerate(data if isinstance(data, list | tuple) else ()):
        if not (isinstance(item, tuple | list) and len(item) == 2):
            raise TrainingError(
                f"item {number} of the list of recordings is not a pair (events, label) but "
                f"{type(item).__name__}; eventsnn.data.ListDataset(recordings, labels) takes two lists"
            )
    size = find_sensor_size(data)
    return from_tonic(data, sensor_size if size is None else size)


def _to_streams(
    recordings: list[EventStream | np.ndarray], sensor_size: tuple[int, ...] | None
) -> list[EventStream]:
    """Streams of streams and arrays, all of one size where that is not given."""
    size = sensor_size or next(
        (item.sensor_size for item in recordings if isinstance(item, EventStream)), None
    )
    streams = []
    for index, item in enumerate(recordings):
        try:
            streams.append(item if isinstance(item, EventStream) else EventStream.from_structured(item, size))
        except EventStreamError as error:
            raise EventStreamError(f"sample {index}: {error}") from None
    if size is not None or not streams:
        return streams
    # What holds the events of each does not hold those of all.
    sizes = [stream.sensor_size for stream in streams]
    size = tuple(max(sizes_of_axis) for sizes_of_axis in zip(*sizes, strict=True))
    checked = [EventStream(np.array(stream.events), size) for stream in streams]  # type: ignore[arg-type]
    return [
        EventStream._trusted(now.events, now.sensor_size, stream._begun)
        for now, stream in zip(checked, streams, strict=True)
    ]


def _number_labels(
    labels: npt.ArrayLike, classes: Sequence[str] | None
) -> tuple[npt.ArrayLike, Sequence[str] | None]:
    """Class numbers and names if the labels are names; numbers unchanged."""
    array = np.asarray(labels)
    if array.dtype.kind != "U" or array.ndim != 1:
        return labels, classes
    names = sorted(set(array.tolist())) if classes is None else [str(name) for name in classes]
    for index, name in enumerate(array.tolist()):
        if name not in names:
            raise TrainingError(
                f"label {name!r} of sample {index} is not among the classes {list_names(names)}"
            )
    return [names.index(name) for name in array.tolist()], names


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


def name_classes(labels: npt.NDArray[np.int64], classes: Sequence[str] | None) -> tuple[str, ...]:
    """Names of the classes, checked: those given, else their numbers."""
    n = int(labels.max()) + 1
    if classes is None:
        return tuple(str(number) for number in range(n))
    if len(classes) < n:
        raise TrainingError(f"{number_of(len(classes), 'class name')}, but a label is {n - 1}")
    return tuple(str(name) for name in classes)
