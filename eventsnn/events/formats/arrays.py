"""NumPy's files (``.npy``, ``.npz``): a structured array, one array per field, or a table.

``.npy``: a structured array with the fields t, x and perhaps y, p (as tonic has it; other usual names will
do), or a table of shape (n, k), or (k, n), whose columns the caller names. ``.npz``: arrays t, x and perhaps
y, p, or one array as in ``.npy``; ``sensor_size`` may give the sensor. Times in microseconds unless a name or
``columns`` says otherwise; no unwrapping. Files are read part by part; pickled objects are refused.
"""

from __future__ import annotations

import io
import mmap
import os
import weakref
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import IO, Any

import numpy as np

from eventsnn._util.atomic import GuardedFile, scratch_file
from eventsnn._util.words import number_of
from eventsnn.errors import EventFileError, EventStreamError
from eventsnn.events.formats.base import FileFormat, Match, Options, begins_with, suffix_match, unwritable
from eventsnn.events.formats.columns import HOW, Columns
from eventsnn.events.formats.validator import EventValidator, Validated
from eventsnn.events.stream import SensorSize, check_sensor_size

_NPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"
_NPZ_SUFFIXES = (".npz",)
_ROWS = 1 << 14
_MOST_COLUMNS = 32
_SENSOR = "sensor_size"
_TABLE_WIDTH = 4
"""Columns that an array needs to be taken for a table of events without `columns`."""


class _Rows:
    """An array in NumPy's format, read some rows at a time.

    Parameters
    ----------
    path, name
        Named in errors.
    open_file : callable
        Opens the bytes of the array.
    """

    def __init__(self, path: str | os.PathLike[str], name: str, open_file: Callable[[], IO[bytes]]) -> None:
        self._path, self._name, self._open = path, name, open_file
        self._files = [open_file()]
        file = self._files[0]
        version = np.lib.format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        self.shape, self._by_columns, self.dtype = read(file)
        self._start = file.tell()
        if 1 in self.shape[:2] and len(self.shape) == 2 and self.dtype.names is not None:
            self.shape = (max(self.shape),)
        self.readable = not self.dtype.hasobject and len(self.shape) in (1, 2)
        self.left = self.shape[0] if self.shape else 0

    def check(self) -> _Rows:
        """Raise EventFileError unless the array holds numbers in rows."""
        if not self.readable:
            text = f"array {self._name!r}: shape {self.shape}, dtype {self.dtype} cannot be read"
            raise EventFileError(self._path, text)
        return self

    def flatten(self) -> None:
        """Take a single column or row, as MATLAB keeps vectors, for a vector."""
        if len(self.shape) == 2 and 1 in self.shape:
            self.shape = (self.shape[0] * self.shape[1],)
            self.left = self.shape[0]

    def arrange(self, width: int) -> None:
        """Make ready to read a table of `width` columns, (n, width) or (width, n), row or column major."""
        if self.shape[1] != width:
            self.shape, self._by_columns = self.shape[::-1], not self._by_columns
        self.left = self.shape[0]
        if self._by_columns:
            if width > _MOST_COLUMNS:
                raise EventFileError(
                    self._path, f"an array of {number_of(width, 'column')}; at most {_MOST_COLUMNS}"
                )
            # One open file per column: members of archives cannot be read at several places at once.
            self._files += [self._open() for _ in range(width - 1)]
            for k, file in enumerate(self._files):
                file.seek(self._start + k * self.left * self.dtype.itemsize)

    def read(self, rows: int) -> np.ndarray:
        """Up to `rows` rows; raises EventFileError where the file ends too early."""
        n = min(rows, self.left)
        if self._by_columns and len(self.shape) == 2:
            out = np.stack([self._read(file, n, ()) for file in self._files], axis=1)
        else:
            out = self._read(self._files[0], n, self.shape[1:])
        self.left -= n
        return out

    def _read(self, file: IO[bytes], n: int, row: tuple[int, ...]) -> np.ndarray:
        size = int(np.prod(row, dtype=np.int64)) * self.dtype.itemsize
        data = file.read(n * size)
        if len(data) != n * size or (size == 0 and n):
            raise EventFileError(self._path, f"array {self._name!r} is cut: {self.left} rows are missing")
        return np.frombuffer(data, self.dtype).reshape(n, *row)

    def close(self) -> None:
        """Close the file."""
        for file in self._files:
            file.close()


class ArrayReader(Validated):
    """See `eventsnn.events.formats.base.Reader`."""

    def __init__(self, path: str | os.PathLike[str], options: Options, archive: bool) -> None:
        self._path = path
        self._given = Columns.given(path, options.columns)
        self._archive: zipfile.ZipFile | None = None
        self._arrays: dict[str, _Rows] = {}
        self._table: _Rows | None = None
        try:
            sensor = self._guard(self._open_archive if archive else self._open_array)
        except BaseException:
            self.close()
            raise
        self.polarities = self._columns.polarities
        self._validator = EventValidator(path, options, sensor)

    def _guard(self, function: Any) -> Any:
        """Exceptions of NumPy and zipfile for damaged files become EventFileError."""
        try:
            return function()
        except FileNotFoundError:
            raise EventFileError(self._path, "no such file") from None
        except EventFileError:
            raise
        except EventStreamError as error:
            raise EventFileError(self._path, str(error)) from None
        except Exception as error:  # zlib.error and lzma.LZMAError have no base in common
            raise EventFileError(self._path, f"damaged file of arrays ({error})") from None

    def _open_array(self) -> SensorSize | None:
        self._arrays = {"": _Rows(self._path, "", lambda: open(self._path, "rb"))}  # noqa: SIM115
        self._find_columns("")
        return None

    def _open_archive(self) -> SensorSize | None:
        self._archive = archive = zipfile.ZipFile(self._path)
        members = {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}
        for name, member in members.items():
            # The loop's variable changes, the array's file must not.
            self._arrays[name] = _Rows(self._path, name, lambda member=member: archive.open(member))  # type: ignore[misc]
        sensor = None
        if _SENSOR in self._arrays:
            sensor = check_sensor_size(self._arrays.pop(_SENSOR).check().read(4).tolist())
        vectors = [
            name for name, array in self._arrays.items() if array.readable and array.dtype.names is None
        ]
        role_names = self._name(vectors)
        if role_names is None:
            # A label or the like may stand beside the events.
            tables = [name for name, array in self._arrays.items() if self._may_be_table(array)]
            if len(self._arrays) != 1 and len(tables) != 1:
                text = f"needs arrays t, x, [y], [p]; it holds {', '.join(members) or 'none'}"
                raise EventFileError(self._path, text)
            self._find_columns(tables[0] if tables else next(iter(self._arrays)))
            return sensor
        self._columns = role_names
        self._arrays = {role: self._arrays[vectors[k]] for role, k in role_names.place.items()}
        for array in self._arrays.values():
            array.flatten()
        shapes = {array.shape for array in self._arrays.values()}
        if len(shapes) != 1 or len(shapes.pop()) != 1:
            raise EventFileError(self._path, "its arrays are of different shapes, or no vectors")
        return sensor

    def _name(self, names: Sequence[str]) -> Columns | None:
        """Roles of the fields: by their names, or else by the caller's columns."""
        fits = self._given is not None and self._given.width == len(names)
        try:
            return Columns.of_names(names) or (self._given if fits else None)
        except EventStreamError:
            if fits:
                return self._given
            raise

    def _find_columns(self, name: str) -> None:
        """Columns of the only array."""
        self._table = table = self._arrays[name].check()
        names = table.dtype.names
        if names is not None:
            role_names = self._name(names)
            if (
                role_names is None
                or len(table.shape) != 1
                or any(table.dtype[k].shape for k in role_names.place.values())
            ):
                raise EventFileError(self._path, f"needs fields t, x, [y], [p]; it has {', '.join(names)}")
            self._columns = role_names
            return
        if self._given is None or len(table.shape) != 2 or self._given.width not in table.shape:
            raise EventFileError(self._path, f"an array of shape {table.shape} without names; {HOW}")
        self._columns = self._given
        table.arrange(self._given.width)

    def _may_be_table(self, array: _Rows) -> bool:
        """Whether an array has the shape of a table of events, or fields."""
        if not array.readable:
            return False
        width = self._given.width if self._given else _TABLE_WIDTH
        return array.dtype.names is not None or (len(array.shape) == 2 and width in array.shape)

    def __iter__(self) -> Iterator[np.ndarray]:
        unit = (self._given.unit if self._given else None) or self._columns.unit
        while next(iter(self._arrays.values())).left:
            yield self._validator.admit_columns(self._guard(self._read_columns), unit)

    def _read_columns(self) -> dict[str, np.ndarray]:
        """The next rows, one array per field."""
        if self._table is None:
            return {role: array.read(_ROWS) for role, array in self._arrays.items()}
        rows, names = self._table.read(_ROWS), self._table.dtype.names
        place = self._columns.place
        return {role: rows[:, k] if names is None else rows[names[k]] for role, k in place.items()}

    def close(self) -> None:
        """Close the file."""
        for array in self._arrays.values():
            array.close()
        if self._archive is not None:
            self._archive.close()


def _recognise_archive(head: bytes, path: str) -> Match:
    """By the magic number and the suffix: other zip archives are none."""
    return Match(begins_with(_ZIP)(head, path) if suffix_match(path, _NPZ_SUFFIXES) else Match.NO)


NPY = FileFormat("npy", (".npy",), begins_with(_NPY), partial(ArrayReader, archive=False))
NPZ = FileFormat("npz", _NPZ_SUFFIXES, _recognise_archive, partial(ArrayReader, archive=True))


class NPYWriter:
    """Writer of ``.npy``: a structured array with the fields x, y, t, p as tonic has them; without p for one
    polarity. The file does not keep the size of the sensor.

    The header states the number of events, which is known at the end; until then they are in a nameless
    temporary file beside the target.
    """

    def __init__(self, path: str | os.PathLike[str], sensor: SensorSize) -> None:
        if sensor[2] > 2:
            raise EventFileError(path, f"npy has 2 polarities: sensor_size is {sensor}; npz keeps more")
        fields = [("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", "u1")]
        self._dtype = np.dtype(fields if sensor[2] == 2 else fields[:3])
        self._path = path
        self._n = 0

    def start(self) -> bytes:
        """Nothing: the bytes come at the end."""
        failure = unwritable(self._path)
        self._temporary = scratch_file(self._path, failure)
        weakref.finalize(self, self._temporary.close)  # also where the parts raise an error
        self._file = GuardedFile(self._temporary.fileno(), failure, pretend=False)
        self._file.write(bytes(len(self._header(0))))
        return b""

    def feed(self, events: np.ndarray) -> bytes:
        """Nothing yet."""
        rows = np.empty(len(events), self._dtype)
        for name in self._dtype.names or ():
            rows[name] = events[name]
        self._file.write(rows.tobytes())
        self._n += len(rows)
        return b""

    def finish(self) -> memoryview:
        """The file."""
        self._file.seek(0)
        self._file.write(self._header(self._n))
        return memoryview(mmap.mmap(self._temporary.fileno(), 0, access=mmap.ACCESS_READ))

    def _header(self, n: int) -> bytes:
        """As long for every `n`: NumPy pads it for arrays that grow."""
        out = io.BytesIO()
        descr = np.lib.format.dtype_to_descr(self._dtype)
        np.lib.format.write_array_header_1_0(out, {"descr": descr, "fortran_order": False, "shape": (n,)})
        return out.getvalue()


class NPZWriter:
    """Writer of ``.npz`` with the arrays t, x, y, p and sensor_size; keeps the events until the end."""

    def __init__(self, path: str | os.PathLike[str], sensor: SensorSize) -> None:
        self._sensor = sensor
        self._parts: dict[str, list[np.ndarray]] = {name: [] for name in "txyp"}

    def start(self) -> bytes:
        """Nothing: the archive is made at the end, when its size is known."""
        return b""

    def feed(self, events: np.ndarray) -> bytes:
        """Nothing yet."""
        for name, parts in self._parts.items():
            parts.append(np.ascontiguousarray(events[name]))
        return b""

    def finish(self) -> memoryview:
        """The archive."""
        dtypes = {"t": np.int64, "x": np.int16, "y": np.int16, "p": np.uint8}
        columns = {
            name: np.concatenate([np.empty(0, dtypes[name]), *parts]) for name, parts in self._parts.items()
        }
        out = io.BytesIO()
        np.savez(out, sensor_size=np.array(self._sensor), **columns)  # type: ignore[arg-type]
        return out.getbuffer()
