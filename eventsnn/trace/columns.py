"""The columns of a trace in the making: rows wait until enough are there; ranges have checksums."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from eventsnn.trace import schema
from eventsnn.trace.checks import combine_crcs
from eventsnn.trace.output import TraceFile

FLUSH_BYTES = 2**24
"""Of data, kept back before they are written."""


class GrowingColumns:
    """Appends rows to the columns of a trace.

    Parameters
    ----------
    file : TraceFile
    columns : iterable of Column
        Those of the file.
    """

    def __init__(self, file: TraceFile, columns: Iterable[schema.Column]) -> None:
        self._file, self._columns = file, tuple(columns)
        self._dtypes = {column.path: column.dtype for column in self._columns}
        self._covers = {column.path: column.covers for column in self._columns if column.covers}
        # CRC-32 of the data appended to each column since its last checksum.
        self._crcs: dict[str, int] = dict.fromkeys(self._dtypes, 0)
        # Arrays of rows; of what is not data, the values themselves: there is one for each sample or spike.
        self._pending: dict[str, list[Any]] = {column.path: [] for column in self._columns}
        self._single = {c.path for c in self._columns if c.stage != schema.DATA and not c.width}
        self._pending_bytes = 0
        self._written = {column.path: int(column.is_pointer) for column in self._columns}  # rows in the file
        self._rows = dict(self._written)  # rows in the file and pending

    def ends(self) -> dict[str, int]:
        """Number of rows of every column, for `rewind`."""
        return dict(self._rows)

    def rows(self, path: str) -> int:
        """Number of rows of a column."""
        return self._rows[path]

    def put(self, path: str, values: np.ndarray, crc: int | None = None) -> int:
        """Append to a column; returns the CRC-32 since its last checksum, or continues `crc`."""
        values = np.ascontiguousarray(values, dtype=self._dtypes[path])
        crc = zlib.crc32(values.data, self._crcs[path] if crc is None else crc)
        self._crcs[path] = crc
        self._pending[path].append(values)
        self._rows[path] += len(values)
        self._pending_bytes += values.nbytes
        if self._pending_bytes > FLUSH_BYTES:
            self._write_stage(schema.DATA)
            self._pending_bytes = 0
        return crc

    def peek_crc(self, path: str) -> int:
        """The row of a checksum that `put_crc` would store now."""
        group = path.rpartition("/")[0]
        return combine_crcs([self._crcs[f"{group}/{name}"] for name in self._covers[path]])

    def put_one(self, path: str, value: Any) -> None:
        """Append one row to a column that is not data."""
        self._pending[path].append(value)
        self._rows[path] += 1

    def put_crc(self, path: str) -> None:
        """Store a row of a checksum: it covers everything appended to its columns since its last row."""
        group = path.rpartition("/")[0]
        columns = [f"{group}/{name}" for name in self._covers[path]]
        crc = combine_crcs([self._crcs[column] for column in columns])
        self._crcs.update(dict.fromkeys(columns, 0))
        self.put_one(path, crc)

    def point(self, pointer: str, column: str) -> None:
        """Close a row of a CSR pointer at the present end of `column`."""
        self.put_one(pointer, self._rows[column])

    def rewind(self, rows: dict[str, int]) -> None:
        """Drop everything beyond `rows`, pending or written."""
        for path, keep in rows.items():
            parts = self._pending[path]
            if path in self._single:
                del parts[max(0, keep - self._written[path]) :]
            while path not in self._single and parts and self._written[path] + sum(map(len, parts)) > keep:
                parts.pop()
            if self._written[path] > keep:
                self._file.cut(path, keep)
                self._written[path] = keep
        self._rows = rows
        self._crcs = dict.fromkeys(self._crcs, 0)

    def write_out(self, samples: int) -> None:
        """Write pending data, after which `complete` samples are complete.

        Data come first, then pointers, then the seal, each flushed before the next.
        """
        for stage in (schema.DATA, schema.POINTERS, schema.SEAL):
            self._write_stage(stage)
            self._file.flush()
        self._pending_bytes = 0
        self._file.sealed = samples

    def _write_stage(self, stage: int) -> None:
        for column in self._columns:
            path, parts = column.path, self._pending[column.path]
            if column.stage != stage or not parts:
                continue
            single = path in self._single
            values = np.array(parts, column.dtype) if single else np.concatenate(parts)
            end = self._written[path] + len(values)
            self._file.write(path, self._written[path], values)
            # Only now: an interrupted write is repeated at the same place.
            self._written[path], self._pending[path] = end, []
