"""Recordings of any data set as packed events: 64-bit words that decode with shifts alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eventsnn.data.packed import Packed
from eventsnn.data.source import LabelledSource
from eventsnn.data.views import Subset
from eventsnn.errors import EventFileError, EventStreamError, TrainingError
from eventsnn.events.origin import from_origin
from eventsnn.events.packed_events import to_packed_events


def read_words(source: LabelledSource, index: int) -> npt.NDArray[np.uint64] | None:
    """A recording as packed events (`eventsnn.events.packed_events`), from its origin.

    Parameters
    ----------
    source : LabelledSource
        Not a `CodedSource`, whose recordings are other ones in every epoch.
    index : int
        Number of the recording.

    Returns
    -------
    ndarray of uint64, or None
        None if the recording is unreadable and the set is told to skip such.

    Raises
    ------
    EventFileError
        For an unreadable recording, or one too long for packed events.
    TrainingError
        It has another sensor than its set, or begins before time 0.
    """
    if isinstance(source, Subset):
        return read_words(*source.origin(index))
    if isinstance(source, Packed):
        try:
            return source.words(index)
        except EventFileError:
            if source.bad_files == "error":
                raise
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
