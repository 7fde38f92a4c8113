"""SHD and SSC (``.h5``): spoken digits and commands as spikes of a cochlea, many recordings in a file.

``spikes/times`` (seconds, float16 or 32), ``spikes/units``; 700 channels, one polarity. ``sample=`` says
which recording. Times are multiplied in double precision and rounded to microseconds; half precision itself
has steps of 0.24 ms from 0.25 s, 0.49 ms from 0.5 s, 0.98 ms from 1 s on.

Cramer, Stradmann, Schemmel, Zenke (2022). The Heidelberg spiking data sets. IEEE TNNLS 33:2744.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from eventsnn._util.words import number_of
from eventsnn.errors import EventFileError
from eventsnn.events.formats.base import FileFormat, Options
from eventsnn.events.formats.hdf5 import call_h5py, check_elements, check_filters, holds, open_hdf5
from eventsnn.events.formats.validator import EventValidator, Validated

_SENSOR = (700, 1, 1)
_COLUMNS = ("spikes/times", "spikes/units")


class SHDReader(Validated):
    """See `eventsnn.events.formats.base.Reader`."""

    def __init__(self, path: str | os.PathLike[str], options: Options) -> None:
        self._path = path
        self._file: Any = open_hdf5(path)
        self._validator = EventValidator(path, options, _SENSOR)
        try:
            self._sample = call_h5py(path, lambda: self._find_sample(options.sample))
        except BaseException:
            self.close()
            raise

    def _find_sample(self, sample: int | None) -> int:
        import h5py

        times, units = (self._file.get(name) for name in _COLUMNS)
        for name, column in zip(_COLUMNS, (times, units), strict=True):
            if not isinstance(column, h5py.Dataset):
                raise EventFileError(self._path, f"holds no data set {name}: not of format shd")
            check_filters(self._path, column)
        n = len(times)
        if n != len(units):
            raise EventFileError(self._path, f"{n} spikes/times, {len(units)} spikes/units")
        self.samples = n
        if sample is None and n != 1:
            raise EventFileError(
                self._path, f"holds {number_of(n, 'recording')}; pass sample=0 .. {n - 1} (--sample)"
            )
        sample = sample or 0
        if not 0 <= sample < n:
            raise EventFileError(
                self._path, f"holds {number_of(n, 'recording')}: there is no sample {sample}"
            )
        size = os.stat(self._path).st_size
        for column in (times, units):
            kind = h5py.check_vlen_dtype(column.dtype)
            if kind is not None:
                check_elements(self._path, column, sample, sample + 1, size // kind.itemsize)
        return sample

    def __iter__(self) -> Iterator[np.ndarray]:
        t, x = call_h5py(self._path, lambda: [self._file[name][self._sample] for name in _COLUMNS])
        if np.shape(t) != np.shape(x) or np.ndim(t) != 1:
            raise EventFileError(self._path, f"sample {self._sample}: {np.size(t)} times, {np.size(x)} units")
        columns = {"t": np.asarray(t).astype(np.float64), "x": np.asarray(x)}
        yield self._validator.admit_columns(columns, "s")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


SHD = FileFormat("shd", (".h5", ".hdf5"), partial(holds, name=_COLUMNS[1]), SHDReader)
