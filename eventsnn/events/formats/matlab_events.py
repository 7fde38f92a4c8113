"""Events in MATLAB files (``.mat``, level 5): ASL-DVS, and files of MATLAB tools for event cameras.

Vectors ``x``, ``y``, ``ts``, ``pol`` (other usual names will do), at the top of the file or in a structure
(``TD.x``, ``aedat.data.polarity.x`` of iniVation's AedatTools), of which a file may hold several; or a table
whose columns the caller names. Times in microseconds unless a name or ``columns`` says otherwise, or they can
be seconds only; polarities 0 and 1, -1 and 1, or 1 and 2. Read whole. MATLAB 7.3 writes HDF5
(`hdf5_events`).

Bi, Chadha, Abbas, Bourtsoulatze, Andreopoulos (2019). Graph-based object classification for neuromorphic
vision sensing. ICCV (ASL-DVS).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from eventsnn._util.words import number_of
from eventsnn.errors import EventFileError, EventStreamError
from eventsnn.events.fields import find_fields
from eventsnn.events.formats.base import FileFormat, Match, Options, read_bytes
from eventsnn.events.formats.columns import HOW, Columns
from eventsnn.events.formats.matlab import MatlabError, Matrix, find_matrices
from eventsnn.events.formats.streams import StreamInfo, choose_stream
from eventsnn.events.formats.units import tell_unit
from eventsnn.events.formats.validator import EventValidator, Validated

MAGIC = b"MATLAB 5.0"


def holds_matrix(head: bytes, path: str, name: str) -> bool:
    """Whether a MATLAB file has a numeric matrix of this name; a damaged one may have it."""
    if not head.startswith(MAGIC):
        return False
    try:
        return any(matrix.name == name for matrix in find_matrices(read_bytes(path)))
    except MatlabError:
        return True


def _recognise(head: bytes, path: str) -> Match:
    """Decide by MATLAB's magic text; files of ST-MNIST are left to their own format."""
    if not head.startswith(MAGIC) or holds_matrix(head, path, "spiketrain"):
        return Match.NO
    return Match.CONTENT


@dataclass(frozen=True)
class _Events:
    """Events of a file: their structure or table, their columns, and the time unit in the names."""

    name: str
    columns: dict[str, np.ndarray]
    unit: str | None


class MatlabReader(Validated):
    """See `eventsnn.events.formats.base.Reader`."""

    def __init__(self, path: str | os.PathLike[str], options: Options) -> None:
        self._path = path
        given = Columns.given(path, options.columns)
        try:
            found = _find_events(path, list(find_matrices(read_bytes(path))), given)
        except MatlabError as error:
            raise EventFileError(path, f"damaged MATLAB file ({error})") from None
        self.streams = tuple(
            StreamInfo(k, events.name, about=number_of(len(events.columns["t"]), "event"))
            for k, events in enumerate(found)
        )
        self.stream = choose_stream(path, self.streams, options.stream)
        events = found[self.stream.number]
        self._columns = events.columns
        self._unit = (given.unit if given else None) or events.unit
        if self._unit is None:
            self._unit = tell_unit(path, events.name or "ts", self._columns["t"])
        self.polarities = 2 if "p" in self._columns else 1
        self._validator = EventValidator(path, options, None)

    def __iter__(self) -> Iterator[np.ndarray]:
        yield self._validator.admit_columns(self._columns, self._unit)


def _find_events(
    path: str | os.PathLike[str], matrices: list[Matrix], given: Columns | None
) -> list[_Events]:
    """Events at the top of a file, or in its structures; else the tables that the caller's columns fit."""
    vectors = [m for m in matrices if len(m.shape) == 2 and min(m.shape) <= 1]
    candidates, problem = [], None
    for home in dict.fromkeys(m.name.rpartition(".")[0] for m in vectors):
        of_home = [m for m in vectors if m.name.rpartition(".")[0] == home]
        for size in sorted({max(m.shape) for m in of_home}, reverse=True):
            some = [m for m in of_home if max(m.shape) == size]
            try:
                fields = find_fields([m.name.rpartition(".")[2] for m in some], remedy="rename the variable")
            except EventStreamError as error:
                problem = problem or str(error)
                continue
            if fields is not None:
                columns = {role: some[k].read().reshape(-1) for role, k in fields.place.items()}
                candidates.append(_Events(home, columns, fields.unit))
                break
    if not candidates and given is not None:
        candidates = [table for m in matrices if (table := _table(m, given)) is not None]
    if candidates:
        return candidates
    names = ", ".join(m.name for m in matrices[:8]) or "no numbers"
    tables = [m for m in matrices if len(m.shape) == 2 and min(m.shape) in (3, 4, 5)]
    if problem is None and tables:
        problem = f"the columns of the table {tables[0].name} have no names; {HOW}"
    raise EventFileError(path, problem or f"needs vectors x, y, ts, [pol]; it holds {names}")


def _table(matrix: Matrix, columns: Columns) -> _Events | None:
    if len(matrix.shape) != 2 or columns.width not in matrix.shape:
        return None
    rows = matrix.read()
    rows = rows if matrix.shape[1] == columns.width else rows.T
    return _Events(matrix.name, {role: rows[:, k] for role, k in columns.place.items()}, columns.unit)


MATLAB = FileFormat("matlab", (".mat",), _recognise, MatlabReader)
