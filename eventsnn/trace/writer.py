"""Writes a trace that survives a kill: one HDF5 file of spikes, network and recorded quantities."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from eventsnn._util.arguments import check_span
from eventsnn.errors import TraceError
from eventsnn.model import Network
from eventsnn.trace import schema
from eventsnn.trace.afferents import check_exact_time
from eventsnn.trace.columns import GrowingColumns
from eventsnn.trace.creation import config_text
from eventsnn.trace.output import TraceFile
from eventsnn.trace.potential import last_spike, record_potentials, sample_length
from eventsnn.trace.record import ExitReason, LayerSpikes, SpikeRecord, add_votes, decide
from eventsnn.trace.spsp import pair_totals, spike_shares

FLUSH_SAMPLES = 10
"""Samples kept back before they are written: small writes are what HDF5 is slow at."""


@dataclass
class _Parts:
    """A simulation of which parts have been appended."""

    rows: dict[str, int]  # before the first
    counts: dict[str, np.ndarray]
    votes: np.ndarray  # of the output neurons
    last: float = 0.0  # time of the last spike, ms
    ended: SpikeRecord | None = None  # the last part


class TraceWriter:
    """Appends simulations to a trace file; use it in a ``with`` statement.

    The file is written under a name of its own, ``<path>.<letters>.part`` (`part`), and renamed when the
    ``with`` block ends. If the block is left by an exception after a sample or more, the program is killed or
    the disk is full, that file stays: a reader opens it and finds the samples that were complete (after a
    kill, all but at most the last 10). Readers may open it while it is written. A second writer of the same
    path is refused as long as the first is at work.
    On network file systems without locks set the environment variable HDF5_USE_FILE_LOCKING=FALSE.

    Parameters
    ----------
    path : path
        Replaced if it exists.
    network : Network
        The network that the samples ran on; it is stored in the trace.
    record : sequence of str
        What to store: "spikes" (always stored), "potential" (membrane potentials), "spsp" (S-PSPs of every
        spike and every pair of neurons, for every projection).
    config : mapping, optional
        How the run was made (engine, dtype, t_stop, ...); anything JSON can hold.
    seed : int, optional
    potential_step : float
        Grid of the recorded potentials, ms, > 0.
    potential_layers : sequence of str, optional
        Layers whose potentials are recorded, all by default.

    Raises
    ------
    TraceError
        Unknown record option, a step that is not > 0, a config that JSON cannot hold, or a file that cannot
        be written, or is being written by another run; the text says which.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        network: Network,
        *,
        record: Iterable[str] = ("spikes",),
        config: Mapping[str, Any] | None = None,
        seed: int | None = None,
        potential_step: float = 1.0,
        potential_layers: Iterable[str] | None = None,
    ) -> None:
        self.path = Path(path)
        self.network = network
        self.record = schema.check_record(record)
        self._step = check_span("potential_step", potential_step, TraceError)
        self._potential_layers = network.names if potential_layers is None else tuple(potential_layers)
        for layer in self._potential_layers:
            network[layer]  # raises NetworkError if there is none
        columns = schema.all_columns(network, self.record, self._potential_layers)
        self._clock = 0.0
        self._samples = 0
        self._parts: _Parts | None = None
        self._closed = False
        options = {
            "record": list(self.record),
            "potential_step": self._step,
            "potential_layers": list(self._potential_layers),
        }
        everything = config_text(self.path, options | dict(config or {}))
        self._file = TraceFile(self.path, network, columns, everything, seed)
        self._rows = GrowingColumns(self._file, columns)

    def __enter__(self) -> TraceWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        try:
            if self._file.is_open:
                self._finish()
        finally:
            self._file.end()

    @property
    def part(self) -> Path:
        """Where the file is until it is closed; `eventsnn.Trace` reads it there."""
        return self._file.part

    def close(self) -> None:
        """Write pending data and give the file its final name."""
        if self._closed:
            return
        self._closed = True
        try:
            self._finish()
            self._file.commit()
        except BaseException:
            self._file.end()
            raise

    def _finish(self) -> None:
        if self._parts is not None:
            self._rows.rewind(self._parts.rows)
            self._parts = None
        self._rows.write_out(self._samples)

    def append(
        self,
        run: SpikeRecord,
        *,
        source: str = "",
        label: int = -1,
        epoch: int = -1,
        t_stop_ms: float | None = None,
    ) -> int:
        """Append one simulation.

        Parameters
        ----------
        run : SpikeRecord
            A run of this writer's network.
        source : str
            Where the sample came from, such as a file name.
        label : int
            Its class, -1 if unknown.
        epoch : int
            Training epoch, -1 outside training.
        t_stop_ms : float, optional
            Length of the sample, ms; by default `run.t_end`, or the last spike where that is infinite. It
            sets the stretch of the file's global time that the sample takes, and where the potential grid
            ends.

        Returns
        -------
        int
            Number of the sample in the trace.

        Raises
        ------
        TraceError
            The run is of another network, or what is to be recorded cannot be computed from it; the file is
            left as it was before.
        """
        if not self._file.is_open:
            raise TraceError(f"{self.path}: the trace is closed")
        if self._parts is not None:
            raise TraceError(f"{self.path}: parts of a simulation wait to be made a sample by end_parts")
        self._check_run(run)
        length = _length(run, t_stop_ms)
        before = self._rows.ends()
        try:
            for layer in schema.trains(self.network):
                self._append_spikes(run[layer])
            if "potential" in self.record:
                self._append_potentials(run, length)
            if "spsp" in self.record:
                self._append_spsps(run)
            self._append_sample(run, run.decision, source, label, epoch, length)
        except BaseException:  # Ctrl-C among others: half a sample must not stay
            self._rows.rewind(before)
            raise
        return self._end_sample(length)

    def append_part(self, part: SpikeRecord) -> None:
        """Append a part of a simulation that continues (`eventsnn.Simulation`); `end_parts` completes the
        sample.

        Raises
        ------
        TraceError
            As for `append`; also if more than spikes is to be recorded, which needs the whole simulation.
        """
        if not self._file.is_open:
            raise TraceError(f"{self.path}: the trace is closed")
        if self.record != ("spikes",):
            raise TraceError(f"{self.path}: of a simulation in parts only spikes can be recorded")
        self._check_run(part)
        if self._parts is None:
            sizes = {str(layer.name): layer.neurons for layer in self.network.layers}
            counts = {name: np.zeros(n, np.int64) for name, n in sizes.items()}
            self._parts = _Parts(self._rows.ends(), counts, np.zeros(self.network.output.neurons, np.int64))
        for layer in ("input", *self.network.names):
            self._put_spikes(part[layer])
            if layer != "input":
                self._parts.counts[layer] += part[layer].counts
            self._parts.last = max(self._parts.last, *part[layer].times[-1:].tolist(), 0.0)
        add_votes(self._parts.votes, part)
        self._parts.ended = part

    def end_parts(
        self, *, t_end: float | None = None, reason: ExitReason | None = None, source: str = ""
    ) -> int | None:
        """Make a sample of the parts appended since the last one; None if there are none.

        Parameters
        ----------
        t_end : float, optional
            Up to where it is complete, ms; by default what the last part says.
        reason : ExitReason, optional
            Why it ended, likewise.
        source : str
            Where it came from.

        Returns
        -------
        int
            Number of the sample in the trace.
        """
        if self._parts is None or self._parts.ended is None:
            return None
        parts, run = self._parts, self._parts.ended
        run = replace(run, t_end=run.t_end if t_end is None else t_end, exit_reason=reason or run.exit_reason)
        for layer in ("input", *self.network.names):
            self._close_spikes(layer, parts.counts.get(layer))
        length = max(parts.last, run.t_end if np.isfinite(run.t_end) else 0.0)
        decision = decide(parts.votes)
        self._append_sample(run, decision, source, -1, -1, length)
        self._parts = None
        return self._end_sample(length)

    # -- what is appended --------------------------------------------------------------------------

    def _check_run(self, run: SpikeRecord) -> None:
        sizes = {str(layer.name): layer.neurons for layer in self.network.layers}
        if {name: spikes.size for name, spikes in run.layers.items()} != sizes or (
            run.input.size != self.network.input.neurons
        ):
            raise TraceError(f"{self.path}: this run is of another network than the trace's {self.network!r}")
        for option in ("potential", "spsp"):
            if option in self.record:
                check_exact_time(run.engine, f"record {option!r}")

    def _end_sample(self, length: float) -> int:
        self._clock += length
        self._samples += 1
        if self._samples - self._file.sealed >= FLUSH_SAMPLES:
            self._rows.write_out(self._samples)
        return self._samples - 1

    def _append_spikes(self, spikes: LayerSpikes) -> None:
        self._put_spikes(spikes)
        self._close_spikes(spikes.name, spikes.counts if spikes.name in self.network.names else None)

    def _put_spikes(self, spikes: LayerSpikes) -> None:
        group = f"/spikes/{spikes.name}"
        self._rows.put(f"{group}/timestamps", self._clock + spikes.times)
        self._rows.put(f"{group}/node_ids", spikes.neurons)
        self._rows.put(f"{group}/local_ms", spikes.times)

    def _close_spikes(self, layer: str, counts: np.ndarray | None) -> None:
        """End a sample's rows of a layer, with the counts of its neurons; input and biases have none."""
        self._rows.point(f"/spikes/{layer}/sample_ptr", f"/spikes/{layer}/timestamps")
        self._rows.put_crc(f"/spikes/{layer}/sample_crc")
        if counts is not None:
            self._rows.put(f"/counts/{layer}", counts[None, :])

    def _append_potentials(self, run: SpikeRecord, length: float) -> None:
        for layer in self._potential_layers:
            potential = record_potentials(self.network, run, layer, length, self._step)
            group = f"/potential/{layer}"
            self._rows.put(f"{group}/timestamps", potential.times)
            self._rows.put(f"{group}/node_ids", potential.neurons)
            self._rows.put(f"{group}/v", potential.values)
            self._rows.put(f"{group}/kind", potential.kinds)
            self._rows.point(f"{group}/sample_ptr", f"{group}/v")
            self._rows.put_crc(f"{group}/sample_crc")

    def _append_spsps(self, run: SpikeRecord) -> None:
        for projection in self.network.projections:
            group, total = f"/spsp/{projection.key}", f"/spsp_total/{projection.key}"
            totals = pair_totals(self.network, run, projection)
            for shares in spike_shares(self.network, run, projection, totals):
                self._rows.put(f"{group}/pre_node_ids", shares.pre)
                self._rows.put(f"{group}/value", shares.values)
                self._rows.point(f"{group}/post_ptr", f"{group}/value")
                self._rows.put_crc(f"{group}/post_crc")
            columns = ("post_node_ids", "pre_node_ids", "value")
            for name, values in zip(columns, totals.coordinates(), strict=True):
                self._rows.put(f"{total}/{name}", values)
            self._rows.point(f"{total}/sample_ptr", f"{total}/value")
            self._rows.put_crc(f"{total}/sample_crc")

    def _append_sample(
        self, run: SpikeRecord, decision: int | None, source: str, label: int, epoch: int, length: float
    ) -> None:
        row = {
            "t_start": self._clock,
            "t_stop": self._clock + length,
            "t_end": run.t_end,
            "label": label,
            "prediction": -1 if decision is None else decision,
            "epoch": epoch,
            "source": _cut_utf8(source, 200),
            "engine": run.engine.encode(),
            "dtype": run.dtype.encode(),
            "exit_reason": run.exit_reason.value.encode(),
            "origin_us": run.origin_us,
        }
        crc = 0
        for name, value in row.items():
            crc = self._rows.put(f"/samples/{name}", np.array([value]), crc)
        self._rows.put(schema.SAMPLE_CRC.path, np.array([crc]))
        self._rows.put(schema.COMPLETE.path, np.array([1]))


def _length(run: SpikeRecord, t_stop_ms: float | None) -> float:
    """Length of a sample: no spike of it may lie beyond, or its timestamps would enter the next one's."""
    if t_stop_ms is None:
        return sample_length(run)
    last = last_spike(run)
    if not np.isfinite(t_stop_ms) or t_stop_ms < last:
        raise TraceError(f"t_stop_ms must not lie before the last spike at {last:g} ms, got {t_stop_ms!r}")
    return float(t_stop_ms)


def _cut_utf8(text: str, size: int) -> bytes:
    """Encode `text`, cut to `size` bytes without splitting a character.

    Bytes of a file's name that are no UTF-8 become ``\\udcff``.
    """
    return text.encode("utf-8", "backslashreplace")[:size].decode("utf-8", errors="ignore").encode("utf-8")
