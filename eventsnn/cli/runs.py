"""What the runs of ``eventsnn simulate`` share, whole recordings and parts: settings, trace, result."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eventsnn.cli.common import note_leftovers
from eventsnn.trace.record import ExitReason, SpikeRecord

if TYPE_CHECKING:
    from eventsnn.events import ReadingOptions
    from eventsnn.events.region import Region
    from eventsnn.model import Network
    from eventsnn.simulate import Simulation
    from eventsnn.trace import TraceWriter


@dataclass(frozen=True)
class RunOptions:
    """How to read and simulate a recording; times in ms."""

    reading: ReadingOptions
    engine: str
    step_ms: float | None
    dtype: str
    t_stop: float | None
    origin_us: int | None = None
    bad_files: str = "error"
    trace: Path | None = None
    record: tuple[str, ...] = ("spikes",)

    def engine_arguments(self) -> dict[str, Any]:
        """What `eventsnn.simulate` and `Simulation` are told."""
        names = ("engine", "step_ms", "dtype", "t_stop", "origin_us")
        return {name: getattr(self, name) for name in names}

    def open_trace(self, network: Network, engine: str) -> TraceWriter:
        """The trace that `engine` is to fill."""
        from eventsnn.trace.writer import TraceWriter, run_config

        assert self.trace is not None
        config = run_config(engine, self.dtype, self.t_stop, self.step_ms)
        writer = TraceWriter(self.trace, network, record=self.record, config=config)
        note_leftovers(writer)
        return writer


@dataclass(frozen=True)
class StreamSettings(RunOptions):
    """The same of a run in parts; `save_every` and `idle` in s."""

    spikes: str | None = None
    save_state: Path | None = None
    save_every: float = 30.0
    resume_from: Path | None = None
    live: bool = False
    patience: float | None = None
    idle: float | None = None

    @property
    def region(self) -> Region:
        """The part of the recording that is kept."""
        return self.reading.region


def describe_run(
    file: str,
    run: SpikeRecord | Simulation,
    seconds: float,
    events: int,
    reason: ExitReason,
    t_end: float,
) -> dict[str, Any]:
    """The result as ``--json`` prints it."""
    return {
        "file": file,
        **run.summary(),
        "seconds": seconds,
        "events": events,
        "engine": run.engine,
        "step_ms": run.step_ms,
        "dtype": run.dtype,
        "exit_reason": reason.value,
        "t_end_ms": t_end if math.isfinite(t_end) else None,
        "origin_us": run.origin_us or 0,
        "skipped": False,
    }
