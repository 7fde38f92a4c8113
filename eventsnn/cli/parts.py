"""Recordings of any length and live input, part by part through a network, for ``eventsnn simulate``."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
import numpy as np

from eventsnn._util.interrupts import hold_interrupts
from eventsnn._util.threads import Prefetch
from eventsnn._util.words import number_of
from eventsnn.cli.common import note
from eventsnn.cli.runs import UDP, Run, RunOptions, check_sensor
from eventsnn.errors import SimulationError
from eventsnn.events import EventStream
from eventsnn.events.region import Region
from eventsnn.simulate import SavedState, Simulation, load_state
from eventsnn.simulate.engines.arguments import check_t_stop
from eventsnn.simulate.state import damaged
from eventsnn.trace.record import ExitReason, SpikeRecord
from eventsnn.trace.spike_text import SpikeText

MOST_AT_ONCE = 1 << 20
"""Events of a live source at one instant; more are left out, and counted as late."""


class PartsRun(Run):
    """A run in parts: a `Simulation` takes them, and spikes are written as they become certain."""

    def prepare(self) -> None:
        network, options = self.network, self.options
        saved = None if options.resume_from is None else load_state(options.resume_from, network)
        if saved is None:
            self.simulation = Simulation(network, **options.of_engine())
        else:
            _check_same_start(options, saved)
            self.simulation = Simulation.take_up(saved, network, t_stop=options.t_stop, ranks=options.ranks)
        if not (options.live or options.save_state is not None or self.simulation.ends):
            check_t_stop(network, options.t_stop)
        self._resumed_at = self.simulation.t_complete if saved else -math.inf
        self._to_skip = self.simulation.held
        self.late = 0
        self._interrupted = False
        self._last: SpikeRecord | None = None  # of a run that has ended
        self._spikes = None
        if options.spikes is not None:
            self._spikes = SpikeText(options.spikes, keep=_kept(options.spikes, saved))
        self._last_save = self._last_word = time.monotonic()

    @staticmethod
    def parts_of(source: Any) -> Iterable[EventStream]:
        """See `Run`."""
        return source

    def go(self, parts: Iterable[EventStream]) -> None:
        """See `Run`."""
        run, options = self.simulation, self.options
        try:
            # A live source returns everything that has arrived when asked; a prefetch would only delay it.
            with nullcontext(self._live_parts()) if options.live else Prefetch(parts) as coming:
                for part in coming:
                    with hold_interrupts():
                        if isinstance(part, EventStream):
                            self.take(part)
                        else:
                            self._pass_time(part)
                        if options.save_state and time.monotonic() - self._last_save >= options.save_every:
                            self._save(options.save_state)
                        self._say_how_far()
                    if run.t_complete > (options.t_stop or math.inf):
                        break
        except KeyboardInterrupt:
            self._interrupted = True
        with hold_interrupts():
            if options.save_state is not None:
                if not self._interrupted and options.region.t_until < math.inf:
                    self._pass_until()
                self._save(options.save_state)
            elif not self._interrupted and run.ends:  # else the remaining spikes may never end
                self._last = run.finish()
                self._write(self._last)

    def take(self, part: EventStream) -> None:
        """Events of the region through the network, their spikes to where they go."""
        run, origin = self.simulation, self._origin(part)
        part = self._new_ones(part, origin)
        if self.options.live:
            early = int(np.searchsorted(part.times_ms(origin), run.t_complete))
            self.late += early
            part = EventStream._trusted(self._few_at_once(part.events[early:], origin), part.sensor_size)
        if len(part):
            self._write(run.feed(part))

    def end_sample(self) -> None:
        """See `Run`."""
        if self.trace is not None:
            reason = ExitReason.INTERRUPTED if self._interrupted else None
            self.trace.end_parts(reason=reason, source=self.file)

    def close(self) -> None:
        """See `Run`."""
        if self._spikes is not None:
            self._spikes.close()

    def result(self) -> dict[str, Any]:
        """See `Run`."""
        run, last = self.simulation, self._last
        if last is None:
            reason = ExitReason.INTERRUPTED if self._interrupted else ExitReason.PART
        end = (reason, run.t_complete) if last is None else (last.exit_reason, last.t_end)
        dropped = getattr(self.source, "dropped", 0)
        return self._describe(run, run.events, *end, late=self.late, dropped=dropped)

    def _origin(self, part: EventStream) -> int:
        """The origin of the run, fixed by the first events of the recording, even if they are cropped."""
        if self.simulation.origin_us is None and len(part):
            self.simulation.origin_us = self._check_origin(part)
        return self.simulation.origin_us or 0

    def _new_ones(self, part: EventStream, origin: int) -> EventStream:
        """Without the events that the run that was saved has taken: those before its end, and some at it."""
        if self._resumed_at == -math.inf:
            return part
        first, last = np.searchsorted(
            part.times_ms(origin), [self._resumed_at, np.nextafter(self._resumed_at, np.inf)]
        )
        known = min(self._to_skip, int(last - first))
        self._to_skip -= known
        if last < len(part):
            self._resumed_at = -math.inf
        return EventStream._trusted(part.events[first + known :], part.sensor_size)

    def _few_at_once(self, events: np.ndarray, origin: int) -> np.ndarray:
        """Without those beyond `MOST_AT_ONCE` at the last instant, which wait in memory for a later one."""
        held = self.simulation.held
        if held + len(events) <= MOST_AT_ONCE or not len(events):
            return events
        now = round(self.simulation.t_complete * 1000.0) + origin
        first = int(np.searchsorted(events["t"], now, side="right"))
        surplus = max(0, first - max(0, MOST_AT_ONCE - held))
        self.late += surplus
        return np.concatenate([events[: first - surplus], events[first:]])

    def _pass_time(self, until: float) -> None:
        """Declare that no event before `until` (ms) follows."""
        if until > self.simulation.t_complete:
            empty = np.empty(0), np.empty(0, np.int32)
            self._write(self.simulation.feed(empty, until=until))

    def _pass_until(self) -> None:
        """Advance time to `--until`, which counts from the recording's origin, not from the run's."""
        run, begun = self.simulation, getattr(self.source, "origin_us", None)
        if run.origin_us is None:
            run.origin_us = begun
        shift = 0 if begun is None else begun - (run.origin_us or 0)
        self._pass_time(self.options.region.t_until + shift / 1000.0)

    def _live_parts(self) -> Iterator[EventStream | float]:
        """Parts of a live source after cropping; during a pause, the time that must have been reached (0:
        unknown).
        """
        source: Any = self.source
        region, patience = self.options.region, self.options.patience
        if patience is None and self.file.startswith(UDP):
            patience = 10.0
        last_us, last_wall = -1, 0.0
        for events in source:
            if len(events):
                if last_us < 0:
                    check_sensor(self.network, self.file, region.sensor(source.sensor), self.options)
                if events["t"][-1] >= last_us:
                    last_us, last_wall = int(events["t"][-1]), time.monotonic()
                part = EventStream._trusted(events, source.sensor)
                origin = self._origin(part)
                yield region.cut(part, origin)
                if part.times_ms(origin)[-1] >= region.t_until:
                    return
            elif patience is not None and last_us >= 0:
                last_ms = (last_us - (self.simulation.origin_us or 0)) / 1000.0
                yield max(0.0, last_ms + (time.monotonic() - last_wall) * 1000.0 - patience)
            else:
                yield 0.0

    def _write(self, part: SpikeRecord) -> None:
        if self._spikes is not None:
            self._spikes.append(part)
        if self.trace is not None:
            self.trace.append_part(part)

    def _save(self, path: Path) -> None:
        """Write the spikes to the disk, then the state that continues after them; prints a note."""
        run = self.simulation
        notes: dict[str, Any] = {"region": _region_note(self.options.region)}
        if self._spikes is not None:
            notes["spikes"] = {"path": str(Path(self._spikes.path).absolute()), "bytes": self._spikes.sync()}
        run.save(path, **notes)
        self._last_save = time.monotonic()
        note(f"saved in {path}: {number_of(run.events, 'event')}, complete up to {run.t_complete:.3f} ms")

    def _say_how_far(self) -> None:
        """Print the progress twice a second, on a terminal."""
        if sys.stderr.isatty() and time.monotonic() - self._last_word >= 0.5:
            self._last_word = time.monotonic()
            run = self.simulation
            click.echo(
                f"\r{number_of(run.events, 'event')}, {run.t_complete / 1000.0:.3f} s ", nl=False, err=True
            )


def _region_note(region: Region) -> dict[str, Any]:
    note = {"crop": None if region.crop is None else list(region.crop), "downsample": region.downsample}
    return note | ({"merge_polarities": True} if region.merge_polarities else {})


def _check_same_start(options: RunOptions, saved: SavedState) -> None:
    """A resumed run must use the sensor and the origin that it began with."""
    before, now = saved.notes.get("region"), _region_note(options.region)
    if before not in (None, now):
        if not isinstance(before, dict) or not {"crop", "downsample"} <= set(before):
            raise damaged(saved.path, f"its region is {before!r:.60}")
        raise SimulationError(
            f"{options.resume_from}: the state was saved with crop {before['crop']} and downsample "
            f"{before['downsample']}{' and merged polarities' if 'merge_polarities' in before else ''}; give "
            "the same --crop, --downsample and --merge-polarities"
        )
    if options.origin_us not in (None, saved.origin_us):
        raise SimulationError(
            f"{options.resume_from}: the state counts times from {saved.origin_us} us, not from "
            f"{options.origin_us}; leave --origin out"
        )


def _kept(spikes: str, saved: SavedState | None) -> int | None:
    """Bytes of the table of spikes that the saved run has written, if this run continues the same file."""
    known = saved.notes.get("spikes") if saved else None
    if saved is None or known is None or spikes == "-":
        return None
    if not isinstance(known, dict) or type(known.get("bytes")) is not int or known["bytes"] < 0:
        raise damaged(saved.path, f"the length of its table of spikes is {known!r:.60}")
    same = str(Path(spikes).absolute()) == known.get("path")
    return int(known["bytes"]) if same else None
