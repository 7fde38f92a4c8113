"""Spikes as Neurodata Without Borders: a unit for each neuron, a trial for each recording.

NWB keeps the spikes of a unit together, in seconds of the session: the recordings one after the other, each
from the `Sample.t_start` of its trial. So the table is turned round, block by block of neurons, which fill
data sets that were made at their full length. Seconds of the session take a time's last digits away; the
columns ``time_ms`` (since the origin of the recording) and ``sample`` beside them keep every spike as it is.
NWB: Rübel et al., eLife 11:e78362, 2022, doi:10.7554/eLife.78362.
"""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from eventsnn._util.atomic import replace_path
from eventsnn.errors import EventSNNError, MissingExtraError, TraceError
from eventsnn.interop.spike_table import SpikeTable, describe, make_table
from eventsnn.trace.tables import Columns, SpikeSelection

BLOCK_SPIKES = 1 << 19
"""Spikes of a block of neurons, unless one neuron has more; a trace is read once for each block."""

DESCRIPTION = "eventsnn: "
"""Beginning of the notes of a file that has our table."""

RAGGED = {
    "spike_times": ("<f8", "spike times in the session, s"),
    "time_ms": ("<f8", "spike times since the origin of the recording, ms, exact"),
    "sample": ("<i4", "recording of each spike, from 0"),
}


def write(selection: SpikeSelection, path: Path) -> None:
    """See `eventsnn.interop.export_spikes`."""
    pynwb = _import_pynwb()
    import h5py

    def failure(text: str) -> EventSNNError:
        return TraceError(f"{path}: {text}")

    counts = {layer: _count(selection, layer) for layer in selection.sizes}
    trace = selection.trace
    session = pynwb.NWBFile(
        session_description="spikes of a simulated spiking neural network (eventsnn)",
        identifier=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{trace.created} {trace.path.name} {trace.seed}")),
        session_start_time=datetime.fromisoformat(trace.created),
        notes=DESCRIPTION + describe(selection),
    )
    if selection.samples:
        session.trials = _make_trials(selection)
    end = selection.samples[-1].t_stop / 1000.0 if selection.samples else 0.0
    columns, filled = _make_units(counts, (0.0, end))
    session.units = pynwb.misc.Units(
        name="units", description="neurons; layer and neuron say which", columns=columns
    )
    with (
        replace_path(path, failure) as part,
        h5py.File(part, "w") as opened,
        pynwb.NWBHDF5IO(file=opened, mode="w") as file,
    ):
        file.write(session)
        start = 0
        for layer in selection.sizes:
            start = _fill(selection, layer, counts[layer], start, filled)


def _count(selection: SpikeSelection, layer: str) -> np.ndarray:
    """Spikes of each neuron of a layer in all recordings, int64 (neurons,)."""
    total = np.zeros(selection.sizes[layer], np.int64)
    for sample in selection.samples:
        total += selection.trace.spikes(layer, sample.index).counts
    return total


def _make_trials(selection: SpikeSelection) -> Any:
    from hdmf.common import VectorData
    from pynwb.epoch import TimeIntervals

    def or_none(value: int | None) -> int:
        return -1 if value is None else value

    samples = selection.samples
    columns = {
        "start_time": ([sample.t_start / 1000.0 for sample in samples], "start of the recording, s"),
        "stop_time": ([sample.t_stop / 1000.0 for sample in samples], "its end, s"),
        "sample": ([sample.index for sample in samples], "number of the recording in the trace, from 0"),
        "source": ([sample.source for sample in samples], "where the recording came from"),
        "label": ([or_none(sample.label) for sample in samples], "its class, -1 unknown"),
        "prediction": ([or_none(sample.prediction) for sample in samples], "decision, -1 none"),
    }
    return TimeIntervals(
        name="trials",
        description="recordings",
        columns=[
            VectorData(name=name, description=text, data=data) for name, (data, text) in columns.items()
        ],
    )


def _make_units(
    counts: dict[str, np.ndarray], observed: tuple[float, float]
) -> tuple[list[Any], dict[str, Any]]:
    """Columns of the table of units, and by name those that are filled after they have been written.

    All units are observed in one interval, s.
    """
    from hdmf.common import VectorData, VectorIndex
    from pynwb import H5DataIO

    ends = np.cumsum(np.concatenate([*counts.values(), np.zeros(0, np.int64)])).astype(np.uint64)
    total = int(ends[-1]) if len(ends) else 0
    names = [layer for layer, each in counts.items() for _ in range(len(each))]
    neurons = np.concatenate([np.arange(len(each)) for each in counts.values()])
    columns = [
        VectorData(name="layer", description="layer of the neuron", data=names),
        VectorData(name="neuron", description="number of the neuron in its layer", data=neurons),
    ]
    # Neo reads no units without these.
    interval = VectorData(
        name="obs_intervals", description="interval of the session, s", data=np.tile(observed, (len(ends), 1))
    )
    rows = np.arange(1, len(ends) + 1, dtype=np.uint64)
    columns += [interval, VectorIndex(name="obs_intervals_index", target=interval, data=rows)]
    filled = {}
    for name, (dtype, text) in RAGGED.items():
        # Without room for a row there are no chunks, which HDF5 wants to be of a row at least.
        data = (
            H5DataIO(shape=(total,), dtype=np.dtype(dtype), chunks=True, compression="gzip", shuffle=True)
            if total
            else np.zeros(0, dtype)
        )
        filled[name] = data
        vector = VectorData(name=name, description=text, data=data)
        columns += [vector, VectorIndex(name=f"{name}_index", target=vector, data=ends)]
    return columns, filled


def _fill(
    selection: SpikeSelection, layer: str, counts: np.ndarray, start: int, filled: dict[str, Any]
) -> int:
    """Write the spikes of a layer's units from row `start` on; returns the row after them."""
    starts = np.zeros(max((sample.index for sample in selection.samples), default=-1) + 1)
    for each in selection.samples:
        starts[each.index] = each.t_start
    for first, last in _blocks(counts):
        parts = []
        for sample in selection.samples:
            spikes = selection.trace.spikes(layer, sample.index)
            part = Columns.of(sample.index, 0, spikes)
            if last - first < len(counts):
                inside = (spikes.neurons >= first) & (spikes.neurons < last)
                part = Columns(*(column[inside] for column in part))
            parts.append(part)
        rows = Columns.join(parts)
        del parts
        order = np.argsort(rows.neuron, kind="stable")  # recordings and times stay in order
        index, local = rows.sample[order], rows.time_ms[order]
        if not len(order):
            continue
        place = slice(start, start + len(order))
        filled["spike_times"].dataset[place] = (starts[index] + local) / 1000.0
        filled["time_ms"].dataset[place] = local
        filled["sample"].dataset[place] = index
        start += len(order)
    return start


def _blocks(counts: np.ndarray) -> Iterator[tuple[int, int]]:
    """Blocks ``[first, last)`` of neurons with at most `BLOCK_SPIKES` spikes, or of one neuron."""
    first, n = 0, 0
    for neuron, count in enumerate(counts.tolist()):
        if neuron > first and n + count > BLOCK_SPIKES:
            yield first, neuron
            first, n = neuron, 0
        n += count
    yield first, len(counts)


def read(path: Path) -> SpikeTable:
    """See `eventsnn.interop.read_spikes`."""
    pynwb = _import_pynwb()

    def failure(text: str) -> EventSNNError:
        return TraceError(f"{path}: {text}")

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of how other programs wrote it
            with pynwb.NWBHDF5IO(str(path), "r", load_namespaces=True) as file:
                session = file.read()
                if session.units is None or "spike_times" not in session.units.colnames:
                    raise failure("has no spike times of units")
                notes = session.notes or ""
                ours = notes.startswith(DESCRIPTION)
                rows, names = _read_ours(session.units) if ours else _read_units(session.units)
    except TraceError:
        raise
    except Exception as error:  # whatever pynwb, hdmf and h5py raise of a file that is none
        raise failure(f"not a file of NWB, or a damaged one ({error})") from None
    return make_table(rows, names, notes[len(DESCRIPTION) :] if ours else None, failure)


def _read_ours(units: Any) -> tuple[Columns, list[str]]:
    repeats = _lengths(units["time_ms"])
    texts = [str(name) for name in units["layer"].data[:]]
    names = list(dict.fromkeys(texts))
    numbers = {name: number for number, name in enumerate(names)}
    layers = np.array([numbers[text] for text in texts], np.int32)
    neurons = np.asarray(units["neuron"].data[:], np.int32)
    return (
        Columns(
            np.asarray(units["sample"].target.data[:], np.int32),
            np.repeat(layers, repeats),
            np.repeat(neurons, repeats),
            np.asarray(units["time_ms"].target.data[:], np.float64),
        ),
        names,
    )


def _lengths(index: Any) -> np.ndarray:
    """How many spikes each unit has, int64 (units,), from the ends that a column's index holds."""
    ends = np.asarray(index.data[:], np.int64)
    return ends - np.concatenate([[0], ends[:-1]])


def _read_units(units: Any) -> tuple[Columns, list[str]]:
    """Units of another program: neurons of one layer in one recording, the session."""
    index = units["spike_times"]
    repeats = _lengths(index)
    times = 1000.0 * np.asarray(index.target.data[:], np.float64)
    nothing = np.zeros(len(times), np.int32)
    neurons = np.repeat(np.arange(len(repeats), dtype=np.int32), repeats)
    return Columns(nothing, nothing, neurons, times), ["units"]


def _import_pynwb() -> Any:
    try:
        import pynwb
    except ImportError:
        raise MissingExtraError("pynwb", "nwb", "a file of NWB") from None
    return pynwb
