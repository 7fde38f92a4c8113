"""HDF5 files of our own: written whole or not at all, read with nothing taken on trust."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from eventsnn._util.atomic import Failure, replace_guarded
from eventsnn.interrupts import hold_interrupts

if TYPE_CHECKING:
    import h5py

LIBVER = ("v110", "v110")
"""Format of our HDF5 files: its metadata have checksums, and HDF5 1.10 (2016) and later read it."""


@contextmanager
def replace_hdf5(path: str | os.PathLike[str], failure: Failure, **options: Any) -> Iterator[h5py.File]:
    """Like `eventsnn._util.atomic.replace_file`, for an HDF5 file; `options` go to `h5py.File`.

    HDF5 survives no failed write: what it could not write it drops when a data set is closed, or it crashes
    at the end of the program. So it is never told; the block ends with the error that was met. Ctrl-C waits
    for the end of the block: an exception within h5py's callbacks would be lost.
    """
    import h5py

    options = {"libver": LIBVER, **options}
    with hold_interrupts(), replace_guarded(path, failure, pretend=True) as raw:
        buffered = io.BufferedRandom(raw, 1 << 17)
        with h5py.File(buffered, "w", **options) as file:
            keep_metadata(file)
            yield file
        buffered.flush()
        raw.check()


def keep_metadata(file: h5py.File) -> None:
    """Have HDF5 keep the metadata of an open file in memory: it never reads what could not be written."""
    config = file.id.get_mdc_config()
    config.incr_mode = config.decr_mode = config.flash_incr_mode = 0
    config.evictions_enabled = False
    file.id.set_mdc_config(config)
