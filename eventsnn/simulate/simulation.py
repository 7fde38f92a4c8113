"""Simulations in parts: long recordings, live input, and resumed runs."""

from __future__ import annotations

import copy
import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from eventsnn._util.arguments import check_time
from eventsnn._util.ranks import Ranks, as_ranks
from eventsnn._util.saved import StateError, StateReader
from eventsnn._util.words import number_of
from eventsnn.errors import EventStreamError, SimulationError
from eventsnn.events import EventStream
from eventsnn.events.origin import find_origin
from eventsnn.model import Network
from eventsnn.model.bias import NOTHING
from eventsnn.model.steps import check_network
from eventsnn.simulate.driver import Driver
from eventsnn.simulate.engines import Limits, Settings, State, Train, choose
from eventsnn.simulate.engines.arguments import check_t_stop, in_order
from eventsnn.simulate.engines.engine import SILENCE, join
from eventsnn.simulate.input import InputSpikes, to_input
from eventsnn.trace.record import ExitReason, SpikeRecord, Tally, decide

if TYPE_CHECKING:
    from eventsnn.simulate.state import SavedState

# Neuron updates in one go of a first layer: some 20 ms, and arrays of a few MB.
PART_UPDATES = 1 << 24
MOST_EVENTS, FEWEST_EVENTS = 1 << 15, 256


class Simulation(Driver):
    """A running simulation of a network: feed it events as they arrive, and get the spikes that are certain.

    Memory does not grow with the length of the run. However the events are cut into parts, the spikes are
    those of one `simulate` over all of them, to the last bit.

    Parameters
    ----------
    network : Network
    engine, step_ms, dtype
        As for `simulate`. The duration of a sample that the network's settings may state is not regarded.
    t_stop : float, optional
        Last time to simulate, ms, included. A network with recurrent connections needs it to `finish`.
    origin_us : int, optional
        As for `simulate`. Without it the first events that are fed decide.
    ranks : bool
        As for `simulate`: all processes must make the same calls. `save` writes one file, from which any
        number of processes may go on. A copy is not divided.

    Attributes
    ----------
    network : Network
    engine, dtype : str
        What runs.
    step_ms : float or None
        Length of the clock's step, ms; None in exact time.
    t_complete : float
        ms; every spike before it has been returned, none at it or later, and no event before it is taken any
        more.
    events : int
        Events taken.
    origin_us : int or None
        The recording's time that is 0 ms, microseconds; None until there are events.
    Raises
    ------
    SimulationError
        Naming the argument, or what of the network cannot be simulated in parts.

    Examples
    --------
    >>> run = Simulation(network)
    >>> with open_events("hour.raw", crop=(300, 200, 368, 268), downsample=2) as recording:
    ...     for part in recording:
    ...         print(run.feed(part)["output"].times)
    >>> last = run.finish()  # the spikes that no call has returned yet
    >>> run.decision
    """

    def __init__(
        self,
        network: Network,
        *,
        engine: str = "auto",
        step_ms: float | None = None,
        dtype: str | None = None,
        t_stop: float | None = None,
        origin_us: int | None = None,
        ranks: bool | Ranks = False,
    ) -> None:
        check_network(network)
        self._ranks = as_ranks(ranks)
        settings = Settings(dtype, step_ms, in_parts=True, ranks=self._ranks)
        chosen, settings = choose(network, engine, settings)
        # A stop that is missing is a matter for `finish`.
        self._stop = math.inf if t_stop is None else check_t_stop(network, t_stop)
        super().__init__(network, chosen, settings, t_stop)
        widest = max(layer.neurons if layer.positions == 1 else 1 for layer in network.layers)
        self._part = min(MOST_EVENTS, max(FEWEST_EVENTS, PART_UPDATES // widest))
        self._held: Train = SILENCE  # at the last instant
        self._early: list[Train] = [SILENCE] * len(network.layers)
        self._tally = Tally(network)
        if origin_us is not None:
            self.origin_us = find_origin(np.empty(0, np.int64), origin_us)

    def feed(
        self,
        events: EventStream | np.ndarray | tuple[np.ndarray, np.ndarray],
        *,
        until: float | None = None,
    ) -> SpikeRecord:
        """Take the events that follow those before, and return the spikes that are certain now.

        Parameters
        ----------
        events : EventStream, structured array or (times_ms, indices)
            As for `simulate`; none earlier than `t_complete`. Events at the very last instant wait for the
            next call, as more may come at that instant.
        until : float, optional
            ms: no event before this time will come any more. Without it, none before the last event. With
            biases, spikes are certain up to the bias neuron's first spike after the last event at most.

        Returns
        -------
        SpikeRecord
            Those from the `t_complete` before up to the new one, which is its `t_end`; `exit_reason` is PART.

        Raises
        ------
        SimulationError
            For events that do not fit the network or come too late; the simulation is as it was before.
        """
        self._check_open()
        if until is not None:
            until = check_time("until", until, SimulationError)
        times, inputs = self._take(self._to_input(events))
        if until and self.origin_us is None:  # who names a time before there are events counts from 0
            self.origin_us = 0
        horizon = max(self.t_complete, float(times[-1]) if len(times) else 0.0, until or 0.0)
        # Beyond its next spike the bias neuron is silent, unless another event comes.
        horizon = min(horizon, self._bias.limit(0.0))
        times, inputs = in_order(*join([self._held, (times, inputs)]))
        ready = int(np.searchsorted(times, horizon))
        self._held = times[ready:].copy(), inputs[ready:].copy()
        limits = Limits(self._stop, self._stop, horizon)
        return self._advance((times[:ready], inputs[:ready]), horizon, limits, ExitReason.PART)

    def finish(
        self, events: EventStream | np.ndarray | tuple[np.ndarray, np.ndarray] | InputSpikes | None = None
    ) -> SpikeRecord:
        """End the input, with these last events: simulate up to `t_stop`, or until the network is quiet.

        On the clock, without a `t_stop`, the end is the step of the last event, or of a later `until`.

        Returns the spikes that no `feed` has returned. Nothing can be fed afterwards.

        Raises
        ------
        SimulationError
            If the network is recurrent and there is no `t_stop`; for events as `feed`.
        """
        self._check_open()
        if not self.ends:
            check_t_stop(self.network, self.t_stop)
        train = self._held
        if events is not None:
            train = in_order(*join([train, self._take(self._to_input(events))]))
        record = self._end(train)
        self._held = SILENCE
        return record

    def _advance(self, spikes: Train, horizon: float, limits: Limits, reason: ExitReason) -> SpikeRecord:
        record = super()._advance(spikes, horizon, limits, reason)
        self._tally.add(record)
        return record

    def _cut(self, spikes: Train, horizon: float) -> list[tuple[Train, float]]:
        """Parts of bounded size, none of which ends within an instant, and their horizons."""
        times, inputs = spikes
        parts: list[tuple[Train, float]] = []
        start = 0
        while len(times) - start > self._part:
            border = float(times[start + self._part])
            end = int(np.searchsorted(times, border))
            if end <= start:  # so many at one instant
                end = int(np.searchsorted(times, border, side="right"))
                if end == len(times):
                    break
                border = float(times[end])
            parts.append(((times[start:end], inputs[start:end]), border))
            start = end
        parts.append(((times[start:], inputs[start:]), horizon))
        return parts

    def _certain(self, parts: list[list[Train]]) -> list[Train]:
        """Spikes before `t_complete`; later ones, known because of a delay, are kept for later."""
        horizon = self.t_complete
        trains = [join(layer) for layer in zip(self._early, *parts, strict=True)]
        ready = [int(np.searchsorted(times, horizon)) for times, _ in trains]
        self._early = [
            (times[n:].copy(), neurons[n:].copy()) for n, (times, neurons) in zip(ready, trains, strict=True)
        ]
        return [(times[:n], neurons[:n]) for n, (times, neurons) in zip(ready, trains, strict=True)]

    @property
    def ends(self) -> bool:
        """Whether `finish` has an end: a network with loops may fire for ever in exact time."""
        return not (self._chosen.exact and self.network.is_recurrent and self.t_stop is None)

    @property
    def held(self) -> int:
        """How many of the events taken are at `t_complete`, and wait for more at that instant."""
        return len(self._held[0])

    @property
    def counts(self) -> dict[str, np.ndarray]:
        """Spikes of every layer so far, int64 arrays (neurons,)."""
        return self._tally.counts

    @property
    def decision(self) -> int | None:
        """Output neuron with the most spikes so far, or the first, or the largest readout, the lowest among
        equals; None while all are silent.
        """
        return decide(self._tally.votes)

    def summary(self) -> dict[str, Any]:
        """As `SpikeRecord.summary`, of all spikes so far."""
        return self._tally.summary(self.network.classes)

    def save(self, path: str | os.PathLike[str], **notes: Any) -> None:
        """Write the state to a file for `resume`; the file appears complete or not at all.

        `notes` is whatever JSON can hold; `eventsnn.simulate.state.load_state` returns it.
        """
        from eventsnn.simulate.state import save_state

        self._check_open()
        arrays = self._arrays()
        if self._ranks.first:
            save_state(path, self, arrays, notes)

    def _arrays(self) -> State:
        """The state, as `SavedState` has it."""
        arrays = {f"state/{name}": array for name, array in self._run.save().items()}
        arrays |= {f"bias/{name}": array for name, array in self._bias.save().items()}
        arrays |= {f"counts/{name}": counts for name, counts in self.counts.items()}
        if self.network.decides != "count":
            arrays["votes"] = self._tally.votes
        if self._readout is not None:
            arrays |= {f"readout/{name}": array for name, array in self._readout.save().items()}
        for number, (times, neurons) in enumerate([self._held, *self._early]):
            arrays |= {f"times/{number}": times, f"neurons/{number}": neurons}
        return arrays

    def __reduce__(self) -> tuple[Any, ...]:
        from eventsnn.simulate.state import SavedState

        # What an engine holds cannot be pickled; what it goes on from can. A copy shares no array with it.
        arrays = self._arrays() if self._ended is None else {}
        state = SavedState(
            path="a copy",
            engine=self.engine,
            step_ms=self.step_ms,
            dtype=self.dtype,
            t_complete=self.t_complete,
            events=self.events,
            origin_us=self.origin_us,
            notes={},
            arrays=copy.deepcopy(arrays),
        )
        return _rebuild, (type(self), self.network, self.t_stop, state, self._ended, self._tally)

    def __repr__(self) -> str:
        ended = "" if self._ended is None else f", {self._ended}"
        return (
            f"<Simulation of {self.network!r}: {number_of(self.events, 'event')}, complete up to "
            f"{self.t_complete:.6g} ms, engine {self.engine}, {self.dtype}{ended}>"
        )

    @classmethod
    def resume(
        cls,
        path: str | os.PathLike[str],
        network: Network,
        *,
        t_stop: float | None = None,
        ranks: bool | Ranks = False,
    ) -> Simulation:
        """Go on from a saved state: with the same spikes, to the last bit, as if the run had not stopped.

        Raises
        ------
        SimulationError
            The file cannot be read, was changed since it was saved, or is of another network; names the file.
        """
        from eventsnn.simulate.state import load_state

        saved = load_state(path, network)
        return cls.take_up(saved, network, t_stop=t_stop, ranks=ranks)

    @classmethod
    def take_up(
        cls,
        saved: SavedState,
        network: Network,
        *,
        t_stop: float | None = None,
        ranks: bool | Ranks = False,
    ) -> Simulation:
        """`resume` from a state that `eventsnn.simulate.state.load_state` has read.

        Raises
        ------
        SimulationError
            The state cannot be one of this network and engine; names the file.
        """
        run = cls(
            network,
            engine=saved.engine,
            step_ms=saved.step_ms,
            dtype=saved.dtype,
            t_stop=t_stop,
            ranks=ranks,
        )
        try:
            run._restore(StateReader(saved.arrays), saved)
        except (StateError, SimulationError, OverflowError) as error:
            from eventsnn.simulate.state import damaged

            raise damaged(saved.path, str(error)) from None
        return run

    def _restore(self, state: StateReader, saved: SavedState) -> None:
        sizes = [self.network.input.neurons, *(layer.neurons for layer in self.network.layers)]
        now = self.t_complete = saved.t_complete
        # The input that is held came at the last instant; spikes known early come later, behind a delay.
        self._held, *self._early = [
            state.train(f"times/{n}", f"neurons/{n}", size, lowest=now, highest=math.inf if n else now)
            for n, size in enumerate(sizes)
        ]
        if saved.events < self.held:
            raise StateError(f"events is {saved.events}, but {self.held} wait at the last instant")
        self.events, self.origin_us = saved.events, saved.origin_us
        for name, counts in self.counts.items():
            counts[...] = state.numbers(f"counts/{name}", counts.shape, np.int64, lowest=0)
        if self.network.decides != "count":
            votes = self._tally.votes
            lowest = 0.0 if self._readout is None else -math.inf
            votes[...] = state.numbers("votes", votes.shape, votes.dtype, lowest=lowest)
        if self._readout is not None:
            self._readout.restore(state.within("readout/"), now)
        following = self._bias.restore(state.within("bias/"), now)
        self._run.restore(state.within("state/"), now, following)
        state.close()
        # What fires without further input before it comes was told before.
        bias = NOTHING._replace(following=following)
        for times, _ in self._run.advance(SILENCE, now, self._stop, bias):
            if len(times):
                raise StateError(
                    f"a neuron would fire at {times[0]:g} ms, which is past, unless an earlier t_stop kept it"
                )

    def _to_input(self, events: Any) -> InputSpikes:
        """`eventsnn.simulate.input.to_input`, from the origin of the events before."""
        if isinstance(events, InputSpikes):
            return events
        if self.origin_us is None or not self.events:
            return to_input(self.network, events, self.origin_us)
        try:
            return to_input(self.network, events, self.origin_us)
        except EventStreamError as error:
            raise SimulationError(
                f"{error}: events before them have set the origin; feed events in order of time"
            ) from None

    def _check_open(self) -> None:
        if self._ended is not None:
            raise SimulationError(f"the simulation cannot go on: {self._ended}; begin a new one")


def _rebuild(
    cls: type[Simulation],
    network: Network,
    t_stop: float | None,
    state: SavedState,
    ended: str | None,
    tally: Tally,
) -> Simulation:
    """A simulation from the result of `Simulation.__reduce__`."""
    if ended is None:
        return cls.take_up(state, network, t_stop=t_stop)
    run = cls(
        network,
        engine=state.engine,
        step_ms=state.step_ms,
        dtype=state.dtype,
        t_stop=t_stop,
        origin_us=state.origin_us,
    )
    run.t_complete, run.events, run._ended = state.t_complete, state.events, ended
    run._tally = copy.deepcopy(tally)  # copy.copy hands on that of the simulation it copies
    return run
