"""Recordings of any length and live input through a network, for ``eventsnn simulate``."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np

from eventsnn._util.interrupts import hold_interrupts
from eventsnn._util.threads import Prefetch
from eventsnn.cli.common import Interrupted, note
from eventsnn.cli.reading import sensor_problem
from eventsnn.cli.runs import StreamSettings, describe_run
from eventsnn.errors import EventFileError, EventStreamError, SimulationError
from eventsnn.events import EventStream, ReadingOptions
from eventsnn.events.live import ByteSource, Live, UDPSource
from eventsnn.events.recording import Recording
from eventsnn.events.region import Region
from eventsnn.events.stream import SensorSize
from eventsnn.model import Network
from eventsnn.simulate import SavedState, Simulation, load_state
from eventsnn.simulate.engines.arguments import check_t_stop
from eventsnn.simulate.state import damaged
from eventsnn.trace import TraceWriter
from eventsnn.trace.record import ExitReason, SpikeRecord
from eventsnn.trace.spike_text import SpikeText

UDP = "udp://"
MOST_AT_ONCE = 1 << 20
"""Events of a live source at one instant; more are left out, and counted as late."""


class Run:
    """One run: its simulation, the destination of its spikes, counts of excluded events."""

    def __init__(self, network: Network, settings: StreamSettings) -> None:
        self.network, self.settings = network, settings
        saved = None if settings.resume_from is None else load_state(settings.resume_from, network)
        if saved is None:
            self.simulation = Simulation(network, **settings.engine_arguments())
        else:
            _check_same_region(settings, saved)
            if settings.origin_us not in (None, saved.origin_us):
                raise SimulationError(
                    f"{settings.resume_from}: the state counts times from {saved.origin_us} us, not from "
                    f"{settings.origin_us}; leave --origin out"
                )
            self.simulation = Simulation.take_up(saved, network, t_stop=settings.t_stop)
        if not (settings.live or settings.save_state is not None or self.simulation.ends):
            check_t_stop(network, settings.t_stop)
        self.resumed_at = self.simulation.t_complete if saved else -math.inf
        self.to_skip = self.simulation.held
        self.trace: TraceWriter | None = None
        self.source: Recording | None = None  # of a run that is not live
        self.late = 0
        self.last: SpikeRecord | None = None  # of a run that has ended
        self.spikes = (
            None if settings.spikes is None else SpikeText(settings.spikes, keep=_kept(settings, saved))
        )
        self._last_save = self._last_word = time.monotonic()

    def origin(self, part: EventStream) -> int:
        """The origin of the run, fixed by the first events of the recording, even if they are cropped."""
        run = self.simulation
        if run.origin_us is None and len(part):
            known = None if self.source is None else self.source.origin_us
            begun = known is not None and part.events["t"][0] >= 0
            run.origin_us = known if begun else part.origin_us  # which refuses what begins before 0
        return run.origin_us or 0

    def end_part(self) -> None:
        """Advance time to `--until`, which counts from the recording's origin, not from the run's."""
        run, begun = self.simulation, None if self.source is None else self.source.origin_us
        if run.origin_us is None:
            run.origin_us = begun
        until_ms = self.settings.region.t_until
        if begun is not None:
            until_ms += (begun - (run.origin_us or 0)) / 1000.0
        self.pass_time(until_ms)

    def take(self, part: EventStream) -> None:
        """Events of the region through the network, their spikes to where they go."""
        origin = self.origin(part)
        part = self._new_ones(part, origin)
        if self.settings.live:
            early = int(np.searchsorted(part.times_ms(origin), self.simulation.t_complete))
            self.late += early
            part = EventStream._trusted(self._few_at_once(part.events[early:], origin), part.sensor_size)
        if len(part):
            self._write(self.simulation.feed(part))

    def _few_at_once(self, events: np.ndarray, origin: int) -> np.ndarray:
        """Without those beyond `MOST_AT_ONCE` at the last instant, which wait in memory for a later one."""
        if self.simulation.held + len(events) <= MOST_AT_ONCE or not len(events):
            return events
        now = round(self.simulation.t_complete * 1000.0) + origin
        first = int(np.searchsorted(events["t"], now, side="right"))
        room = max(0, MOST_AT_ONCE - self.simulation.held)
        surplus = max(0, first - room)
        self.late += surplus
        return np.concatenate([events[: first - surplus], events[first:]])

    def pass_time(self, until: float) -> None:
        """Declare that no event before `until` (ms) follows."""
        if until > self.simulation.t_complete:
            empty = np.empty(0), np.empty(0, np.int32)
            self._write(self.simulation.feed(empty, until=until))

    def finish(self) -> None:
        """End of the input: write the remaining spikes, unless they may never end."""
        if self.simulation.ends:
            self.last = self.simulation.finish()
            self._write(self.last)

    def save(self) -> None:
        """Write the spikes to the disk, then the state that continues after them; prints a note."""
        path, run = self.settings.save_state, self.simulation
        assert path is not None
        notes: dict[str, Any] = {"region": _region_note(self.settings.region)}
        if self.spikes is not None:
            notes["spikes"] = {"path": str(Path(self.spikes.path).absolute()), "bytes": self.spikes.sync()}
        run.save(path, **notes)
        self._last_save = time.monotonic()
        note(f"saved in {path}: {run.events} events, complete up to {run.t_complete:.3f} ms")

    def save_if_due(self) -> None:
        """Save if the last time was `save_every` seconds ago."""
        if self.settings.save_state and time.monotonic() - self._last_save >= self.settings.save_every:
            self.save()

    def end_trace(self, source: str, interrupted: bool) -> None:
        """Make a sample of the parts in the trace."""
        if self.trace is not None:
            with hold_interrupts():
                reason = ExitReason.INTERRUPTED if interrupted else None
                self.trace.end_parts(reason=reason, source=source)

    def say_how_far(self) -> None:
        """Print the progress twice a second, on a terminal."""
        if sys.stderr.isatty() and time.monotonic() - self._last_word >= 0.5:
            self._last_word = time.monotonic()
            run = self.simulation
            click.echo(f"\r{run.events} events, {run.t_complete / 1000.0:.3f} s ", nl=False, err=True)

    def _new_ones(self, part: EventStream, origin: int) -> EventStream:
        """Without the events that the run that was saved has taken: those before its end, and some at it."""
        if self.resumed_at == -math.inf:
            return part
        first, last = np.searchsorted(
            part.times_ms(origin), [self.resumed_at, np.nextafter(self.resumed_at, np.inf)]
        )
        known = min(self.to_skip, int(last - first))
        self.to_skip -= known
        if last < len(part):
            self.resumed_at = -math.inf
        return EventStream._trusted(part.events[first + known :], part.sensor_size)

    def _write(self, part: SpikeRecord) -> None:
        if self.spikes is not None:
            self.spikes.append(part)
        if self.trace is not None:
            self.trace.append_part(part)


def _region_note(region: Region) -> dict[str, Any]:
    note = {"crop": None if region.crop is None else list(region.crop), "downsample": region.downsample}
    return note | ({"merge_polarities": True} if region.merge_polarities else {})


def _check_same_region(settings: StreamSettings, saved: SavedState) -> None:
    """A resumed run must use the sensor that it began with."""
    before, now = saved.notes.get("region"), _region_note(settings.region)
    if before is None or before == now:
        return
    if not isinstance(before, dict) or not {"crop", "downsample"} <= set(before):
        raise damaged(saved.path, f"its region is {before!r:.60}")
    raise SimulationError(
        f"{settings.resume_from}: the state was saved with crop {before['crop']} and downsample "
        f"{before['downsample']}{' and merged polarities' if 'merge_polarities' in before else ''}; give the "
        "same --crop, --downsample and --merge-polarities"
    )


def _kept(settings: StreamSettings, saved: SavedState | None) -> int | None:
    """Bytes of the table of spikes that the saved run has written, if this run continues the same file."""
    known = saved.notes.get("spikes") if saved else None
    if saved is None or known is None or settings.spikes in (None, "-"):
        return None
    if not isinstance(known, dict) or type(known.get("bytes")) is not int or known["bytes"] < 0:
        raise damaged(saved.path, f"the length of its table of spikes is {known!r:.60}")
    same = str(Path(str(settings.spikes)).absolute()) == known.get("path")
    return int(known["bytes"]) if same else None


def stream_file(
    network: Network, file: str, settings: StreamSettings
) -> tuple[dict[str, Any], Interrupted | None]:
    """Run a recording or a live source to its end: the result, and the word for Ctrl-C if there was one."""
    start = time.perf_counter()
    if file.startswith("udp:/") and not file.startswith(UDP):
        file = UDP + file[len("udp:/") :]  # a path has lost a slash
    with ExitStack() as stack:
        # All arguments are checked before any file is written.
        if settings.live:
            source: Any = stack.enter_context(closing(_open_live(network, file, settings)))
        else:
            source = stack.enter_context(settings.reading.open(file))
            _check_sensor(network, source.sensor_size, settings.reading)
        run = Run(network, settings)
        run.source = None if settings.live else source
        if run.spikes is not None:
            stack.callback(run.spikes.close)
        if settings.trace is not None:
            run.trace = stack.enter_context(settings.open_trace(network, run.simulation.engine))
        try:
            interrupted = _run(run, _live_parts(run, source) if settings.live else source)
        except EventStreamError as error:
            raise EventFileError(file, str(error)) from None
        run.end_trace(file, interrupted)
        dropped = source.dropped if settings.live else 0
        odd = asdict(source.anomalies)
    seconds = time.perf_counter() - start
    result = _result(file, run, seconds, interrupted)
    stop = _kept_text(result, settings) if interrupted else None
    return result | {"late": run.late, "dropped": dropped, "anomalies": odd}, stop


def _run(run: Run, parts: Iterable[EventStream | float]) -> bool:
    """All parts through the network; True if Ctrl-C came before the end. A number is a time passed, ms."""
    settings = run.settings
    interrupted = False
    try:
        # A live source returns everything that has arrived when asked; a prefetch would only delay it.
        with nullcontext(parts) if settings.live else Prefetch(parts) as coming:
            for part in coming:
                with hold_interrupts():
                    if isinstance(part, EventStream):
                        run.take(part)
                    else:
                        run.pass_time(part)
                    run.save_if_due()
                    run.say_how_far()
                if run.simulation.t_complete > (settings.t_stop or math.inf):
                    break
    except KeyboardInterrupt:
        interrupted = True
    with hold_interrupts():
        if settings.save_state is not None:
            if not interrupted and settings.region.t_until < math.inf:
                run.end_part()
            run.save()
        elif not interrupted:
            run.finish()
    return interrupted


def _check_sensor(network: Network, size: SensorSize, reading: ReadingOptions) -> None:
    problem = sensor_problem(network, size, reading)
    if problem is not None:
        raise SimulationError(f"events: {problem}")


def _open_live(network: Network, file: str, settings: StreamSettings) -> Live:
    options = settings.reading.decoding
    if file.startswith(UDP):
        sensor = options.sensor
        if sensor is None:
            raise SimulationError(f"{file}: datagrams do not say how large the sensor is; give --sensor")
        _check_sensor(network, settings.region.sensor(sensor), settings.reading)
        host, _, port = file[len(UDP) :].rpartition(":")
        if not port.isdecimal():
            raise SimulationError(f"{file}: no port; write udp://127.0.0.1:PORT")
        source = UDPSource(int(port), sensor, host=host or "127.0.0.1", idle=settings.idle)
        note(f"listening on {source.name}")
        return source
    return ByteSource(file, options, format=settings.reading.format, idle=settings.idle)


def _live_parts(run: Run, source: Live) -> Iterator[EventStream | float]:
    """Parts of a live source after cropping; during a pause, the time that must have been reached (0:
    unknown).
    """
    region = run.settings.region
    patience = run.settings.patience
    if patience is None and isinstance(source, UDPSource):
        patience = 10.0
    checked = False
    last_us, last_wall = -1, 0.0
    for events in source:
        if len(events):
            assert source.sensor is not None
            if not checked:
                _check_sensor(run.network, region.sensor(source.sensor), run.settings.reading)
                checked = True
            if events["t"][-1] >= last_us:
                last_us, last_wall = int(events["t"][-1]), time.monotonic()
            part = EventStream._trusted(events, source.sensor)
            origin = run.origin(part)
            yield region.cut(part, origin)
            if part.times_ms(origin)[-1] >= region.t_until:
                return
        elif patience is not None and last_us >= 0:
            last_ms = (last_us - (run.simulation.origin_us or 0)) / 1000.0
            yield max(0.0, last_ms + (time.monotonic() - last_wall) * 1000.0 - patience)
        else:
            yield 0.0


def _result(file: str, run: Run, seconds: float, interrupted: bool) -> dict[str, Any]:
    simulation = run.simulation
    if run.last is None:
        reason, t_end = ExitReason.INTERRUPTED if interrupted else ExitReason.PART, simulation.t_complete
    else:
        reason, t_end = run.last.exit_reason, run.last.t_end
    return describe_run(file, simulation, seconds, simulation.events, reason, t_end)


def _kept_text(result: dict[str, Any], settings: StreamSettings) -> Interrupted:
    """The word for Ctrl-C."""
    kept = f"{result['events']} events were simulated, complete up to {result['t_end_ms']:.3f} ms"
    return Interrupted(f"{kept}, kept in {settings.save_state}" if settings.save_state else kept)
