"""Recordings of any data set as packed events: 64-bit words that decode with shifts alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eventsnn.data.source import LabelledSource, RecordSource
from eventsnn.errors import EventStreamError, TrainingError
from eventsnn.events.origin import from_origin
from eventsnn.events.packed_events import to_packed_events


def read_words(
    source: LabelledSource, indices: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Recordings as packed events (`eventsnn.events.packed_events`), each from its origin.

    Fast for packed files, and for views of them.

    Parameters
    ----------
    source : LabelledSource
        Not a `CodedSource`, whose recordings are other ones in every epoch.
    indices : int64 array (n,)
        Numbers of the recordings.

    Returns
    -------
    words : uint64 array
        One recording after the other.
    sizes : int64 array (n,)
        How many words each has; -1 if it is unreadable and the set is told to skip such.

    Raises
    ------
    EventFileError
        For an unreadable recording, or one too long for packed events.
    TrainingError
        One has another sensor than its set, or begins before time 0.
    """
    if isinstance(source, RecordSource):
        records = source.load(indices)
        found = None if records is None else records.words()
        if found is not None and (found[1] >= 0).all():
            return found
    # Of one that is unreadable, the source itself knows what to say, and whether to go on.
    parts = [_read_one(source, index) for index in indices.tolist()]
    there = [part for part in parts if part is not None]
    sizes = np.array([-1 if part is None else len(part) for part in parts], np.int64)
    return np.concatenate([np.zeros(0, np.uint64), *there]), sizes


def _read_one(source: LabelledSource, index: int) -> npt.NDArray[np.uint64] | None:
    stream = source.read_or_none(index)
    if stream is None:
        return None
    if tuple(stream.sensor_size) != tuple(source.sensor_size):
        raise TrainingError(
            f"{source.paths[index]}: its sensor is {stream.sensor_size}, "
            f"that of the data set {tuple(source.sensor_size)}"
        )
    try:
        events = from_origin(stream.events, stream.origin_us)
    except EventStreamError as error:
        raise TrainingError(f"{source.paths[index]}: {error}") from None
    return to_packed_events(events, stream.sensor_size, source.paths[index], str(index))
