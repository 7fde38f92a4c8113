"""Layers with many positions on a device: each position sees its patch of what arrives.

Every position of every sample is a *unit*, number ``sample * positions + position``: a small dense layer of
its own, whose neurons are the channels, with weights that all units share. So the kernels of dense layers run
convolutions and pooling too, and know neither.
"""

from __future__ import annotations

import math

import numpy as np

from eventsnn.gpu.batch import WARP, DeviceArrivals
from eventsnn.gpu.device import Device, DeviceArray, shared_bytes
from eventsnn.model.layers.geometry import Geometry

CHUNK = 256
"""Arrivals that a block holds at once; as in ``kernels/positions.h``."""
MOST_THREADS = 256


class DevicePatches:
    """The positions of a layer on a device, and their patches.

    Parameters
    ----------
    device : Device
    geometry : Geometry

    Attributes
    ----------
    most_copies : int
        In how many patches a source neuron is at the most.
    """

    def __init__(self, device: Device, geometry: Geometry) -> None:
        self._device, self.geometry = device, geometry
        channels, height, width = geometry.source
        numbers = (
            *(height, width, geometry.area, channels * height * width),
            *(*geometry.kernel, *geometry.stride, *geometry.padding, *geometry.dilation),
            *(geometry.size[1], geometry.patches),
        )
        self._numbers = device.put(np.array(numbers, np.int32))
        tiles = math.ceil(geometry.patches / MOST_THREADS)
        self._threads = math.ceil(geometry.patches / tiles / WARP) * WARP
        self._tiles = math.ceil(geometry.patches / self._threads)
        self.most_copies = int(np.diff(geometry.table[0]).max(initial=1))

    def gather(self, arrivals: DeviceArrivals) -> DeviceArrivals:
        """What arrives at each unit, in order of (time, input).

        Waits for the device, which alone knows how many there are.

        Parameters
        ----------
        arrivals : DeviceArrivals
            At the layer, sample by sample; the bias neuron is the source after the last.

        Raises
        ------
        DeviceMemoryError
            The device has no room for them.
        """
        device, samples = self._device, len(arrivals)
        units, grid = samples * self.geometry.patches, (samples, self._tiles)
        counts, places = device.empty(units, np.int32), device.empty(units, np.int64)
        chunk = shared_bytes(*3 * [(np.int32, CHUNK)])
        where = arrivals.sources, arrivals.first, arrivals.count
        device.launch("count_patches", grid, self._threads, self._numbers, *where, counts, shared=chunk)
        totals = device.empty(samples, np.int64)
        device.launch(
            "place_units", samples, self._threads, counts, np.int32(self.geometry.patches), places, totals,
            shared=shared_bytes((np.int32, WARP + 1)),
        )  # fmt: skip
        ends = np.cumsum(totals.read())
        starts = device.put(np.concatenate([np.zeros(1, np.int64), ends[:-1]])[:samples])
        found = int(ends[-1]) if samples else 0
        seen = DeviceArrivals(
            device.empty(max(found, 1), np.float64),
            device.empty(max(found, 1), np.int32),
            device.empty(units, np.int64),
            counts,
        )
        given: tuple[DeviceArray, ...] = (self._numbers, arrivals.times, *where, places, starts)
        device.launch(
            "fill_patches", grid, self._threads, *given, seen.times, seen.sources, seen.first, shared=chunk
        )
        return seen
