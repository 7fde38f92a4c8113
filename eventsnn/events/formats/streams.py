"""Several event streams in one file: two cameras of an AEDAT 4 file, topics of a bag, sides of a stereo set.

A reader lists them as `StreamInfo` and calls `choose_stream` to select one. Events of different streams are
never mixed, and no stream is guessed: without a choice a file with several streams raises
StreamChoiceError.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from eventsnn.errors import EventFileError
from eventsnn.events.stream import SensorSize


@dataclass(frozen=True)
class StreamInfo:
    """One event stream of a file.

    Attributes
    ----------
    number : int
        How ``stream=`` (``--stream``) chooses it; the file's own number where it has one.
    name : str
        The other way to choose it: a topic, a camera, a group; may be empty.
    sensor : tuple of 3 int, optional
        Width, height, polarities, where known.
    about : str
        Further words for people, such as the type of the messages.
    """

    number: int
    name: str = ""
    sensor: SensorSize | None = None
    about: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self) | {"sensor": None if self.sensor is None else list(self.sensor)}

    def __str__(self) -> str:
        size = "" if self.sensor is None else f"{self.sensor[0]} x {self.sensor[1]}"
        details = ", ".join(part for part in (size, self.about) if part)
        name = f" {self.name}" if self.name else ""
        return f"{self.number}{name}" + (f" ({details})" if details else "")


class StreamChoiceError(EventFileError):
    """A file holds several event streams and none was chosen, or one that it does not hold.

    Attributes
    ----------
    streams : tuple of StreamInfo
        Those that it holds.
    """

    streams: tuple[StreamInfo, ...] = ()


def choose_stream(
    path: str | os.PathLike[str],
    streams: Sequence[StreamInfo],
    chosen: str | int | None,
    *,
    what: str = "event streams",
) -> StreamInfo:
    """The stream to read.

    Parameters
    ----------
    path : path
        Named in errors.
    streams : sequence of StreamInfo
        What the file holds, at least one.
    chosen : str or int, optional
        Name, a part of it between slashes that no other has, or number (digits in a string are a number
        too, unless a stream is called so); None takes the only one.
    what : str
        What to call them in errors.

    Raises
    ------
    StreamChoiceError
        There are several and none is chosen, there is none of that name or number, or several have the name.
    """
    if chosen is None and len(streams) == 1:
        return streams[0]
    matching = [stream for stream in streams if stream.name and stream.name == str(chosen)]
    if not matching and str(chosen).isdecimal():
        matching = [stream for stream in streams if stream.number == int(chosen or 0)]
    if not matching and chosen is not None:
        # The name of a side or a camera means the only stream in a group of this name.
        inside = f"/{str(chosen).strip('/')}/"
        matching = [stream for stream in streams if inside in f"/{stream.name.strip('/')}/"]
    if len(matching) == 1:
        return matching[0]
    listed = "; ".join(map(str, streams))
    if chosen is None:
        first = streams[0].number
        problem = f"holds {len(streams)} {what}: {listed}; choose one with stream={first} (--stream {first})"
    elif matching:
        problem = f"several {what} are called {chosen!r}: {listed}; choose by number (stream=, --stream)"
    else:
        problem = f"holds no stream {chosen!r}; there are {len(streams)} {what}: {listed} (stream=, --stream)"
    error = StreamChoiceError(path, problem)
    error.streams = tuple(streams)
    raise error
