"""HDF5 files of eventsnn: written completely or not at all, and checked when they are read."""

from __future__ import annotations

import io
import os
import struct
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from eventsnn._ext.checksum import crc32
from eventsnn._util.atomic import PART, Failure, GuardedFile, replace_guarded
from eventsnn._util.interrupts import hold_interrupts
from eventsnn.errors import EventSNNError

if TYPE_CHECKING:
    import h5py

MAGIC = b"\x89HDF\r\n\x1a\n"
LIBVER = ("v110", "v110")
"""Format of our HDF5 files: its metadata have checksums, and HDF5 1.10 (2016) and later read it."""


@contextmanager
def replace_hdf5(path: str | os.PathLike[str], failure: Failure, **options: Any) -> Iterator[h5py.File]:
    """Like `eventsnn._util.atomic.replace_file`, for an HDF5 file; `options` go to `h5py.File`.

    HDF5 survives no failed write: what it could not write it drops when a data set is closed, or it crashes
    at the end of the program. So it is never told; the block ends with the error that was met. Ctrl-C waits
    for the end of the block: an exception within h5py's callbacks would be lost.
    """
    with hold_interrupts(), replace_guarded(path, failure, pretend=True) as raw:
        with write_guarded(raw, **options) as file:
            yield file
        size = raw.seek(0, os.SEEK_END)
        raw.write(_TRAILER.pack(_TRAILER_MAGIC, size, _file_checksum(raw, size)))
        raw.check()


@contextmanager
def write_guarded(raw: GuardedFile, **options: Any) -> Iterator[h5py.File]:
    """A new HDF5 file in a `GuardedFile` that pretends; the block ends with the first error that was met."""
    import h5py

    buffered = io.BufferedRandom(raw, 1 << 17)
    try:
        with h5py.File(buffered, "w", **{"libver": LIBVER, **options}) as file:
            keep_metadata(file)
            yield file
        buffered.detach()  # empties it first; `raw` stays open
    finally:
        raw.check()  # what went wrong first, whatever came of it


def keep_metadata(file: h5py.File) -> None:
    """Make HDF5 keep the metadata of an open file in memory: it never reads back what could not be
    written.
    """
    config = file.id.get_mdc_config()
    config.incr_mode = config.decr_mode = config.flash_incr_mode = 0
    config.evictions_enabled = False
    file.id.set_mdc_config(config)


def close_unwritable(file: h5py.File) -> None:
    """Close a file to which a write has failed; data that HDF5 still buffers are lost, the file stays as it
    is.

    HDF5 keeps what it could not write, tries again when it is closed and when the program ends, and crashes
    then. So its descriptor is made to lead elsewhere: into memory that is freed at once.
    """
    if not file.id.valid:
        return
    with _without_size_limit(), _open_sink() as sink, suppress(OSError, RuntimeError):
        os.dup2(sink.fileno(), file.id.get_vfd_handle())
        file.close()


def _open_sink() -> BinaryIO:
    """A file that takes all that is written into it, on no disk that may be full."""
    try:
        return open(os.memfd_create("eventsnn"), "w+b")
    except (AttributeError, OSError):  # only Linux has such; a disk elsewhere may have room
        try:
            return tempfile.TemporaryFile()
        except OSError:
            return open(os.devnull, "w+b")


@contextmanager
def _without_size_limit() -> Iterator[None]:
    """Lift this process's limit on the size of files (``ulimit -f``), which holds for memory, too."""
    try:
        import resource
    except ImportError:  # Windows
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limits in ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), (hard, hard)):
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            break
    try:
        yield
    finally:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


_TRAILER = struct.Struct("<8sQI")
_TRAILER_MAGIC = b"\neventsn"
"""Behind the end of what HDF5 looks at: magic, number of bytes before, their CRC-32.

HDF5 goes round for ever in some damaged files, so damage must be found before it looks. A program that
changes the file through HDF5 cuts the trailer off.
"""


def _file_checksum(file: Any, size: int) -> int:
    """CRC-32 of the first bytes of a file, which is then positioned after them."""
    file.seek(0)
    crc, remaining, block = 0, size, memoryview(bytearray(1 << 20))
    while remaining > 0 and (n := file.readinto(block[: min(remaining, len(block))])):
        crc, remaining = crc32(block[:n], crc), remaining - n
    return crc


def _fits_trailer(path: str | os.PathLike[str]) -> bool | None:
    """Whether the file is what it was when its trailer was written; None if it has no trailer."""
    with open(path, "rb", buffering=0) as file:
        end = file.seek(0, os.SEEK_END) - _TRAILER.size
        if end < 0:
            return None
        file.seek(end)
        magic, size, crc = _TRAILER.unpack(file.read(_TRAILER.size))
        if magic != _TRAILER_MAGIC:
            return None
        return bool(size == end and crc == _file_checksum(file, size))


CHECKSUM = "crc32"
"""Attribute of a group: CRC-32 of all else in it."""

VIEWS = "views"
"""Group of a file with links for other programs, which ours never follow."""

_DEFLATE = 1100  # gzip makes data smaller by a factor of 1032 at most
_FILLED = 1 << 16  # bytes; rows that were never written are zeros, for instance the first row of pointers
_DEEPEST = 32


def read_marks(path: str | os.PathLike[str]) -> set[str] | None:
    """Names of the attributes of an HDF5 file, which say what it is; none of another file or of a folder.

    None of a damaged one: whoever opens it says what is wrong with it.
    """
    file = Path(path)
    if not file.is_file():
        return set()
    with file.open("rb") as opened:
        if opened.read(len(MAGIC)) != MAGIC:
            return set()
    import h5py

    try:
        # A trace that is still being written opens in this mode only.
        with h5py.File(file, "r", swmr=file.suffix == PART) as found:
            return set(found.attrs)
    except Exception:  # of a damaged file h5py raises almost anything
        return None


@contextmanager
def open_own(path: str | os.PathLike[str], failure: Failure) -> Iterator[tuple[h5py.File, bool]]:
    """What `open_file` gives; what goes wrong in the block is a damaged file, which is closed in the end."""
    file, verified = open_file(path, failure)
    try:
        yield file, verified
    except EventSNNError:
        raise
    except Exception as error:  # what h5py raises depends on where the damage is
        raise failure(f"damaged ({error})") from error
    finally:
        file.close()


def open_file(
    path: str | os.PathLike[str], failure: Failure, *, swmr: bool = False
) -> tuple[h5py.File, bool]:
    """Open an HDF5 file of our own that has passed `check_self_contained`; for whoever closes it later.

    Parameters
    ----------
    path : path
    failure : callable
        Makes the exception that is raised, from a text without the file's name.
    swmr : bool
        The file may still be written, or its writer may have been killed.

    Returns
    -------
    h5py.File, bool
        The file, and whether a checksum says that all of it is as it was written. A file that another program
        has changed has no such checksum any more: there `check_seal` has to tell.
    """
    import h5py

    if not Path(path).is_file():
        raise failure("is a folder, not a file" if Path(path).is_dir() else "no such file")
    try:
        verified = _fits_trailer(path)
        if verified is False:
            raise failure("damaged (its checksum is wrong); copy it again or make it anew")
        file = h5py.File(path, "r", swmr=swmr)
    except EventSNNError:
        raise
    except Exception as error:
        raise failure(f"not an HDF5 file, or a damaged one ({error})") from None
    try:
        check_self_contained(file, complete=not swmr)
    except Exception as error:
        file.close()
        text = str(error) if isinstance(error, ForeignDataError) else f"damaged ({error})"
        raise failure(text) from None
    return file, verified is not None


class ForeignDataError(Exception):
    """A file contains something that eventsnn never writes; the text says where."""


def check_self_contained(file: h5py.File, *, complete: bool = True) -> None:
    """Raise ForeignDataError if a file takes data from elsewhere, or claims data that are not stored.

    Links to other files, external storage and virtual data sets would let a model hold the bytes of any file
    that its user may read. Symbolic links within the file and references are not of our making either. A data
    set that claims more values than the file has room for would take memory without limit.

    Parameters
    ----------
    file : h5py.File
    complete : bool
        False for a file that may still grow: how much is stored is not looked at.
    """
    import h5py

    size = file.id.get_filesize()
    unvisited: list[tuple[h5py.Group, int]] = [(file["/"], 0)]
    seen = {h5py.h5o.get_info(unvisited[0][0].id).addr}
    while unvisited:
        group, depth = unvisited.pop()
        _check_attributes(group, size)
        for name in group:
            place = f"{group.name.rstrip('/')}/{name}"
            if place == f"/{VIEWS}":
                continue
            if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD or depth > _DEEPEST:
                raise ForeignDataError(
                    f"{place} is a link to somewhere else; only files that hold all their data are read"
                )
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                raise ForeignDataError(f"{place} is another name of something in the same file: damaged")
            seen.add(address)
            if isinstance(item, h5py.Group):
                unvisited.append((item, depth + 1))
            elif isinstance(item, h5py.Dataset):
                _check_attributes(item, size)
                _check_dataset(item, place, size, complete)


def _check_dataset(item: h5py.Dataset, place: str, size: int, complete: bool) -> None:
    if item.external or item.is_virtual:
        raise ForeignDataError(
            f"{place} takes its data from other files; only files that hold all their data are read"
        )
    _check_dtype(item.dtype, place)
    stored = item.id.get_storage_size() * (1 if item.compression is None else _DEFLATE)
    if complete and item.shape is not None and item.nbytes > max(min(stored, _DEFLATE * size), _FILLED):
        raise ForeignDataError(f"{place} claims {item.nbytes} bytes, more than are stored: damaged")


def _check_attributes(item: Any, size: int) -> None:
    for name in item.attrs:
        attribute = item.attrs.get_id(name)
        _check_dtype(attribute.dtype, f"attribute {name!r} of {item.name}")
        if attribute.get_storage_size() > size:
            raise ForeignDataError(f"attribute {name!r} of {item.name} is larger than the file: damaged")


def _check_dtype(dtype: np.dtype, place: str) -> None:
    import h5py

    if dtype.hasobject and h5py.check_string_dtype(dtype) is None:
        raise ForeignDataError(f"{place} holds references or lists, which no file of eventsnn does")


def seal(group: h5py.Group, written: Mapping[str, np.ndarray] | None = None) -> None:
    """Give a group that is complete the checksum that `check_seal` looks at.

    `written` are values of data sets, by name from the file's top, that need not be read back for it.
    """
    group.attrs[CHECKSUM] = np.uint32(checksum(group, written or {}))


def check_seal(group: h5py.Group) -> None:
    """Raise ValueError if a group has changed since it was sealed; a group without a seal passes."""
    if CHECKSUM in group.attrs and int(group.attrs[CHECKSUM]) != checksum(group):
        raise ValueError(
            "its checksum is wrong: a copy went wrong, or another program changed it; "
            f"if that was on purpose, remove the attribute {CHECKSUM!r}"
        )


def checksum(group: h5py.Group, written: Mapping[str, np.ndarray] = MappingProxyType({})) -> int:
    """CRC-32 of the names, attributes, kinds, shapes and values of all in a group, but its own checksum."""
    crc = _add_attributes(group, 0, CHECKSUM)
    for name in sorted(group):
        item = group[name]
        crc = zlib.crc32(f"{type(item).__name__} {name}\n".encode(), crc)
        if hasattr(item, "dtype"):
            value = written[item.name] if item.name in written else item[()]
            crc = _add_value(value, _add_attributes(item, crc))
        else:
            crc = zlib.crc32(f"{checksum(item, written)}\n".encode(), crc)
    return crc


def _add_attributes(item: Any, crc: int, but: str | None = None) -> int:
    for name in sorted(item.attrs):
        if name != but:
            crc = _add_value(item.attrs[name], zlib.crc32(f"@{name}\n".encode(), crc))
    return crc


def _add_value(value: Any, crc: int) -> int:
    if isinstance(value, str | bytes):
        data = value.encode() if isinstance(value, str) else value
        return zlib.crc32(data, zlib.crc32(f"text {len(data)}\n".encode(), crc))
    if not isinstance(value, np.ndarray | np.generic):
        return zlib.crc32(f"{value!r}\n".encode(), crc)
    array = np.ascontiguousarray(value)
    crc = zlib.crc32(f"{array.dtype.str} {np.shape(value)}\n".encode(), crc)
    if array.dtype.hasobject:
        for text in array.ravel().tolist():
            crc = _add_value(text, crc)
        return crc
    return int(crc32(array.reshape(-1).view(np.uint8), crc))
