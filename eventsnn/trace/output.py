"""The file behind a trace writer: it grows for a long time, on a disk that may become full."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eventsnn._util.atomic import GuardedFile, Replacement, reason
from eventsnn._util.hdf5 import close_unwritable, keep_metadata, write_guarded
from eventsnn._util.interrupts import hold_interrupts
from eventsnn._util.lock import Lock
from eventsnn._util.words import number_of
from eventsnn.errors import TraceError
from eventsnn.model import Network
from eventsnn.trace import schema
from eventsnn.trace.column import Column
from eventsnn.trace.creation import fill_file

if TYPE_CHECKING:
    import h5py


class TraceFile:
    """An HDF5 file of growing data sets, under a temporary name until `commit`.

    Where a write fails, HDF5 is of no further use: it would lose what it could not write without a word when
    a data set is closed, and crash at the end of the program. Therefore the data sets stay open, all is
    flushed while they are, and after the first failure what HDF5 still wants to write goes nowhere: the file
    stays as the last `flush` left it, and every further call fails.

    Parameters
    ----------
    path : path
        The file's final name. Another writer of it is kept out as long as this one is open.
    network, columns, config_json, seed, many
        What the file holds from the start; see `eventsnn.trace.creation.fill_file`.

    Attributes
    ----------
    sealed : int
        Samples that are complete in the file, for whoever writes it to keep up to date.

    Raises
    ------
    TraceError
        The file cannot be written, or somebody else writes it.
    """

    def __init__(
        self,
        path: Path,
        network: Network,
        columns: Iterable[Column],
        config_json: str,
        seed: int | None,
        many: bool,
    ) -> None:
        import h5py

        self.path = path
        self.sealed = 0
        self._lock = Lock(path, lambda text: TraceError(f"{path}: {text}"))
        try:
            self._new = Replacement(path)
        except OSError as error:
            self._lock.release()
            raise TraceError(f"{path}: cannot be written ({reason(error)})") from None
        self._file: h5py.File | None = None
        try:
            self._create(network, columns, config_json, seed, many)
            self._file = h5py.File(self._new.part, "r+", libver=schema.LIBVER)
            keep_metadata(self._file)
            self._columns = {column.path: self._file[column.path] for column in columns}
            self._file.swmr_mode = True  # from here on no dataset and no attribute can be added
        except BaseException as error:
            self._give_up()
            self.end()
            if isinstance(error, OSError | RuntimeError):
                raise self._failure(error) from None
            raise

    def _create(
        self, network: Network, columns: Iterable[Column], config_json: str, seed: int | None, many: bool
    ) -> None:
        """Write the initial content of the file through a buffer on which HDF5 cannot fail."""
        descriptor = os.dup(self._new.descriptor)
        raw = GuardedFile(descriptor, lambda text: TraceError(text), pretend=True, owns=True)
        try:
            with hold_interrupts(), write_guarded(raw, libver=schema.LIBVER) as file:
                fill_file(file, network, columns, config_json, seed, many)
        except TraceError as error:
            raise TraceError(f"{self.path}: cannot be written ({error})") from None
        finally:
            raw.close()

    @property
    def part(self) -> Path:
        """Where the file is until `commit`."""
        return self._new.part

    @property
    def is_open(self) -> bool:
        """False after `commit` or `end`, and after a write that failed."""
        return self._file is not None

    def write(self, column: str, first: int, values: np.ndarray) -> None:
        """Write rows of a column from row `first` on, which become its last."""
        self._call(lambda: _append(self._columns[column], first, values))

    def chunk_rows(self, column: str) -> int:
        """Rows of a chunk of a column."""
        return self._columns[column].chunks[0]

    def cut(self, column: str, rows: int) -> None:
        """Drop the rows of a column from `rows` on."""
        self._call(lambda: self._columns[column].resize(rows, axis=0))

    def flush(self) -> None:
        """Pass all written data to the operating system: they survive a kill of this process."""
        self._call(lambda: self._opened().flush())

    def commit(self) -> None:
        """Close the file and give it its name, when all of it is on the disk."""
        self.flush()
        self._call(self._close)
        try:
            self._check()
            self._new.commit()
        except BrokenPipeError:
            raise
        except (OSError, RuntimeError) as error:
            raise self._failure(error) from None
        self._lock.release()

    def end(self) -> None:
        """Close the file, if it is still open; leave it where it is if there is a complete sample in it."""
        try:
            if self._file is not None:
                self._call(self._close)
        finally:
            self._give_up()
            if self.sealed:
                self._new.keep()
            else:
                self._new.discard()
            self._lock.release()

    def _check(self) -> None:
        """Raise OSError unless the file holds what was written."""
        import h5py

        with h5py.File(self.part, "r") as file:
            complete = int(np.sum(file[schema.COMPLETE.path][()]))
        if complete != self.sealed:
            raise OSError(f"wrote {number_of(self.sealed, 'sample')}, and {complete} are in the file")

    def _opened(self) -> h5py.File:
        if self._file is None:
            raise TraceError(f"{self.path}: the trace is closed")
        return self._file

    def _call(self, function: Callable[[], object]) -> None:
        """Call h5py; if the file cannot be written, abandon it and raise the reason."""
        self._opened()
        try:
            function()
        except (OSError, RuntimeError) as error:
            self._give_up()
            raise self._failure(error) from None

    def _close(self) -> None:
        self._opened().close()
        self._file, self._columns = None, {}

    def _give_up(self) -> None:
        """Close the file and discard what HDF5 cannot write."""
        file, self._file = self._file, None
        if file is not None:
            close_unwritable(file)
        self._columns = {}

    def _failure(self, error: Exception) -> TraceError:
        samples = "sample" if self.sealed == 1 else number_of(self.sealed, "sample")
        kept = f"; {self.part} holds the first {samples}, complete" if self.sealed else ""
        return TraceError(f"{self.path}: cannot be written ({_cause(error)}){kept}")


def _append(dataset: h5py.Dataset, first: int, values: np.ndarray) -> None:
    """Write rows from row `first` on, which become the last of a data set."""
    end = first + len(values)
    dataset.resize(end, axis=0)
    size = dataset.chunks[0]
    begin, whole = first, -(-first // size) * size
    if dataset.ndim == 1 and dataset.compression is None and whole + size <= end:
        # Whole chunks go past the cache of chunks, which would copy them once more.
        if whole > first:
            dataset[first:whole] = values[: whole - first]
        write = dataset.id.write_direct_chunk
        for begin in range(whole, end - size + 1, size):
            write((begin,), values[begin - first : begin - first + size])
        begin += size
    if begin < end:
        dataset[begin:] = values[begin - first :]


def _cause(error: Exception) -> str:
    """The cause of a failure in a few words, from HDF5's many lines."""
    match = re.search(r"errno = (\d+)", str(error))
    number = getattr(error, "errno", None) or (match and int(match[1]))
    return os.strerror(number) if number else " ".join(str(error).split())[:200]
