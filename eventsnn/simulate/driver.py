"""What every simulation does with a part of the input: cut, run, sort out what is certain, keep the rest."""

from __future__ import annotations

import math

import numpy as np

from eventsnn.model import Network
from eventsnn.model.bias import Certain, InParts
from eventsnn.simulate.engines import BrokenOff, Engine, Limits, Settings, Train
from eventsnn.simulate.engines.arguments import check_t_stop, endless
from eventsnn.simulate.engines.engine import SILENCE, join
from eventsnn.simulate.engines.precision import overflow
from eventsnn.trace.readout import ReadoutRun
from eventsnn.trace.record import (
    ExitReason,
    SimulationInterrupted,
    SpikeRecord,
    Tally,
    make_record,
)

# Neuron updates in one go of a first layer: some 20 ms, and arrays of a few MB.
PART_UPDATES = 1 << 24
MOST_EVENTS, FEWEST_EVENTS = 1 << 15, 256


class Driver:
    """An engine's run of a network, its input and its spikes up to now; `Simulation` has the arguments."""

    _tally: Tally
    """Of a simulation in parts."""

    def _begin(
        self,
        network: Network,
        chosen: Engine,
        settings: Settings,
        t_stop: float | None,
        bias_end: float | None = None,
    ) -> None:
        """At rest. Settings that are not for parts are for one recording, which `finish` takes whole."""
        self._chosen, self._settings = chosen, settings
        self.network, self.engine, self.dtype = network, chosen.name, str(settings.dtype)
        self.step_ms = settings.step_ms
        self.t_stop = t_stop
        # A stop that is missing is a matter for `finish`.
        self._stop = math.inf if t_stop is None else check_t_stop(network, t_stop)
        self._run = chosen.begin(network, settings)
        self._readout = None if network.output.fires else ReadoutRun(network, settings.real)
        self._sample_end = math.inf  # known when the input ends
        widest = max(layer.neurons if layer.positions == 1 else 1 for layer in network.layers)
        self._part = min(MOST_EVENTS, max(FEWEST_EVENTS, PART_UPDATES // widest))
        self._held: Train = SILENCE  # at the last instant
        self._bias = InParts(network.input, bias_end)
        self._early: list[Train] = [SILENCE] * len(network.layers)
        self._ended: str | None = None
        self.origin_us: int | None = None
        self.t_complete = 0.0
        self.events = 0

    def _advance(self, spikes: Train, horizon: float, limits: Limits, reason: ExitReason) -> SpikeRecord:
        parts: list[list[Train]] = []
        # Until all is done there is no way back: Ctrl-C in between, say, leaves layers at different times.
        self._ended = "it was broken off in the middle of a part"
        biases = SILENCE[0]
        before, bias = self._bias.last_spike, self._bias.take(horizon)
        if len(bias.times):
            biases = self._stamp(bias.times[bias.times <= limits.events], before)
            biases = biases[biases <= limits.stop]
        try:
            for part, border in self._cut(spikes, horizon):
                parts.append(self._run.advance(part, border, limits.stop, bias))
                bias = Certain(bias.times[:0], bias.following)
        except BrokenOff as broken:
            reached = Limits(limits.events, limits.stop, broken.now)
            trains = [join(layer) for layer in zip(*parts, broken.trains, strict=True)]
            record = self._record(trains, spikes, reached, ExitReason.INTERRUPTED, biases)
            raise SimulationInterrupted(record) from None
        except OverflowError as error:
            raise endless(error) from None
        self._ended = None
        self.t_complete = horizon
        trains = [self._collect(n, list(layer), horizon) for n, layer in enumerate(zip(*parts, strict=True))]
        record = self._record(trains, spikes, limits, reason, biases)
        if self._settings.in_parts:  # else the record is all there will be
            self._tally.add(record)
        return record

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

    def _stamp(self, biases: np.ndarray, before: np.ndarray) -> np.ndarray:
        """Spikes of the bias neuron as the engine states them; `before` is the one before the first."""
        stamps = self._chosen.stamp(biases, self._settings)
        if self._chosen.exact:
            return stamps
        return np.setdiff1d(stamps, self._chosen.stamp(before, self._settings))  # one in a step counts once

    def _collect(self, number: int, parts: list[Train], horizon: float) -> Train:
        """Spikes of a layer before the horizon; later ones, known because of a delay, are kept for later."""
        times, neurons = join([self._early[number], *parts])
        if horizon == math.inf:
            return times, neurons
        ready = int(np.searchsorted(times, horizon))
        self._early[number] = times[ready:].copy(), neurons[ready:].copy()
        return times[:ready], neurons[:ready]

    def _cut(self, spikes: Train, horizon: float) -> list[tuple[Train, float]]:
        """Parts of bounded size, none of which ends within an instant, and their horizons."""
        if not self._settings.in_parts:
            return [(spikes, horizon)]
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
