"""The interface of a labelled data set, which training and evaluation use."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, get_args, runtime_checkable

import numpy as np
import numpy.typing as npt

from eventsnn._ext.records import Records
from eventsnn._util.arguments import check_choice
from eventsnn._util.names import describe_names
from eventsnn._util.words import number_of
from eventsnn.data.distort import Distortion
from eventsnn.errors import EventFileError, TrainingError
from eventsnn.events.stream import EventStream, SensorSize

if TYPE_CHECKING:
    from eventsnn.data.views import Subset

BadFiles = Literal["error", "skip"]
"""What to do about an unreadable recording: raise, or leave it out and note it."""


class LabelledSource(Protocol):
    """Labelled recordings in a fixed order.

    ``source[i]`` is ``(events, label)``: a structured array of EVENT_DTYPE and an int, as tonic's data sets
    and wrappers have it.
    """

    @property
    def paths(self) -> Sequence[str]:
        """Origin of each recording: a file, or a name that represents it."""

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Class number of each recording; int64 of shape (n,)."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Name of each class, by class number.

        Data sets are matched with a network by these names. Where they are no names, but the numbers that the
        labels are, a source may say so with an attribute ``numbered = True``: its class k is the network's.
        """

    @property
    def sensor_size(self) -> SensorSize:
        """Width, height, polarities, the same for all recordings."""

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """(path, reason) of the recordings that `read_or_none` could not read so far, in the set's order."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]: ...

    def stream(self, index: int) -> EventStream:
        """Return recording `index`; raises what reading it raises."""

    def read_or_none(self, index: int) -> EventStream | None:
        """Return recording `index`, or None if it is unreadable and the set is told to skip such ones."""


@runtime_checkable
class RecordSource(Protocol):
    """A source that can also return recordings undecoded: the fast way into training.

    Its recordings hold the same events as those of `LabelledSource.stream`.
    """

    def load(self, indices: npt.NDArray[np.int64]) -> Records | None:
        """Read the bytes of some recordings with the interpreter's lock released.

        Safe to call from several threads. What cannot be read is noted in the result, not raised. None if
        these recordings can only be read as streams.
        """


@runtime_checkable
class CodedSource(Protocol):
    """A source whose recordings are drawn at random, again in every epoch."""

    def code(
        self, indices: npt.NDArray[np.int64], epoch: int, distortion: Distortion | None = None
    ) -> Records:
        """Draw some recordings of an epoch (counted from 0) with the interpreter's lock released.

        Safe to call from several threads. The same number, epoch and distortion give the same recording;
        those of epoch 0 without distortion are the ones of `LabelledSource.stream`.
        """

    def facts(self) -> dict[str, Any]:
        """Plain values on which the draws depend: a resumed run must find them unchanged."""


def choose_bad_files(bad_files: BadFiles | None, on_bad: str | None, *, of_events: bool = False) -> BadFiles:
    """Policy for unreadable recordings, from the arguments of a data set.

    `on_bad` was once what `bad_files` is called. It still does the same, with a DeprecationWarning; where it
    is now about single events (`of_events`), "skip" does so besides.

    Raises TrainingError if the word is none of those that it can be.
    """
    if on_bad is not None and bad_files is None and (not of_events or on_bad == "skip"):
        instead = "bad_files for unreadable recordings" + (", on_bad for single events" if of_events else "")
        warnings.warn(f"on_bad={on_bad!r}: write {instead}", DeprecationWarning, stacklevel=3)
        bad_files = on_bad  # type: ignore[assignment]
    chosen = "error" if bad_files is None else bad_files
    check_choice("bad_files", chosen, get_args(BadFiles), TrainingError)
    return chosen


def describe_reading(source: Any) -> dict[str, Any]:
    """How the recordings of a data set were read, as a table ``[reading]``, without options that change no
    event.

    Empty for those read as they are, and for sets without files.
    """
    reading = getattr(source, "reading", None)
    table = {} if reading is None else reading.to_table()
    table.pop("on_cut", None)
    if reading is not None and reading.whole_sensor:
        table.pop("sensor", None)  # it is that of the network's input
    return table


class Source(ABC):
    """What data sets have in common whose recordings are read or drawn one by one; a `LabelledSource`.

    A data set states `paths`, `labels`, `classes` and `sensor_size`, and has `stream`.
    """

    paths: Sequence[str]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    sensor_size: SensorSize
    bad_files: BadFiles = "error"
    _skipped: dict[int, str]

    def __new__(cls, *_: object, **__: object) -> Self:
        source = super().__new__(cls)
        source._skipped = {}
        return source

    @abstractmethod
    def stream(self, index: int) -> EventStream:
        """Return recording `index`; raises EventFileError if it cannot be read."""

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        # A copy, because some transforms work in place and a stream's array is read-only.
        return self.stream(index).events.copy(), int(self.labels[index])

    def read_or_none(self, index: int) -> EventStream | None:
        """Return recording `index`; None, and noted in `skipped`, if it is bad and ``bad_files="skip"``."""
        try:
            return self.stream(index)
        except EventFileError as error:
            if self.bad_files == "error":
                raise
            # One dict operation, hence safe from several threads; a second visit adds nothing.
            self._skipped.setdefault(index % len(self), str(error))
            return None

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """(path, reason) of the bad recordings met so far, in the order of the data set."""
        return [(self.paths[index], reason) for index, reason in sorted(self._skipped.copy().items())]

    def subset(self, indices: npt.ArrayLike) -> Subset:
        """Some of the recordings, in this order, as a data set: ``data.subset(training)``.

        Parameters
        ----------
        indices : array_like of int, shape (n,), or of bool, one per recording
            For instance one part of `eventsnn.data.k_fold` or `split_validation`.

        Raises
        ------
        TrainingError
            No indices, or one that is not the number of a recording.
        """
        from eventsnn.data.views import make_subset

        return make_subset(self, indices)

    def __repr__(self) -> str:
        width, height, polarities = self.sensor_size
        place = f" of {root!r}" if (root := getattr(self, "root", "")) else ""
        return (
            f"<{type(self).__name__}{place}: {number_of(len(self), 'recording')} of "
            f"{describe_names(self.classes)}, sensor {width} x {height} x {polarities}>"
        )
