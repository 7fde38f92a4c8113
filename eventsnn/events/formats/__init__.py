"""File formats of event recordings: one module per format, and the registry of all formats."""

from __future__ import annotations

import os
from collections.abc import Callable

from eventsnn.errors import EventFileError
from eventsnn.events.formats.aedat2 import AEDAT1, AEDAT2_DAVIS, AEDAT2_DVS128
from eventsnn.events.formats.aedat3 import AEDAT3Encoder, AEDAT3Format
from eventsnn.events.formats.aedat4 import AEDAT4Format
from eventsnn.events.formats.arrays import NPY, NPZ, NPYEncoder, NPZEncoder
from eventsnn.events.formats.atis import ATISFormat
from eventsnn.events.formats.base import Encoder, EventFormat, Match, OnBad, Options, read_bytes
from eventsnn.events.formats.dat import DATEncoder, DATFormat
from eventsnn.events.formats.event_stream import ESEncoder, ESFormat
from eventsnn.events.formats.evt2 import EVT2Encoder, EVT2Format, EVT21Format
from eventsnn.events.formats.evt3 import EVT3Encoder, EVT3Format
from eventsnn.events.formats.hdf5_events import DSEC, HDF5, PROPHESEE
from eventsnn.events.formats.matlab_events import MatlabFormat
from eventsnn.events.formats.nmnist import NMNISTEncoder, NMNISTFormat
from eventsnn.events.formats.packed_h5 import PackedHDF5Encoder, PackedHDF5Format
from eventsnn.events.formats.rosbag import RosbagFormat
from eventsnn.events.formats.shd import SHDFormat
from eventsnn.events.formats.slayer import BS1Format
from eventsnn.events.formats.stmnist import STMNISTFormat
from eventsnn.events.formats.text import TextEncoder, TextFormat
from eventsnn.events.stream import SensorSize

FORMATS: tuple[EventFormat, ...] = (
    NMNISTFormat(),
    BS1Format(),
    ATISFormat(),
    AEDAT1,
    AEDAT2_DVS128,
    AEDAT2_DAVIS,
    AEDAT3Format(),
    AEDAT4Format(),
    DATFormat(),
    EVT2Format(),
    EVT21Format(),
    EVT21Format("evt21-swapped", swapped=True),
    EVT3Format(),
    ESFormat(),
    STMNISTFormat(),
    MatlabFormat(),
    SHDFormat(),
    DSEC,
    PROPHESEE,
    HDF5,
    PackedHDF5Format(),
    RosbagFormat(),
    TextFormat(),
    NPY,
    NPZ,
)
"""All formats that can be read."""

ENCODERS: dict[str, Callable[[str | os.PathLike[str], SensorSize], Encoder]] = {
    "nmnist": NMNISTEncoder,
    "dat": DATEncoder,
    "evt2": EVT2Encoder,
    "evt3": EVT3Encoder,
    "es": ESEncoder,
    "aedat3": AEDAT3Encoder,
    "csv": TextEncoder,
    "npy": NPYEncoder,
    "npz": NPZEncoder,
    "packed-h5": PackedHDF5Encoder,
}
"""Formats that can be written, by name."""

HEAD_BYTES = 1 << 14
"""How many of a file's first bytes are looked at to tell its format."""

__all__ = ["ENCODERS", "FORMATS", "EventFormat", "Match", "OnBad", "Options", "find_format"]


def find_format(path: str | os.PathLike[str], name: str | None = None) -> EventFormat:
    """The format called `name`, or the one that the file is of.

    Raises EventFileError if no format fits, or several do: then the text names them, and nothing is guessed.
    """
    if name is not None:
        for candidate in FORMATS:
            if candidate.name == name:
                return candidate
        raise EventFileError(path, f"unknown format {name!r}; known formats: {list_formats(FORMATS)}")
    head, text = read_bytes(path, HEAD_BYTES), os.fspath(path)
    matches = [(candidate.sniff(head, text), candidate) for candidate in FORMATS]
    best = max(match for match, _ in matches)
    fitting = [candidate for match, candidate in matches if match == best]
    if best == Match.NO:
        raise EventFileError(
            path,
            f"not a known event format; known formats: {list_formats(FORMATS)}; pass format=... (--format)",
        )
    if len(fitting) > 1:
        names = " or ".join(candidate.name for candidate in fitting)
        raise EventFileError(
            path, f"may be of format {names}, the file does not say; pass format=... (--format)"
        )
    return fitting[0]


def find_encoder(path: str | os.PathLike[str], name: str | None, sensor: SensorSize) -> Encoder:
    """A writer of the format called `name`, or the one that the suffix of `path` says.

    Raises EventFileError if there is none, or several share the suffix.
    """
    if name is None:
        text = os.fspath(path).lower()
        names = [f.name for f in FORMATS if f.name in ENCODERS and text.endswith(f.suffixes)]
        if len(names) > 1:
            raise EventFileError(
                path, f"this ending stands for {' and '.join(names)}; pass format=... (--to) to choose one"
            )
        name = names[0] if names else ""
    if name not in ENCODERS:
        writable = list_formats(tuple(f for f in FORMATS if f.name in ENCODERS))
        what = f"format {name!r} cannot be written" if name else "no format of this ending can be written"
        raise EventFileError(path, f"{what}; known formats: {writable}")
    return ENCODERS[name](path, sensor)


def list_formats(formats: tuple[EventFormat, ...]) -> str:
    """Names and suffixes, for texts."""
    return ", ".join(f"{known.name} ({', '.join(known.suffixes)})" for known in formats)
