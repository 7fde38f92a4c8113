"""Event recordings in HDF5 (``.h5``, ``.hdf5``, MATLAB 7.3's ``.mat``) of any layout.

`hdf5_layouts` finds the data sets of events. Of several streams (cameras, sides) the caller chooses one.

Times: the unit comes from ``columns`` (``t[ms],x,y,p``), an attribute ``units``, or a name (``t_us``); else
whole numbers are microseconds (from 1e17 on nanoseconds: microseconds would be after the year 5000), and
fractions are seconds where they can be nothing else. ``t_offset`` beside the stream or above it is added.
Whole numbers stay exact.

DSEC: ``events/{x, y, t, p}`` and ``t_offset``, compressed with Blosc (extra ``hdf5``); 640 x 480 unless the
file or the caller says. Prophesee: ``CD/events``, compressed with ECF, for which a plugin of HDF5 is needed.

Gehrig, Aarents, Gehrig, Scaramuzza (2021). DSEC: a stereo event camera dataset. IEEE RA-L 6:4947. Zhu et al.
(2018). The multivehicle stereo event camera dataset. IEEE RA-L 3:2032. Chaney et al. (2023). M3ED. CVPR
workshops. Klenk et al. (2021). TUM-VIE. IROS. Rebecq, Gehrig, Scaramuzza (2018). ESIM. CoRL.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from eventsnn._util.words import number_of
from eventsnn.errors import EventFileError
from eventsnn.events.fields import parse_unit
from eventsnn.events.formats.base import FileFormat, Match, Options
from eventsnn.events.formats.columns import Columns, to_whole
from eventsnn.events.formats.hdf5 import (
    call_h5py,
    check_elements,
    check_filters,
    check_stored,
    holds,
    is_hdf5,
    open_hdf5,
)
from eventsnn.events.formats.hdf5_layouts import EventGroup, find_events
from eventsnn.events.formats.streams import StreamInfo, choose_stream
from eventsnn.events.formats.units import HINT, tell_unit
from eventsnn.events.formats.validator import EventValidator, Validated
from eventsnn.events.polarity import word_value
from eventsnn.events.stream import SensorSize

_ROWS, _MOST_ROWS = 1 << 16, 1 << 20
_UNITS = ("units", "unit", "time_units", "time_unit", "t_units", "t_unit")
_OFFSETS = ("t_offset", "time_offset", "timestamp_offset")
_SIZES = ("sensor_size", "sensor_resolution", "resolution", "calib/resolution", "geometry", "image_size")
_DSEC_SIZE = (640, 480)
_LONGEST_WORD = 16
_NUMBERS = re.compile(r"(?<![\d.])\d{1,6}(?![\d.])")
_DSEC_MARK, _PROPHESEE_MARK = "events/x", "CD/events"
_OTHERS = (_DSEC_MARK, _PROPHESEE_MARK, "spikes/units", "eventsnn/words")


def _recognise_any(head: bytes, path: str) -> Match:
    """By the magic number, and that the file is of no other format and no network, trace or state of ours."""
    if not is_hdf5(head) or any(holds(head, path, mark) for mark in _OTHERS) or _is_our_own(path):
        return Match.NO
    return Match.NAME


def _is_our_own(path: str) -> bool:
    """Whether the file is a network, trace or state of ours; a damaged file is not."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return any(name.startswith("eventsnn") for name in (*file.attrs, *file))
    except Exception:
        return False


class HDF5Reader(Validated):
    """See `eventsnn.events.formats.base.Reader`."""

    def __init__(self, path: str | os.PathLike[str], options: Options) -> None:
        self._path = path
        self._given = Columns.given(path, options.columns)
        self._file: Any = open_hdf5(path)
        try:
            self._events = call_h5py(path, lambda: self._choose(options.stream))
            sensor = call_h5py(path, self._find_sensor)
            self._unit = call_h5py(path, self._find_unit)
            self._offset = call_h5py(path, self._find_offset)
        except BaseException:
            self.close()
            raise
        self.polarities = 2 if "p" in self._events.columns else 1
        self._validator = EventValidator(path, options, sensor)

    def _choose(self, stream: str | int | None) -> EventGroup:
        groups = find_events(self._path, self._file, self._given)
        self.streams = tuple(
            StreamInfo(k, group.name, about=number_of(group.count, "event")) for k, group in enumerate(groups)
        )
        self.stream = choose_stream(self._path, self.streams, stream)
        chosen = groups[self.stream.number]
        for column in chosen.columns.values():
            check_filters(self._path, column)
            check_stored(self._path, column)
        sizes = {column.size for column in chosen.columns.values()}
        if len(sizes) != 1:
            raise EventFileError(self._path, f"{chosen.name}: its columns are of different lengths")
        return chosen

    def _places(self) -> Iterator[Any]:
        """The stream's group and those above it."""
        group = self._events.home
        while True:
            yield group
            if group.name == "/":
                return
            group = group.parent

    def _facts(self, names: tuple[str, ...]) -> Iterator[tuple[str, np.ndarray]]:
        """Attributes and small data sets of these names, the nearest first."""
        import h5py

        for group in (*(self._events.columns["t"],), *self._places()):
            for name in names:
                if name in group.attrs:
                    yield name, np.asarray(group.attrs[name])
                item = group.get(name) if isinstance(group, h5py.Group) else None
                if not isinstance(item, h5py.Dataset) or not item.size or item.size > 4:
                    continue
                if item.dtype.kind in "iuf":
                    check_stored(self._path, item)
                    yield name, np.asarray(item[()])

    def _find_sensor(self) -> SensorSize | None:
        polarities = 2 if "p" in self._events.columns else 1
        sides = [next(self._numbers((name,), 1), None) for name in ("width", "height")]
        size = next(self._numbers(_SIZES, 2), None)
        if sides[0] and sides[1]:
            size = (sides[0][0], sides[1][0])
        elif size is not None:
            # Both orders are in use; sensors are wider than high.
            size = (max(size), min(size))
        elif self._events.name == "events" and "t_offset" in self._file:
            size = _DSEC_SIZE
        if size is None or not all(0 < n <= 2**15 for n in size):
            return None
        return (size[0], size[1], polarities)

    def _numbers(self, names: tuple[str, ...], n: int) -> Iterator[tuple[int, ...]]:
        """Attributes that hold a given number of whole numbers, or texts such as ``640x480``."""
        for _, values in self._facts(names):
            flat = np.atleast_1d(values).reshape(-1)
            if flat.dtype.kind in "SUO" and len(flat) <= n:
                words = [word.decode("latin-1") if isinstance(word, bytes) else str(word) for word in flat]
                flat = np.array([float(word) for word in _NUMBERS.findall(" ".join(words))])
            if flat.dtype.kind in "iuf" and n <= len(flat) <= n + (n > 1) and np.isfinite(flat).all():
                yield tuple(int(value) for value in flat[:n])

    def _find_unit(self) -> str | None:
        if self._given is not None and self._given.unit is not None:
            return self._given.unit
        for name, value in self._facts(_UNITS):
            text = value.reshape(-1)[0] if value.size else ""
            text = text.decode("latin-1") if isinstance(text, bytes) else str(text)
            if not text.strip():
                continue
            unit = parse_unit(text)
            # "units" may be those of something else, unless it is a multiple of one.
            if unit is None and (name != "units" or any(letter.isdigit() for letter in text)):
                raise EventFileError(self._path, f"{name} = {text[:40]!r} is not a unit of time; {HINT}")
            if unit is not None:
                return unit
        if self._events.unit is not None:
            return self._events.unit
        first = self._events.read_times(min(self._events.count, _ROWS))
        return tell_unit(self._path, self._events.name, first, seconds=self._events.seconds)

    def _find_offset(self) -> int:
        for name, value in self._facts(_OFFSETS):
            flat = np.atleast_1d(value).reshape(-1)
            if len(flat) != 1 or flat.dtype.kind not in "iuf":
                text = (
                    f"{name} must be one number, got {len(flat)} of type {flat.dtype}: correct or delete it"
                )
                raise EventFileError(self._path, text)
            return int(to_whole(self._path, "t_offset", flat, self._unit)[0])
        return 0

    def __iter__(self) -> Iterator[np.ndarray]:
        n, step = self._events.count, self._rows_at_a_time()
        for start in range(0, n, step):
            stop = min(start + step, n)
            rows = call_h5py(self._path, partial(self._read, start, stop))
            yield self._validator.admit_columns(rows, self._unit, self._offset)

    def _rows_at_a_time(self) -> int:
        """Whole chunks unless they are too large: HDF5 unpacks a chunk again for every part that is read."""
        chunk = max((max(column.chunks or (1,)) for column in self._events.columns.values()), default=1)
        return min(max(chunk, _ROWS // chunk * chunk), _MOST_ROWS)

    def _read(self, start: int, stop: int) -> dict[str, np.ndarray]:
        polarity = self._events.columns.get("p")
        if polarity is not None and not self._events.keys:
            check_elements(self._path, polarity, start, stop, _LONGEST_WORD)
        rows = self._events.read(start, stop)
        if "p" in rows:
            rows["p"] = _decode_enum(polarity, rows["p"])
        return rows

    def close(self) -> None:
        """Close the file."""
        self._file.close()


DSEC = FileFormat("dsec", (".h5", ".hdf5"), partial(holds, name=_DSEC_MARK), HDF5Reader)
PROPHESEE = FileFormat("prophesee-h5", (".h5", ".hdf5"), partial(holds, name=_PROPHESEE_MARK), HDF5Reader)
HDF5 = FileFormat("hdf5", (".h5", ".hdf5", ".mat"), _recognise_any, HDF5Reader)


def _decode_enum(column: Any, values: np.ndarray) -> np.ndarray:
    """Polarities whose type names its values (ON = 1, OFF = 0, in any order) by these names."""
    import h5py

    names = h5py.check_enum_dtype(column.dtype)
    if not names:
        return values
    out = np.full(len(values), -2, np.int64)  # no polarity
    for name, value in names.items():
        polarity = word_value(name)
        if polarity is None:
            return values
        out[values == value] = polarity
    return out
