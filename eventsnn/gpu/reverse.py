"""The sweep in reverse time through layers on a device, which all rules use: ``kernels/reverse.h``.

Samples are units where a layer has many positions (`eventsnn.gpu.patches`, which also sums what units share).
The samples of a mini-batch may come in parts. That changes no bit of a gradient: it is summed in whole
numbers, in units of measurement that follow from the whole mini-batch (`Units`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eventsnn.gpu.batch import WARP, DeviceArrivals, DeviceSpikes
from eventsnn.gpu.device import Argument, Device, DeviceArray, shared_bytes
from eventsnn.gpu.forward import REALS

THREADS = 128
WINDOW = 64
"""Samples whose gradients are summed in 32 bits, in single precision."""


def arrival_type(real: np.dtype[np.floating]) -> np.dtype[np.void]:
    """``Arrival`` of ``kernels/reverse.h``."""
    size = real.itemsize
    return np.dtype(
        {
            "names": ["time", "a", "h", "b", "row"],
            "formats": [np.float64, real, real, real, np.int32],
            "offsets": [0, 8, 8 + size, 8 + 2 * size, 8 + 3 * size],
            "itemsize": -(-(12 + 3 * size) // 16) * 16,
        }
    )


def block_count(items: int, threads: int = THREADS) -> int:
    """Blocks with a thread for every item."""
    return -(-items // threads)


class Units:
    """In which units the gradient of a layer is summed, so that nothing overflows; of the whole mini-batch.

    Attributes
    ----------
    largest : int64 (padded,)
        Bits of the most that one arrival can add to a gradient of the neuron.
    most : int32 (1,)
        The most arrivals from one source in a sample.
    units : float64 (padded,)
        A gradient is a whole number of 1/units.
    """

    def __init__(self, device: Device, padded: int) -> None:
        self._device = device
        self.largest, self.most = device.zeros(padded, np.int64), device.zeros(1, np.int32)
        self.units = device.zeros(padded, np.float64)

    def begin(self) -> None:
        """Begin a mini-batch."""
        self.largest.clear()
        self.most.clear()

    def choose(self, samples: int, tiles: bool, extreme: int = 900) -> None:
        """Choose the units when all `samples` of the mini-batch have been seen.

        With `tiles`, `WINDOW` samples are to fit 32 bits, of which sums need one more than what they are
        bounded by; otherwise all of them fit 64. Units are powers of two up to 2 to the `extreme`.
        """
        window, bits, extreme = (min(samples, WINDOW), 30, 100) if tiles else (samples, 62, extreme)
        self._device.launch(
            "neuron_units",
            block_count(len(self.units)),
            THREADS,
            np.int32(len(self.units)),
            self.largest,
            self.most,
            np.float64(window),
            np.int32(bits),
            np.int32(extreme),
            self.units,
        )


@dataclass
class LayerSweep:
    """A layer that the sweep in reverse time goes through, in some samples.

    Parameters
    ----------
    device : Device
    constants : `eventsnn.reference.lif.RECORD` (1,)
    neurons : int
    weights : real (inputs, padded)
        `inputs` are the neurons of the layer below, and the bias neuron if there is one.
    arrivals : DeviceArrivals
    spikes : DeviceSpikes
        Forced ones included.
    """

    device: Device
    constants: DeviceArray
    neurons: int
    weights: DeviceArray
    arrivals: DeviceArrivals
    spikes: DeviceSpikes

    def __post_init__(self) -> None:
        self.real = self.weights.dtype
        self.inputs, self.padded = self.weights.shape
        self.samples = len(self.spikes.counts)
        self.threads = min(THREADS, self.padded)
        self.grid = self.samples, block_count(self.padded, self.threads)
        self.by_source = self.device.empty((self.samples, self.inputs), np.int32)
        self.table = self.device.empty(self.arrivals.times.size, arrival_type(self.real))
        self.down = self.device.empty((0, 0), self.real)

    def prepare(self, most: DeviceArray) -> None:
        """Make the table of the arrivals; `most`, int32 (1,), becomes at least that of `Units`."""
        arrivals = self.arrivals
        working = min(self.samples, 8 * self.device.multiprocessors)
        self.device.launch(
            f"prepare_reverse<{REALS[self.real]}>",
            working,
            256,
            self.constants,
            np.int32(self.samples),
            arrivals.first,
            arrivals.count,
            arrivals.times,
            arrivals.sources,
            np.int32(self.inputs),
            self.device.empty((working, self.inputs), np.int32),
            self.table,
            self.by_source,
            most,
        )

    def make_down(self) -> int:
        """Make room for `down`, what every warp hands down at each arrival; returns how much shared memory
        that needs, bytes.
        """
        self.down = self.device.empty((self.padded // WARP, len(self.table)), self.real)
        return shared_bytes((self.real, self.threads * (WARP + 1)))

    def _walk(self) -> tuple[Argument, ...]:
        """The first arguments of kernels that go back through the arrivals."""
        return (
            self.constants,
            self.arrivals.first,
            self.arrivals.count,
            self.table,
            self.spikes.fired,
            self.spikes.counts,
            np.int32(self.spikes.fired.shape[1]),
            np.int32(self.padded),
        )
