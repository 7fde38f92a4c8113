"""Shared by readers of HDF5 files: filters, errors, and checks of damage that HDF5 does not survive."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np

from eventsnn.errors import EventFileError, EventStreamError, MissingExtraError
from eventsnn.events.formats.base import Match

_MAGIC = b"\x89HDF\r\n\x1a\n"
_USER_BLOCKS = (0, 512)  # MATLAB 7.3 puts its own header before HDF5's
_ELEMENT = np.dtype([("length", "<u4"), ("heap", "<u8"), ("number", "<u4")])
_HEAP_MARK = b"GCOL"
_HEAP = struct.Struct("<4sIQ")  # mark, version, size
_OBJECT = struct.Struct("<HHxxxxQ")  # number, references, bytes

# Registered filters (HDF Group, "Registered Filter Plugins"); those of the extra are hdf5plugin's.
_OF_EXTRA = {
    **{307: "bzip2", 32001: "Blosc", 32004: "LZ4", 32008: "Bitshuffle", 32013: "ZFP", 32015: "Zstandard"},
    **{32017: "SZ", 32018: "FCIDECOMP", 32024: "SZ3", 32026: "Blosc2", 32028: "SPERR"},
}
_NAMES = {32000: "LZF", 36559: "ECF, Prophesee's", **_OF_EXTRA}


def is_hdf5(head: bytes) -> bool:
    """Whether a file that begins with these bytes is one of HDF5."""
    return any(head.startswith(_MAGIC, at) for at in _USER_BLOCKS)


def open_hdf5(path: str | os.PathLike[str]) -> Any:
    """Open an HDF5 file for reading; raises EventFileError if the file is not HDF5."""
    import h5py

    file = call_h5py(path, lambda: h5py.File(path, "r"))
    try:
        call_h5py(path, lambda: _refuse_other_files(path, file))
    except BaseException:
        file.close()
        raise
    return file


def _refuse_other_files(path: str | os.PathLike[str], file: Any) -> None:
    """Raise EventFileError if part of a recording lies in another file: no known format does that.

    Virtual data sets, of which recordings are stitched together, are let alone.
    """
    import h5py

    def find_link(name: str, link: Any) -> str | None:
        return name if isinstance(link, h5py.ExternalLink) else None

    def find_storage(name: str, item: Any) -> str | None:
        return name if isinstance(item, h5py.Dataset) and item.external else None

    place = file.visititems_links(find_link) or file.visititems(find_storage)
    if place is not None:
        raise EventFileError(path, f"{place} lies in another file; only recordings in one file are read")


def call_h5py(path: str | os.PathLike[str], function: Callable[[], Any]) -> Any:
    """Call a function; exceptions of h5py for damaged files become EventFileError."""
    try:
        return function()
    except (EventFileError, MissingExtraError):
        raise
    except EventStreamError as error:
        raise EventFileError(path, str(error)) from None
    except FileNotFoundError:
        raise EventFileError(path, "no such file") from None
    except OSError as error:
        raise EventFileError(path, f"damaged HDF5 file ({error})") from None
    except Exception as error:
        raise EventFileError(path, f"damaged or unexpected HDF5 file ({error})") from None


def check_filters(path: str | os.PathLike[str], column: Any) -> None:
    """Make the filters of a data set known to HDF5.

    Raises MissingExtraError where the extra with them is not installed, EventFileError where no extra has
    them; both name the filter.
    """
    import h5py

    plan = column.id.get_create_plist()
    for k in range(plan.get_nfilters()):
        number, _, _, text = plan.get_filter(k)
        if h5py.h5z.filter_avail(number):
            continue
        name = _NAMES.get(number) or text.decode("latin-1").split(";")[0].strip()[:40] or "an unknown filter"
        what = f"{column.name} is compressed with {name} (HDF5 filter {number})"
        if number in _OF_EXTRA and not _load_filters():
            raise MissingExtraError("hdf5plugin", "hdf5", f"{os.fspath(path)}: {what}; reading it")
        if not h5py.h5z.filter_avail(number):
            raise EventFileError(
                path, f"{what}, which HDF5 does not find: set HDF5_PLUGIN_PATH to its plugin's folder"
            )


def _load_filters() -> bool:
    """Make hdf5plugin's filters known to HDF5 where the extra is installed."""
    try:
        import hdf5plugin  # noqa: F401
    except ImportError:
        return False
    return True


def check_stored(path: str | os.PathLike[str], column: Any) -> None:
    """Raise EventFileError if a data set claims values that its file lacks: HDF5 makes them up, of zeros.

    The values of a virtual data set lie in other files, which must be there; more of them is not checked.
    """
    if column.is_virtual:
        folder = os.path.dirname(path)
        for source in column.virtual_sources():
            name = source.file_name
            if "%" not in name and name != "." and not os.path.exists(os.path.join(folder, name)):
                raise EventFileError(path, f"{column.name} takes its values from {name}, which is not there")
        return
    if column.chunks:
        stored = column.id.get_num_chunks() * int(np.prod(column.chunks, dtype=np.int64))
    else:
        stored = column.id.get_storage_size() // column.id.get_type().get_size()
    if stored < column.size:
        text = f"{column.name} claims {column.size} values, of which {stored} are stored: damaged or cut"
        raise EventFileError(path, text)


def check_elements(path: str | os.PathLike[str], column: Any, start: int, stop: int, longest: int) -> None:
    """Raise EventFileError if elements of variable length are damaged in a way that HDF5 does not survive.

    The library takes memory for as many values as a file states, gigabytes of it, before it looks, and goes
    round for ever in a heap with an object of no size. A column holds of such an element its length (4
    bytes), and the address (8) and number (4) of its values in a heap (HDF5 file format specification,
    "Global Heap"). Heaps are never compressed; of a compressed column all heaps of the file are checked.

    Parameters
    ----------
    path, column
        The file and its data set.
    start, stop : int
        Which elements are going to be read.
    longest : int
        Values that an element may have.
    """
    import h5py

    string_type = h5py.check_string_dtype(column.dtype)
    if h5py.check_vlen_dtype(column.dtype) is None and (
        string_type is None or string_type.length is not None
    ):
        return
    if column.id.get_type().get_size() != _ELEMENT.itemsize:
        return
    heaps: set[int] = set()
    with open(path, "rb") as file:
        for first, place, n in _places(column, start, stop):
            file.seek(place)
            elements = np.frombuffer(file.read(n * _ELEMENT.itemsize), _ELEMENT)
            if len(elements) < n:
                raise EventFileError(path, f"ends within the values of {column.name}: damaged")
            too_long = elements["length"] > longest
            if too_long.any():
                at = int(np.argmax(too_long))
                text = f"{column.name}[{first + at}] claims {elements['length'][at]} values: damaged"
                raise EventFileError(path, text, offset=place + at * _ELEMENT.itemsize)
            heaps |= {int(heap) for heap in np.unique(elements["heap"][elements["length"] > 0])}
        places = {heap + column.file.userblock_size for heap in heaps}
        if column.id.get_create_plist().get_nfilters():
            places = set(_find_heaps(file))
        for heap in sorted(places):
            _check_heap(path, file, heap)


def _find_heaps(file: BinaryIO) -> Iterator[int]:
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(_HEAP_MARK)
        while at >= 0:
            yield at
            at = data.find(_HEAP_MARK, at + 1)


def _places(column: Any, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Where elements lie in the file: (first, its place, number of them), if that can be known."""
    import h5py

    place, plan = column.id.get_offset(), column.id.get_create_plist()
    if place is not None:
        yield start, place + start * _ELEMENT.itemsize, stop - start
    elif plan.get_layout() == h5py.h5d.CHUNKED and plan.get_nfilters() == 0:
        rows = column.chunks[0]
        for first in range(start // rows * rows, stop, rows):
            chunk = column.id.get_chunk_info_by_coord((first,))
            if chunk.byte_offset is not None:
                low, high = max(first, start), min(first + rows, stop)
                yield low, chunk.byte_offset + (low - first) * _ELEMENT.itemsize, high - low


def _check_heap(path: str | os.PathLike[str], file: BinaryIO, start: int) -> None:
    """Raise EventFileError unless the objects of the heap at `start` follow one another within it."""
    mark, _, size = _unpack(path, file, _HEAP, start)
    if mark != _HEAP_MARK:
        raise EventFileError(path, "no heap is where a column's values should be: damaged", offset=start)
    place, end = start + _HEAP.size, start + size
    while place + _OBJECT.size <= end:
        number, _, length = _unpack(path, file, _OBJECT, place)
        # Object 0 is the free space, its head included; others are padded to 8 bytes.
        taken = length if number == 0 else _OBJECT.size + (length + 7) // 8 * 8
        if taken < _OBJECT.size or place + taken > end:
            text = f"an object of {length} bytes in the {end - place} left of a heap: damaged"
            raise EventFileError(path, text, offset=place)
        place += taken


def _unpack(
    path: str | os.PathLike[str], file: BinaryIO, layout: struct.Struct, place: int
) -> tuple[Any, ...]:
    """Unpack values at a place of a file; EventFileError beyond its end."""
    if place + layout.size > os.fstat(file.fileno()).st_size:
        raise EventFileError(path, f"ends before byte {place}, where a column's values should be: damaged")
    file.seek(place)
    return layout.unpack(file.read(layout.size))


def holds(head: bytes, path: str, name: str) -> Match:
    """Whether a file, whose first bytes are `head`, is one of HDF5 with a data set of this name."""
    if not is_hdf5(head):
        return Match.NO
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return Match.CONTENT if isinstance(file.get(name), h5py.Dataset) else Match.NO
    except Exception:  # damaged; opening it later raises the reason
        return Match.NO
