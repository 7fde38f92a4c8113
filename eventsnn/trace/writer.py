"""Writes a trace that survives a kill: one HDF5 file of spikes, network and recorded quantities."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from eventsnn.errors import TraceError
from eventsnn.model import Network
from eventsnn.trace import schema
from eventsnn.trace.choice import Choice
from eventsnn.trace.clock import split
from eventsnn.trace.columns import GrowingColumns
from eventsnn.trace.creation import config_text
from eventsnn.trace.learning import Learned, put_learned, put_snapshot
from eventsnn.trace.output import TraceFile
from eventsnn.trace.potential import last_spike
from eventsnn.trace.progress import GROUP as PROGRESS
from eventsnn.trace.progress import Progress, progress_columns
from eventsnn.trace.quantities import Quantities
from eventsnn.trace.record import ExitReason, SpikeRecord, Tally, decide

FLUSH_SAMPLES = 10
"""Samples kept back before they are written: small writes are what HDF5 is slow at."""

PART_SECONDS = 1.0
"""Of a recording in parts, a kill loses what came in so long before it."""

TOTALS = ("post_node_ids", "pre_node_ids", "value")


@dataclass
class _Sample:
    """The sample that is being appended."""

    rows: dict[str, int]  # before it
    tally: Tally
    last_spike: float  # ms
    part: SpikeRecord  # the last


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
        What to store: "spikes" (always stored, all of them), "potential" (membrane potentials), "current"
        (synaptic currents), "spsp" (S-PSPs of every spike and every pair of neurons, for every projection),
        "spsp_total" (those of the pairs alone).
    config : mapping, optional
        How the run was made (engine, dtype, t_stop, ...); anything JSON can hold.
    seed : int, optional
    potential_step : float
        Grid of the recorded potentials, ms, > 0.
    potential_layers : sequence of str, optional
        Layers whose potentials are recorded, `layers` by default.
    layers : sequence of str, optional
        Layers of which all that is recorded besides spikes is recorded, all by default.
    neurons : dict of str to sequence of int, optional
        Of these layers these neurons only.
    window : (float, float), optional
        From when to when it is recorded, ms of local time; all the time by default.
    choice : Choice, optional
        All of this together, instead.

    Attributes
    ----------
    flush_seconds : float
        Complete samples are kept back until there are ten, and for so long, which is 0 unless it is set: for
        samples that come fast.

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
        layers: Iterable[str] | None = None,
        neurons: Mapping[str, Iterable[int]] | None = None,
        window: tuple[float, float] | None = None,
        choice: Choice | None = None,
    ) -> None:
        self.path = Path(path)
        self.network = network
        if choice is None:
            choice = Choice.of(network, record, potential_step, potential_layers, layers, neurons, window)
        self._choice, self._quantities = choice, Quantities(network, choice)
        self.record = choice.record
        if config and "engine" in config:  # known before anything has run
            self._quantities.check_engine(str(config["engine"]))
        columns = [*schema.all_columns(network, choice), *progress_columns(network)]
        self.flush_seconds, self._flushed = 0.0, time.monotonic()
        self._clock = 0.0
        self._samples = 0
        self._begun: _Sample | None = None
        self._closed = False
        everything = config_text(self.path, choice.to_config() | dict(config or {}))
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

    def __len__(self) -> int:
        """Number of samples so far."""
        return self._samples

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
        self._drop()
        self._rows.write_out(self._samples)

    def _drop(self) -> None:
        """Leave the file as it was before the sample that is being appended."""
        if self._begun is not None:
            self._rows.rewind(self._begun.rows)
            self._begun = None

    def append(
        self,
        run: SpikeRecord,
        *,
        source: str = "",
        label: int = -1,
        epoch: int = -1,
        t_stop_ms: float | None = None,
        network: Network | None = None,
        learned: Learned | None = None,
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
        network : Network, optional
            The network with the weights of this run, where these are not the trace's.
        learned : Learned, optional
            What training delivered of it.

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
        if self._begun is not None:
            raise TraceError(f"{self.path}: parts of a simulation wait to be made a sample by end_parts")
        self._check_run(run)
        if t_stop_ms is not None and (not np.isfinite(t_stop_ms) or t_stop_ms < last_spike(run)):
            raise TraceError(
                f"t_stop_ms must not lie before the last spike at {last_spike(run):g} ms, got {t_stop_ms!r}"
            )
        try:
            sample = self._put_part(run)
            length = _length(sample) if t_stop_ms is None else float(t_stop_ms)
            quantities = self._quantities if network is None else Quantities(network, self._choice)
            self._put_quantities(quantities, run, length)
            if self._choice.training is not None and "learning" in self.record:
                sizes = {name: self.network[name].neurons for name in self.network.names}
                put_learned(self._rows, self._choice.training, sizes, learned or Learned())
            return self._end_sample(sample, length, source, label, epoch)
        except BaseException:  # Ctrl-C among others: half a sample must not stay
            self._drop()
            raise

    def append_part(self, part: SpikeRecord) -> None:
        """Append a part of a simulation that continues (`eventsnn.Simulation`); `end_parts` completes the
        sample. What came more than a second before a kill is in the file all the same.

        Raises
        ------
        TraceError
            As for `append`; also if more than spikes is to be recorded, which needs the whole simulation.
        """
        if self.record != ("spikes",):
            raise TraceError(f"{self.path}: of a simulation in parts only spikes can be recorded")
        self._check_run(part)
        sample = self._put_part(part)
        if time.monotonic() - self._flushed >= PART_SECONDS and part.readout is None:
            self._put_progress(sample)

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
        sample = self._begun
        if sample is None:
            return None
        end = sample.part.t_end if t_end is None else t_end
        sample.part = replace(sample.part, t_end=end, exit_reason=reason or sample.part.exit_reason)
        return self._end_sample(sample, _length(sample), source)

    # -- what is appended --------------------------------------------------------------------------

    def _check_run(self, run: SpikeRecord) -> None:
        if not self._file.is_open:
            raise TraceError(f"{self.path}: the trace is closed")
        sizes = {str(layer.name): layer.neurons for layer in self.network.layers}
        if {name: spikes.size for name, spikes in run.layers.items()} != sizes or (
            run.input.size != self.network.input.neurons
        ):
            raise TraceError(f"{self.path}: this run is of another network than the trace's {self.network!r}")
        self._quantities.check_engine(run.engine)

    def _put_part(self, part: SpikeRecord) -> _Sample:
        """Append spikes; a whole run is a sample's one part."""
        if self._begun is None:
            self._begun = _Sample(self._rows.ends(), Tally(self.network), 0.0, part)
        sample = self._begun
        for number, train in enumerate(schema.trains(self.network)):
            spikes, group = part[train], f"/spikes/{train}"
            timestamps, low, far = split(spikes.times, self._clock)
            if far.size:
                self._put_far(number, far + self._rows.rows(f"{group}/local_low"), spikes.times[far])
            for column, values in zip(schema.SPIKES, (timestamps, spikes.neurons, low), strict=True):
                self._rows.put(f"{group}/{column}", values)
        sample.tally.add(part)
        sample.last_spike, sample.part = max(sample.last_spike, last_spike(part)), part
        return sample

    def _put_progress(self, sample: _Sample) -> None:
        """Write down how far the sample has come."""
        groups, part, decision = Progress.groups(self.network), sample.part, decide(sample.tally.votes)
        row = {
            "sample": self._samples,
            "t_end": part.t_end if np.isfinite(part.t_end) else sample.last_spike,
            "prediction": -1 if decision is None else decision,
            "origin_us": part.origin_us,
            "engine": part.engine.encode(),
            "dtype": part.dtype.encode(),
        }
        first = {group: "row" if group == "/far_spikes" else "node_ids" for group in groups}
        ends = {group: self._rows.rows(f"{group}/{first[group]}") for group in groups}
        crcs = {group: self._rows.peek_crc(f"{group}/sample_crc") for group in groups}
        *packed, crc = Progress(ends, crcs, row).pack()
        for name, values in zip(("ends", "crcs"), packed, strict=True):
            self._rows.put(f"{PROGRESS}/{name}", np.asarray(values)[None, :])
        for name, value in [*row.items(), ("crc", crc), ("complete", 1)]:
            self._rows.put_one(f"{PROGRESS}/{name}", value)
        self._rows.write_out(self._samples)
        self._flushed = time.monotonic()

    def _put_far(self, train: int, rows: np.ndarray, times: np.ndarray) -> None:
        self._rows.put("/far_spikes/train", np.full(len(rows), train))
        self._rows.put("/far_spikes/row", rows)
        self._rows.put("/far_spikes/local_ms", times)

    def snapshot(self, epoch: int, step: int, weights: Mapping[str, Any]) -> None:
        """Keep the weights of a moment of training, and all that was appended before.

        Parameters
        ----------
        epoch, step : int
            How many epochs, and steps of the optimiser, came before.
        weights : dict of str to array
            As `Network.weights`.
        """
        if self._choice.training is not None and "weights" in self.record:
            put_snapshot(self._rows, self._choice.training, epoch, step, weights)
        self._rows.write_out(self._samples)

    def _put_quantities(self, quantities: Quantities, run: SpikeRecord, length: float) -> None:
        for name, layer, sampled in quantities.potentials(run, length):
            group = f"/{name}/{layer}"
            columns = {"timestamps": sampled.times, "node_ids": sampled.neurons}
            columns["v" if name == "potential" else "i"] = sampled.values
            if name == "potential":
                columns["kind"] = sampled.kinds
            for column, values in columns.items():
                self._rows.put(f"{group}/{column}", values)
            self._end_rows(group, "timestamps")
        for key, shares, totals in quantities.spsps(run):
            group, total = f"/spsp/{key}", f"/spsp_total/{key}"
            for share in shares:
                if "spsp" not in self.record:
                    continue
                self._rows.put(f"{group}/pre_node_ids", share.pre)
                self._rows.put(f"{group}/value", share.values)
                self._rows.point(f"{group}/post_ptr", f"{group}/value")
                self._rows.put_crc(f"{group}/post_crc")
            for column, values in zip(TOTALS, totals.coordinates(), strict=True):
                self._rows.put(f"{total}/{column}", values)
            self._end_rows(total, "value")

    def _end_rows(self, group: str, column: str) -> None:
        """End a sample's rows of a group, at the present end of one of its columns."""
        self._rows.point(f"{group}/sample_ptr", f"{group}/{column}")
        self._rows.put_crc(f"{group}/sample_crc")

    def _end_sample(
        self, sample: _Sample, length: float, source: str, label: int = -1, epoch: int = -1
    ) -> int:
        for train in schema.trains(self.network):
            self._end_rows(f"/spikes/{train}", "timestamps")
        self._end_rows("/far_spikes", "row")
        for layer, counts in sample.tally.counts.items():
            self._rows.put(f"/counts/{layer}", counts[None, :])
        run, decision, crc = sample.part, decide(sample.tally.votes), 0
        if run.readout is not None:
            crc = self._rows.put(schema.readout_column(self.network).path, sample.tally.votes[None, :], crc)
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
        for name, value in row.items():
            self._rows.put_one(f"/samples/{name}", value)
        self._rows.put_one(schema.SAMPLE_CRC.path, zlib.crc32(schema.SAMPLE_ROW.pack(*row.values()), crc))
        self._rows.put_one(schema.COMPLETE.path, 1)
        self._begun = None
        self._clock += length
        self._samples += 1
        waited = time.monotonic() - self._flushed >= self.flush_seconds
        if waited and self._samples - self._file.sealed >= FLUSH_SAMPLES:
            self._rows.write_out(self._samples)
            self._flushed = time.monotonic()
        return self._samples - 1


def run_config(
    engine: str, dtype: str | None, t_stop: float | None, step_ms: float | None = None
) -> dict[str, Any]:
    """The `config` of a `TraceWriter` for runs by an engine; times in ms."""
    steps = {} if step_ms is None else {"step_ms": step_ms}
    return {"engine": engine, "dtype": dtype, "t_stop": t_stop, **steps}


def _length(sample: _Sample) -> float:
    """Of a sample, ms: no spike of it may lie beyond, or its timestamps would enter the next one's."""
    end = sample.part.t_end
    return max(sample.last_spike, end if np.isfinite(end) else 0.0)


def _cut_utf8(text: str, size: int) -> bytes:
    """Encode `text`, cut to `size` bytes without splitting a character.

    Bytes of a file's name that are no UTF-8 become ``\\udcff``.
    """
    return text.encode("utf-8", "backslashreplace")[:size].decode("utf-8", errors="ignore").encode("utf-8")
