"""Spikes as lines of text, written immediately: lines stay complete however the program ends."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO

import numpy as np

from eventsnn._util.atomic import reason
from eventsnn._util.lock import Lock
from eventsnn.errors import TraceError
from eventsnn.trace.record import SpikeRecord

HEADER = b"time_ms,layer,neuron\n"


class SpikeText:
    """A table of spikes, one a line: ``time_ms,layer,neuron``, sorted by (time, layer, neuron).

    Times are written with all their digits: reading them back gives the same bits. The file depends on the
    spikes alone, not on the parts they came in.

    Parameters
    ----------
    path : path
        Replaced if it exists; ``-`` for standard output.
    keep : int, optional
        Go on behind the first `keep` bytes of the file, which were written by an earlier run.

    Raises
    ------
    TraceError
        The file cannot be written, or is shorter than `keep`.
    """

    def __init__(self, path: str | os.PathLike[str], *, keep: int | None = None) -> None:
        self.path = os.fspath(path)
        self.spikes = 0
        self._file: BinaryIO | FileIO
        if self.path == "-":
            if sys.stdout is None:
                raise TraceError("standard output is closed")
            self._file = sys.stdout.buffer
        else:
            # Before anything of it is cut off: another run may be writing it.
            self._lock = Lock(self.path, lambda text: TraceError(f"{self.path}: {text}"))
            try:
                self._file = self._open(keep)
            except BaseException:
                self._lock.release()
                raise
        self._whole = keep or 0  # bytes of whole lines in the file
        if not keep:
            self._write(HEADER)

    def _open(self, keep: int | None) -> FileIO:
        try:
            if not keep:
                return Path(self.path).open("wb", buffering=0)
            size = os.path.getsize(self.path)
            if size < keep:
                raise TraceError(
                    f"{self.path}: holds {size} bytes, fewer than the {keep} written when the state "
                    "was saved; put the file back, or give another name"
                )
            os.truncate(self.path, keep)
            return Path(self.path).open("ab", buffering=0)
        except OSError as error:
            raise TraceError(f"{self.path}: cannot be written ({reason(error)})") from None

    def append(self, part: SpikeRecord) -> None:
        """Write the spikes of a part; the system has them when this returns."""
        names = list(part.layers)
        times = np.concatenate([part[name].times for name in names])
        layers = np.repeat(np.arange(len(names)), [len(part[name]) for name in names])
        neurons = np.concatenate([part[name].neurons for name in names])
        order = np.lexsort((neurons, layers, times))
        rows = zip(times[order].tolist(), layers[order].tolist(), neurons[order].tolist(), strict=True)
        self._write("".join([f"{t!r},{names[layer]},{n}\n" for t, layer, n in rows]).encode())
        self.spikes += len(times)

    def sync(self) -> int:
        """Have everything on the disk; returns the file's length in bytes, 0 for standard output."""
        if self.path == "-":
            return 0
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise TraceError(f"{self.path}: cannot be written ({reason(error)})") from None
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        if self.path != "-":
            self._file.close()
            self._lock.release()

    def _write(self, data: bytes) -> None:
        unwritten = memoryview(data)
        try:
            while unwritten:
                unwritten = unwritten[self._file.write(unwritten) :]
            self._file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            self._drop_cut_line()
            raise TraceError(f"{self.path}: cannot be written ({reason(error)})") from None
        self._whole += len(data)

    def _drop_cut_line(self) -> None:
        """After a failure only whole lines stay: half a number would be read as another one."""
        target = Path(os.path.realpath(self.path))
        if self.path == "-" or not target.is_file():
            return
        with suppress(OSError):
            os.ftruncate(self._file.fileno(), self._whole)
            if not self._whole:
                target.unlink()
