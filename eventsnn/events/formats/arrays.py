"""NumPy's files (``.npy``, ``.npz``): a structured array, or one array per field.

``.npy``: a structured array with the fields t, x and perhaps y, p (as tonic has it), or a table of shape
(n, k) whose columns the caller names. ``.npz``: arrays t, x and perhaps y, p, or one structured array;
``sensor_size`` may give the sensor. Times in microseconds unless ``columns`` says otherwise; no unwrapping.
Files are read part by part; pickled objects are refused.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from eventsnn.errors import EventFileError
from eventsnn.events.formats.base import Anomalies, Match, Options
from eventsnn.events.formats.columns import HOW, Columns, to_whole
from eventsnn.events.formats.gate import Gate
from eventsnn.events.stream import SensorSize, check_sensor_size

_NPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"
_ROWS = 1 << 14
_ALIASES = {
    "t": ("t", "timestamp", "ts", "timestamps"),
    "x": ("x",),
    "y": ("y",),
    "p": ("p", "on", "polarity"),
}


@dataclass(frozen=True)
class ArrayFormat:
    """Reader of ``.npy`` or ``.npz``."""

    name: str
    suffixes: tuple[str, ...]
    magic: bytes

    def sniff(self, head: bytes, path: str) -> Match:
        """By the magic number; a zip archive must be called ``.npz`` too."""
        fits = head.startswith(self.magic) and (self.magic == _NPY or path.lower().endswith(self.suffixes))
        return Match.CONTENT if fits else Match.NO

    def open(self, path: str | os.PathLike[str], options: Options) -> ArrayReader:
        """Open a recording."""
        return ArrayReader(path, options, self.magic == _ZIP)


NPY = ArrayFormat("npy", (".npy",), _NPY)
NPZ = ArrayFormat("npz", (".npz",), _ZIP)


class _Rows:
    """An array in NumPy's format, read some rows at a time."""

    def __init__(self, path: str | os.PathLike[str], file: IO[bytes], name: str) -> None:
        self._path, self._file, self._name = path, file, name
        version = np.lib.format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        self.shape, fortran, self.dtype = read(file)
        if self.dtype.hasobject or (fortran and len(self.shape) > 1) or len(self.shape) not in (1, 2):
            raise EventFileError(
                path, f"array {name!r}: shape {self.shape}, dtype {self.dtype} cannot be read"
            )
        self.left = self.shape[0]

    def read(self, rows: int) -> np.ndarray:
        """Up to `rows` rows; raises EventFileError where the file ends too early."""
        n = min(rows, self.left)
        row = int(np.prod(self.shape[1:])) * self.dtype.itemsize
        data = self._file.read(n * row)
        if len(data) != n * row or (row == 0 and n):
            raise EventFileError(self._path, f"array {self._name!r} is cut: {self.left} rows are missing")
        self.left -= n
        return np.frombuffer(data, self.dtype).reshape(n, *self.shape[1:])


class ArrayReader:
    """See `eventsnn.events.formats.base.Reader`."""

    def __init__(self, path: str | os.PathLike[str], options: Options, archive: bool) -> None:
        self._path = path
        self._columns = Columns.given(path, options.columns)
        self._scale = self._columns.scale if self._columns else 1.0
        self._files: list[Any] = []
        self._arrays: dict[str, _Rows] = {}
        try:
            sensor = self._guard(self._open_archive if archive else self._open_array)
        except BaseException:
            self.close()
            raise
        self._gate = Gate(path, options, sensor)

    def _guard(self, function: Any) -> Any:
        """What NumPy and zipfile throw at damaged files is an EventFileError."""
        try:
            return function()
        except FileNotFoundError:
            raise EventFileError(self._path, "no such file") from None
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, NotImplementedError) as error:
            if isinstance(error, EventFileError):
                raise
            raise EventFileError(self._path, f"damaged file of arrays ({error})") from None
        except (SyntaxError, TypeError, RuntimeError, OverflowError, MemoryError, IndexError) as error:
            raise EventFileError(self._path, f"damaged file of arrays ({error})") from None
        except Exception as error:  # zlib.error and lzma.LZMAError have no base in common
            raise EventFileError(self._path, f"damaged file of arrays ({error})") from None

    def _open_array(self) -> SensorSize | None:
        self._files.append(open(self._path, "rb"))  # noqa: SIM115
        self._arrays = {"": _Rows(self._path, self._files[0], "")}
        self._check_fields(self._arrays[""])
        return None

    def _open_archive(self) -> SensorSize | None:
        archive = zipfile.ZipFile(self._path)
        self._files.append(archive)
        members = {name.removesuffix(".npy"): name for name in archive.namelist()}
        sensor = None
        if "sensor_size" in members:
            with archive.open(members["sensor_size"]) as file:
                size = _Rows(self._path, file, "sensor_size").read(4)
            sensor = check_sensor_size(size.tolist())
        for field, names in _ALIASES.items():
            for name in names:
                if name in members and field not in self._arrays:
                    self._files.append(archive.open(members[name]))
                    self._arrays[field] = _Rows(self._path, self._files[-1], name)
        if not {"t", "x"} <= self._arrays.keys():
            others = [name for name in members if name != "sensor_size"]
            if len(others) != 1:
                raise EventFileError(
                    self._path, f"needs arrays t, x, [y], [p]; it holds {', '.join(members)}"
                )
            self._files.append(archive.open(members[others[0]]))
            self._arrays = {"": _Rows(self._path, self._files[-1], others[0])}
            self._check_fields(self._arrays[""])
        elif len({array.shape for array in self._arrays.values()}) != 1:
            raise EventFileError(self._path, "its arrays are of different shapes")
        return sensor

    def _check_fields(self, array: _Rows) -> None:
        names = array.dtype.names
        if names is not None:
            if "x" not in names or not set(_ALIASES["t"]) & set(names) or len(array.shape) != 1:
                raise EventFileError(self._path, f"needs fields t, x, [y], [p]; it has {', '.join(names)}")
        elif self._columns is None or len(array.shape) != 2 or array.shape[1] != self._columns.width:
            raise EventFileError(self._path, f"an array of shape {array.shape} without names; {HOW}")

    @property
    def sensor(self) -> SensorSize | None:
        """Width, height, polarities; None where neither file nor caller says."""
        return self._gate.sensor

    @property
    def anomalies(self) -> Anomalies:
        """What was odd so far."""
        return self._gate.anomalies

    def __iter__(self) -> Iterator[np.ndarray]:
        while next(iter(self._arrays.values())).left:
            columns = self._guard(self._read_columns)
            n = len(columns["t"])
            x, y, p = (
                to_whole(self._path, name, columns[name]) if name in columns else np.zeros(n, np.int64)
                for name in "xyp"
            )
            yield self._gate.admit(to_whole(self._path, "t", columns["t"], self._scale), x, y, p)

    def _read_columns(self) -> dict[str, np.ndarray]:
        """The next rows, one array per field."""
        if "" not in self._arrays:
            return {name: array.read(_ROWS) for name, array in self._arrays.items()}
        rows = self._arrays[""].read(_ROWS)
        if rows.dtype.names is None:
            assert self._columns is not None
            return {name: rows[:, place] for name, place in self._columns.place.items()}
        return {
            field: rows[name]
            for field, names in _ALIASES.items()
            for name in names
            if name in rows.dtype.names
        }

    def close(self) -> None:
        """Close the file."""
        for file in reversed(self._files):
            file.close()


class NPZEncoder:
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
