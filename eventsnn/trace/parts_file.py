"""A small file that makes one trace of those that several processes wrote, without copying them.

::

    /        @eventsnn_trace @eventsnn_parts ... (the header of a trace, with the first part's config)
    /parts/  path samples duration checksum     one row for each part, in the order of the samples
    /views/  1, 2, ...                          links to the rasters of the parts, for other programs

Why no virtual data sets: they could only put the parts' columns one behind the other. But a pointer of
samples, and times that grow through the whole file, have to be counted on from part to part; and a data set
that ends where its part is missing reads as zeros. So the reader (`eventsnn.trace.joined`) goes from part to
part itself.

A path is relative to the file, and leads to the same folder or below: a file that somebody sends can make its
reader open none but those beside it. So the folder as a whole can be moved. `checksum` is of the part's own
checksums; one that has changed since is refused. What programs for HDF5 look at (/views) are external links
to the parts, which eventsnn does not follow.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import numpy as np

from eventsnn._util.hdf5 import CHECKSUM, VIEWS, replace_hdf5
from eventsnn.errors import TraceError
from eventsnn.trace import checks, schema
from eventsnn.trace.creation import put_header

if TYPE_CHECKING:
    import h5py

    from eventsnn.trace.reader import Trace

MARK: Final = "eventsnn_parts"
"""Attribute of such a file: the version of its layout."""

VERSION: Final = 1
GROUP: Final = "/parts"
_ADVICE: Final = "make it anew with eventsnn join --virtual"


@dataclass(frozen=True)
class Part:
    """A trace that is part of one.

    Attributes
    ----------
    path : str
        Relative to the file that names it, with slashes.
    samples : int
    duration : float
        Of all its samples on the clock of the file, ms.
    checksum : int
        See `fingerprint`.
    """

    path: str
    samples: int
    duration: float
    checksum: int

    @classmethod
    def of(cls, trace: Trace, folder: Path) -> Part:
        """How a file in `folder` names a trace; TraceError if it cannot be part of one there."""
        where = trace.path
        if trace.is_part:
            raise TraceError(
                f"{where}: not finished; without --virtual (virtual=True) its complete samples are copied"
            )
        if trace.part_paths:
            raise TraceError(
                f"{where}: names parts itself; give these: {', '.join(map(str, trace.part_paths))}"
            )
        try:
            place = where.resolve().relative_to(folder.resolve())
        except ValueError:
            raise TraceError(
                f"{where}: not in the folder of the joined file or below it; write that beside its parts, or "
                "copy them into one without --virtual (virtual=True)"
            ) from None
        duration = trace.samples[-1].t_stop if len(trace) else 0.0
        return cls(place.as_posix(), len(trace), duration, fingerprint(trace))


def fingerprint(trace: Trace) -> int:
    """CRC-32 of the checksums of a trace: of its header, its network, its samples and their spikes.

    Raises
    ------
    TraceError
        It is of the first layout, which has no checksums.
    """
    if not trace._has_crc:
        raise TraceError(
            f"{trace.path}: an old trace without checksums; copy it, without --virtual (virtual=True)"
        )
    file, samples = trace._file, len(trace)
    crc = checks.combine_crcs([int(file.attrs[schema.HEADER_CRC]), _network_crc(trace)])
    trains = [f"/spikes/{train}/sample_crc" for train in schema.trains(trace.network)]
    for path in (schema.SAMPLE_CRC.path, *trains):
        crc = checks.add_to_crc(crc, file[path][:samples])
    return crc


def write_parts(
    path: str | os.PathLike[str], parts: Sequence[Part], config_json: str, seed: int | None, view: str
) -> None:
    """Write the file; `view` is the path of a part's raster, for other programs."""
    import h5py

    with replace_hdf5(path, lambda text: TraceError(f"{path}: cannot be written ({text})")) as file:
        put_header(file, config_json, seed)
        file.attrs[MARK] = VERSION
        group = file.create_group(GROUP)
        names = [part.path.encode() for part in parts]
        group["path"] = np.array(names, f"S{max(map(len, names))}")
        group["samples"] = np.array([part.samples for part in parts], "<i8")
        group["duration"] = np.array([part.duration for part in parts], "<f8")
        group["duration"].attrs["units"] = "ms"
        group["checksum"] = np.array([part.checksum for part in parts], "<u4")
        file.attrs["NX_class"], file.attrs["default"] = "NXroot", VIEWS
        views = file.create_group(VIEWS)
        views.attrs["NX_class"], views.attrs["default"] = "NXentry", "1"
        for number, part in enumerate(parts, start=1):
            views[str(number)] = h5py.ExternalLink(part.path, view)


def read_parts(file: h5py.File) -> list[Part]:
    """The parts that a file names; DamagedError if it is damaged, or names any that it may not."""
    version = int(file.attrs[MARK])
    if version > VERSION:
        raise checks.DamagedError(f"names its parts in layout {version}; install a newer eventsnn")
    group = file[GROUP]
    columns = [group[name][()].tolist() for name in ("path", "samples", "duration", "checksum")]
    parts = [Part(path.decode(), *row) for path, *row in zip(*columns, strict=True)]
    for part in parts:
        if part.samples < 0 or not 0.0 <= part.duration < np.inf:
            raise checks.DamagedError(f"{GROUP}: {part.samples} samples of {part.duration} ms")
    return parts


def find_part(part: Part, where: Path) -> Path:
    """The file of a part of the file `where`.

    Raises
    ------
    TraceError
        The path leads out of the folder of `where`, by itself or through a symbolic link; or to no file.
    """
    pure, folder = PurePosixPath(part.path), where.parent
    path = folder / pure
    # A backslash, a colon and a NUL mean something to some operating system.
    strange = pure.is_absolute() or ".." in pure.parts or any(mark in part.path for mark in "\\:\0")
    if strange or not path.resolve().is_relative_to(folder.resolve()):
        raise TraceError(
            f"{where}: names the part {part.path!r}, which is not in the same folder or below; "
            "only such parts are read"
        )
    if not path.is_file():
        raise TraceError(f"{where}: its part {part.path!r} is missing; bring it back to {path}, or {_ADVICE}")
    return path


def check_part(part: Part, trace: Trace, first: Trace, where: Path) -> None:
    """Raise TraceError unless a trace is the part that the file `where` names, as it was then.

    It is of the same network, and keeps the same, as the `first` part.
    """
    same = (
        _network_crc(trace) == _network_crc(first) and trace._choice.to_config() == first._choice.to_config()
    )
    if not same or len(trace) != part.samples or fingerprint(trace) != part.checksum:
        raise TraceError(f"{where}: its part {part.path!r} is not the trace that it was; {_ADVICE}")


def _network_crc(trace: Trace) -> int:
    return int(trace._file["network"].attrs[CHECKSUM])
