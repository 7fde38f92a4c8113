"""Spikes as arrays of NumPy: ``numpy.load("spikes.npz")["output/time_ms"]``.

Of each layer ``<layer>/time_ms`` (float64), ``<layer>/neuron`` (int32) and ``<layer>/sample_ptr`` (int64):
row k of the table of recordings has the spikes ``[sample_ptr[k], sample_ptr[k + 1])``. ``table`` is text: the
layers' sizes and the recordings in JSON.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from eventsnn._util.atomic import replace_file
from eventsnn.errors import TraceError
from eventsnn.interop.spike_table import SpikeTable, describe, make_table, parse_description
from eventsnn.trace.tables import Columns, SpikeSelection

TABLE = "table"


def write(selection: SpikeSelection, path: Path) -> None:
    """See `eventsnn.interop.export_spikes`."""
    with (
        replace_file(path, lambda text: TraceError(f"{path}: {text}")) as file,
        zipfile.ZipFile(file, "w") as packed,
    ):
        text = np.array(describe(selection))
        _put(packed, TABLE, text.dtype, (), [text])
        indices = [sample.index for sample in selection.samples]
        for layer in selection.sizes:
            counts = selection.trace.spikes_per_sample(layer)[indices]
            pointer = np.concatenate([[0], np.cumsum(counts)]).astype("<i8")
            total = (int(pointer[-1]),)
            trains = (selection.trace.spikes(layer, index) for index in indices)
            _put(packed, f"{layer}/time_ms", np.dtype("<f8"), total, (train.times for train in trains))
            trains = (selection.trace.spikes(layer, index) for index in indices)
            _put(packed, f"{layer}/neuron", np.dtype("<i4"), total, (train.neurons for train in trains))
            _put(packed, f"{layer}/sample_ptr", pointer.dtype, pointer.shape, [pointer])


def _put(
    packed: zipfile.ZipFile, name: str, dtype: np.dtype, shape: tuple[int, ...], parts: Iterable[np.ndarray]
) -> None:
    """Write an array of known shape part by part."""
    # A date of its own, so that the same spikes are the same bytes.
    with packed.open(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), "w", force_zip64=True) as file:
        header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(file, header) if dtype.kind != "U" else npy.write_array_header_2_0(
            file, header
        )
        for part in parts:
            file.write(np.ascontiguousarray(part, dtype).tobytes())


def read(path: Path) -> SpikeTable:
    """See `eventsnn.interop.read_spikes`."""

    def failure(text: str) -> TraceError:
        return TraceError(f"{path}: {text}")

    parts: list[Columns] = []
    try:
        with np.load(path, allow_pickle=False) as packed:
            text = str(packed[TABLE])
            sizes, samples = parse_description(text)
            indices = np.array([sample.index for sample in samples], np.int32)
            for number, layer in enumerate(sizes):
                times = packed[f"{layer}/time_ms"].astype(np.float64, copy=False)
                neurons = packed[f"{layer}/neuron"].astype(np.int32, copy=False)
                sample = np.repeat(indices, np.diff(packed[f"{layer}/sample_ptr"]))
                if not len(sample) == len(neurons) == len(times):
                    raise ValueError(f"the arrays of layer {layer!r} are not of one length")
                parts.append(Columns(sample, np.full(len(times), number, np.int32), neurons, times))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise failure(f"not a file of spikes that eventsnn wrote, or a damaged one ({error})") from None
    return make_table(Columns.join(parts), list(sizes), text, failure)
