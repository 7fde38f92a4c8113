"""Views of data sets: parts, and other numberings of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn._ext.records import Records
from eventsnn._util.words import number_of
from eventsnn.data.distort import Distortion
from eventsnn.data.source import CodedSource, LabelledSource, RecordSource, Source
from eventsnn.errors import TrainingError
from eventsnn.events.stream import EventStream


class Subset(Source):
    """Some recordings of a data set, in an order of their own; a `LabelledSource`. Made by `make_subset`.

    Recordings are read through the data set that they come from. Recording ``indices[i]`` of it is number i
    here; images keep the draws of their own number.

    Parameters
    ----------
    source : LabelledSource
    indices : ndarray of int64, shape (n,)
        Numbers of recordings, each within the set.
    labels : ndarray of int64, shape (n,), optional
        Class numbers, where they shall not be the data set's own.
    classes : tuple of str, optional
        Names of the classes, by class number, to go with `labels`.
    """

    def __init__(
        self,
        source: Any,
        indices: npt.NDArray[np.int64],
        labels: npt.NDArray[np.int64] | None = None,
        classes: tuple[str, ...] | None = None,
    ) -> None:
        self._source, self._indices = source, indices
        self.labels = np.asarray(source.labels)[indices] if labels is None else labels
        self.classes: tuple[str, ...] = tuple(source.classes) if classes is None else classes
        self.paths: Sequence[str] = [source.paths[index] for index in indices.tolist()]
        self.sensor_size = source.sensor_size
        self.root = getattr(source, "root", type(source).__name__)
        self.bad_files = getattr(source, "bad_files", "error")
        for name in ("numbered", "reading"):
            if hasattr(source, name):
                setattr(self, name, getattr(source, name))

    def stream(self, index: int) -> EventStream:
        """Return recording `index`; raises the errors of reading it."""
        stream: EventStream = self._source.stream(int(self._indices[index]))
        return stream

    def read_or_none(self, index: int) -> EventStream | None:
        """Return recording `index`, or None if it is unreadable and the set skips unreadable recordings."""
        stream: EventStream | None = self._source.read_or_none(int(self._indices[index]))
        return stream

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """(path, reason) of the bad recordings met so far, in the order of the data set."""
        chosen = set(self.paths)
        return [(path, reason) for path, reason in self._source.skipped if path in chosen]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {number_of(len(self), 'recording')} of {self._source!r}>"


class RecordSubset(Subset):
    """A `Subset` of a `RecordSource`."""

    def load(self, indices: npt.NDArray[np.int64]) -> Records | None:
        """Read recordings undecoded; see `RecordSource.load`."""
        records: Records | None = self._source.load(self._indices[indices])
        return records


class CodedSubset(Subset):
    """A `Subset` of a `CodedSource`."""

    def code(
        self, indices: npt.NDArray[np.int64], epoch: int, distortion: Distortion | None = None
    ) -> Records:
        """Draw some recordings of an epoch; see `CodedSource.code`."""
        records: Records = self._source.code(self._indices[indices], epoch, distortion)
        return records

    def facts(self) -> dict[str, Any]:
        """Plain values on which the draws depend; see `CodedSource.facts`."""
        facts: dict[str, Any] = self._source.facts()
        return facts


def make_subset(source: LabelledSource, indices: npt.ArrayLike) -> Subset:
    """Some recordings of a data set as a data set, such as one part of `k_fold`.

    Parameters
    ----------
    source : LabelledSource
    indices : array_like of int, shape (n,), or of bool, one per recording
        Which recordings, in this order; n at least 1. Negative numbers count from the end.

    Raises
    ------
    TrainingError
        No indices, or one that is not the number of a recording.
    """
    array, n = np.asarray(indices), len(source)
    if array.ndim == 1 and array.dtype.kind == "b" and len(array) == n:
        array = np.flatnonzero(array)
    if array.ndim != 1 or array.dtype.kind not in "iu" or not len(array):
        raise TrainingError(
            f"a subset needs a list of numbers of recordings, or {n} times true or false: "
            f"got shape {array.shape}, dtype {array.dtype}"
        )
    if int(array.min()) < -n or int(array.max()) >= n:
        wrong = array[(array < -n) | (array >= n)][0]
        raise TrainingError(
            f"a subset: the data set has {number_of(n, 'recording')}, there is no number {wrong}"
        )
    return view(source, array.astype(np.int64) % n)


def view(
    source: Any,
    indices: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64] | None = None,
    classes: tuple[str, ...] | None = None,
) -> Subset:
    """A `Subset` with the abilities of its source."""
    kind = Subset
    if isinstance(source, CodedSource):
        kind = CodedSubset
    elif isinstance(source, RecordSource):
        kind = RecordSubset
    return kind(source, indices, labels, classes)
