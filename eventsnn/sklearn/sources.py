"""What a classifier is given as a data set of ours: recordings, or rows of numbers coded as spikes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn._ext.records import Records, from_events
from eventsnn.data.distort import Distortion
from eventsnn.data.draws import CODE, make_key
from eventsnn.data.source import Source
from eventsnn.encode.encoders import encode_sample, encoder_to_table
from eventsnn.errors import EventStreamError, TrainingError
from eventsnn.events.reading import ReadingOptions
from eventsnn.events.stream import EventStream, SensorSize


def is_recordings(data: Any) -> bool:
    """Whether `data` is a sequence of recordings: streams, structured arrays or paths."""
    if not (hasattr(data, "__len__") and hasattr(data, "__getitem__")) or isinstance(data, str | bytes):
        return False
    if getattr(data, "ndim", 1) != 1 or not len(data):
        return False
    first = next(iter(data))  # a table of pandas gives the name of its first column
    return (isinstance(first, EventStream | str | os.PathLike) and getattr(data, "ndim", 1) == 1) or (
        isinstance(first, np.ndarray) and first.dtype.names is not None
    )


class Recordings(Source):
    """A list of recordings, of which files are read when they are needed; a `LabelledSource`.

    Parameters
    ----------
    recordings : sequence of EventStream, structured array or path
    labels : int64 array (n,)
    sensor_size : tuple of 3 int, optional
        Of arrays and of files that do not state theirs; left out, that of the first recording.

    Raises
    ------
    TrainingError, EventStreamError, EventFileError
        For what is no recording, or cannot be read.
    """

    numbered = True

    def __init__(
        self, recordings: Sequence[Any], labels: npt.NDArray[np.int64], sensor_size: SensorSize | None
    ) -> None:
        self._recordings, self.labels = list(recordings), labels
        self.sensor_size = sensor_size  # type: ignore[assignment]
        self.paths = [
            os.fspath(each) if isinstance(each, str | os.PathLike) else f"recording {number}"
            for number, each in enumerate(self._recordings)
        ]
        self.classes = tuple(str(number) for number in range(int(labels.max(initial=0)) + 1))
        if sensor_size is None:
            self.sensor_size = self.stream(0).sensor_size

    def stream(self, index: int) -> EventStream:
        """Return recording `index`."""
        each = self._recordings[index]
        if isinstance(each, EventStream):
            return each
        if isinstance(each, str | os.PathLike):
            return ReadingOptions(sensor=self.sensor_size).read(each)
        if not isinstance(each, np.ndarray):
            raise TrainingError(
                f"recording {index} is no EventStream, structured array or path but {type(each).__name__}"
            )
        try:
            return EventStream.from_structured(each, self.sensor_size)
        except EventStreamError as error:
            raise EventStreamError(f"recording {index}: {error}") from None


class CodedTable(Source):
    """Rows of numbers as recordings: two inputs for each feature, its value and 1 less its value, coded.

    Where the coding draws, the draws are named by the seed, the epoch and the numbers of the row: the same
    row gives the same spikes wherever it stands.

    Parameters
    ----------
    values : float64 array (n, features)
        0 .. 1.
    labels : int64 array (n,)
    coder : Encoder
        Of values.
    seed : int
    """

    numbered = True

    def __init__(
        self, values: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], coder: Any, seed: int
    ) -> None:
        self._values = np.ascontiguousarray(values)
        self.labels, self._coder, self._seed = labels, coder, seed
        self.sensor_size = (values.shape[1], 1, 2)
        self.paths = [f"row {number}" for number in range(len(values))]
        self.classes = tuple(str(number) for number in range(int(labels.max(initial=0)) + 1))
        # What is not drawn is coded once.
        self._streams = None if coder.random else [self._code(number, 0) for number in range(len(values))]

    def stream(self, index: int, epoch: int = 0) -> EventStream:
        """The spikes of row `index` in an epoch, counted from 0."""
        return self._code(index, epoch) if self._streams is None else self._streams[index]

    def code(
        self, indices: npt.NDArray[np.int64], epoch: int, distortion: Distortion | None = None
    ) -> Records:
        """The spikes of some rows in an epoch; see `CodedSource.code`."""
        streams = [self.stream(number, epoch) for number in indices.tolist()]
        return from_events([np.ascontiguousarray(stream.events) for stream in streams])

    def facts(self) -> dict[str, Any]:
        """See `CodedSource.facts`."""
        digest = hashlib.blake2b(self._values.tobytes(), digest_size=8).hexdigest()
        return {"coder": encoder_to_table(self._coder), "seed": self._seed, "values": digest}

    def _code(self, index: int, epoch: int) -> EventStream:
        row = self._values[index]
        name = int.from_bytes(hashlib.blake2b(row.tobytes(), digest_size=7).digest(), "little")
        both = np.stack([1.0 - row, row])[:, None, :]
        return encode_sample(self._coder, both, int(make_key(self._seed, CODE, epoch)), name)
