"""Layers with many positions on a device: each position sees its patch of what arrives.

Every position of every sample is a *unit*, number ``sample * positions + position``: a small dense layer of
its own, whose neurons are the channels, with weights that all units share. So the kernels of dense layers run
and train convolutions and pooling too, and know neither.

On the way down two sums are over more than a unit sees: a source neuron has errors from every patch that it
is in, and what the weights of a silent neuron add up to depends on how much of its patch is inside the image.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from eventsnn.gpu.batch import WARP, DeviceArrivals
from eventsnn.gpu.device import Device, DeviceArray, shared_bytes
from eventsnn.gpu.forward import REALS
from eventsnn.gpu.reverse import THREADS, block_count
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
    numbers : int32 array
        The geometry, as ``patch_geometry_t`` of ``kernels/positions.h`` has it.
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
        self.numbers = device.put(np.array(numbers, np.int32))
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
        device.launch("count_patches", grid, self._threads, self.numbers, *where, counts, shared=chunk)
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
        given: tuple[DeviceArray, ...] = (self.numbers, arrivals.times, *where, places, starts)
        device.launch(
            "fill_patches", grid, self._threads, *given, seen.times, seen.sources, seen.first, shared=chunk
        )
        return seen

    def sum_errors(self, by_input: DeviceArray, padded: int) -> DeviceArray:
        """Errors of the source's neurons, over all patches that each is in.

        Parameters
        ----------
        by_input : float64 (units, inputs of a patch)
        padded : int
            Channels of the source, padded.

        Returns
        -------
        float64 (units of the source, padded)
        """
        device, (channels, height, width) = self._device, self.geometry.source
        samples, cells = len(by_input) // self.geometry.patches, height * width
        errors = device.zeros((samples * cells, padded), np.float64)
        sizes = samples, self.geometry.patches, cells, channels, self.geometry.area, padded
        device.launch(
            "sum_patches", block_count(samples * cells * channels), THREADS, *map(np.int32, sizes),
            *self.table, by_input, errors,
        )  # fmt: skip
        return errors

    @cached_property
    def kind(self) -> DeviceArray:
        """The row of `row_sums` that each position has, int32 (positions,); empty if there is but one."""
        inside, kind = self.geometry.borders
        return self._device.put((kind if len(inside) > 1 else kind[:0]).astype(np.int32))

    def row_sums(self, weights: DeviceArray) -> DeviceArray:
        """Sums of the weights of the inputs inside the image, for every `kind` of position.

        Parameters
        ----------
        weights : real (inputs, padded)
            With those of the bias neuron in the last row, if there is one.

        Returns
        -------
        float64 (kinds, padded)
        """
        (inputs, padded), area = weights.shape, self.geometry.area
        kinds = len(self._inside) // area
        sums = self._device.empty((kinds, padded), np.float64)
        sizes = kinds, area, inputs, self.geometry.inputs, padded
        self._device.launch(
            f"border_sums<{REALS[weights.dtype]}>", (block_count(padded), kinds), THREADS,
            *map(np.int32, sizes), self._inside, weights, sums,
        )  # fmt: skip
        return sums

    @cached_property
    def table(self) -> tuple[DeviceArray, ...]:
        """`Geometry.table`; training alone needs it."""
        return tuple(self._device.put(each) for each in self.geometry.table)

    @cached_property
    def _inside(self) -> DeviceArray:
        """The cells of a patch that are inside the image, for each kind of border, int32 (kinds * area,)."""
        return self._device.put(self.geometry.borders[0].astype(np.int32).reshape(-1))
