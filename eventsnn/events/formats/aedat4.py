"""AEDAT 4 (``.aedat4``), through the library aedat (extra ``aedat``).

``#!AER-DAT4.0``, a FlatBuffers header and packets, compressed or not. All streams of events of the file
must be of one camera. Times are microseconds (64 bits, usually since 1970) and do not wrap; y = 0 is on
top.

iniVation, AEDAT file formats, version 4.0.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from eventsnn.errors import EventFileError, MissingExtraError
from eventsnn.events.formats.base import Anomalies, Match, Options, read_bytes
from eventsnn.events.formats.columns import to_whole
from eventsnn.events.formats.gate import Gate
from eventsnn.events.stream import SensorSize

_MAGIC = b"#!AER-DAT4.0"


@dataclass(frozen=True)
class AEDAT4Format:
    """Reader of AEDAT 4."""

    name: str = "aedat4"
    suffixes: tuple[str, ...] = (".aedat4",)

    def sniff(self, head: bytes, path: str) -> Match:
        """By the first line."""
        return Match.CONTENT if head.startswith(_MAGIC) else Match.NO

    def open(self, path: str | os.PathLike[str], options: Options) -> AEDAT4Reader:
        """Open a recording; raises MissingExtraError without the library."""
        return AEDAT4Reader(path, options)


class AEDAT4Reader:
    """See `eventsnn.events.formats.base.Reader`."""

    def __init__(self, path: str | os.PathLike[str], options: Options) -> None:
        try:
            import aedat
        except ImportError:
            raise MissingExtraError("aedat", "aedat", "reading AEDAT 4 files") from None
        if not read_bytes(path, len(_MAGIC)).startswith(_MAGIC):
            raise EventFileError(path, "does not begin with '#!AER-DAT4.0'", offset=0)
        self._path = path
        self._decoder = self._call(lambda: aedat.Decoder(os.fspath(path)))
        streams = self._call(self._decoder.id_to_stream)
        sizes = {
            (int(stream["width"]), int(stream["height"]), 2)
            for stream in streams.values()
            if stream["type"] == "events"
        }
        if len(sizes) != 1 and options.sensor is None:
            raise EventFileError(
                path, f"holds {len(sizes)} sizes of event cameras: {sorted(sizes)}; pass sensor"
            )
        self._gate = Gate(path, options, sizes.pop() if sizes else None)

    def _call(self, function: Any, *arguments: Any) -> Any:
        """Call the library; whatever it throws at a damaged file is an EventFileError."""
        try:
            return function(*arguments)
        except (KeyboardInterrupt, SystemExit, StopIteration, MemoryError):
            raise
        except BaseException as error:  # a panic of the library is no Exception
            raise EventFileError(self._path, f"damaged AEDAT 4 file ({error})") from None

    @property
    def sensor(self) -> SensorSize | None:
        """Width, height, polarities."""
        return self._gate.sensor

    @property
    def anomalies(self) -> Anomalies:
        """What was odd so far."""
        return self._gate.anomalies

    def __iter__(self) -> Iterator[np.ndarray]:
        while True:
            try:
                packet = self._call(next, self._decoder)
            except StopIteration:
                return
            if "events" in packet:
                events = packet["events"]
                yield self._gate.admit(
                    to_whole(self._path, "t", events["t"]), events["x"], events["y"], events["on"]
                )

    def close(self) -> None:
        """Close the file."""
        self._decoder = None
