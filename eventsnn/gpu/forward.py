"""The forward pass: launches of the kernels `sweep`, `lateral` and `order`, and the room for their results.

Room is a guess that is remembered. A kernel that finds too little counts what it needs and goes on; the host
sees that when it asks for results, and repeats the pass with more. No spike is ever dropped.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from eventsnn.gpu.batch import WARP, DeviceArrivals, DeviceLayer, DeviceSpikes
from eventsnn.gpu.device import Device, DeviceArray, shared_bytes

STATUS_WORDS = 8
"""Words of a status, see ``kernels/cuda.h``; those before `ENDLESS` are capacities that were wanted."""
SPIKES, TRAIN, ENDLESS, OVERFLOW = range(4)

CHUNK = 256
"""Arrivals that are in shared memory at once; as in ``kernels/forward.h``."""
SWEEP_BLOCK, TRAIN_BYTES = 104, 16
"""Bytes of `SweepBlock` of the same file and of `Train` of ``kernels/neuron.h``."""
COPIES_OF_ONE, COPIES = 16, 8
"""Arrivals whose weights are in shared memory, for one neuron a lane and for several; `SLOTS` there."""
BEYOND = 16
"""As `SWEEP_BEYOND` of the same file."""
MOST_THREADS = 256
RESIDENT = 512
"""Threads of `sweep` that run on a multiprocessor at once; its registers are for so many."""
ORDER_THREADS = 256
TABLE_PIECES = 16
"""Blocks that make the table of a sample at the most."""
FIRST_SLOTS = 8
"""Spikes of a neuron for which there is room at first."""
FIRST_TRAIN = 1024
"""Spikes of a layer in a sample for which there is room at first."""

ALL: Mapping[int, DeviceArray] = MappingProxyType({})
"""Neurons that are kept, where no layer has dropout."""
REALS = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}


@dataclass(frozen=True)
class Fault:
    """Why a pass has no result.

    Attributes
    ----------
    layer : int
    overflow : bool
        A state is no longer finite; else a neuron fires for ever at one instant.
    sample, neuron : int
        Of the neuron that fires for ever.
    time : float
        When, ms.
    """

    layer: int
    overflow: bool
    sample: int = -1
    neuron: int = -1
    time: float = math.nan


@dataclass
class Room:
    """How many spikes of a layer there is room for.

    Attributes
    ----------
    slots : int
        Of a neuron in a sample.
    train : int
        Of all its neurons in a sample, with those of the bias neuron at the next layer; a power of two.
    """

    slots: int = FIRST_SLOTS
    train: int = FIRST_TRAIN


@dataclass(frozen=True)
class LayerPass:
    """What a layer did in a mini-batch.

    Attributes
    ----------
    arrivals : DeviceArrivals
        At its units.
    spikes : DeviceSpikes
        That they fired.
    kept : uint8 (samples, neurons)
        1 for neurons that are not dropped; empty if none is.
    """

    arrivals: DeviceArrivals
    spikes: DeviceSpikes
    kept: DeviceArray

    def passed(self, layer: DeviceLayer) -> DeviceSpikes:
        """The spikes that the `layer` passes on."""
        counts, device = self.spikes.counts, self.kept.device
        if not self.kept.size:
            return self.spikes
        units, padded = counts.shape
        passed = device.empty(counts.shape, np.int32)
        device.launch(
            "pass_kept", -(-units * padded // ORDER_THREADS), ORDER_THREADS, np.int32(units),
            np.int32(layer.channels), np.int32(layer.positions), np.int32(padded), self.kept, counts, passed,
        )  # fmt: skip
        return DeviceSpikes(self.spikes.fired, self.spikes.after, passed)


@dataclass
class ForwardPass:
    """Runs a chain of layers on mini-batches.

    Attributes
    ----------
    device : Device
    layers : list of DeviceLayer
        The weights are read where they lie: who changes them on the device changes the next pass.
    rooms : list of Room
        One for each layer; grows as it must.
    """

    device: Device
    layers: list[DeviceLayer]
    rooms: list[Room] = field(init=False)

    def __post_init__(self) -> None:
        self.rooms = [Room() for _ in self.layers]
        self._status = self.device.zeros((len(self.layers), STATUS_WORDS), np.int64)
        # A program's threads share a network on the device; a pass and its status belong together.
        self._lock = threading.Lock()

    def sample_bytes(self, events: int) -> int:
        """About how much memory a sample with so many input spikes takes, bytes."""
        total, spikes, rows = 12 * events, events, 0
        for layer, room in zip(self.layers, self.rooms, strict=True):
            total += (12 * room.slots + 4) * layer.positions * layer.padded + 12 * room.train
            if layer.patches is not None:
                total += 24 * layer.positions + 12 * spikes * layer.patches.most_copies
                spikes *= layer.patches.most_copies
            rows = max(rows, 4 * layer.real.itemsize * spikes)  # tables make room for each other
            spikes = room.train
        return total + rows

    def run(
        self,
        arrivals: DeviceArrivals,
        stop: float,
        biases: Sequence[DeviceArrivals | None] = (),
        kept: Mapping[int, DeviceArray] = ALL,
    ) -> list[LayerPass] | Fault:
        """All layers, again with more room until there is enough.

        Parameters
        ----------
        arrivals : DeviceArrivals
            At the first layer: delayed, and with its biases.
        stop : float
            No spikes after it, ms.
        biases : sequence of DeviceArrivals or None
            What arrives from the bias neuron at each layer; the first is part of `arrivals` already.
        kept : dict of int to uint8 (samples, neurons)
            Which neurons of a layer pass spikes on, where it is not all; the first layer is number 1.

        Raises
        ------
        DeviceMemoryError
            The device has no room.
        """
        while True:
            with self._lock:
                passes = self.launch(arrivals, stop, biases, kept)
                fault = self.check(passes)
            if fault is None:
                return passes
            if isinstance(fault, Fault):
                return fault

    def launch(
        self,
        arrivals: DeviceArrivals,
        stop: float,
        biases: Sequence[DeviceArrivals | None] = (),
        kept: Mapping[int, DeviceArray] = ALL,
    ) -> list[LayerPass]:
        """One pass, without waiting; its results mean nothing until `check` says so."""
        self._status.clear()
        everyone = self.device.empty(0, np.uint8)
        passes: list[LayerPass] = []
        for number, (layer, room) in enumerate(zip(self.layers, self.rooms, strict=True)):
            status = self._status[number : number + 1]
            if number:
                bias = biases[number] if number < len(biases) else None
                below = self._status[number - 1 : number]
                source = self.layers[number - 1]
                arrivals = order(
                    self.device, passes[-1].passed(source), source, layer.delays, bias,
                    self.rooms[number - 1].train, below,
                )  # fmt: skip
            if layer.patches is not None:
                arrivals = layer.patches.gather(arrivals)
            spikes = sweep(self.device, layer, arrivals, stop, room.slots, status)
            passes.append(LayerPass(arrivals, spikes, kept.get(number + 1, everyone)))
        return passes

    def check(self, passes: list[LayerPass]) -> Fault | bool | None:
        """Whether the last pass is whole (None), was given more room (True), or why it cannot be."""
        for number, (status, room) in enumerate(zip(self._status.read(), self.rooms, strict=True)):
            more = False
            if status[SPIKES] > room.slots:
                room.slots, more = int(status[SPIKES] * 5 // 4), True
            if status[TRAIN] > room.train:
                room.train, more = power_of_two(int(status[TRAIN])), True
            if more:
                return True
            if status[OVERFLOW]:
                return Fault(number, True)
            if status[ENDLESS]:
                unit, channel = divmod(int(status[ENDLESS]) - 1, 1 << 32)
                spikes, positions = passes[number].spikes, self.layers[number].positions
                count = int(spikes.counts[unit : unit + 1].read()[0, channel])
                time = spikes.fired[unit : unit + 1].read()[0, count - 1, channel]
                sample, position = divmod(unit, positions)
                return Fault(number, False, sample, channel * positions + position, float(time))
        return None


def sweep(
    device: Device, layer: DeviceLayer, arrivals: DeviceArrivals, stop: float, slots: int, status: DeviceArray
) -> DeviceSpikes:
    """Launch a layer's forward pass; `status` is int64 (1, `STATUS_WORDS`)."""
    samples, padded = len(arrivals), layer.padded
    spikes = DeviceSpikes(
        device.empty((samples, slots, padded), np.float64),
        device.empty((samples, slots, padded), np.int32),
        device.empty((samples, padded), np.int32),
    )
    rows = make_tables(device, layer, arrivals)
    given = (
        layer.constants, arrivals.times, arrivals.sources, arrivals.first, arrivals.count, rows, layer.weights
    )  # fmt: skip
    results = (np.float64(stop), np.int32(slots), spikes.fired, spikes.after, spikes.counts, status)
    real = REALS[layer.real]
    chunk = [(np.uint8, 4 * layer.real.itemsize * CHUNK), (np.float64, CHUNK + 1), (np.int32, CHUNK + BEYOND)]
    if layer.lateral is not None:
        device.launch(
            f"lateral<{real}>", samples, WARP, *given, layer.lateral, *results,
            shared=shared_bytes(*chunk, (layer.real, COPIES_OF_ONE * WARP)),
        )  # fmt: skip
        return spikes
    together = neurons_a_lane(device, layer, samples)
    lanes, copies = WARP, COPIES
    if together == 1:
        lanes, copies = working_lanes(device, layer, samples), COPIES_OF_ONE
    needed = -(-padded // (together * lanes)) * WARP
    most = min(MOST_THREADS, max(1, samples * needed // (WARP * device.multiprocessors)) * WARP)
    tiles = -(-needed // most)
    threads = -(-needed // (tiles * WARP)) * WARP
    device.launch(
        f"sweep<{real}, {together}>", (samples, tiles), threads, *given, np.int32(padded), np.int32(lanes),
        *results,
        shared=shared_bytes(
            *chunk, (np.uint8, SWEEP_BLOCK), (np.uint8, TRAIN_BYTES * threads * together),
            (layer.real, copies * threads * together),
        ),
    )  # fmt: skip
    return spikes


def make_tables(device: Device, layer: DeviceLayer, arrivals: DeviceArrivals) -> DeviceArray:
    """Launch what makes the propagators between the arrivals at a layer: a row for each."""
    samples = len(arrivals)
    rows = device.empty(arrivals.times.size, f"V{4 * layer.real.itemsize}")
    pieces = max(1, min(TABLE_PIECES, 4 * device.multiprocessors // max(1, samples)))
    device.launch(
        f"tables<{REALS[layer.real]}>", (samples, pieces), MOST_THREADS, layer.constants, arrivals.times,
        arrivals.first, arrivals.count, rows,
    )  # fmt: skip
    return rows


def neurons_a_lane(device: Device, layer: DeviceLayer, samples: int) -> int:
    """How many neurons a lane of `sweep` takes: several share its overhead, if enough warps are left.

    Three for each of a multiprocessor's four schedulers hide each other's waiting; see docs/notes/gpu.md.
    """
    together = 4 if layer.real == np.float32 else 2
    warps = samples * layer.padded // (WARP * together)
    return together if warps >= 12 * device.multiprocessors and layer.channels > WARP else 1


def working_lanes(device: Device, layer: DeviceLayer, samples: int) -> int:
    """How many lanes of a warp of `sweep` have neurons, of one neuron each.

    A lane that fires holds up its warp. So few lanes work, as long as all threads are on the card at once.
    """
    for lanes in (8, 16):
        if samples * layer.padded * WARP <= RESIDENT * device.multiprocessors * lanes:
            return lanes
    return WARP


def order(
    device: Device,
    spikes: DeviceSpikes,
    layer: DeviceLayer,
    delays: DeviceArray,
    bias: DeviceArrivals | None,
    train: int,
    status: DeviceArray,
) -> DeviceArrivals:
    """Launch what makes a layer's spikes arrivals at the next one, up to `train` of them in a sample."""
    samples = len(spikes.counts) // layer.positions
    arrivals = DeviceArrivals(
        device.empty((samples, train), np.float64),
        device.empty((samples, train), np.int32),
        device.empty(samples, np.int64),
        device.empty(samples, np.int32),
    )
    shared = shared_bytes((np.int32, WARP + 1), (np.float64, train), (np.int32, train))
    fits = shared <= device.shared_memory
    given = [bias.times, bias.first, bias.count] if bias is not None else []
    nothing = [device.empty(0, dtype) for dtype in (np.float64, np.int64, np.int32)]
    device.launch(
        "order", samples, ORDER_THREADS, spikes.fired, spikes.counts, np.int32(layer.neurons),
        np.int32(layer.positions), np.int32(layer.padded), np.int32(spikes.slots), delays,
        *(given or nothing), np.int32(train), arrivals.times, arrivals.sources, arrivals.first,
        arrivals.count, np.int32(fits), status,
        shared=shared if fits else shared_bytes((np.int32, WARP + 1)),
    )  # fmt: skip
    return arrivals


def power_of_two(size: int) -> int:
    """The smallest power of two that is not below `size`."""
    return 1 << max(0, size - 1).bit_length()
