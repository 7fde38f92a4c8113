"""Reads rows of a trace's columns, each checked against its checksum."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eventsnn._util.atomic import PART, find_parts
from eventsnn._util.hdf5 import open_file
from eventsnn.errors import EventSNNError, NetworkError, TraceError
from eventsnn.trace import checks
from eventsnn.trace.progress import Progress

if TYPE_CHECKING:
    import h5py


class ColumnReader:
    """The part of `Trace` that knows the file."""

    path: Path
    _file: h5py.File
    _count: int
    _has_crc: bool
    _progress: Progress | None

    if TYPE_CHECKING:

        def _check_sample(self, sample: int) -> None: ...

    def _open(self, path: Path) -> None:
        if not path.exists():
            parts = ", ".join(map(os.fspath, find_parts(path)))
            hint = (
                f"; its run was killed or is still going on: {parts} holds what is complete" if parts else ""
            )
            raise TraceError(f"{path}: no such file{hint}")
        # One that its writer did not close (killed, or at work) opens in this mode only.
        swmr = path.name.endswith(PART)
        self._file = open_file(path, lambda text: TraceError(f"{path}: {text}"), swmr=swmr)[0]
        self._pointers: dict[str, np.ndarray] = {}
        self._datasets: dict[str, h5py.Dataset] = {}

    @contextmanager
    def _checking(self) -> Iterator[None]:
        """Any exception while the file is read means a damaged trace: h5py raises almost anything then."""
        try:
            yield
        except NetworkError as error:  # of the file's network: names the file already
            raise TraceError(str(error)) from None
        except (EventSNNError, MemoryError):
            raise
        except checks.DamagedError as error:
            raise TraceError(f"{self.path}: a damaged trace ({error})") from None
        except Exception as error:
            raise TraceError(f"{self.path}: a damaged trace ({type(error).__name__}: {error})") from error

    def _pointer(self, group: str) -> np.ndarray:
        """``sample_ptr`` of a group, checked, int64 array (samples + 1,)."""
        if group not in self._pointers:
            pointer = self._file[f"{group}/sample_ptr"][: self._count + 1].astype(np.int64)
            if self._progress is not None:
                pointer = np.append(pointer, self._progress.ends[group])
            data = [item for item in self._file[group].values() if not item.name.endswith(("_ptr", "_crc"))]
            checks.check_pointer(pointer, min(len(item) for item in data), f"{group}/sample_ptr")
            self._pointers[group] = pointer
        return self._pointers[group]

    def _sample_columns(self, path: str, names: tuple[str, ...], sample: int) -> list[np.ndarray]:
        """A sample's rows of some columns of a group, which its checksum is of, in this order."""
        self._check_sample(sample)
        first, last = self._pointer(path)[sample : sample + 2].tolist()
        columns = [self._dataset(f"{path}/{name}")[first:last] for name in names]
        if self._has_crc:
            if self._progress is not None and sample == self._count:
                told = self._progress.crcs[path]
            else:
                told = self._dataset(f"{path}/sample_crc")[sample]
            checks.check_crc(told, columns, f"{path}, sample {sample}")
        return columns

    def _dataset(self, path: str) -> h5py.Dataset:
        """A data set, found once: HDF5 takes as long to find one as to read a sample's rows."""
        if path not in self._datasets:
            self._datasets[path] = self._file[path]
        return self._datasets[path]
