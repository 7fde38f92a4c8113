"""The engine of graphics cards: chains of layers, many samples at once, with the sweep's bits.

The kernels do the sweep's arithmetic, operation for operation (`eventsnn.gpu`), so spikes of dense layers are
those of engine ``sweep`` to the last bit, in float64 and in float32, for any division into mini-batches.
Positions of other layers are small dense layers here; the sweep shares exponentials among them, so times
differ by rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from eventsnn._util.saved import StateReader
from eventsnn._util.threads import Pool, Share
from eventsnn.gpu.batch import WARP, DeviceArrivals, DeviceLayer, padded_size
from eventsnn.gpu.device import Device, DeviceMemoryError, find_device
from eventsnn.gpu.forward import STATUS_WORDS, Fault, ForwardPass, LayerPass, order, power_of_two
from eventsnn.gpu.patches import DevicePatches
from eventsnn.model import Network, bias
from eventsnn.model.bias import NOTHING, Certain
from eventsnn.simulate.engines import sweep
from eventsnn.simulate.engines.arguments import endless
from eventsnn.simulate.engines.arrivals import EVERYONE, Arrivals, Kept
from eventsnn.simulate.engines.batch import BatchRun, arrive
from eventsnn.simulate.engines.blocks import unpack
from eventsnn.simulate.engines.engine import (
    SILENCE,
    BrokenOff,
    Counter,
    Engine,
    Recorder,
    Run,
    Settings,
    State,
    Train,
)
from eventsnn.simulate.engines.layer_run import NO_INPUT, NO_SPIKES, LayerRun
from eventsnn.simulate.engines.packed import PackedNetwork, pack_once
from eventsnn.simulate.engines.precision import overflow
from eventsnn.simulate.engines.readout import read_out_batch, silent_run
from eventsnn.simulate.engines.resident import ResidentArrivals

T = TypeVar("T")

MOST_WEIGHTS = 2**31
"""Of a layer: the kernel ``sweep`` says in 32 bits where those of a source begin."""

FREE_SHARE = 0.8
"""Share of the free memory that a mini-batch is planned to take."""


def refusal(network: Network) -> str | None:
    """Why the kernels cannot run a network; None if they can."""
    reason = sweep.refusal(network)
    if reason is not None:
        return reason
    for layer in network.layers:
        if layer.lateral_inhibition and layer.neurons > WARP:
            return f"layer {layer.name!r} has lateral inhibition among more than {WARP} neurons"
        if (
            layer.fires
            and (layer.geometry.inputs + layer.has_bias) * padded_size(layer.channels) > MOST_WEIGHTS
        ):
            return f"layer {layer.name!r} has more than {MOST_WEIGHTS} weights"
    return None


class GpuEngine(Engine):
    """See `Engine`."""

    name = "gpu"
    batch = 1024
    on_device = True

    def refusal(self, network: Network, settings: Settings) -> str | None:
        """See `Engine`."""
        # Networks with loops are cut off without being asked to: they come first.
        reason = refusal(network)
        if reason is not None:
            return f"engine 'gpu' cannot run this network: {reason}; use engine='auto'"
        if settings.cut:
            return "engine 'gpu' takes no t_stop for data sets; use engine='queue'"
        if settings.in_parts:
            return "engine 'gpu' takes whole recordings; use engine='sweep' for input in parts"
        return None

    def start(self, network: Network, settings: Settings) -> Run:
        """See `Engine`."""
        return GpuRun(DeviceNetwork.of(network, settings.real))

    def counter(self, network: Network, settings: Settings, t_stop: float | None) -> Counter:
        """See `Engine`: all layers on the device, which hands back no more than it is asked for."""
        on_device = DeviceNetwork.of(network, settings.real)
        everything = network.decides != "count" or not network.output.fires

        def count(samples: Arrivals, ends: np.ndarray, pool: Pool) -> np.ndarray:
            if everything:
                return on_device.run(samples, ends, pool.share).votes(network)
            output = on_device.forward.layers[-1]
            parts = on_device.run_parts(
                samples, bias_trains(network, ends), lambda passes: read_counts(passes[-1], output)
            )
            return np.concatenate(parts)

        return count

    def recorder(self, network: Network, settings: Settings, t_stop: float | None) -> Recorder:
        """See `Engine`."""
        on_device = DeviceNetwork.of(network, settings.real)
        return lambda samples, ends, pool: on_device.run(samples, ends, pool.share).records(
            network, self.name, str(settings.dtype)
        )


@dataclass
class DeviceNetwork:
    """A network whose layers that fire lie on the device."""

    packed: PackedNetwork
    forward: ForwardPass

    @classmethod
    def of(cls, network: Network, real: type[np.floating]) -> DeviceNetwork:
        """The network on the device; the last one asked for is kept.

        Raises
        ------
        MissingExtraError, DeviceError
            There is no device, or it has no room for the weights.
        """
        global _last
        device, kept = find_device(), _last
        if (
            kept is None
            or kept.packed.network is not network
            or kept.packed.real is not real
            or kept.forward.device is not device
        ):
            packed = pack_once(network, real)
            kept = _last = cls(packed, ForwardPass(device, put_layers(device, packed)))
        return kept

    def run_parts(
        self,
        samples: Arrivals,
        biases: list[np.ndarray],
        take: Callable[[list[LayerPass]], T],
        stop: float = math.inf,
    ) -> list[T]:
        """What `take` makes of the passes of a mini-batch, in as many parts of it as the memory asks for.

        Parameters
        ----------
        samples : Arrivals
        biases : list of float64 arrays
            Spikes of the bias neuron in each sample, ms.
        take : callable
            Takes what it needs from the passes of a part, whose memory the next part needs.
        stop : float
            No spikes after it, ms.
        """
        taken: list[T] = []
        start, size = 0, len(samples)
        while start < len(samples):
            size = min(size, self._most_samples(samples))
            part = slice(start, min(start + size, len(samples)))
            try:
                taken.append(take(self.run_part(samples.part(part), biases[part], stop)))
            except DeviceMemoryError:
                if size == 1:
                    raise
                size = size // 2
                continue
            start = part.stop
        return taken

    def _most_samples(self, samples: Arrivals) -> int:
        each = self.forward.sample_bytes(samples.most_events // max(1, len(samples)))
        return max(1, int(self.forward.device.free_memory() * FREE_SHARE) // max(1, each))

    def run_part(
        self, samples: Arrivals, biases: list[np.ndarray], stop: float = math.inf, kept: Kept = EVERYONE
    ) -> list[LayerPass]:
        """The passes of samples that the memory has room for; other arguments as for `run_parts`. Only
        neurons that are `kept` pass spikes on, of the input all.

        Raises
        ------
        DeviceMemoryError
            It has no room for them.
        SimulationError
            For a state that overflows, or a neuron that would fire without end at one instant.
        """
        network, firing = self.packed.network, len(self.forward.layers)
        if not firing:
            return []
        passes = self.forward.run(
            self._put_samples(samples, biases),
            stop,
            [None, *(self._put_biases(number, biases) for number in range(1, firing))],
            {number: self.forward.device.put(each.view(np.uint8)) for number, each in kept.items() if number},
        )
        if isinstance(passes, Fault):
            name = str(network.layers[passes.layer].name)
            if passes.overflow:
                raise overflow(self.packed.real, name)
            raise endless(
                OverflowError(
                    f"neuron {passes.neuron} fires again at {passes.time:.17g} ms, the instant it fired at"
                )
            )
        return passes

    def _put_samples(self, samples: Arrivals, biases: list[np.ndarray]) -> DeviceArrivals:
        """What arrives at the first layer."""
        network, device = self.packed.network, self.forward.device
        first = network.layers[0]
        trains = [times + first.bias_delay for times in biases] if first.has_bias else []
        if (
            isinstance(samples, ResidentArrivals)
            and samples.batch.arrivals.times.device is device
            and first.each_delay is None
        ):
            if not first.has_bias and not first.delay:
                return samples.batch.arrivals
            trains = trains or len(samples) * [np.empty(0)]
            return samples.batch.arrive(first.least_delay, trains, network.input.neurons)
        arrivals = samples.delayed(first.delay)
        if first.has_bias:
            inputs = network.input.neurons
            arrivals = Arrivals(*bias.insert(arrivals.times, arrivals.neurons, arrivals.ptr, trains, inputs))
        return DeviceArrivals.put(device, arrivals.times, arrivals.neurons, arrivals.ptr)

    def _put_biases(self, number: int, biases: list[np.ndarray]) -> DeviceArrivals | None:
        """What arrives at a layer from the bias neuron."""
        layer = self.packed.network.layers[number]
        if not layer.has_bias:
            return None
        trains = [times + layer.bias_delay for times in biases]
        spikes = Arrivals.join([(times, np.zeros(len(times), np.int32)) for times in trains])
        return DeviceArrivals.put(self.forward.device, spikes.times, spikes.neurons, spikes.ptr)

    def run(self, samples: Arrivals, ends: np.ndarray, share: Share) -> BatchRun:
        """All spikes of a mini-batch, and what a readout above gives."""
        network = self.packed.network
        layers = self.spikes(samples, bias_trains(network, ends))
        run = BatchRun(samples, [[layer] for layer in layers], ends)
        if not network.output.fires:
            self.read_out(run, share)
        return run

    def read_out(self, run: BatchRun, share: Share) -> None:
        """Read out the last layer, from the run of the one below, on the host."""
        number = len(self.packed.network.layers) - 1
        below = run.layer_spikes(number - 1) if number else run.samples
        arrivals = arrive(self.packed, number, below, run.durations)
        run.readout = read_out_batch(self.packed, arrivals, run.durations, share)
        run.begun.append([silent_run(self.packed, number, arrivals, share)])

    def spikes(self, samples: Arrivals, biases: list[np.ndarray], stop: float = math.inf) -> list[LayerRun]:
        """All spikes of a mini-batch, layer by layer; arguments as for `run_parts`."""

        def take(passes: list[LayerPass]) -> list[tuple[Arrivals, np.ndarray]]:
            return [self.read(number, each) for number, each in enumerate(passes)]

        parts = self.run_parts(samples, biases, take, stop)
        return [join([part[number] for part in parts]) for number in range(len(self.forward.layers))]

    def read(self, number: int, layer_pass: LayerPass) -> tuple[Arrivals, np.ndarray]:
        """Spikes of a layer, sorted by (time, neuron), and its counts, on the host."""
        device, layer = self.forward.device, self.forward.layers[number]
        counts = read_counts(layer_pass, layer)
        most = power_of_two(int(counts.sum(axis=1).max(initial=0)))
        status = device.zeros((1, STATUS_WORDS), np.int64)
        at_once = device.zeros(1, np.float64)
        spikes = order(device, layer_pass.spikes, layer, at_once, None, most, status)
        return Arrivals(*spikes.read()), counts


_last: DeviceNetwork | None = None


def bias_trains(network: Network, ends: np.ndarray) -> list[np.ndarray]:
    """Spikes of the bias neuron in samples that end at `ends`, ms."""
    return [bias.spike_times(network.input, end) for end in ends.tolist()]


def read_counts(layer_pass: LayerPass, layer: DeviceLayer) -> np.ndarray:
    """Spike counts of a layer's neurons, int64 (samples, neurons)."""
    counts = layer_pass.spikes.counts.read()[:, : layer.channels].astype(np.int64)
    by_position = counts.reshape(-1, layer.positions, layer.channels)
    return by_position.transpose(0, 2, 1).reshape(len(by_position), layer.neurons)


def put_layers(device: Device, packed: PackedNetwork) -> list[DeviceLayer]:
    """The layers that fire, with their weights."""
    layers = []
    for number, layer in enumerate(packed.network.layers):
        if not layer.fires:
            continue
        name = str(layer.name)
        lateral = packed.blocks.get(f"{name}:lateral")
        layers.append(
            DeviceLayer.put(
                device,
                name,
                packed.constants[number],
                unpack(packed.blocks[name], layer.channels),
                None if lateral is None else unpack(lateral, layer.channels),
                list(layer.each_delay or [layer.least_delay]),
                None if layer.geometry.whole else DevicePatches(device, layer.geometry),
            )
        )
    return layers


def join(parts: list[tuple[Arrivals, np.ndarray]]) -> LayerRun:
    """A layer's run from those of the parts of a mini-batch: its spikes alone."""
    spikes = [each for each, _ in parts]
    counts = np.concatenate([counts for _, counts in parts])
    starts = np.cumsum([0, *(len(each.times) for each in spikes)])
    ptr = np.concatenate([[0], *(each.ptr[1:] + start for each, start in zip(spikes, starts, strict=False))])
    joined = Arrivals(
        np.concatenate([each.times for each in spikes]),
        np.concatenate([each.neurons for each in spikes]),
        ptr.astype(np.int64),
    )
    nothing = (*NO_SPIKES, np.empty(0, np.int64), np.empty(0, np.int32))
    return LayerRun(NO_INPUT, nothing, counts, joined, counts)


class GpuRun:
    """A whole recording, which is one part; see `Run`."""

    def __init__(self, network: DeviceNetwork) -> None:
        self._network = network

    def advance(
        self, input_spikes: Train, horizon: float, stop: float, bias: Certain = NOTHING
    ) -> list[Train]:
        """See `Run`."""
        assert horizon == math.inf  # others are refused
        try:
            layers = self._network.spikes(Arrivals.single(*input_spikes), [bias.times], stop)
        except KeyboardInterrupt:  # nothing of it has come back from the device
            raise BrokenOff([SILENCE] * len(self._network.forward.layers), 0.0) from None
        return [layer.spikes.sample(0) for layer in layers]

    def save(self) -> State:
        """See `Run`: never asked for, as the engine refuses input in parts."""
        raise NotImplementedError

    def restore(self, state: StateReader, horizon: float, following: float = math.inf) -> None:
        """See `Run`; as for `save`."""
        raise NotImplementedError


ENGINE = GpuEngine()
run = ENGINE.run
