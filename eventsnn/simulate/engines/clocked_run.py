"""A network on the clock, part by part: what it carries from step to step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TypeAlias

import numpy as np

from eventsnn._util.saved import StateReader
from eventsnn.model.bias import NOTHING, Certain
from eventsnn.model.steps import check_length, last_step, latency_steps, to_steps
from eventsnn.simulate.engines.clocked_network import ClockedNetwork
from eventsnn.simulate.engines.engine import SILENCE, State, Train, join

# Neurons times steps between two looks at the signals.
CHUNK = 50_000_000
GROUP = 16  # clocked_steps.pyx: states are kept in multiples of it

_NO_STEPS = np.empty(0, np.int32)

Steps: TypeAlias = tuple[np.ndarray, np.ndarray]
"""(steps, neurons in the kernel's numbering), int32, sorted by both."""


class ClockedParts:
    """A network in the middle of a simulation on the clock; see `Run`.

    A spike needs a step or more to its effect. Up to a horizon, all steps but the one that it falls into are
    complete, and with that the spikes of all layers in that step too.

    Kept are potentials, currents and refractory steps of every layer, and what still may arrive: the spikes
    of the last `_memory` steps.
    """

    def __init__(self, clock: ClockedNetwork, silent: Mapping[int, np.ndarray] | None = None) -> None:
        network = clock.network
        self._kept = {number + 1: ~neurons for number, neurons in (silent or {}).items()}
        self._clock, self._step_ms = clock, clock.step_ms
        delays = [p.delay for p in network.projections] + [0.0]
        self._memory = max(latency_steps(delay, clock.step_ms) for delay in delays)
        self._fired: list[Steps] = [(_NO_STEPS, _NO_STEPS)] * len(clock.layers)
        self._waiting, self._bias = SILENCE, SILENCE[0]  # input spikes and those of the bias neuron, ms
        self._next = 1  # the step to be computed next; in step 0 nothing has arrived yet

    @cached_property
    def _states(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Potentials, currents and last refractory steps, as the kernel counts; a whole run has its own."""
        sizes = [-(-layer.size // GROUP) * GROUP for layer in self._clock.layers]
        return [
            (np.zeros(size, np.float32), np.zeros(size, np.float32), np.zeros(size, np.int32))
            for size in sizes
        ]

    def advance(
        self, input_spikes: Train, horizon: float, stop: float, bias: Certain = NOTHING
    ) -> list[Train]:
        """See `Run`; to an infinite horizon there must be a stop."""
        steps = last_step(min(horizon, stop), self._step_ms) + 1
        check_length(steps - self._next, self._step_ms, "t_stop" if horizon == math.inf else "events")
        if horizon == math.inf and self._next == 1 and not len(self._waiting[0]):
            return self._run_whole(input_spikes, steps, bias)
        self._waiting = join([self._waiting, input_spikes])
        self._bias = np.concatenate([self._bias, bias.times])
        layer_trains: list[list[Train]] = [[] for _ in self._states]
        for last in self._chunks(steps):
            for trains, train in zip(layer_trains, self._run(last), strict=True):
                trains.append(train)
        return [join(trains) for trains in layer_trains]

    def _chunks(self, steps: int) -> Iterator[int]:
        """Ends of ranges of steps, in each of which the kernel is not interrupted."""
        length = max(1, CHUNK // sum(len(v) for v, _, _ in self._states))
        while self._next < steps:
            yield min(self._next + length, steps)

    def _run_whole(self, spikes: Train, steps: int, bias: Certain) -> list[Train]:
        """All steps at once, layer after layer in a chain: the same bits, faster."""
        at = to_steps(spikes[0], self._step_ms)
        end = int(np.searchsorted(at, steps))
        biases = self._clock.bias_steps(bias.times, steps) if len(bias.times) else _NO_STEPS
        silent = self._clock.silent(self._kept) if self._kept else None
        run = self._clock.compute(at[:end], spikes[1][:end], steps, biases, silent=silent)
        return [self._clock.train(run, number + 1) for number in range(len(self._fired))]

    def _run(self, last: int) -> list[Train]:
        """Steps up to `last`, which is left out; the kernel counts from the first of those that are kept."""
        zero, memory = self._next - self._memory, self._memory
        times, neurons = self._waiting
        at = to_steps(times, self._step_ms) - zero
        end = int(np.searchsorted(at, last - zero))
        biases = self._clock.bias_steps(self._bias, last) - np.int32(zero)
        run = self._clock.compute(
            at[:end], neurons[:end], last - zero, biases, (memory, self._states, self._fired)
        )
        trains, passed = [], np.int32(last - self._next)
        for number in range(len(self._states)):
            steps, ids = self._clock.fired(run, number + 1)
            fresh, kept = steps >= memory, steps >= passed
            trains.append(self._clock.to_train(number + 1, steps[fresh] + np.int32(zero), ids[fresh]))
            self._fired[number] = steps[kept] - passed, ids[kept]
            until = self._states[number][2]
            np.maximum(until - passed, 0, out=until)
        self._next = last
        # Nothing from before the steps that are kept can arrive any more.
        start = int(np.searchsorted(at, passed))
        self._waiting = times[start:].copy(), neurons[start:].copy()
        self._bias = self._bias[to_steps(self._bias, self._step_ms) >= last - memory]
        return trains

    def save(self) -> State:
        """See `Run`."""
        state: State = {"next": np.array(self._next), "bias": self._bias.copy()}
        state["times"], state["neurons"] = self._waiting[0].copy(), self._waiting[1].copy()
        for number, (arrays, fired) in enumerate(zip(self._states, self._fired, strict=True)):
            for name, array in zip(("v", "current", "until", "steps", "ids"), (*arrays, *fired), strict=True):
                state[f"{number}/{name}"] = array.copy()
        return state

    def _padding(self, number: int) -> np.ndarray:
        """Whether a place of a layer's state belongs to no neuron, bool array."""
        names = self._clock.layouts[number + 1].names
        padding = np.ones(len(self._states[number][0]), bool)
        padding[: len(names)] = names < 0
        return padding

    def restore(self, state: StateReader, horizon: float, following: float = math.inf) -> None:
        """See `Run`."""
        network, memory = self._clock.network, self._memory
        latest = last_step(horizon, self._step_ms) + 1
        first = int(state.numbers("next", (), np.int64, lowest=1, highest=latest))
        bias = state.ascending("bias", highest=horizon)
        waiting = state.train("times", "neurons", network.input.neurons, highest=horizon)
        for name, times in (("bias", bias), ("times", waiting[0])):
            if (to_steps(times[:1], self._step_ms) < first - memory).any():
                raise state.error(name, f"holds {times[0]} ms, which cannot arrive any more")
        if len(bias) and not network.input.has_bias:
            raise state.error("bias", "holds spikes, and the network has no biases")
        read = [self._read_layer(state.within(f"{n}/"), n) for n in range(len(self._states))]
        state.close()
        for arrays, (values, _) in zip(self._states, read, strict=True):
            for array, new in zip(arrays, values, strict=True):
                array[...] = new
        self._fired = [fired for _, fired in read]
        self._waiting, self._bias, self._next = waiting, bias, first

    def _read_layer(self, state: StateReader, number: int) -> tuple[list[np.ndarray], Steps]:
        v, _, until = self._states[number]
        names, padding = self._clock.layouts[number + 1].names, self._padding(number)
        values = [state.numbers(name, v.shape, np.float32) for name in ("v", "current")]
        # Without synapses they come no nearer to the threshold than the resting potential.
        layer = self._clock.network.layers[number]
        highest = max(0.0, layer.threshold - layer.threshold_slack)
        if (values[0][padding] > np.float32(highest)).any() or (values[1][padding] > 0.0).any():
            raise state.error("v", "or current holds values of neurons that do not exist")
        values.append(state.numbers("until", until.shape, np.int32, lowest=0))
        steps = state.numbers("steps", (None,), np.int32, lowest=0, highest=self._memory - 1)
        ids = state.numbers("ids", steps.shape, np.int32, lowest=0, highest=len(names) - 1)
        order = steps.astype(np.int64) * len(names) + ids
        if (names[ids] < 0).any() or (np.diff(order) <= 0).any():
            raise state.error("ids", "does not list neurons in order of their steps")
        state.close()
        return values, (steps, ids)
