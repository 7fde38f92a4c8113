"""Reads traces, finished or still being written, and returns spikes as the engine did."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from eventsnn._util.arguments import check_path, is_whole
from eventsnn._util.atomic import PART
from eventsnn._util.hdf5 import read_marks
from eventsnn.errors import EventSNNError, TraceError
from eventsnn.model import Network
from eventsnn.model.file import read_network
from eventsnn.model.settings import DEFAULT_STEP_MS
from eventsnn.trace import checks, schema
from eventsnn.trace.clock import unite
from eventsnn.trace.column_reader import ColumnReader
from eventsnn.trace.display import describe_trace, open_page
from eventsnn.trace.learning_reader import LearningReader
from eventsnn.trace.parts_file import MARK
from eventsnn.trace.progress import read_progress
from eventsnn.trace.quantity_reader import QuantityReader
from eventsnn.trace.record import LayerSpikes, SpikeRecord
from eventsnn.trace.sample import Sample
from eventsnn.trace.selection import find_spike
from eventsnn.trace.tables import TableReader

TOTALS_ROWS = 1 << 20
"""Spikes that are read at a time to be counted."""


class Trace(ColumnReader, QuantityReader, LearningReader, TableReader):
    """A trace file, opened for reading; use it in a ``with`` statement.

    A ``.part`` file, left by a run that was killed or is still going on, shows the samples that were complete
    when it was opened. A file that names the traces of several processes (``eventsnn join --virtual``) is
    read as one trace of all their samples.

    Parameters
    ----------
    path : path

    Raises
    ------
    TraceError
        No such file, not a trace, damaged, or written by a newer eventsnn.
    """

    def __new__(cls, path: str | os.PathLike[str]) -> Trace:
        path = check_path("path", path, TraceError)
        if cls is Trace and MARK in (read_marks(path) or ()):
            from eventsnn.trace.joined import JoinedTrace

            return super().__new__(JoinedTrace)
        return super().__new__(cls)

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.fsdecode(path))
        self._open(self.path)
        try:
            with self._checking():
                self._has_crc, version, seed = self._read_header()
                self._read_content(version)
        except EventSNNError:
            self._file.close()
            raise
        self.seed = None if seed < 0 else seed

    def __reduce__(self) -> tuple[object, ...]:
        # An open file cannot travel to another process; its name can.
        return (Trace, (self.path,))

    @classmethod
    def _of_network(cls, path: Path, network: Network | None) -> Trace:
        """A trace that is part of another one; its network is not read again if it is given."""
        part = object.__new__(Trace)  # never one that names parts itself
        if network is not None:
            part.__dict__["network"] = network
        part.__init__(path)  # type: ignore[misc]
        return part

    def _read_header(self) -> tuple[bool, int, int]:
        """Read the attributes; returns whether there are checksums, the version of the layout, the seed."""
        attributes = self._file.attrs
        if "eventsnn_trace" not in attributes:
            raise TraceError(f"{self.path}: not an eventsnn trace (attribute 'eventsnn_trace' is missing)")
        version = int(attributes["eventsnn_trace"])
        if version > schema.LAYOUT_VERSION:
            raise TraceError(
                f"{self.path}: written in layout {version}; this eventsnn reads up to "
                f"{schema.LAYOUT_VERSION}, install a newer one"
            )
        has_crc = version >= schema.FIRST_WITH_CRC
        if has_crc and int(attributes[schema.HEADER_CRC]) != checks.header_crc(attributes):
            raise checks.DamagedError("the attributes of the file do not have their checksum")
        self.config: dict[str, Any] = json.loads(attributes["config_json"])
        self.versions: dict[str, str] = json.loads(attributes["versions_json"])
        self.created = str(attributes["created"])
        return has_crc, version, int(attributes["seed"])

    def _read_content(self, version: int) -> None:
        """Everything else that opening reads and checks."""
        self._choice = checks.check_config(self.config, self.network)
        self._count = checks.count_complete(self._file[schema.COMPLETE.path][()])
        # Whoever gives a trace its final name has completed all of its samples.
        if not self.is_part and self._count != len(self._file[schema.SAMPLE_COLUMNS[0].path]):
            raise checks.DamagedError(
                f"{schema.COMPLETE.path} does not mark every sample of a finished trace"
            )
        columns = schema.all_columns(self.network, self._choice, version)
        self._has_low = version >= schema.FIRST_WITH_LOW
        checks.check_structure(self._file, columns, self._count)
        self._progress = read_progress(self._file, self.network, self._count) if self.is_part else None

    def __enter__(self) -> Trace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._datasets = {}
        self._file.close()

    def __len__(self) -> int:
        """Number of samples: the complete ones, and in a ``.part`` file one that came in parts so far."""
        return self._count + (self._progress is not None)

    def __repr__(self) -> str:
        if not self._file:
            return f"<Trace {str(self.path)!r}, closed>"
        held = f"{len(self)} sample{'' if len(self) == 1 else 's'}"
        return f"<Trace {str(self.path)!r}: {held} of {', '.join(self.recorded)}, {self.network!r}>"

    def _repr_html_(self) -> str:
        return describe_trace(self) if self._file else repr(self)

    def view(self, *, height: int = 820, **state: object) -> Any:
        """The page of the trace, as in ``eventsnn view``, for a notebook (extra ``view``; docs/view.md).

        Parameters
        ----------
        height : int
            Of the frame in the notebook, pixels.
        **state
            What to show, by the keys of the page's address: ``sample=3``, ``path="output:7:0"``.

        Returns
        -------
        NotebookPage
            Shows itself in a notebook; elsewhere open its `address`. `close` ends its server.
        """
        return open_page(self, height, state)

    @property
    def recorded(self) -> tuple[str, ...]:
        """Record options the trace was written with."""
        return tuple(self.config["record"])

    @property
    def part_paths(self) -> tuple[Path, ...]:
        """Files that hold the samples, if this one names others (``eventsnn join --virtual``)."""
        return ()

    @property
    def is_part(self) -> bool:
        """True for the file of a run that was killed or is still going on."""
        return self.path.name.endswith(PART)

    @cached_property
    def network(self) -> Network:
        """The network that ran, with its weights."""
        return read_network(self._file["network"], str(self.path))

    @cached_property
    def samples(self) -> tuple[Sample, ...]:
        """The complete samples."""
        table = self._table
        lists = {name: column.tolist() for name, column in table.items()}
        rows = (dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True))
        return tuple(Sample.from_row(index, row) for index, row in enumerate(rows))

    def _sample(self, sample: int) -> Sample:
        """One of the samples; a large trace has no need of the others for it."""
        if "samples" in self.__dict__:
            return self.samples[sample]
        return Sample.from_row(sample, {name: column[sample].item() for name, column in self._table.items()})

    @cached_property
    def _table(self) -> dict[str, np.ndarray]:
        """Columns of /samples, checked."""
        with self._checking():
            table = {
                column.path.rpartition("/")[2]: self._file[column.path][: self._count]
                for column in schema.SAMPLE_COLUMNS
                if column.path in self._file  # traces of layout 1 have no origins
            }
            checks.check_samples(table, self.network)
            if self._has_crc:
                told = self._file[schema.SAMPLE_CRC.path][: self._count]
                readout = {} if self.network.output.fires else {"readout": self._readouts()}
                checks.check_sample_crcs(told, readout | table)
        if self._progress is None:
            return table
        start = float(table["t_stop"][-1]) if self._count else 0.0
        last = self._progress.table(start)
        return {
            name: np.append(column, np.array([last[name]], column.dtype)) for name, column in table.items()
        }

    # -- what happened ----------------------------------------------------------------------

    def spikes(self, layer: str, sample: int = 0) -> LayerSpikes:
        """Spikes of a layer, of "input" or "bias", as the engine returned them, times in local ms.

        Raises
        ------
        TraceError
            No such layer or sample.
        """
        self._check_layer(layer)
        with self._checking():
            path, size = f"/spikes/{layer}", schema.train_size(self.network, layer)
            if self._has_low:
                timestamps, neurons, low = self._sample_columns(path, schema.SPIKES, sample)
                times = unite(timestamps, low, float(self._starts[sample]))
                self._set_far(layer, sample, times)
            else:
                times, neurons = self._sample_columns(path, ("local_ms", "node_ids"), sample)
            checks.check_train(times, neurons, size, f"{path}, sample {sample}")
            spikes = LayerSpikes(layer, size, times, neurons.astype(np.int32))
            if (
                layer in self.network.names
                and sample < self._count
                and not np.array_equal(self._dataset(f"/counts/{layer}")[sample], spikes.counts)
            ):
                raise checks.DamagedError(f"{path}, sample {sample}: not as many spikes as /counts has")
        return spikes

    @cached_property
    def _starts(self) -> np.ndarray:
        """``t_start`` of every complete sample, ms."""
        starts: np.ndarray = self._file["/samples/t_start"][: self._count]
        if self._progress is None:
            return starts
        return np.append(starts, self._table["t_start"][-1])

    def _set_far(self, layer: str, sample: int, times: np.ndarray) -> None:
        """Replace the times of a sample that timestamps and lower bits do not tell."""
        first, last = self._pointer("/far_spikes")[sample : sample + 2].tolist()
        if first == last:
            return
        train, row, local = self._sample_columns("/far_spikes", ("train", "row", "local_ms"), sample)
        own = train == schema.trains(self.network).index(layer)
        places = row[own].astype(np.int64) - int(self._pointer(f"/spikes/{layer}")[sample])
        if ((places < 0) | (places >= len(times))).any():
            raise checks.DamagedError(f"/far_spikes, sample {sample}: a row that is not one of the sample's")
        times[places] = local[own]

    def record(self, sample: int = 0) -> SpikeRecord:
        """The whole simulation, as the engine returned it."""
        self._check_sample(sample)
        row, network = self._sample(sample), self.network
        record = SpikeRecord(
            layers={name: self.spikes(name, sample) for name in network.names},
            input=self.spikes("input", sample),
            t_end=row.t_end,
            exit_reason=row.exit_reason,
            engine=row.engine,
            dtype=row.dtype,
            step_ms=self.config.get("step_ms", DEFAULT_STEP_MS) if row.engine == "clocked" else None,
            classes=network.classes,
            origin_us=row.origin_us,
            decides=network.decides,
            readout=self.readout(sample),
        )
        return replace(record, bias=self.spikes("bias", sample)) if network.input.has_bias else record

    def readout(self, sample: int = 0) -> np.ndarray | None:
        """What a readout layer gave in a sample, float64 array (neurons,); None of a network without one."""
        self._check_sample(sample)
        if self.network.output.fires:
            return None
        with self._checking():
            readout: np.ndarray = self._file[schema.readout_column(self.network).path][sample]
        return readout

    def _readouts(self) -> np.ndarray:
        """What a readout layer gave in each sample, float64 (samples, neurons)."""
        readouts: np.ndarray = self._file[schema.readout_column(self.network).path][: self._count]
        return readouts

    def counts(self, layer: str) -> np.ndarray:
        """Spikes of each neuron of a layer (not the input) in each sample, int64 array (samples, neurons)."""
        self._check_layer(layer)
        if layer not in self.network.names:
            raise TraceError(
                f"counts are stored per layer of neurons; for the {layer} use Trace.spikes({layer!r}).counts"
            )
        with self._checking():
            counts = self._file[f"/counts/{layer}"][: self._count].astype(np.int64)
            if self._progress is not None:
                counts = np.concatenate([counts, self.spikes(layer, self._count).counts[None, :]])
            pointer = self._pointer(f"/spikes/{layer}")
            if not np.array_equal(counts.sum(axis=1), np.diff(pointer)):
                raise checks.DamagedError(f"/counts/{layer} does not add up to the spikes of /spikes/{layer}")
        return counts

    def n_spikes(self, layer: str) -> int:
        """Number of spikes of a layer, or of input events, in all complete samples."""
        return int(self.spikes_per_sample(layer).sum())

    def spikes_per_sample(self, layer: str) -> np.ndarray:
        """Spikes of a layer, or input events, in each complete sample, int64 array (samples,)."""
        self._check_layer(layer)
        with self._checking():
            return np.diff(self._pointer(f"/spikes/{layer}"))

    def totals(self, layer: str) -> np.ndarray:
        """Spikes of each neuron of a layer, "input" or "bias", in all complete samples: int64 (neurons,)."""
        self._check_layer(layer)
        if layer in self.network.names:
            return self.counts(layer).sum(axis=0)
        size = 1 if layer == "bias" else self.network.input.neurons
        found = np.zeros(size, np.int64)
        with self._checking():
            last = int(self._pointer(f"/spikes/{layer}")[-1])
            column = self._file[f"/spikes/{layer}/node_ids"]
            for start in range(0, last, TOTALS_ROWS):
                neurons = column[start : min(last, start + TOTALS_ROWS)].astype(np.int64)
                if neurons.size and neurons.max() >= size:
                    raise checks.DamagedError(f"/spikes/{layer}: neurons beyond the {size} there are")
                found += np.bincount(neurons, minlength=size)
        return found

    def spike_time(self, layer: str, neuron: int, spike: int, sample: int = 0) -> float:
        """Time (local ms) of spike number `spike` (from 0) of a neuron.

        Raises
        ------
        TraceError
            Saying which of layer, neuron, sample or spike there is not, and what there is.
        """
        return float(self.spikes(layer, sample).times[self._spike_row(layer, neuron, spike, sample)])

    # -- checks ------------------------------------------------------------------------------------

    def _check_layer(self, layer: str) -> None:
        names = schema.trains(self.network)
        if layer not in names:
            raise TraceError(f"{self.path}: no layer {layer!r}; there are {', '.join(names)}")

    def _check_sample(self, sample: int) -> None:
        if not is_whole(sample) or not 0 <= sample < len(self):
            held = f"the samples 0..{len(self) - 1}" if len(self) else "no complete sample"
            raise TraceError(f"{self.path}: no sample {sample!r}; the trace holds {held}")

    def _spike_row(self, layer: str, neuron: int, spike: int, sample: int) -> int:
        where = (f"{self.path}: ", f" in sample {sample}")
        return find_spike(self.network, layer, self.spikes(layer, sample), neuron, spike, where)
