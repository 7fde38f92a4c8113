"""Our packed HDF5 (``.h5``): one recording, compressed, in bounded memory, that any HDF5 tool opens.

Data set ``eventsnn/words``: uint64 (n,), each an event as `eventsnn.events.packed_events` has it, in chunks
of 65536, with HDF5's shuffle, gzip and Fletcher-32 (checksum) filters. Its attributes: ``version`` (1),
``sensor_size`` (width, height, polarities: the widths of the fields follow from it) and ``t_offset``,
microseconds to be added to all times.
"""

from __future__ import annotations

import io
import mmap
import os
import weakref
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from eventsnn._util.atomic import GuardedFile, scratch_file
from eventsnn._util.hdf5 import LIBVER, check_self_contained, keep_metadata
from eventsnn._util.interrupts import hold_interrupts
from eventsnn.errors import EventFileError, EventStreamError
from eventsnn.events.formats.base import FileFormat, Options, unwritable
from eventsnn.events.formats.hdf5 import call_h5py, check_filters, check_stored, holds, open_hdf5
from eventsnn.events.formats.validator import EventValidator, Validated
from eventsnn.events.packed_events import from_packed_events, to_packed_events
from eventsnn.events.stream import EVENT_DTYPE, SensorSize, check_sensor_size

WORDS = "eventsnn/words"
VERSION = 1
_ROWS = 1 << 16


class PackedHDF5Reader(Validated):
    """See `eventsnn.events.formats.base.Reader`."""

    def __init__(self, path: str | os.PathLike[str], options: Options) -> None:
        import h5py

        self._path = path
        self._file: Any = open_hdf5(path)
        try:
            call_h5py(path, lambda: check_self_contained(self._file))
            self._words = call_h5py(path, lambda: self._file.get(WORDS))
            if not isinstance(self._words, h5py.Dataset):
                raise EventFileError(path, f"holds no data set {WORDS}: not of format packed-h5")
            self._own, self._offset = call_h5py(path, self._read_attributes)
        except BaseException:
            self.close()
            raise
        self._validator = EventValidator(path, options, self._own)

    def _read_attributes(self) -> tuple[SensorSize, int]:
        """Sensor and time offset, after all checks of them and of the data set."""
        attributes = self._words.attrs
        version = int(attributes["version"])
        if not 1 <= version <= VERSION:
            raise EventFileError(
                self._path,
                f"is of version {version}, this eventsnn reads up to {VERSION}; install a newer one",
            )
        if self._words.dtype != np.dtype("u8") or self._words.ndim != 1:
            raise EventFileError(
                self._path, f"{WORDS} is of dtype {self._words.dtype}, shape {self._words.shape}; damaged"
            )
        check_filters(self._path, self._words)
        check_stored(self._path, self._words)
        try:
            sensor = check_sensor_size(tuple(int(n) for n in attributes["sensor_size"]))
        except EventStreamError as error:
            raise EventFileError(self._path, f"attribute sensor_size: {error}") from None
        offset = int(attributes["t_offset"])
        if not -(2**61) < offset < 2**61:
            raise EventFileError(self._path, f"attribute t_offset is {offset}; damaged")
        return sensor, offset

    def __iter__(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self._words), _ROWS):
            words = call_h5py(self._path, partial(self._words.__getitem__, slice(start, start + _ROWS)))
            events = from_packed_events(words, self._own)
            if len(events) and int(events["t"].max()) >= 2**62:
                raise EventFileError(self._path, f"t = {events['t'].max()} is too large; damaged")
            yield self._validator.admit(events["t"] + self._offset, events["x"], events["y"], events["p"])

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class PackedHDF5Writer:
    """Writer of our packed HDF5.

    HDF5 goes back and forth in its file, so it is written to a nameless temporary file beside the target, of
    which `finish` gives the bytes.
    """

    def __init__(self, path: str | os.PathLike[str], sensor: SensorSize) -> None:
        self._path, self._sensor = path, sensor
        self._rest = np.empty(0, EVENT_DTYPE)
        self._offset: int | None = None
        self._written = 0

    def start(self) -> bytes:
        """Nothing: the bytes come at the end."""
        import h5py

        failure = unwritable(self._path)
        self._temporary = scratch_file(self._path, failure)
        weakref.finalize(self, self._temporary.close)  # also where the parts raise an error
        self._guarded = GuardedFile(os.dup(self._temporary.fileno()), failure, pretend=True, owns=True)
        self._buffered = io.BufferedRandom(self._guarded, 1 << 20)
        with hold_interrupts():
            self._file: Any = h5py.File(self._buffered, "w", libver=LIBVER)
            keep_metadata(self._file)
            self._words: Any = self._file.create_dataset(
                WORDS,
                (0,),
                np.dtype("<u8"),
                maxshape=(None,),
                chunks=(_ROWS,),
                shuffle=True,
                compression="gzip",
                compression_opts=1,
                fletcher32=True,
                track_times=False,
            )
            self._words.attrs["version"] = VERSION
            self._words.attrs["sensor_size"] = np.array(self._sensor, np.int64)
        return b""

    def feed(self, events: np.ndarray) -> bytes:
        """Nothing yet."""
        if self._offset is None and len(events):
            self._offset = int(events["t"][0])
        self._rest = np.concatenate([self._rest, events])
        while len(self._rest) >= _ROWS:
            self._append(self._rest[:_ROWS])
            self._rest = self._rest[_ROWS:]
        return b""

    def finish(self) -> memoryview:
        """The file."""
        if len(self._rest):
            self._append(self._rest)
        with hold_interrupts():
            self._words.attrs["t_offset"] = np.int64(self._offset or 0)
            self._file.close()
            self._buffered.flush()
        self._guarded.check()
        # Pages of a map are given back when memory is short; the file may be larger than memory.
        return memoryview(mmap.mmap(self._temporary.fileno(), 0, access=mmap.ACCESS_READ))

    def _append(self, events: np.ndarray) -> None:
        """Write a whole chunk, or the last one: so the file does not depend on how its events came."""
        shifted = events.copy()
        shifted["t"] -= self._offset
        words = to_packed_events(shifted, self._sensor, self._path, Path(self._path).name)
        with hold_interrupts():
            self._words.resize((self._written + len(words),))
            self._words[self._written :] = words
        self._guarded.check()
        self._written += len(words)


PACKED_HDF5 = FileFormat("packed-h5", (".h5", ".hdf5"), partial(holds, name=WORDS), PackedHDF5Reader)
