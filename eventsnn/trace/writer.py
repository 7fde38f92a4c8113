"""Writes a trace that survives a kill: one HDF5 file of spikes, network and recorded quantities."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from eventsnn.errors import TraceError
from eventsnn.model import Network
from eventsnn.trace import schema
from eventsnn.trace.batch_record import BatchRecord
from eventsnn.trace.choice import Choice
from eventsnn.trace.columns import GrowingColumns
from eventsnn.trace.creation import config_text
from eventsnn.trace.learning import Learned, put_learned, put_snapshot
from eventsnn.trace.output import TraceFile
from eventsnn.trace.potential import last_spike
from eventsnn.trace.progress import Progress, progress_columns, put_progress
from eventsnn.trace.quantities import Quantities
from eventsnn.trace.quantity_rows import put_quantities
from eventsnn.trace.record import ExitReason, SpikeRecord
from eventsnn.trace.sample_in_parts import SampleInParts
from eventsnn.trace.sample_rows import Ended, put_samples
from eventsnn.trace.spike_rows import SpikeRows

FLUSH_SAMPLES = 10
"""Samples kept back before they are written: small writes are what HDF5 is slow at."""

MANY_SECONDS = 1.0
"""For how long, where many samples come: many recordings take less time than to write ten of them."""

PART_SECONDS = 1.0
"""Of a recording in parts, a kill loses what came in so long before it."""


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
    many : bool
        Whether many samples will come fast, as from a data set: complete samples are then kept back for a
        second, and chunks of the file are larger.

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
        many: bool = False,
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
        self._flush_seconds, self._flushed = MANY_SECONDS if many else 0.0, time.monotonic()
        self._clock = 0.0
        self._samples = 0
        self._begun: SampleInParts | None = None
        self._closed = False
        everything = config_text(self.path, choice.to_config() | dict(config or {}))
        self._file = TraceFile(self.path, network, columns, everything, seed, many)
        self._rows = GrowingColumns(self._file, columns)
        self._spikes = SpikeRows(self._rows, network)

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
        if self._begun is not None and self._file.is_open:
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
        self._check_runs([run])
        if t_stop_ms is not None and (not np.isfinite(t_stop_ms) or t_stop_ms < last_spike(run)):
            raise TraceError(
                f"t_stop_ms must not lie before the last spike at {last_spike(run):g} ms, got {t_stop_ms!r}"
            )
        batch = BatchRecord.of(self.network, [run])
        length = batch.lengths if t_stop_ms is None else np.array([float(t_stop_ms)])
        with self._all_or_nothing():
            self._put_spikes(batch, length)
            quantities = self._quantities if network is None else Quantities(network, self._choice)
            put_quantities(self._rows, quantities, run, float(length[0]))
            if self._choice.training is not None and "learning" in self.record:
                sizes = {name: self.network[name].neurons for name in self.network.names}
                put_learned(self._rows, self._choice.training, sizes, learned or Learned())
            self._end_samples(Ended.of(batch), length, [source], [label], epoch)
        self._write_if_due()
        return self._samples - 1

    def append_all(
        self,
        runs: Sequence[SpikeRecord],
        *,
        sources: Sequence[str],
        labels: Sequence[int],
        origins: Sequence[int],
    ) -> None:
        """Append the simulations of a mini-batch: the same file as from `append` one by one, in less time.

        Parameters
        ----------
        runs : sequence of SpikeRecord
            By one engine; a `BatchRecord` is appended as it is.
        sources : sequence of str
        labels : sequence of int
            Of each, see `append`.
        origins : sequence of int
            `SpikeRecord.origin_us` of each, in place of its own.

        Raises
        ------
        TraceError
            As for `append`; of these the file then holds those before the one that was refused, and none if
            spikes alone are recorded.
        """
        if not len(runs):
            return
        if self.record != ("spikes",):
            for run, source, label, origin in zip(runs, sources, labels, origins, strict=True):
                self.append(replace(run, origin_us=origin), source=source, label=label)
            return
        self._check_runs(runs)
        batch = replace(BatchRecord.of(self.network, runs), origins=np.array(origins, np.int64))
        lengths = batch.lengths
        with self._all_or_nothing():
            self._put_spikes(batch, lengths)
            self._end_samples(Ended.of(batch), lengths, sources, labels)
        self._write_if_due()

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
        self._check_runs([part], begun=True)
        if self._begun is None:
            self._begun = SampleInParts(self.network, self._rows.ends(), part)
            self._spikes.open(1)
        sample = self._begun
        self._spikes.put(BatchRecord.of(self.network, [part]), np.array([self._clock]))
        sample.add(part)
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
        if self._begun is None:
            return None
        ended, length = self._begun.end(t_end, reason)
        self._end_samples(ended, np.array([length]), [source], [-1])
        self._write_if_due()
        return self._samples - 1

    # -- what is appended --------------------------------------------------------------------------

    def _check_runs(self, runs: Sequence[SpikeRecord], begun: bool = False) -> None:
        if not self._file.is_open:
            raise TraceError(f"{self.path}: the trace is closed")
        if self._begun is not None and not begun:
            raise TraceError(f"{self.path}: parts of a simulation wait to be made a sample by end_parts")
        if isinstance(runs, BatchRecord):
            runs = runs[:1]  # of one network and one engine
        sizes = {str(layer.name): layer.neurons for layer in self.network.layers}
        for run in runs:
            if {name: spikes.size for name, spikes in run.layers.items()} != sizes or (
                run.input.size != self.network.input.neurons
            ):
                raise TraceError(
                    f"{self.path}: this run is of another network than the trace's {self.network!r}"
                )
            self._quantities.check_engine(run.engine)

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Leave the file as it was, if the block is left by an exception before its samples are complete."""
        rows, samples = self._rows.ends(), self._samples
        try:
            yield
        except BaseException:  # Ctrl-C among others: half a sample must not stay
            # A file that could not be written is closed already, and the error says so.
            if self._samples == samples and self._file.is_open:
                self._rows.rewind(rows)
            raise

    def _put_spikes(self, batch: BatchRecord, lengths: np.ndarray) -> None:
        """Append the spikes of whole samples."""
        self._spikes.open(len(batch))
        self._spikes.put(batch, self._times(lengths)[:-1])

    def _times(self, lengths: np.ndarray) -> np.ndarray:
        """Where samples of these lengths begin on the clock of the file, and where the last one ends, ms."""
        return np.cumsum([self._clock, *lengths.tolist()])

    def _put_progress(self, sample: SampleInParts) -> None:
        """Write down how far the sample has come."""
        put_progress(self._rows, Progress(*self._spikes.so_far(), sample.progress(self._samples)))
        self._rows.write_out(self._samples)
        self._flushed = time.monotonic()

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

    def _end_samples(
        self,
        ended: Ended,
        lengths: np.ndarray,
        sources: Sequence[str],
        labels: Sequence[int],
        epoch: int = -1,
    ) -> None:
        """Make samples of what was appended."""
        self._spikes.close()
        times = self._times(lengths)
        put_samples(self._rows, self.network, ended, times, sources, labels, epoch)
        # In one assignment: Ctrl-C comes before it or after it.
        self._clock, self._samples, self._begun = float(times[-1]), self._samples + len(lengths), None

    def _write_if_due(self) -> None:
        waited = time.monotonic() - self._flushed >= self._flush_seconds
        if waited and self._samples - self._file.sealed >= FLUSH_SAMPLES:
            self._rows.write_out(self._samples)
            self._flushed = time.monotonic()
