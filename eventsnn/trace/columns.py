"""The columns of a trace in the making: rows wait until enough are there; ranges have checksums."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from eventsnn.trace.checks import add_to_crc, combine_crcs
from eventsnn.trace.column import DATA, POINTERS, SEAL, Column
from eventsnn.trace.output import TraceFile

FLUSH_BYTES = 2**24
"""Of data, kept back before they are written."""

LARGEST_BUFFER: Final = 2**24
"""Bytes that the buffer of a column keeps when it is empty."""


class GrowingColumns:
    """Appends rows to the columns of a trace.

    Parameters
    ----------
    file : TraceFile
    columns : iterable of Column
        Those of the file.
    """

    def __init__(self, file: TraceFile, columns: Iterable[Column]) -> None:
        self._file, self._columns = file, tuple(columns)
        self._dtypes = {column.path: column.dtype for column in self._columns}
        self._covers = {column.path: column.covers for column in self._columns if column.covers}
        # CRC-32 of what `put` has appended to each column that has checksums, since the last one.
        self._crcs: dict[str, int] = {
            f"{path.rpartition('/')[0]}/{name}": 0 for path, names in self._covers.items() for name in names
        }
        # Rows of data in buffers; of all else the values: there is one for each sample or spike.
        self._buffers = {c.path: RowBuffer(c) for c in self._columns if c.stage == DATA or c.width}
        self._values: dict[str, list[Any]] = {
            c.path: [] for c in self._columns if c.path not in self._buffers
        }
        self._pending_bytes = 0
        self._written = {column.path: int(column.is_pointer) for column in self._columns}  # rows in the file
        self._rows = dict(self._written)  # rows in the file and pending

    def ends(self) -> dict[str, int]:
        """Number of rows of every column, for `rewind`."""
        return dict(self._rows)

    def rows(self, path: str) -> int:
        """Number of rows of a column."""
        return self._rows[path]

    def put(self, path: str, values: np.ndarray) -> None:
        """Append to a column of data."""
        values = np.ascontiguousarray(values, dtype=self._dtypes[path])
        if path in self._crcs:
            self._crcs[path] = add_to_crc(self._crcs[path], values)
        self.extend(path, len(values))[...] = values
        self.write_if_full()

    def extend(self, path: str, n: int) -> np.ndarray:
        """Append `n` rows to a column of data, for the caller to fill before anything else is appended.

        Their checksum is the caller's matter, and so is `write_if_full`.
        """
        rows = self._buffers[path].extend(n)
        self._rows[path] += n
        self._pending_bytes += rows.nbytes
        return rows

    def write_if_full(self) -> None:
        """Write the data if many are pending."""
        if self._pending_bytes > FLUSH_BYTES:
            self._write_stage(DATA, whole_chunks=True)
            if self._pending_bytes > FLUSH_BYTES // 2:  # of very many columns
                self._write_stage(DATA)

    def put_one(self, path: str, value: Any) -> None:
        """Append one row to a column that is not data."""
        self._values[path].append(value)
        self._rows[path] += 1

    def put_many(self, path: str, values: np.ndarray) -> None:
        """Append rows to a column that is not data."""
        self._values[path].extend(values.tolist())
        self._rows[path] += len(values)

    def peek_crc(self, path: str) -> int:
        """The row of a checksum that `put_crc` would store now."""
        group = path.rpartition("/")[0]
        return combine_crcs([self._crcs[f"{group}/{name}"] for name in self._covers[path]])

    def put_crc(self, path: str) -> None:
        """Store a row of a checksum: it covers all that was `put` to its columns since its last row."""
        self.put_one(path, self.peek_crc(path))
        group = path.rpartition("/")[0]
        self._crcs.update({f"{group}/{name}": 0 for name in self._covers[path]})

    def point(self, pointer: str, column: str) -> None:
        """Close a row of a CSR pointer at the present end of `column`."""
        self.put_one(pointer, self._rows[column])

    def end_group(self, group: str, column: str) -> None:
        """End a sample's rows of a group, at the present end of one of its columns."""
        self.point(f"{group}/sample_ptr", f"{group}/{column}")
        self.put_crc(f"{group}/sample_crc")

    def rewind(self, rows: dict[str, int]) -> None:
        """Drop everything beyond `rows`, pending or written."""
        for path, keep in rows.items():
            pending = max(0, keep - self._written[path])
            if path in self._buffers:
                self._buffers[path].cut(pending)
            else:
                del self._values[path][pending:]
            if self._written[path] > keep:
                self._file.cut(path, keep)
                self._written[path] = keep
        self._rows = rows
        self._pending_bytes = sum(buffer.nbytes for buffer in self._buffers.values())
        self._crcs = dict.fromkeys(self._crcs, 0)

    def write_out(self, samples: int) -> None:
        """Write pending data, after which `complete` samples are complete.

        Data come first, then pointers, then the seal, each flushed before the next.
        """
        for stage in (DATA, POINTERS, SEAL):
            self._write_stage(stage)
            self._file.flush()
        self._file.sealed = samples

    def _write_stage(self, stage: int, whole_chunks: bool = False) -> None:
        """Write what is pending; with `whole_chunks` not what fills no chunk: it would cost as much."""
        for column in self._columns:
            path, written = column.path, self._written[column.path]
            end = self._rows[path]
            if whole_chunks:
                size = self._file.chunk_rows(path)
                end = max(written, end // size * size)
            if column.stage != stage or end == written:
                continue
            buffer = self._buffers.get(path)
            values = (
                np.array(self._values[path], column.dtype) if buffer is None else buffer.first(end - written)
            )
            self._file.write(path, written, values)
            # Only now: an interrupted write is repeated at the same place.
            self._written[path] = end
            if buffer is None:
                self._values[path] = []
            else:
                self._pending_bytes -= values.nbytes
                buffer.drop(end - written)


class RowBuffer:
    """Rows of a column that wait to be written, in memory that is used again and again.

    Fresh memory costs more than all that is done with it: the operating system clears each page first.

    Parameters
    ----------
    column : Column
    """

    def __init__(self, column: Column) -> None:
        self._empty = np.empty((0, column.width) if column.width else 0, column.dtype)
        self._memory, self._n = self._empty, 0

    @property
    def nbytes(self) -> int:
        """Of the rows that wait."""
        return self._memory[: self._n].nbytes

    def first(self, n: int) -> np.ndarray:
        """The first `n` of the rows that wait; a view."""
        return self._memory[:n]

    def extend(self, n: int) -> np.ndarray:
        """Append rows, for the caller to fill; a view of them."""
        first, self._n = self._n, self._n + n
        if self._n > len(self._memory):
            shape = (max(self._n, first + first // 2), *self._memory.shape[1:])
            memory = np.empty(shape, self._memory.dtype)
            memory[:first] = self._memory[:first]
            self._memory = memory
        return self._memory[first : self._n]

    def cut(self, n: int) -> None:
        """Keep the first `n` rows only."""
        self._n = min(self._n, n)

    def drop(self, n: int) -> None:
        """Drop the first `n` rows."""
        kept = self._memory[n : self._n].copy()
        self._n = len(kept)
        if self._memory.nbytes > LARGEST_BUFFER:
            self._memory = kept
        else:
            self._memory[: len(kept)] = kept
