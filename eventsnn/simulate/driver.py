"""The driver of all engines: runs of whole recordings; `Simulation` is the one of input in parts."""

from __future__ import annotations

import math

import numpy as np

from eventsnn.errors import SimulationError
from eventsnn.model import Network
from eventsnn.model.bias import NOTHING, Certain, InParts
from eventsnn.simulate.engines import BrokenOff, Engine, Limits, Settings, Train
from eventsnn.simulate.engines.arguments import check_input, endless
from eventsnn.simulate.engines.engine import SILENCE, join
from eventsnn.simulate.engines.precision import overflow
from eventsnn.simulate.input import InputSpikes
from eventsnn.trace.readout import ReadoutRun
from eventsnn.trace.record import ExitReason, SimulationInterrupted, SpikeRecord, make_record

_NO_TIMES = SILENCE[0]


class Driver:
    """An engine's run of a network from rest, as a whole: one part, advanced to infinity.

    `Simulation` has the arguments and the attributes.
    """

    def __init__(
        self,
        network: Network,
        chosen: Engine,
        settings: Settings,
        t_stop: float | None,
        bias_end: float | None = None,
    ) -> None:
        self._chosen, self._settings = chosen, settings
        self.network, self.engine, self.dtype = network, chosen.name, str(settings.dtype)
        self.step_ms, self.t_stop = settings.step_ms, t_stop
        self._run = chosen.begin(network, settings)
        self._readout = None if network.output.fires else ReadoutRun(network, settings.real)
        self._sample_end = math.inf  # known when the input ends
        self._bias = InParts(network.input, bias_end)
        self._ended: str | None = None
        self.origin_us: int | None = None
        self.t_complete = 0.0
        self.events = 0

    def _take(self, events: InputSpikes) -> Train:
        """Input spikes in order, up to the last of which the bias neuron fires.

        Raises SimulationError, and changes nothing, if they do not fit the network or come too late.
        """
        times, inputs = check_input(self.network, events.times, events.indices)
        if len(times):
            if times[0] < self.t_complete:
                raise SimulationError(
                    f"events: one at {times[0]:.6f} ms comes after {self.t_complete:.6f} ms were simulated; "
                    "feed events in order of time"
                )
            self._bias.limit(float(times[-1]))
        self.events += len(times)
        self.origin_us = events.origin_us
        return times, inputs

    def _end(self, spikes: Train) -> SpikeRecord:
        """Advance to the end of the run, with these last input spikes."""
        last = max(self._bias.last_event, self.t_complete)
        limits = self._chosen.limits(self.network, self._settings, self.t_stop, last)
        self._sample_end = last
        if limits.events < math.inf:
            keep = int(np.searchsorted(spikes[0], limits.events, side="right"))
            spikes = spikes[0][:keep], spikes[1][:keep]
        reason = ExitReason.QUIET if limits.end == math.inf else ExitReason.T_STOP
        record = self._advance(spikes, math.inf, limits, reason)
        self._ended = "it is finished"
        return record

    def _advance(self, spikes: Train, horizon: float, limits: Limits, reason: ExitReason) -> SpikeRecord:
        parts: list[list[Train]] = []
        # Until all is done there is no way back: Ctrl-C in between, say, leaves layers at different times.
        self._ended = "it was broken off in the middle of a part"
        biases, bias = self._bias_spikes(horizon, limits) if self.network.input.has_bias else _NO_BIAS
        try:
            for part, border in self._cut(spikes, horizon):
                parts.append(self._run.advance(part, border, limits.stop, bias))
                bias = Certain(_NO_TIMES, bias.following)
        except BrokenOff as broken:
            reached = Limits(limits.events, limits.stop, broken.now)
            trains = [join(layer) for layer in zip(*parts, broken.trains, strict=True)]
            record = self._record(trains, spikes, reached, ExitReason.INTERRUPTED, biases)
            raise SimulationInterrupted(record) from None
        except OverflowError as error:
            raise endless(error) from None
        self._ended = None
        self.t_complete = horizon
        return self._record(self._certain(parts), spikes, limits, reason, biases)

    def _cut(self, spikes: Train, horizon: float) -> list[tuple[Train, float]]:
        """Parts, and their horizons."""
        return [(spikes, horizon)]

    def _certain(self, parts: list[list[Train]]) -> list[Train]:
        """Spikes of every layer before `t_complete`, from those of all parts."""
        return parts[0]

    def _record(
        self, trains: list[Train], spikes: Train, limits: Limits, reason: ExitReason, biases: np.ndarray
    ) -> SpikeRecord:
        return make_record(
            self.network,
            trains,
            spikes,
            limits.end,
            self.engine,
            self.dtype,
            reason=reason,
            bias=biases,
            step_ms=self.step_ms,
            origin_us=self.origin_us or 0,
            readout=self._read_out(trains, spikes, limits.end, biases),
        )

    def _read_out(
        self, trains: list[Train], spikes: Train, end: float, biases: np.ndarray
    ) -> np.ndarray | None:
        """What the readout layer gives up to `end`, ms; None where there is none."""
        if self._readout is None:
            return None
        given = dict(zip(self.network.names, trains, strict=True))
        given |= {"input": spikes, "bias": (biases, np.zeros(len(biases), np.int32))}
        try:
            return self._readout.advance(given, end, self._sample_end)
        except FloatingPointError:
            raise overflow(np.float64, self.network.names[-1]) from None

    def _bias_spikes(self, horizon: float, limits: Limits) -> tuple[np.ndarray, Certain]:
        """Spikes of the bias neuron before the horizon: as the record states them, and for the engine."""
        before, bias = self._bias.last_spike, self._bias.take(horizon)
        if not len(bias.times):
            return _NO_TIMES, bias
        stamps = self._chosen.stamp(bias.times[bias.times <= limits.events], self._settings)
        if not self._chosen.exact:  # several in a step count once
            stamps = np.setdiff1d(stamps, self._chosen.stamp(before, self._settings))
        return stamps[stamps <= limits.stop], bias


_NO_BIAS = _NO_TIMES, NOTHING


def run_whole(
    chosen: Engine,
    network: Network,
    events: InputSpikes | tuple[np.ndarray, np.ndarray],
    settings: Settings,
    t_stop: float | None = None,
    end: float | None = None,
) -> SpikeRecord:
    """One recording from rest to its end.

    Parameters
    ----------
    chosen : Engine
    network : Network
    events : InputSpikes, or (times, indices)
        Times are float, ms, from the origin, in any order; indices are those of input neurons.
    settings : Settings
        What `Engine.settle` has returned, not for parts. The duration of a sample counts that the network's
        own settings may state.
    t_stop : float, optional
        As for `simulate`.
    end : float, optional
        Until when the bias neuron fires, ms; by default for the stated duration of a sample, or until the
        last event.

    Raises
    ------
    SimulationError
        For events that do not fit the network; for a run that would never end.
    SimulationInterrupted
        On Ctrl-C, with the record up to then.
    """
    run = Driver(network, chosen, settings, t_stop, network.settings.duration_ms if end is None else end)
    return run._end(run._take(events if isinstance(events, InputSpikes) else InputSpikes(*events, 0)))
