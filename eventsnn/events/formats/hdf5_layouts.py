"""Search for events in an HDF5 file by the structure of the file, whichever program wrote it.

A stream of events is a group with one data set per field (``events/{x, y, t, p}`` of DSEC and TUM-VIE,
``events/{xs, ys, ts, ps}`` of ESIM and e2vid, ``prophesee/left/{x, y, t, p}`` of M3ED, the root of the file),
a data set of compound type (``CD/events`` of Prophesee), or a table of four columns (``davis/left/events`` of
MVSEC). Fields are recognised by their names (`eventsnn.events.fields`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from eventsnn.errors import EventFileError, EventStreamError
from eventsnn.events.fields import find_fields, parse_name
from eventsnn.events.formats.columns import HOW, Columns
from eventsnn.events.formats.hdf5 import check_filters
from eventsnn.events.polarity import PolarityCode, PolarityError

_DEEPEST, _MOST_OBJECTS = 8, 4000
_ROWS = 1 << 16
_COLUMNS = {3, 4, 5, 6}
"""How many a table of events may have."""
_ORDERS = (("x", "y", "t", "p"), ("t", "x", "y", "p"))
# Rows of triggers or indices have a time and a number as well.
_NO_ADDRESSES = ("id", "ids", "i", "gid", "gids")
_ESIM = {"xs", "ys", "ts", "ps"}
_REMEDY = "rename it to p (in Python: h5py.File(..., 'a').move(old, new))"


@dataclass(frozen=True)
class EventGroup:
    """A stream of events in a file.

    Attributes
    ----------
    name : str
        Of the group, or of the data set.
    columns : dict of str to h5py.Dataset
        The data set of each of t, x, y, p; the same one for all if `keys` tell them apart.
    keys : dict of str to str or int
        Names of fields of a compound type, or numbers of columns of a table; empty otherwise.
    across : bool
        Whether a table has its columns one below the other, shape (4, n).
    unit : str or None
        Of the times, where names say it.
    seconds : bool
        Whether the layout is one whose times, if they have fractions, are seconds.
    """

    name: str
    columns: dict[str, Any]
    keys: dict[str, Any]
    across: bool = False
    unit: str | None = None
    seconds: bool = False

    @property
    def home(self) -> Any:
        """The group that contains the stream."""
        return self.columns["t"].parent

    @property
    def count(self) -> int:
        """Number of events."""
        column = self.columns["t"]
        if self.keys and column.ndim == 2 and column.dtype.names is None:
            return int(column.shape[1 if self.across else 0])
        return int(column.size)

    def read_times(self, stop: int) -> np.ndarray:
        """The first times, in the file's unit."""
        return self.read(0, stop)["t"] if self.keys else _vector(self.columns["t"], 0, stop)

    def read(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Some rows, one array of shape (n,) per field."""
        if not self.keys:
            return {role: _vector(column, start, stop) for role, column in self.columns.items()}
        column = self.columns["t"]
        if column.dtype.names is not None:
            rows = _vector(column, start, stop)
            return {role: rows[key] for role, key in self.keys.items()}
        table = column[:, start:stop].T if self.across else column[start:stop]
        return {role: table[:, key] for role, key in self.keys.items()}


def _vector(column: Any, start: int, stop: int) -> np.ndarray:
    """Values of a column, which MATLAB keeps as a matrix of one row or column."""
    if column.ndim == 1:
        return np.asarray(column[start:stop])
    flat = column[0, start:stop] if column.shape[0] == 1 else column[start:stop, 0]
    return np.asarray(flat)


def find_events(path: str | os.PathLike[str], file: Any, columns: Columns | None) -> list[EventGroup]:
    """All streams of events of a file, those at the top of the file first.

    Raises EventFileError where there is none, or only such that leave open what is meant.
    """
    groups: list[EventGroup] = []
    empty: list[EventGroup] = []
    problems: list[str] = []
    names: list[str] = []
    for group in _groups(file):
        children = _children(group)
        names += [
            f"{group.name.strip('/')}/{name}".lstrip("/") for name, _ in zip(group, range(8), strict=False)
        ]
        for candidate in (children, *([child] for child in children)):
            try:
                stream = (
                    _split(group, children) if candidate is children else _single(path, candidate[0], columns)
                )
            except EventStreamError as error:
                problems.append(f"{group.name}: {error}")
                continue
            if stream is not None:
                (groups if stream.count else empty).append(stream)
    if groups or empty:
        return groups or empty
    if problems:
        raise EventFileError(path, problems[0])
    raise EventFileError(
        path,
        "holds no events: data sets t, x, [y], [p] in one group, a compound data set of these, or a table of "
        f"4 columns is needed; it holds {', '.join(names[:8]) or 'nothing'}",
    )


def _groups(file: Any) -> Iterator[Any]:
    """All groups of a file, from its root, without following links to other places."""
    import h5py

    unvisited: list[tuple[Any, int]] = [(file["/"], 0)]
    seen, looked_at = {h5py.h5o.get_info(file["/"].id).addr}, 0
    while unvisited:
        group, depth = unvisited.pop(0)
        yield group
        for name in group:
            looked_at += 1
            if looked_at > _MOST_OBJECTS:
                return
            if depth < _DEEPEST and _is_own(group, name) and group.get(name, getclass=True) is h5py.Group:
                child = group[name]
                address = h5py.h5o.get_info(child.id).addr
                if address not in seen:
                    seen.add(address)
                    unvisited.append((child, depth + 1))


def _is_own(group: Any, name: str) -> bool:
    """Whether a name leads to something in this file that may be events."""
    import h5py

    if "trigger" in name.lower() or name.startswith("#"):
        return False
    return isinstance(group.get(name, getlink=True), h5py.HardLink)


def _children(group: Any) -> list[Any]:
    """The data sets in a group that have values."""
    import h5py

    names = [name for name, _ in zip(group, range(_MOST_OBJECTS), strict=False) if _is_own(group, name)]
    data_sets = (group[name] for name in names if group.get(name, getclass=True) is h5py.Dataset)
    return [item for item in data_sets if item.shape is not None and item.ndim]


def _is_plain(item: Any) -> bool:
    """Numbers or words; of other types of variable length, damaged ones crash HDF5."""
    import h5py

    return item.dtype.kind in "biufS" or h5py.check_string_dtype(item.dtype) is not None


def _is_vector(item: Any) -> bool:
    return item.ndim == 1 or (item.ndim == 2 and 1 in item.shape)


def _split(group: Any, children: list[Any]) -> EventGroup | None:
    """Events as one data set per field."""
    vectors = {
        child.name.rpartition("/")[2]: child for child in children if _is_vector(child) and _is_plain(child)
    }
    times = [child for name, child in vectors.items() if _role(name) == "t"]
    if not times:
        return None
    # Indices into the events, images and their times have other lengths.
    sizes = {child.size for child in times}
    for size in sorted(sizes, reverse=True):
        names = [name for name, child in vectors.items() if child.size == size]
        fields = find_fields(names, remedy=_REMEDY)
        if fields is not None and not _is_numbered(names, fields.place):
            if "p" not in fields.place and (other := [name for name in vectors if _role(name) == "p"]):
                raise EventStreamError(f"{other[0]} and its columns t, x, [y] are of different lengths")
            columns = {role: vectors[names[k]] for role, k in fields.place.items()}
            name = group.name.strip("/") or "/"
            return EventGroup(name, columns, {}, unit=fields.unit, seconds=set(names) >= _ESIM)
    fields_by_role = find_fields([name for name in vectors if _role(name) in tuple("txyp")], remedy=_REMEDY)
    if fields_by_role is not None and len(sizes) == 1 and {"x", "y"} <= fields_by_role.place.keys():
        raise EventStreamError("its columns t, x, y, [p] are of different lengths")
    return None


def _role(name: str) -> str | None:
    try:
        return parse_name(name).role
    except EventStreamError:
        return None


def _is_numbered(names: list[str], place: dict[str, int]) -> bool:
    """Whether the column used as the address may be just the number of the row."""
    return "y" not in place and parse_name(names[place["x"]]).plain in _NO_ADDRESSES


def _single(path: str | os.PathLike[str], item: Any, columns: Columns | None) -> EventGroup | None:
    """Events in one data set."""
    name = item.name.strip("/")
    fields = item.dtype.names
    if fields is not None and _is_vector(item) and not item.dtype.hasobject:
        fields_by_role = find_fields(fields, remedy=_REMEDY)
        if fields_by_role is None or _is_numbered(list(fields), fields_by_role.place):
            return None
        keys = {role: fields[k] for role, k in fields_by_role.place.items()}
        return EventGroup(name, dict.fromkeys(keys, item), keys, unit=fields_by_role.unit)
    if fields is None and item.ndim == 2 and item.dtype.kind in "iuf" and _may_be_events(item):
        check_filters(path, item)
        return _table(name, item, columns)
    return None


def _may_be_events(item: Any) -> bool:
    """Tables of other things (poses, calibrations) have four columns as well."""
    name = item.name.lower()
    return any(word in name for word in ("event", "dvs", "spike")) or len(item.file) == len(item.parent) == 1


def _table(name: str, item: Any, given: Columns | None) -> EventGroup | None:
    width = 4 if given is None else given.width
    if item.size == 0 or (width not in item.shape and not _COLUMNS & set(item.shape)):
        return None
    across = item.shape[1] != width
    if given is not None and width in item.shape:
        return EventGroup(name, dict.fromkeys(given.place, item), dict(given.place), across, given.unit)
    columns = dict.fromkeys("txyp", item)
    orders = [{role: order.index(role) for role in order} for order in _ORDERS]
    tables = [EventGroup(name, columns, keys, across, seconds=True) for keys in orders]
    fitting = [table for table in tables if width in item.shape and _is_plausible(table)]
    if len(fitting) != 1:
        raise EventStreamError(f"the columns of the table {name} of shape {item.shape} have no names; {HOW}")
    return fitting[0]


def _is_plausible(table: EventGroup) -> bool:
    """Whether the first rows can be events in this order of columns."""
    rows = table.read(0, min(table.count, _ROWS))
    if not all(np.isfinite(column).all() for column in rows.values()):
        return False
    try:
        PolarityCode().convert(rows["p"])
    except PolarityError:
        return False
    places = (rows["x"], rows["y"])
    whole = all(((np.rint(v) == v) & (v >= 0) & (v < 2**15)).all() for v in places)
    return bool(whole and (np.diff(rows["t"]) >= 0).all())
