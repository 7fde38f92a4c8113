"""Training on a graphics card: weights and moments live there, mini-batches go through the layers and back.

The forward pass is that of the engine (`eventsnn.simulate.engines.gpu`), the way down that of
`eventsnn.train.device_errors` and `eventsnn.train.device_derivatives`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from eventsnn._util.ranks import Ranks
from eventsnn._util.threads import Pool, call
from eventsnn.gpu.activity import count_activity
from eventsnn.gpu.device import Device, DeviceArray, DeviceMemoryError
from eventsnn.gpu.forward import ForwardPass, LayerPass
from eventsnn.gpu.weights import DeviceWeights
from eventsnn.learn.optimisers import Optimiser, OptimiserState, Step
from eventsnn.learn.rule import Rule
from eventsnn.simulate.engines.arrivals import EVERYONE, Arrivals, Kept
from eventsnn.simulate.engines.batch import BatchRun
from eventsnn.simulate.engines.blocks import WIDTH
from eventsnn.simulate.engines.gpu import DeviceNetwork, bias_trains, join, put_layers
from eventsnn.simulate.engines.layer_run import LayerRun
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.trace.record import SpikeRecord
from eventsnn.train.device_derivatives import DeviceDerivatives
from eventsnn.train.device_down import DeviceDown, Part, join_times, read_times
from eventsnn.train.device_errors import DeviceErrors
from eventsnn.train.device_readout import learn_readout
from eventsnn.train.downward import LayerState, Learner, Observer, Outcome
from eventsnn.train.frozen_prefix import FrozenPrefix
from eventsnn.train.tallies import Activity

T = TypeVar("T")


class DeviceState(OptimiserState):
    """What an optimiser keeps of a layer's weights, on a device; the arrays here are copies of it.

    `complete` brings them up to date; `loaded` hands them over, when they have been changed here.
    """

    def __init__(
        self, optimiser: Optimiser, weights: np.ndarray, synapses: int, on_device: DeviceWeights
    ) -> None:
        super().__init__(optimiser, weights, synapses)
        self.on_device = on_device
        self.loaded()

    def update(self, scale: float, decay: np.ndarray, rate: float, number: int) -> Step:
        constants = self.method.constants(rate, number)
        assert constants is not None  # others are refused
        numbers = vars(constants)
        return Step(None, lambda _: self.on_device.step(scale, decay.reshape(-1), **numbers), range(1))

    def settle(self) -> None:
        sums = self.on_device.sums.read().reshape(3, *self.row_sum.shape)
        self.row_sum[...], self.row_square[...], self.gradient_square[...] = sums

    def complete(self, ranks: Ranks) -> None:
        self.settle()
        for array, there in self._pairs():
            array[...] = there.read().reshape(len(there), -1, WIDTH).transpose(1, 0, 2)

    def loaded(self) -> None:
        for array, there in self._pairs():
            there.write(array.transpose(1, 0, 2).reshape(there.shape))
        sums = self.row_sum, self.row_square, self.gradient_square
        self.on_device.sums.write(np.stack([each.reshape(-1) for each in sums]))

    def _pairs(self) -> list[tuple[np.ndarray, DeviceArray]]:
        """Arrays here and there."""
        there = self.on_device.weights, *self.on_device.moments
        return list(zip((self.weights, *self.moments), there, strict=True))


@dataclass
class DeviceRun:
    """A mini-batch after the forward pass.

    Attributes
    ----------
    samples : Arrivals
        The mini-batch itself, or what the frozen prefix made of it.
    ends : float64 array (samples,)
        When each sample ends, ms.
    biases : list of float64 arrays
        Spikes of the bias neuron in each sample, ms.
    counts : int64 array (samples, outputs)
    times : float64 array (samples, most, outputs) or None
        Of the output spikes, see `eventsnn.train.device_down.Part`, where they are needed.
    hidden : Activity
        Of the hidden layers.
    reading : BatchRun or None
        Of a readout layer, and of the one below.
    kept : Kept
        Neurons that are not dropped.
    passes : list of LayerPass or None
        Of the whole mini-batch; None where the device had room for parts of it only.
    """

    samples: Arrivals
    ends: np.ndarray
    biases: list[np.ndarray]
    counts: np.ndarray = field(init=False)
    times: np.ndarray | None = None
    hidden: Activity = field(init=False)
    reading: BatchRun | None = None
    kept: Kept = field(default_factory=dict)
    passes: list[LayerPass] | None = None


class DeviceLearner(Learner[DeviceRun]):
    """A chain of layers on a device, forward and backward.

    Parameters
    ----------
    packed : PackedNetwork
        Its weights are put on the device; there they are changed.
    device : Device
    prefix : FrozenPrefix, optional
        What the input spikes go through first, on the CPU.
    derivatives : bool
        Whether the rule sends derivatives by spike times.

    Attributes
    ----------
    most : int or None
        Samples that the device takes at once; None as long as it has had room for all.
    """

    batch = 1024
    most: int | None = None
    _wait, _passed = 32, 0
    """Mini-batches in parts until twice as many samples are tried at once, and how many there were."""

    def __init__(
        self,
        packed: PackedNetwork,
        device: Device,
        prefix: FrozenPrefix | None = None,
        derivatives: bool = False,
    ) -> None:
        self.times = derivatives or packed.network.decides == "first"
        self.packed, self.device, self.prefix = packed, device, prefix
        self.layers = put_layers(device, packed)
        self.network = DeviceNetwork(packed, ForwardPass(device, self.layers))
        self.weights: dict[str, DeviceWeights] = {}

    def make_state(self, optimiser: Optimiser, packed: PackedNetwork, key: str) -> OptimiserState:
        layer = next((layer for layer in self.layers if layer.name == key), None)
        if layer is None:  # a readout, on the host
            return super().make_state(optimiser, packed, key)
        self.weights[key] = DeviceWeights(self.device, layer, optimiser.method.moments)
        return DeviceState(optimiser, packed.blocks[key], packed.synapses(key), self.weights[key])

    def forward(self, samples: Arrivals, threads: Pool, kept: Kept = EVERYONE) -> DeviceRun:
        self._widen(len(samples))
        ends = samples.ends
        if self.prefix is not None:
            samples = self.prefix.spikes(samples, threads)
        if 0 in kept:
            samples = samples.where(kept[0])
        run = DeviceRun(samples, ends, bias_trains(self.packed.network, ends))
        run.kept = kept
        size, hidden = len(run.ends), self.layers[: len(self.packed.network.layers) - 1]

        def look(part: slice, passes: list[LayerPass]) -> tuple[np.ndarray, Any]:
            if part == slice(0, size):
                run.passes = passes
            active = count_activity(self.device, passes[: len(hidden)], hidden)
            return active.read(), self._read_output(passes[-1])

        active, outputs = zip(*self._each_part(run, look), strict=True)
        self._join_outputs(run, outputs, threads)
        run.hidden = Activity(*np.sum(active, axis=(0, 1)).tolist())
        return run

    def _read_output(self, top: LayerPass) -> tuple[Any, Any]:
        """What the output neurons did in some samples: counts and times; or the spikes below a readout."""
        number = len(self.layers) - 1
        if not self.packed.network.output.fires:
            passed = top.passed(self.layers[number])
            return self.network.read(number, replace(top, spikes=passed))
        counts = top.spikes.counts.read()[:, : self.layers[number].neurons]
        return counts, read_times(top.spikes, counts) if self.times else None

    def _join_outputs(self, run: DeviceRun, outputs: Sequence[tuple[Any, Any]], threads: Pool) -> None:
        """The same of all samples, and what is read out."""
        network = self.packed.network
        if network.output.fires:
            counts, times = zip(*outputs, strict=True)
            run.counts = np.concatenate(counts).astype(np.int64)
            run.times = join_times(times) if self.times else None
            return
        unread: list[Sequence[LayerRun]] = [[] for _ in self.layers[:-1]]
        run.reading = BatchRun(run.samples, [*unread, [join(list(outputs))]], run.ends)
        self.network.read_out(run.reading, threads.share)
        run.counts = np.zeros((len(run.ends), network.output.neurons), np.int64)

    def _each_part(self, run: DeviceRun, use: Callable[[slice, list[LayerPass]], T]) -> list[T]:
        """What `use` makes of the passes of a mini-batch, in as many parts as the memory asks for."""
        used: list[T] = []
        start, samples = 0, len(run.ends)
        while start < samples:
            part = slice(start, min(samples, start + (self.most or samples)))
            try:
                kept = {number: each[part] for number, each in run.kept.items()}
                passes = self.network.run_part(run.samples.part(part), run.biases[part], kept=kept)
            except DeviceMemoryError as error:
                self._halve(part.stop - part.start, error)
                continue
            used.append(use(part, passes))
            del passes  # before the next part asks for memory
            start = part.stop
        return used

    def _halve(self, samples: int, error: DeviceMemoryError) -> None:
        """Take fewer at once, as there was no memory for so many."""
        if samples == 1:
            raise error
        if self._passed < 0:  # a try, which has cost a pass
            self._wait *= 2
        self.most, self._passed = samples // 2, 0

    def _widen(self, samples: int) -> None:
        """Take more at once again, from time to time: what had the memory may have ended."""
        self._passed += 1
        if self.most is not None and (
            self._passed > self._wait or self._passed == 0
        ):  # 0: a try that went well
            self.most, self._passed = 2 * self.most if 2 * self.most < samples else None, -1

    def accumulate(
        self,
        states: Mapping[str, LayerState],
        run: DeviceRun,
        labels: np.ndarray,
        sample_weights: np.ndarray,
        rule: Rule,
        threads: Pool,
        updates: Mapping[str, Step] | None = None,
        kept: Kept = EVERYONE,
        observer: Observer | None = None,
        *,
        to_inputs: bool = False,
    ) -> Outcome:
        """See `Learner`; the gradients stay on the device, and begin at 0."""
        assert observer is None
        assert not to_inputs
        weights = [self.weights.get(layer.name) for layer in self.layers]
        kind = DeviceDerivatives if rule.sends == "derivatives" else DeviceErrors
        down = kind(self.device, self.packed.network, self.layers, weights, rule, len(labels))
        whole = Part(run.counts, run.times, run.ends, labels, sample_weights, inputs=kept.get(0))
        read = None
        if run.reading is not None:
            how = labels, sample_weights, rule, threads
            read, above = learn_readout(self.packed, states, run.reading, *how)
            whole = replace(whole, above=above)
        while True:
            try:
                loss = self._go_down(down, run, whole)
                break
            except DeviceMemoryError as error:
                self._halve(min(len(labels), self.most or len(labels)), error)
                run.passes = None
        # Where they find room beside a train, the next steps need not copy the trains of sample after sample.
        room = self.network.forward.rooms[-1]
        room.slots = max(room.slots, down.most_forced)
        for update in (updates or {}).values():
            update.run(call)
        return Outcome(loss if read is None else read, down.forced)

    def _go_down(self, down: DeviceDown, run: DeviceRun, whole: Part) -> np.ndarray:
        """The losses; the gradients are complete after it."""
        down.begin()
        if run.passes is not None:
            down.look(run.passes)
            return down.run(run.passes, whole, learn=True, choose=True)

        def look(part: slice, passes: list[LayerPass]) -> None:
            down.look(passes)

        def take(part: slice, passes: list[LayerPass], learn: bool) -> np.ndarray:
            return down.run(passes, whole[part], learn=learn, choose=False)

        if down.looks:
            self._each_part(run, look)
        # First what the units of the gradients are, then the gradients: in parts the bits are the same.
        self._each_part(run, partial(take, learn=False))
        down.choose_units()
        return np.concatenate(self._each_part(run, partial(take, learn=True)))

    def hidden_activity(self, run: DeviceRun, layers: int, kept: Kept = EVERYONE) -> Activity:
        return run.hidden

    def votes(self, run: DeviceRun) -> np.ndarray:
        if run.reading is not None:
            return run.reading.votes(self.packed.network)
        if self.packed.network.decides != "first":
            return run.counts
        assert run.times is not None
        first = run.times.min(axis=1, initial=np.inf)
        return (np.isfinite(first) & (first == first.min(axis=1, keepdims=True))).astype(np.int64)

    def counts(self, run: DeviceRun, number: int) -> np.ndarray:
        return self._read(run, number - 1)[1]

    def output_spikes(self, run: DeviceRun) -> Arrivals:
        return self._read(run, len(self.layers) - 1)[0]

    def _read(self, run: DeviceRun, number: int) -> tuple[Arrivals, np.ndarray]:
        layer = self.network.spikes(run.samples, run.biases)[number]
        return layer.spikes, layer.counts

    def records(self, run: DeviceRun, samples: Arrivals, threads: Pool) -> Sequence[SpikeRecord]:
        real = np.dtype(self.packed.real).name
        above = self.network.run(run.samples, run.ends, threads.share).records(
            self.packed.network, "gpu", real
        )
        return above if self.prefix is None else self.prefix.stack(samples, above, threads)
