"""What a labelled data set is: the interface that training and evaluation use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from eventsnn._ext.prepare import Records
from eventsnn.events.stream import EventStream, SensorSize


class LabelledSource(Protocol):
    """Labelled recordings in a fixed order.

    ``source[i]`` is ``(events, label)``: a structured array of EVENT_DTYPE and an int, as tonic's data sets
    and wrappers have it.
    """

    @property
    def paths(self) -> Sequence[str]:
        """Where each recording comes from: a file, or a name that stands for one."""

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Class number of each recording; int64 of shape (n,)."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Name of each class, by class number."""

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
    """A source that can also hand over recordings undecoded: the quick way into training.

    Its recordings hold the same events as those of `LabelledSource.stream`.
    """

    def load(self, indices: npt.NDArray[np.int64]) -> Records | None:
        """Read the bytes of some recordings with the interpreter's lock released.

        Safe to call from several threads. What cannot be read is noted in the result, not raised. None if
        these recordings can only be read as streams.
        """
