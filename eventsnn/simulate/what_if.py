"""What if an event, a neuron or a weight were another? The simulation again, exactly, with edits.

The engines are linear in their input only between spikes, so nothing but simulation tells what happens
without an event. It goes on from a state of the undisturbed run before the first edit. Such states are kept
as the undisturbed run is simulated, which is done once and only as far as needed: rebuilt from the spikes in
closed form, they would be right to rounding, and the spikes would no longer have the bits of a fresh run.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from eventsnn._util.saved import StateReader
from eventsnn.errors import TraceError
from eventsnn.model import Network
from eventsnn.simulate.differences import Difference
from eventsnn.simulate.edits import Edits, make_edits
from eventsnn.simulate.engines import ENGINES, Run, Settings, State
from eventsnn.trace.reader import Trace
from eventsnn.trace.readout import read_record
from eventsnn.trace.record import ExitReason, SpikeRecord
from eventsnn.trace.runs import open_run

STATES = 32
"""How many states of the undisturbed run are kept at most."""

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
        The simulation as it was.

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
            self._t_stop = trace.config.get("t_stop") if isinstance(trace, Trace) else None
        self._prefix = _Prefix.begin(self.network, self.record, self._t_stop)

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
        edits = make_edits(self.network, self.record.input, remove, move, silence, weights)
        after, since = self.simulate(edits)
        if self.record.step_ms is None:  # a clock that ends with the input may end before the first edit
            _check_past(self.record, after, since, edits.first_ms)
        return Difference(self.record, after, edits.first_ms, since, within_ms)

    def simulate(self, edits: Edits) -> tuple[SpikeRecord, float]:
        """The run with edits, and from when on it was simulated, ms."""
        if self._prefix is not None and edits.network is self.network:
            return self._prefix.go_on(edits)
        engine = ENGINES.get(self.record.engine)
        # 'sweep', say, does not take weights that were written out to silence a neuron.
        if engine.exact and engine.refusal(edits.network, Settings(self.record.dtype)) is not None:
            engine = ENGINES.get("queue")
        run = engine.run(
            edits.network,
            edits.times,
            edits.indices,
            dtype=self.record.dtype,
            step_ms=self.record.step_ms,
            t_stop=self._t_stop,
        )
        return replace(run, origin_us=self.record.origin_us), 0.0


def _check_past(before: SpikeRecord, after: SpikeRecord, since: float, until: float) -> None:
    """Refuse a trace whose spikes before the first edit, simulated again, are not those of its network."""
    for name, spikes in before.layers.items():
        first, end = np.searchsorted(spikes.times, [since, until]).tolist()
        known, again = spikes.times[first:end], after[name].times[first:end]
        if len(again) < len(known) or (np.abs(again - known) > PAST_MS).any():
            raise TraceError(
                f"layer {name!r} fires otherwise before the first edit when it is simulated again: the trace "
                "is not one of this network and engine, or of another version; make a new one"
            )


class _Prefix:
    """The undisturbed run up to some time, with states before it to go on from."""

    def __init__(self, network: Network, record: SpikeRecord, settings: Settings, stop: float) -> None:
        self._network, self._record, self._settings, self._stop = network, record, settings, stop
        self._engine = ENGINES.get(record.engine)
        self._front = self._engine.begin(network, settings)  # at the last of the states
        self._states: list[_State] = []
        times = record.input.times
        marks = times[np.arange(1, STATES + 1) * len(times) // (STATES + 1)]
        self._marks = np.unique(marks[marks > 0.0]).tolist()

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
        state = self._state_before(edits.first_ms)
        first = int(np.searchsorted(edits.times, state.time))
        rest = edits.times[first:], edits.indices[first:]
        trains = self._resume(state).advance(rest, math.inf, self._stop)
        old = self._record
        layers = {
            name: replace(
                old[name],
                times=np.concatenate([old[name].times[:kept], times]),
                neurons=np.concatenate([old[name].neurons[:kept], neurons]),
            )
            for name, kept, (times, neurons) in zip(self._network.names, state.fired, trains, strict=True)
        }
        given = replace(old.input, times=edits.times, neurons=edits.indices)
        record = replace(old, layers=layers, input=given, recorded=None)
        last = float(edits.times[-1]) if len(edits.times) else 0.0
        ends = self._network.settings.duration_ms or last
        return replace(record, readout=read_record(self._network, record, ends)), state.time

    def _resume(self, state: _State) -> Run:
        run = self._engine.begin(self._network, self._settings)
        if state.arrays:
            run.restore(StateReader(_copied(state.arrays)), state.time)
        return run

    def _state_before(self, time: float) -> _State:
        """The latest state that is not after `time`; those up to it are made as they are needed."""
        state = _State(0.0, {}, [0] * len(self._network.layers))
        for number, mark in enumerate(self._marks):
            if mark > time:
                break
            if number == len(self._states):
                self._states.append(self._advance(state, mark))
            state = self._states[number]
        return state

    def _advance(self, state: _State, mark: float) -> _State:
        """The state at a later time of the undisturbed run."""
        given, run = self._record.input, self._front
        between = slice(*np.searchsorted(given.times, [state.time, mark]))
        trains = run.advance((given.times[between], given.neurons[between]), mark, self._stop)
        fired = [n + len(times) for n, (times, _) in zip(state.fired, trains, strict=True)]
        return _State(mark, _copied(run.save()), fired)


def _copied(arrays: State) -> State:
    """Arrays that no run changes."""
    return {name: array.copy() for name, array in arrays.items()}


class _State(NamedTuple):
    """The undisturbed run at some time."""

    time: float
    """ms; all events before it have been taken."""

    arrays: State
    """What the engine goes on from; none at time 0."""

    fired: list[int]
    """How many spikes of each layer are known: some may be later, behind a delay."""


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
    like. Edits of neurons and weights are simulated whole, as are networks with biases and the clock. The
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
        Neurons that never fire. Where one has shared weights (convolutions, pooling), the network runs on
        weights written out, by engine 'queue'.
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
    >>> found = es.what_if("t.h5", remove=[17, 18])                              # doctest: +SKIP
    >>> found.flips, found.first, found.changes["output"]                       # doctest: +SKIP
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
