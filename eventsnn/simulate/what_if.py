"""What if an event, a neuron or a weight were another? The simulation again, exactly, with edits.

The engines are linear in their input only between spikes, so nothing but simulation tells what happens
without an event. It goes on from a state of the undisturbed run before the first edit, and an engine may
leave out what no edit reaches (`Engine.redo`). States are kept as the undisturbed run is simulated, which is
done only as far as needed: rebuilt from the spikes in closed form, they would be right to rounding, and the
spikes would no longer have the bits of a fresh run.
"""

from __future__ import annotations

import math
import os
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from eventsnn.errors import TraceError
from eventsnn.model import Network
from eventsnn.simulate.differences import Difference
from eventsnn.simulate.driver import run_whole
from eventsnn.simulate.edits import Edits, make_edits
from eventsnn.simulate.engines import ENGINES, Run, Settings
from eventsnn.simulate.engines.redo import Kept, Undisturbed
from eventsnn.trace.reader import Trace
from eventsnn.trace.readout import read_record
from eventsnn.trace.record import ExitReason, SpikeRecord
from eventsnn.trace.runs import open_run

STATES = 32
"""How many states of the undisturbed run are kept at most."""

STATES_BYTES = 64 << 20
"""How much memory they may take; there is one state, however large it is."""

PAST_MS = 1e-6
"""How far spikes before an edit may be from those of the trace, ms: other versions may round otherwise."""


class WhatIf:
    """One simulation, to be run again with edits, any number of times.

    Parameters
    ----------
    trace : path, Trace or SpikeRecord
        A trace, or what `eventsnn.simulate` returned.
    sample : int
        Which simulation of a trace.
    network : Network, optional
        The one that ran, if `trace` is a `SpikeRecord`.

    Attributes
    ----------
    network : Network
    record : SpikeRecord
        The simulation as it was; one of a graphics card as engine 'sweep' runs it.

    Raises
    ------
    TraceError
        See `eventsnn.sensitivity`; or the run was interrupted.
    """

    def __init__(
        self,
        trace: str | os.PathLike[str] | Trace | SpikeRecord,
        sample: int = 0,
        network: Network | None = None,
    ) -> None:
        self.network, self.record = open_run(trace, sample, network)
        reason, end = self.record.exit_reason, self.record.t_end
        if reason is ExitReason.INTERRUPTED:
            raise TraceError("the simulation was interrupted; simulate it to its end first")
        self._t_stop = None if end == math.inf else end
        if self.record.step_ms is not None:  # the clock ends with the input, unless it was told when
            last = float(self.record.input.times.max(initial=0.0))
            told = end > last and end != self.network.settings.duration_ms
            self._t_stop = trace.config.get("t_stop") if isinstance(trace, Trace) else end if told else None
        if self.record.engine == "gpu":
            self.record = self._without_card()
        self._prefix = _Prefix.begin(self.network, self.record, self._t_stop)

    def _without_card(self) -> SpikeRecord:
        """The run of a graphics card by the engine whose arithmetic it does: there may be no card here, and
        edits are to be compared with the same engine. Spikes differ by rounding, in convolutions alone.
        """
        old, engine = self.record, ENGINES.get("sweep")
        settings = engine.settle(self.network, Settings(old.dtype))
        given = old.input.times, old.input.neurons
        return replace(
            run_whole(engine, self.network, given, settings, self._t_stop), origin_us=old.origin_us
        )

    def run(
        self,
        *,
        remove: Any = None,
        move: Mapping[int, float] | None = None,
        silence: Any = None,
        weights: Mapping[str, Any] | None = None,
        within_ms: float = 5.0,
    ) -> Difference:
        """Simulate with edits; see `eventsnn.what_if`."""
        given, silences = self.record.input, ENGINES.get(self.record.engine).silences
        edits = make_edits(self.network, given, remove, move, silence, weights, silences)
        edits = replace(edits, first_ms=min(edits.first_ms, self._first_lost(edits)))
        after, since = self.simulate(edits)
        if self.record.step_ms is None:  # a clock that ends with the input may end before the first edit
            _check_past(self.record, after, since, edits.first_ms)
        return Difference(self.record, after, edits.first_ms, since, within_ms)

    def _first_lost(self, edits: Edits) -> float:
        """Time of the first spike of a neuron that is not to fire, ms."""
        first = math.inf
        for number, silent in edits.silent.items():
            spikes = self.record[self.network.names[number]]
            first = float(spikes.times[silent[spikes.neurons]].min(initial=first))
        return first

    def simulate(self, edits: Edits) -> tuple[SpikeRecord, float]:
        """The run with edits, and from when on it was simulated, ms."""
        if self._prefix is not None and edits.network is self.network:
            return self._prefix.go_on(edits)
        engine = ENGINES.get(self.record.engine)
        # 'sweep', say, does not take weights that were written out to silence a neuron.
        if engine.exact and engine.refusal(edits.network, Settings(self.record.dtype)) is not None:
            engine = ENGINES.get("queue")
        settings = Settings(self.record.dtype, self.record.step_ms, silent=edits.silent)
        settings = engine.settle(edits.network, settings)
        run = run_whole(engine, edits.network, (edits.times, edits.indices), settings, self._t_stop)
        return replace(run, origin_us=self.record.origin_us), 0.0


def _check_past(before: SpikeRecord, after: SpikeRecord, since: float, until: float) -> None:
    """Refuse a trace whose spikes before the first edit, simulated again, are not those of its network."""
    for name, spikes in before.layers.items():
        first, end = np.searchsorted(spikes.times, [since, until]).tolist()
        _check_same(name, spikes.times[first:end], after[name].times[first:end])


def _check_same(name: str, known: np.ndarray, again: np.ndarray) -> None:
    if len(again) != len(known) or (np.abs(again - known) > PAST_MS).any():
        raise TraceError(
            f"layer {name!r} fires otherwise before the first edit when it is simulated again: the trace "
            "is not one of this network and engine, or of another version; make a new one"
        )


class _Prefix:
    """The undisturbed run, with states on its way to go on from."""

    def __init__(self, network: Network, record: SpikeRecord, settings: Settings, stop: float) -> None:
        self._network, self._record, self._settings = network, record, settings
        self._engine = ENGINES.get(record.engine)
        given = record.input.times, record.input.neurons
        trains = [(spikes.times, spikes.neurons) for spikes in record.layers.values()]
        rest = Kept(0.0, {}, [0] * len(network.layers))
        self._run = Undisturbed(given, trains, [rest], stop)
        self._marks: list[float] | None = None

    @classmethod
    def begin(cls, network: Network, record: SpikeRecord, t_stop: float | None) -> _Prefix | None:
        """None where what happens depends on when the input ends: on a clock, with biases."""
        settings = Settings(record.dtype, record.step_ms, in_parts=True)
        engine = ENGINES.get(record.engine)
        if not engine.exact or network.input.has_bias or engine.refusal(network, settings) is not None:
            return None
        return cls(network, record, settings, math.inf if t_stop is None else t_stop)

    def go_on(self, edits: Edits) -> tuple[SpikeRecord, float]:
        """The record with these edits of the input, and the time from which it was simulated."""
        if edits.first_ms == math.inf:
            return self._record, math.inf
        since = self._state_before(edits.first_ms).time
        last = np.searchsorted(edits.times, self._run.stop, side="right")  # as a fresh run takes them
        given = edits.times[:last], edits.indices[:last]
        settings = replace(self._settings, silent=edits.silent)
        trains = self._engine.redo(self._network, settings, self._run, given, edits.first_ms)
        old = self._record
        layers = {
            name: replace(spikes, times=times, neurons=neurons)
            for (name, spikes), (times, neurons) in zip(old.layers.items(), trains, strict=True)
        }
        inputs = replace(old.input, times=given[0], neurons=given[1])
        record = replace(old, layers=layers, input=inputs, recorded=None)
        ends = self._network.settings.duration_ms or float(given[0].max(initial=0.0))
        return replace(record, readout=read_record(self._network, record, ends)), since

    def _state_before(self, time: float) -> Kept:
        """The latest state that is not after `time`.

        It is made if there is none near; on the way there others are left, half way each time, for questions
        about earlier events.
        """
        states = self._run.states
        if self._marks is None and time > 0.0:
            self._marks = self._choose_marks()
        place = bisect_right([state.time for state in states], time) - 1
        left = [mark for mark in self._marks or () if states[place].time < mark <= time]
        run = self._engine.resume(self._network, self._settings, states[place]) if left else None
        while run is not None and left:
            middle = len(left) // 2
            place += 1
            states.insert(place, self._advance(run, states[place - 1], left[middle]))
            left = left[middle + 1 :]
        return states[place]

    def _choose_marks(self) -> list[float]:
        """When there are to be states, ms: as many as memory is granted for, after equally many events."""
        start = self._engine.begin(self._network, self._settings)
        size = sum(array.nbytes for array in start.save().values())
        count = max(1, min(STATES, STATES_BYTES // max(1, size)))
        times = self._record.input.times
        marks = times[np.arange(1, count + 1) * len(times) // (count + 1)]
        return np.unique(marks[marks > 0.0]).tolist()

    def _advance(self, run: Run, state: Kept, mark: float) -> Kept:
        """A later state of the undisturbed run, which is checked to fire as it is known to."""
        times, neurons = self._run.given
        between = slice(*np.searchsorted(times, [state.time, mark]))
        trains = run.advance((times[between], neurons[between]), mark, self._run.stop)
        ends = []
        for name, start, (again, _) in zip(self._network.names, state.fired, trains, strict=True):
            ends.append(start + len(again))
            _check_same(name, self._record[name].times[start : ends[-1]], again)
        return Kept(mark, run.save(), ends)


_last: tuple[Any, WhatIf] | None = None


def what_if(
    trace: str | os.PathLike[str] | Trace | SpikeRecord,
    *,
    remove: Any = None,
    move: Mapping[int, float] | None = None,
    silence: Any = None,
    weights: Mapping[str, Any] | None = None,
    sample: int = 0,
    network: Network | None = None,
    within_ms: float = 5.0,
) -> Difference:
    """Simulate again with edits, exactly, and say what changes.

    Edits of events are simulated from a state before the first of them. These states come from the
    undisturbed run, which is kept for the next call with the same trace; `WhatIf` keeps it as long as you
    like. Edits of weights are simulated whole, as are networks with biases and the clock. The
    spikes are always those of a fresh run, to the last bit.

    Parameters
    ----------
    trace : path, Trace or SpikeRecord
        A trace (spikes are enough), or what `eventsnn.simulate` returned.
    remove : int, sequence of int, bool array (events,) or slice, optional
        Input events that did not happen: rows of the sample's input spikes (``trace.spikes("input")``), as
        those of ``es.sensitivity(...).events``.
    move : mapping of int to float, optional
        New times of input events, ms.
    silence : mapping of str to neurons, or sequence of (layer, neuron), optional
        Neurons that never fire. In a chain of layers, and where the others of their layer do not hear them,
        their spikes are left out; else they get weights of 0, written out where they are shared
        (convolutions, pooling), for engine 'queue'.
    weights : mapping of str to array, or to a mapping of place to value, optional
        Other weights: all of a layer or connection, or single ones, ``{"output": {(3, 17): 0.0}}``.
    sample : int
    network : Network, optional
        The one that ran, if `trace` is a `SpikeRecord`.
    within_ms : float
        How far a spike may move at most, ms; beyond that it is lost, and another is new.

    Returns
    -------
    Difference

    Raises
    ------
    TraceError
        The file is no trace, there is no such sample, or its spikes are not those of its network and input.
    SimulationError, NetworkError
        An edit that cannot be, naming it.

    Examples
    --------
    >>> found = es.what_if("t.h5", remove=[17, 18])
    >>> found.flips, found.first, found.changes["output"]
    """
    study = study_of(trace, sample, network)
    return study.run(remove=remove, move=move, silence=silence, weights=weights, within_ms=within_ms)


def study_of(trace: Any, sample: int, network: Network | None) -> WhatIf:
    """`WhatIf`, or the one of the last call if that was about the same."""
    global _last
    about: tuple[Any, ...] = (trace, sample, network)
    if not isinstance(trace, Trace | SpikeRecord):
        try:
            found = os.stat(trace)
            about = (os.path.abspath(trace), found.st_mtime_ns, found.st_size, sample, network)
        except (OSError, TypeError, ValueError):
            return WhatIf(trace, sample, network)
    kept = _last
    if kept is not None and len(kept[0]) == len(about):
        same = (a is b or (isinstance(a, str | int) and a == b) for a, b in zip(kept[0], about, strict=True))
        if all(same):
            return kept[1]
    study = WhatIf(trace, sample, network)
    _last = (about, study)
    return study
