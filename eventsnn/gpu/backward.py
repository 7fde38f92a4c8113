"""HM2-BP's way down through layers on a device: launches of ``kernels/reverse.h`` and ``errors.h``.

Nothing here knows a rule: what a rule wants comes as numbers. The sweep itself is `eventsnn.gpu.reverse`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eventsnn.gpu.batch import WARP, DeviceSpikes
from eventsnn.gpu.device import Device, DeviceArray, shared_bytes
from eventsnn.gpu.forward import REALS
from eventsnn.gpu.reverse import THREADS, WINDOW, LayerSweep, Units, block_count

MOST_BLOCKS = 65535
"""Blocks along the second axis of a launch, at the most."""


@dataclass
class LayerBackward(LayerSweep):
    """A layer on the way down of errors.

    Parameters
    ----------
    delta : float64 (samples, padded)
        Errors of the neurons.
    """

    delta: DeviceArray

    def __post_init__(self) -> None:
        super().__post_init__()
        self.factor = self.device.empty((self.samples, self.padded), np.float64)

    def total_psp(self) -> DeviceArray:
        """Total PSPs of the neurons, float64 (samples, padded)."""
        total = self.device.empty((self.samples, self.padded), np.float64)
        name = f"total_psp<{REALS[self.real]}>"
        self.device.launch(name, self.grid, self.threads, *self._walk(), self.weights, total)
        return total

    def scale(
        self,
        units: Units,
        row_sum: DeviceArray,
        total: DeviceArray,
        lateral: DeviceArray,
        kind: DeviceArray,
        *,
        resting: float,
        threshold: float,
        silent_spsp: float,
        silent_ratio: float,
    ) -> None:
        """Compute what S-PSPs are multiplied by; see ``error_factors``."""
        self.device.launch(
            "error_factors",
            (block_count(self.padded, self.threads), min(self.samples, 8 * self.device.multiprocessors)),
            self.threads,
            self.constants,
            np.int32(self.samples),
            np.int32(self.neurons),
            np.int32(self.padded),
            self.delta,
            self.spikes.counts,
            total,
            lateral,
            row_sum,
            kind,
            np.float64(resting),
            np.float64(threshold),
            np.float64(silent_spsp),
            np.float64(silent_ratio),
            self.factor,
            units.largest,
        )

    def reverse(self, gradient: DeviceArray, units: DeviceArray, down: bool) -> None:
        """Add to the gradient, int64 (inputs, padded) or empty; `down`: also compute what goes down.

        Without a gradient neither `scale` nor units are needed.
        """
        tile = None if down or not gradient.size else self._tile()
        if tile is not None:
            self._reverse_tile(gradient, units, *tile)
            return
        shared = 0
        if down:
            shared = self.make_down()
        self.device.launch(
            f"reverse<{REALS[self.real]}, {'true' if down else 'false'}>",
            self.grid,
            self.threads,
            *self._walk(),
            self.factor,
            units,
            gradient,
            self.weights,
            self.delta,
            self.down,
            shared=shared,
        )

    def _tile(self) -> tuple[int, int, int] | None:
        """Columns, samples of a window and threads for ``reverse_tile``; None: not for it.

        They decide about speed alone; these won on an H200. With 8 columns 512 threads have the registers.
        """
        few = self.samples <= WINDOW
        columns, window = 8 if few else 16, min(self.samples, WINDOW)
        while columns >= 8 and self.inputs * columns * 4 > self.device.shared_memory:
            columns //= 2
        if self.real != np.float32 or columns < 8:
            return None
        most = 128 if self.samples <= 16 else 512 if columns == 8 else 1024
        return columns, window, min(most, WARP * block_count(window, WARP // columns))

    def _reverse_tile(
        self, gradient: DeviceArray, units: DeviceArray, columns: int, window: int, threads: int
    ) -> None:
        self.device.launch(
            f"reverse_tile<{columns}>",
            (self.padded // columns, min(block_count(self.samples, window), MOST_BLOCKS)),
            threads,
            *self._walk(),
            self.factor,
            units,
            np.int32(self.samples),
            np.int32(window),
            np.int32(self.inputs),
            gradient,
            shared=shared_bytes((np.int32, self.inputs * columns)),
        )

    def errors_below(
        self, neurons: int, positions: int, padded: int, effect_ratio: bool, divisor: float
    ) -> DeviceArray:
        """Errors of the layer below, of `neurons` in all its `positions`; after `reverse`.

        Float64 (samples * positions, `padded`): those of its units.
        """
        below = self.device.zeros((self.samples * positions, padded), np.float64)
        ends, order = self._list_by_source() if effect_ratio else 2 * (self.device.empty(0, np.int32),)
        self.device.launch(
            f"errors_below<{REALS[self.real]}>",
            (self.samples, min(block_count(neurons), MOST_BLOCKS)),
            THREADS,
            self.arrivals.first,
            self.down,
            self.by_source,
            ends,
            order,
            np.int32(self.inputs),
            self.weights,
            np.int32(self.neurons),
            np.int32(self.padded),
            self.spikes.counts,
            self.delta,
            np.int32(effect_ratio),
            np.float64(divisor),
            np.int32(neurons),
            np.int32(positions),
            np.int32(padded),
            below,
        )
        return below

    def _list_by_source(self) -> tuple[DeviceArray, DeviceArray]:
        """Where each source's arrivals end in a list of them, and the list; see ``list_by_source``."""
        ends = self.device.empty((self.samples, self.inputs), np.int32)
        order = self.device.empty(len(self.table), np.int32)
        self.device.launch(
            f"list_by_source<{REALS[self.real]}>",
            min(self.samples, 8 * self.device.multiprocessors),
            256,
            np.int32(self.samples),
            self.arrivals.first,
            self.arrivals.count,
            self.table,
            self.by_source,
            np.int32(self.inputs),
            ends,
            order,
            shared=shared_bytes((np.int32, WARP + 1)),
        )
        return ends, order


def lateral_factors(
    device: Device,
    constants: DeviceArray,
    spikes: DeviceSpikes,
    labels: DeviceArray,
    neurons: int,
    threshold: float,
    strength: float,
) -> DeviceArray:
    """Lateral factors of an output layer from its true spikes, float64 (samples, padded); labels: int32."""
    samples, capacity, padded = spikes.fired.shape
    e = device.empty((samples, neurons, neurons), np.float64)
    factors = device.empty((samples, padded), np.float64)
    device.launch(
        "lateral_spsp",
        block_count(e.size),
        THREADS,
        constants,
        np.int32(samples),
        spikes.fired,
        spikes.counts,
        np.int32(capacity),
        np.int32(padded),
        np.int32(neurons),
        e,
    )
    device.launch(
        "lateral_factors",
        block_count(samples * neurons),
        THREADS,
        np.int32(samples),
        spikes.counts,
        labels,
        np.int32(padded),
        np.int32(neurons),
        np.float64(threshold),
        np.float64(strength),
        e,
        factors,
    )
    return factors


@dataclass(frozen=True)
class ForcedSpikes:
    """Spikes given to a silent neuron in each of some samples, on a device; see ``force_spikes``.

    Attributes
    ----------
    samples, neurons : int32 (pairs,)
    times : float64 (spikes,), ms
    ptr : int32 (pairs + 1,)
    most : int
        The most that any neuron is given.
    """

    samples: DeviceArray
    neurons: DeviceArray
    times: DeviceArray
    ptr: DeviceArray
    most: int

    @classmethod
    def put(
        cls, device: Device, samples: np.ndarray, neurons: np.ndarray, times: Sequence[np.ndarray]
    ) -> ForcedSpikes:
        """From the host; waits for what the device is doing, as all copies do."""
        sizes = [len(each) for each in times]
        return cls(
            device.put(samples.astype(np.int32)),
            device.put(neurons.astype(np.int32)),
            device.put(np.concatenate(times)),
            device.put(np.cumsum([0, *sizes], dtype=np.int32)),
            max(sizes),
        )

    def apply(self, device: Device, spikes: DeviceSpikes) -> DeviceSpikes:
        """The same spikes, but of each of these neurons those that it is given; without `after`."""
        total, capacity, padded = spikes.fired.shape
        room = max(capacity, self.most)
        fired = device.empty((total, room, padded), np.float64)
        for s in range(total if room > capacity else 0):
            device.copy(fired[s : s + 1].reshape(room, padded)[:capacity], spikes.fired[s : s + 1])
        if room == capacity:
            device.copy(fired, spikes.fired)
        counts = device.empty((total, padded), np.int32)
        device.copy(counts, spikes.counts)
        pairs = len(self.samples)
        device.launch(
            "force_spikes",
            block_count(pairs, WARP),
            WARP,
            np.int32(pairs),
            self.samples,
            self.neurons,
            self.times,
            self.ptr,
            fired,
            counts,
            np.int32(room),
            np.int32(padded),
        )
        return DeviceSpikes(fired, spikes.after, counts)
