"""HDF5 files of events (``.h5``, ``.hdf5``): SHD and SSC, DSEC, Prophesee's where h5py can read them.

SHD, SSC: ``spikes/times`` (seconds, float16 or 32), ``spikes/units``; 700 channels of a cochlea, one
polarity. A file holds thousands of recordings, ``sample=`` says which. Times are multiplied in double
precision and rounded to microseconds; half precision itself has steps of 0.24 ms from 0.25 s, 0.49 ms from
0.5 s, 0.98 ms from 1 s on.

DSEC: ``events/{x, y, t, p}`` and ``t_offset``, which is added to t (microseconds); compressed with Blosc
(extra ``dsec``); 640 x 480 unless the caller says.

Prophesee: ``CD/events`` {x, y, p, t}; compressed with ECF, for which a plugin of HDF5 is needed
(HDF5_PLUGIN_PATH).

Cramer, Stradmann, Schemmel, Zenke (2022). The Heidelberg spiking data sets. IEEE TNNLS 33:2744. Gehrig,
Aarents, Gehrig, Scaramuzza (2021). DSEC: a stereo event camera dataset. IEEE RA-L 6:4947.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from eventsnn.errors import EventFileError, MissingExtraError
from eventsnn.events.formats.base import Anomalies, Match, Options
from eventsnn.events.formats.columns import to_whole
from eventsnn.events.formats.gate import Gate
from eventsnn.events.stream import SensorSize

_MAGIC = b"\x89HDF\r\n\x1a\n"
_ROWS = 1 << 16
_ELEMENT = struct.Struct("<IQI")  # of a column of variable length: values, heap, object of it
_HEAP = struct.Struct("<4sIQ")  # mark, version, size
_OBJECT = struct.Struct("<HHxxxxQ")  # number, references, bytes


@dataclass(frozen=True)
class HDF5Format:
    """Reader of one layout of HDF5 files, told by a data set in it."""

    name: str
    mark: str
    sensor: SensorSize | None
    suffixes: tuple[str, ...] = (".h5", ".hdf5")

    def sniff(self, head: bytes, path: str) -> Match:
        """By the magic number, and whether the file holds the data set `mark`."""
        return holds(head, path, self.mark)

    def open(self, path: str | os.PathLike[str], options: Options) -> HDF5Reader:
        """Open a recording."""
        return HDF5Reader(path, self, options)


SHD = HDF5Format("shd", "spikes/units", (700, 1, 1))
DSEC = HDF5Format("dsec", "events/x", (640, 480, 2))
PROPHESEE = HDF5Format("prophesee-h5", "CD/events", None, (".hdf5", ".h5"))


class HDF5Reader:
    """See `eventsnn.events.formats.base.Reader`."""

    def __init__(self, path: str | os.PathLike[str], known: HDF5Format, options: Options) -> None:
        import h5py

        self._path, self._known = path, known
        self._file: Any = None
        self._file = self._call(lambda: h5py.File(path, "r"))
        self._gate = Gate(path, options, known.sensor)
        try:
            self._sample = self._call(lambda: self._find_sample(options.sample)) if known is SHD else 0
            if not isinstance(self._call(lambda: self._file.get(known.mark)), h5py.Dataset):
                raise EventFileError(path, f"holds no data set {known.mark}: not of format {known.name}")
        except BaseException:
            self.close()
            raise

    def _call(self, function: Any) -> Any:
        return call_h5py(self._path, function, blosc=self._known is DSEC)

    def _find_sample(self, sample: int | None) -> int:
        n = len(self._file["spikes/times"])
        if n != len(self._file["spikes/units"]):
            raise EventFileError(
                self._path, f"{n} spikes/times, {len(self._file['spikes/units'])} spikes/units"
            )
        if sample is None and n != 1:
            raise EventFileError(self._path, f"holds {n} recordings; pass sample=0 .. {n - 1} (--sample)")
        if not 0 <= (sample or 0) < n:
            raise EventFileError(self._path, f"holds {n} recordings: there is no sample {sample}")
        for name in ("spikes/times", "spikes/units"):
            _check_element(self._path, self._file[name], sample or 0)
        return sample or 0

    @property
    def sensor(self) -> SensorSize | None:
        """Width, height, polarities; None where neither file nor caller says."""
        return self._gate.sensor

    @property
    def anomalies(self) -> Anomalies:
        """What was odd so far."""
        return self._gate.anomalies

    def __iter__(self) -> Iterator[np.ndarray]:
        if self._known is SHD:
            t, x = self._call(
                lambda: (self._file["spikes/times"][self._sample], self._file["spikes/units"][self._sample])
            )
            if len(t) != len(x):
                raise EventFileError(self._path, f"sample {self._sample}: {len(t)} times for {len(x)} units")
            nothing = np.zeros(len(t), np.int64)
            yield self._gate.admit(
                to_whole(self._path, "t", t.astype(np.float64), "s"),
                to_whole(self._path, "x", x),
                nothing,
                nothing,
            )
            return
        if self._known is DSEC:
            _load_filters()
        n = self._call(self._count_rows)
        for start in range(0, n, _ROWS):
            rows = self._call(lambda first=start: self._read_rows(slice(first, first + _ROWS)))
            yield self._gate.admit(*rows)

    def _count_rows(self) -> int:
        columns = [f"events/{name}" for name in "txyp"] if self._known is DSEC else [self._known.mark]
        for name in columns:
            check_stored(self._path, self._file[name])
        return len(self._file[self._known.mark])

    def _read_rows(self, rows: slice) -> tuple[np.ndarray, ...]:
        """t, x, y, p of some rows."""
        source = self._file["events"] if self._known is DSEC else self._file["CD/events"][rows]
        columns = {
            name: np.asarray(source[name][rows] if self._known is DSEC else source[name]) for name in "txyp"
        }
        t, x, y, p = (to_whole(self._path, name, columns[name]) for name in "txyp")
        if len({len(t), len(x), len(y), len(p)}) != 1:
            raise EventFileError(self._path, "its columns are of different lengths")
        if self._known is DSEC and "t_offset" in self._file:
            offset = to_whole(self._path, "t_offset", np.atleast_1d(self._file["t_offset"][()]))
            t = to_whole(self._path, "t", t + offset[0])
        return t, x, y, p

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def check_stored(path: str | os.PathLike[str], column: Any) -> None:
    """Raise EventFileError if a data set claims rows that its file lacks: HDF5 makes them up, of zeros.

    The rows of a virtual data set lie in other files: of these nothing is checked.
    """
    if column.is_virtual:
        return
    rows = column.shape[0] if column.ndim else 0
    if column.chunks:
        stored = column.id.get_num_chunks() * column.chunks[0]
    else:
        stored = column.id.get_storage_size() // column.id.get_type().get_size()
    if stored < rows:
        text = f"{column.name} claims {rows} rows, of which {stored} are stored: damaged or cut"
        raise EventFileError(path, text)


def _check_element(path: str | os.PathLike[str], column: Any, index: int) -> None:
    """Raise EventFileError if an element of variable length is damaged in a way that HDF5 does not survive.

    The library takes memory for as many values as a file states, gigabytes of it, before it looks, and goes
    round for ever in a heap with an object of no size. A column holds of such an element its length (4
    bytes), and the address (8) and number (4) of its values in a heap; neither heaps nor, here, columns are
    compressed (HDF5 file format specification, "Global Heap"). Of other columns nothing is checked.
    """
    import h5py

    kind, plan = h5py.check_vlen_dtype(column.dtype), column.id.get_create_plist()
    place = column.id.get_offset()
    if place is not None:
        place += index * _ELEMENT.size
    elif plan.get_layout() == h5py.h5d.CHUNKED and plan.get_nfilters() == 0:
        chunk = column.id.get_chunk_info_by_coord((index,))
        if chunk.byte_offset is not None:
            place = chunk.byte_offset + index % column.chunks[0] * _ELEMENT.size
    if kind is None or place is None or column.id.get_type().get_size() != _ELEMENT.size:
        return
    size = os.stat(path).st_size
    with open(path, "rb") as file:
        length, address, _ = _unpack(path, file, _ELEMENT, place)
        if length * kind.itemsize > size:
            text = f"{column.name}[{index}] claims {length} values, the file has {size} bytes: damaged"
            raise EventFileError(path, text, offset=place)
        if length:
            _check_heap(path, file, address + column.file.userblock_size)


def _check_heap(path: str | os.PathLike[str], file: BinaryIO, start: int) -> None:
    """Raise EventFileError if the objects of the heap at `start` do not lie in it one behind the other."""
    mark, _, size = _unpack(path, file, _HEAP, start)
    if mark != b"GCOL":
        raise EventFileError(path, "no heap is where a column's values should be: damaged", offset=start)
    place, end = start + _HEAP.size, start + size
    while place + _OBJECT.size <= end:
        number, _, length = _unpack(path, file, _OBJECT, place)
        # Object 0 is what is free, its head included; others are padded to 8 bytes.
        taken = length if number == 0 else _OBJECT.size + (length + 7) // 8 * 8
        if taken < _OBJECT.size or place + taken > end:
            text = f"an object of {length} bytes in the {end - place} left of a heap: damaged"
            raise EventFileError(path, text, offset=place)
        place += taken


def _unpack(
    path: str | os.PathLike[str], file: BinaryIO, layout: struct.Struct, place: int
) -> tuple[Any, ...]:
    """What is at a place of a file; EventFileError if that is beyond its end."""
    if place + layout.size > os.fstat(file.fileno()).st_size:
        raise EventFileError(path, f"ends before byte {place}, where a column's values should be: damaged")
    file.seek(place)
    return layout.unpack(file.read(layout.size))


def holds(head: bytes, path: str, name: str) -> Match:
    """Whether a file, whose first bytes are `head`, is one of HDF5 with a data set of this name."""
    if not head.startswith(_MAGIC):
        return Match.NO
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return Match.CONTENT if isinstance(file.get(name), h5py.Dataset) else Match.NO
    except Exception:  # damaged; whoever opens it says how
        return Match.NO


def call_h5py(path: str | os.PathLike[str], function: Callable[[], Any], *, blosc: bool = False) -> Any:
    """Call a function: what h5py throws at damaged files is an EventFileError.

    `blosc` says that the file's format wants that filter, which comes with an extra (MissingExtraError).
    """
    try:
        return function()
    except (EventFileError, MissingExtraError):
        raise
    except FileNotFoundError:
        raise EventFileError(path, "no such file") from None
    except OSError as error:
        text = str(error)
        if "filter" in text and blosc and not _load_filters():
            raise MissingExtraError("hdf5plugin", "dsec", "reading DSEC's compressed files") from None
        if "filter" in text:
            raise EventFileError(
                path,
                f"damaged, or compressed with a filter that HDF5 does not find ({text}); "
                "set HDF5_PLUGIN_PATH",
            ) from None
        raise EventFileError(path, f"damaged HDF5 file ({text})") from None
    except Exception as error:
        raise EventFileError(path, f"damaged or unexpected HDF5 file ({error})") from None


def _load_filters() -> bool:
    """Make Blosc known to HDF5 where the extra is installed; files without compression need none."""
    try:
        import hdf5plugin  # noqa: F401
    except ImportError:
        return False
    return True
