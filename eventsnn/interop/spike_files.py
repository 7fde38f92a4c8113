"""Files of spikes for other tools, by the ending of their names."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from eventsnn.errors import TraceError
from eventsnn.interop.spike_table import SpikeTable
from eventsnn.trace import Trace
from eventsnn.trace.tables import SpikeSelection


class SpikeFormat(Protocol):
    """A module of this package that writes and reads one kind of file."""

    def write(self, selection: SpikeSelection, path: Path) -> None:
        """Write the spikes of a selection."""

    def read(self, path: Path) -> SpikeTable:
        """Read such a file back, or one of another program."""


FORMATS = {
    ".parquet": "parquet",
    ".csv": "csv_table",
    ".npz": "npz",
    ".nwb": "nwb",
}
"""Endings of files of spikes, and the modules of this package that know them."""


def export_spikes(
    trace: Trace | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    layers: str | Iterable[str] | None = None,
    samples: int | Iterable[int] | None = None,
) -> int:
    """Write the spikes of a trace to a file of another tool, in bounded memory.

    Parameters
    ----------
    trace : Trace or path
    path : path
        The ending says what is written: ``.parquet`` (Apache Parquet, for pandas, Polars, DuckDB, R),
        ``.csv``, ``.npz`` (NumPy), ``.nwb`` (Neurodata Without Borders, which Neo reads too). Replaced if it
        exists; it appears when it is complete.
    layers : str or sequence of str, optional
        "input", "bias" or layers of the network; all by default.
    samples : int or sequence of int, optional
        Recordings of the trace; all by default.

    Returns
    -------
    int
        How many spikes were written.

    Raises
    ------
    TraceError
        No such layer, sample or ending, or the file cannot be written.
    MissingExtraError
        The format's library is not installed; the text names the extra.
    """
    if not isinstance(trace, Trace):
        with Trace(trace) as opened:
            return export_spikes(opened, path, layers=layers, samples=samples)
    selection = SpikeSelection.of(trace, layers, samples)
    target = Path(path)
    _find(target).write(selection, target)
    return sum(map(selection.count, selection.sizes))


def read_spikes(path: str | os.PathLike[str]) -> SpikeTable:
    """Read spikes from a file that `export_spikes` wrote, or another program with such a table.

    Times have the exact bits of the trace in every format. ``.csv`` does not keep what is known of the
    recordings and how many neurons a layer has. In files of other programs, columns ``neuron`` and
    ``time_ms`` are needed (``.parquet``, ``.csv``), and the units of ``.nwb`` are the neurons of one layer,
    ``"units"``.

    Parameters
    ----------
    path : path

    Raises
    ------
    TraceError
        No such file, an ending that is none of a file of spikes, or a file that cannot be read.
    MissingExtraError
        The format's library is not installed.
    """
    source = Path(path)
    form = _find(source)
    if not source.is_file():
        raise TraceError(f"{source}: {'is a folder, not a file' if source.is_dir() else 'no such file'}")
    return form.read(source)


def _find(path: Path) -> SpikeFormat:
    ending = path.suffix.lower()
    if ending not in FORMATS:
        raise TraceError(f"{path}: no file of spikes ends so; there are {', '.join(FORMATS)}")
    return cast(SpikeFormat, import_module(f"eventsnn.interop.{FORMATS[ending]}"))
