"""The way of recordings and live input through a network, for ``eventsnn simulate``."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eventsnn._util.interrupts import hold_interrupts
from eventsnn._util.ranks import Ranks
from eventsnn.cli.common import note, note_leftovers
from eventsnn.cli.reading import sensor_problem
from eventsnn.errors import EventFileError, EventStreamError, SimulationError
from eventsnn.events import EventStream, ReadingOptions
from eventsnn.events.origin import find_origin
from eventsnn.events.region import Region
from eventsnn.events.stream import SensorSize
from eventsnn.model import Network
from eventsnn.simulate.run import simulate
from eventsnn.trace.creation import run_config
from eventsnn.trace.options import TraceOptions
from eventsnn.trace.record import ExitReason, SimulationInterrupted, SpikeRecord
from eventsnn.trace.writer import TraceWriter
from eventsnn.train.progress import progress_bar

if TYPE_CHECKING:
    from eventsnn.events.live import Live
    from eventsnn.events.recording import Recording
    from eventsnn.simulate import Simulation

UDP = "udp://"


@dataclass(frozen=True)
class RunOptions:
    """How to read and simulate recordings; times in ms, `save_every` and `idle` in s."""

    reading: ReadingOptions
    engine: str
    step_ms: float | None
    dtype: str | None
    t_stop: float | None
    origin_us: int | None = None
    bad_files: str = "error"
    trace: TraceOptions | None = None
    spikes: str | None = None
    save_state: Path | None = None
    save_every: float = 30.0
    resume_from: Path | None = None
    live: bool = False
    patience: float | None = None
    idle: float | None = None
    ranks: bool | Ranks = False

    @property
    def region(self) -> Region:
        """The part of the recording that is kept."""
        return self.reading.region

    def of_engine(self) -> dict[str, Any]:
        """What `eventsnn.simulate` and `Simulation` are told."""
        names = ("engine", "step_ms", "dtype", "t_stop", "origin_us", "ranks")
        return {name: getattr(self, name) for name in names}

    def open_trace(self, network: Network) -> TraceWriter:
        """The trace of all recordings."""
        assert self.trace is not None
        config = run_config(self.engine, self.dtype, self.t_stop, self.step_ms)
        writer = self.trace.open(network, config)
        note_leftovers(writer)
        return writer


def run_files(
    network: Network, files: tuple[Path, ...], options: RunOptions, kind: type[Run]
) -> tuple[list[dict[str, Any]], bool]:
    """One result per file, and whether Ctrl-C came before the last one was through."""
    results: list[dict[str, Any]] = []
    interrupted = False
    with ExitStack() as stack:
        writer = None if options.trace is None else stack.enter_context(options.open_trace(network))
        bar = stack.enter_context(progress_bar(len(files), "simulating", len(files) > 1))
        # Inside the writer's context: a trace that Ctrl-C cut short is closed like any other.
        try:
            for number, file in enumerate(map(str, files)):
                trace = writer if options.trace is None or options.trace.takes(number) else None
                try:
                    _run_file(kind, network, file, options, trace, results)
                except EventFileError as error:
                    if options.bad_files == "error":
                        raise
                    nothing = dict.fromkeys(("decision", "counts", "layers", "seconds", "exit_reason"))
                    results.append({"file": file, **nothing, "skipped": True, "error": str(error)})
                if interrupted := results[-1]["exit_reason"] == ExitReason.INTERRUPTED.value:
                    break
                bar.update(1)
        except KeyboardInterrupt:
            interrupted = True
    return results, interrupted


def _run_file(
    kind: type[Run],
    network: Network,
    file: str,
    options: RunOptions,
    trace: TraceWriter | None,
    results: list[dict[str, Any]],
) -> None:
    """Append the outcome of a recording to `results`, and to the trace: to both or to neither."""
    if file.startswith("udp:/") and not file.startswith(UDP):
        file = UDP + file[len("udp:/") :]  # a path has lost a slash
    with ExitStack() as stack:
        try:
            # All arguments are checked before a table of spikes is begun.
            source: Any = stack.enter_context(_open(network, file, options))
            parts = kind.parts_of(source)
            if not options.live:
                check_sensor(network, file, source.sensor_size, options)
            run = kind(network, file, options, source, trace)
            stack.callback(run.close)
            run.go(parts)
        except EventStreamError as error:
            raise EventFileError(file, str(error)) from None
        with hold_interrupts():
            run.end_sample()
            results.append(run.result())


class Run:
    """One recording and its way through a network, as a whole: `eventsnn.simulate` takes its one part."""

    record: SpikeRecord  # how the run ended

    def __init__(
        self,
        network: Network,
        file: str,
        options: RunOptions,
        source: Recording | Live,
        trace: TraceWriter | None = None,
    ) -> None:
        self.network, self.file, self.options = network, file, options
        self.source, self.trace = source, trace
        self._began = time.monotonic()
        self.prepare()

    def prepare(self) -> None:
        """What must be there before `go`; refuses options that do not fit."""

    @staticmethod
    def parts_of(source: Any) -> Iterable[EventStream]:
        """What `go` takes."""
        return [source.read()]

    def go(self, parts: Iterable[EventStream]) -> None:
        """All parts through the network, up to Ctrl-C."""
        (events,) = parts
        self._check_origin(events)  # or an error about an argument, not about the recording
        try:
            self.record = simulate(self.network, events, **self.options.of_engine())
        except SimulationInterrupted as stop:
            self.record = stop.record

    def _check_origin(self, events: EventStream) -> int:
        """The recording's origin, microseconds; EventStreamError if it begins before."""
        asked = self.options.origin_us
        return events.origin_us if asked is None else find_origin(events.events["t"], asked)

    def end_sample(self) -> None:
        """Make the run a sample of the trace."""
        if self.trace is not None:
            self.trace.append(self.record, source=self.file)

    def close(self) -> None:
        """Close the files that belong to this run alone."""

    def result(self) -> dict[str, Any]:
        """The result as ``--json`` prints it."""
        run = self.record
        return self._describe(run, len(run.input), run.exit_reason, run.t_end)

    def _describe(
        self,
        run: SpikeRecord | Simulation,
        events: int,
        reason: ExitReason,
        t_end: float,
        **more: Any,
    ) -> dict[str, Any]:
        return {
            "file": self.file,
            **run.summary(),
            "seconds": time.monotonic() - self._began,
            "events": events,
            "engine": run.engine,
            "step_ms": run.step_ms,
            "dtype": run.dtype,
            "exit_reason": reason.value,
            "t_end_ms": t_end if math.isfinite(t_end) else None,
            "origin_us": run.origin_us or 0,
            "skipped": False,
            **more,
            "anomalies": asdict(self.source.anomalies),
        }


def _open(network: Network, file: str, options: RunOptions) -> AbstractContextManager[Recording | Live]:
    """A recording, or a live source, with everything checked that is known of it."""
    reading = options.reading
    if not options.live:
        return reading.open(file)
    from eventsnn.events.live import ByteSource, UDPSource

    if not file.startswith(UDP):
        return closing(ByteSource(file, reading.decoding, format=reading.format, idle=options.idle))
    sensor = reading.decoding.sensor
    if sensor is None:
        raise SimulationError(f"{file}: datagrams do not say how large the sensor is; give --sensor")
    check_sensor(network, file, options.region.sensor(sensor), options)
    host, _, port = file[len(UDP) :].rpartition(":")
    if not port.isdecimal():
        raise SimulationError(f"{file}: no port; write udp://127.0.0.1:PORT")
    source = UDPSource(int(port), sensor, host=host or "127.0.0.1", idle=options.idle)
    note(f"listening on {source.name}")
    return closing(source)


def check_sensor(network: Network, file: str, size: SensorSize, options: RunOptions) -> None:
    """Raise EventFileError unless events of this sensor are the network's input."""
    problem = sensor_problem(network, size, options.reading)
    if problem is not None:
        raise EventFileError(file, problem)
