"""ST-MNIST (``.mat``): digits written on a tactile sensor of 10 x 10 taxels.

A MATLAB file with one array ``spiketrain`` of shape (101, n): 100 rows of taxels (1 ON, -1 OFF, 0 nothing),
row by row, and in the last row the times in seconds. Times are rounded to microseconds and do not wrap.
Read whole.

See, Lim, Li, Yao, Wen, Soh, Tee (2020). ST-MNIST: the spiking tactile MNIST neuromorphic dataset.
arXiv:2005.04319.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from eventsnn.errors import EventFileError
from eventsnn.events.formats.base import FileFormat, Match, Options, read_bytes
from eventsnn.events.formats.columns import to_whole
from eventsnn.events.formats.matlab import MatlabError, read_matrix
from eventsnn.events.formats.matlab_events import holds_matrix
from eventsnn.events.formats.validator import EventValidator, Validated

_SENSOR = (10, 10, 2)
_TAXELS = 100
_NAME = "spiketrain"


def _recognise(head: bytes, path: str) -> Match:
    """By MATLAB's magic text and the name of its matrix."""
    return Match.CONTENT if holds_matrix(head, path, _NAME) else Match.NO


class STMNISTReader(Validated):
    """See `eventsnn.events.formats.base.Reader`."""

    def __init__(self, path: str | os.PathLike[str], options: Options) -> None:
        try:
            table = read_matrix(read_bytes(path), _NAME)
        except MatlabError as error:
            raise EventFileError(path, f"damaged MATLAB file ({error})") from None
        if table is None or table.ndim != 2 or len(table) != _TAXELS + 1:
            actual = "none" if table is None else f"one of shape {table.shape}"
            raise EventFileError(
                path, f"needs an array 'spiketrain' of numbers, shape (101, n); it has {actual}"
            )
        self._path, self._table = path, table
        self._validator = EventValidator(path, options, _SENSOR)

    def __iter__(self) -> Iterator[np.ndarray]:
        t = to_whole(self._path, "t", self._table[_TAXELS], "s")
        # Transposed, so that events of one column stay together and columns in order.
        column, taxel = np.nonzero(self._table[:_TAXELS].T)
        values = self._table[taxel, column]
        y, x = np.divmod(taxel, _SENSOR[0])
        yield self._validator.admit(t[column], x, y, values > 0)


STMNIST = FileFormat("st-mnist", (".mat",), _recognise, STMNISTReader)
