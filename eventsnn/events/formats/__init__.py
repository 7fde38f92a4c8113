"""File formats of event recordings: one module per format, and the registry of all formats."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from eventsnn._util.lazy import renamed, warn_renamed
from eventsnn._util.registry import Registry
from eventsnn.errors import EventFileError, EventSNNError
from eventsnn.events.formats.aedat2 import AEDAT1, AEDAT2_DAVIS, AEDAT2_DVS128
from eventsnn.events.formats.aedat3 import AEDAT3, AEDAT3Writer
from eventsnn.events.formats.aedat4 import AEDAT4
from eventsnn.events.formats.arrays import NPY, NPZ, NPYWriter, NPZWriter
from eventsnn.events.formats.atis import ATIS
from eventsnn.events.formats.base import (
    Anomalies,
    EventFormat,
    Match,
    OnBad,
    Options,
    Reader,
    Writer,
    read_bytes,
)
from eventsnn.events.formats.dat import DAT, DATWriter
from eventsnn.events.formats.event_stream import ES, ESWriter
from eventsnn.events.formats.evt2 import EVT2, EVT21, EVT21_SWAPPED, EVT2Writer
from eventsnn.events.formats.evt3 import EVT3, EVT3Writer
from eventsnn.events.formats.foreign import describe_foreign
from eventsnn.events.formats.hdf5_events import DSEC, HDF5, PROPHESEE
from eventsnn.events.formats.matlab_events import MATLAB
from eventsnn.events.formats.nmnist import NMNIST, NMNISTWriter
from eventsnn.events.formats.packed_h5 import PACKED_HDF5, PackedHDF5Writer
from eventsnn.events.formats.rosbag import ROSBAG
from eventsnn.events.formats.shd import SHD
from eventsnn.events.formats.slayer import BS1
from eventsnn.events.formats.stmnist import STMNIST
from eventsnn.events.formats.text import TEXT, TextWriter
from eventsnn.events.formats.validator import EventValidator
from eventsnn.events.stream import SensorSize

FORMATS: Registry[EventFormat] = Registry("format", "format", {}, EventSNNError, "eventsnn.formats")
"""All formats that can be read, by name; other packages may add theirs."""

for _format in (
    NMNIST,
    BS1,
    ATIS,
    AEDAT1,
    AEDAT2_DVS128,
    AEDAT2_DAVIS,
    AEDAT3,
    AEDAT4,
    DAT,
    EVT2,
    EVT21,
    EVT21_SWAPPED,
    EVT3,
    ES,
    STMNIST,
    MATLAB,
    SHD,
    DSEC,
    PROPHESEE,
    HDF5,
    PACKED_HDF5,
    ROSBAG,
    TEXT,
    NPY,
    NPZ,
):
    FORMATS.register(_format.name, _format)

WRITERS: dict[str, Callable[[str | os.PathLike[str], SensorSize], Writer]] = {
    "nmnist": NMNISTWriter,
    "dat": DATWriter,
    "evt2": EVT2Writer,
    "evt3": EVT3Writer,
    "es": ESWriter,
    "aedat3": AEDAT3Writer,
    "csv": TextWriter,
    "npy": NPYWriter,
    "npz": NPZWriter,
    "packed-h5": PackedHDF5Writer,
}
"""Formats that can be written, by name. A format of another package has a method `writer` instead."""

HEAD_BYTES = 1 << 14
"""How many of a file's first bytes are looked at to tell its format."""

__all__ = [
    "FORMATS",
    "WRITERS",
    "Anomalies",
    "EventFormat",
    "EventValidator",
    "Match",
    "OnBad",
    "Options",
    "Reader",
    "Writer",
    "find_format",
]

__getattr__ = renamed(__name__, {"ENCODERS": "WRITERS", "Encoder": "Writer", "find_encoder": "find_writer"})


def find_format(path: str | os.PathLike[str], name: str | None = None) -> EventFormat:
    """The format called `name`, or the one that the file is of.

    Formats of other packages are looked for where none of eventsnn's takes the file.

    Raises EventFileError if no format fits, or several do: then the text names them, and nothing is guessed.
    """
    if name is not None:
        known = FORMATS.find(name)
        if known is None:
            raise EventFileError(
                path, f"unknown format {name!r}; known formats: {list_formats(FORMATS.values())}"
            )
        return known
    head, text = read_bytes(path, HEAD_BYTES), os.fspath(path)
    best, fitting = _sniff(FORMATS.values(others=False), head, text)
    if best == Match.NO:
        best, fitting = _sniff(FORMATS.values(), head, text)
    doubtful = best == Match.NO or len(fitting) > 1
    if best < Match.CONTENT and (foreign := describe_foreign(head, path, chance=doubtful)):
        raise EventFileError(path, foreign)
    if best == Match.NO:
        raise EventFileError(
            path,
            f"not a known event format; known formats: {list_formats(FORMATS.values())}; "
            "pass format=... (--format)",
        )
    if len(fitting) > 1:
        names = " or ".join(candidate.name for candidate in fitting)
        raise EventFileError(
            path, f"may be of format {names}, the file does not say; pass format=... (--format)"
        )
    return fitting[0]


def _sniff(formats: Sequence[EventFormat], head: bytes, path: str) -> tuple[Match, list[EventFormat]]:
    """The best match, and the formats that match as well."""
    matches = [(candidate.sniff(head, path), candidate) for candidate in formats]
    best = max(match for match, _ in matches)
    return best, [candidate for match, candidate in matches if match == best]


def find_writer(path: str | os.PathLike[str], name: str | None, sensor: SensorSize) -> Writer:
    """A writer of the format called `name`, or of the format that has the suffix of `path`.

    Raises EventFileError if there is none, or several share the suffix.
    """
    if name is None:
        text = os.fspath(path).lower()
        names = _writers_of(text, others=False) or _writers_of(text)
        if len(names) > 1:
            raise EventFileError(
                path, f"this ending stands for {' and '.join(names)}; pass format=... (--to) to choose one"
            )
        name = names[0] if names else ""
    known = FORMATS.find(name)
    writer = None if known is None else _writer(known)
    if writer is None:
        writable = list_formats([f for f in FORMATS.values() if _writer(f)])
        what = f"format {name!r} cannot be written" if name else "no format of this ending can be written"
        raise EventFileError(path, f"{what}; known formats: {writable}")
    return writer(path, sensor)


def _writers_of(path: str, others: bool = True) -> list[str]:
    """Formats that can be written and have the ending of a path."""
    return [
        known.name for known in FORMATS.values(others) if _writer(known) and path.endswith(known.suffixes)
    ]


def _writer(known: EventFormat) -> Callable[[str | os.PathLike[str], SensorSize], Writer] | None:
    """The factory of a format's writer, or None if the format can only be read."""
    old = getattr(known, "encoder", None)
    if old is not None:
        warn_renamed(f"method encoder of format {known.name!r}", "writer")
    return WRITERS.get(known.name) or getattr(known, "writer", old)


def list_formats(formats: Sequence[EventFormat]) -> str:
    """Names and suffixes, for texts."""
    return ", ".join(f"{known.name} ({', '.join(known.suffixes)})" for known in formats)
