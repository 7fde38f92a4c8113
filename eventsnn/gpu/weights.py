"""A layer's weights on a device, what an optimiser keeps of them, and its step (``kernels/update.h``)."""

from __future__ import annotations

import numpy as np

from eventsnn.gpu.batch import DeviceLayer
from eventsnn.gpu.device import Device, DeviceArray
from eventsnn.gpu.forward import REALS
from eventsnn.gpu.reverse import THREADS, Units, block_count

UPDATE_ROWS = 64
"""Rows that a thread of ``update_weights`` takes; as there."""


class DeviceWeights:
    """The weights of a layer, and moments and gradient, all (inputs, padded).

    Parameters
    ----------
    device : Device
    layer : DeviceLayer
        Its weights are changed in place.
    moments : int
        How many numbers the optimiser keeps of each weight, 1 or 2.

    Attributes
    ----------
    moments : list of real arrays
    gradient : int64 array
        Whole numbers of ``1 / units.units``.
    units : Units
    sums : float64 (3, padded)
        Sums over the inputs: of the weights, of their squares, and of the squares of the gradient that the
        last step was on.
    """

    def __init__(self, device: Device, layer: DeviceLayer, moments: int) -> None:
        self.device, self.layer, self.weights = device, layer, layer.weights
        self.inputs, self.padded = self.weights.shape
        self.real = self.weights.dtype
        self.moments = [device.zeros(self.weights.shape, self.real) for _ in range(moments)]
        self.gradient = device.zeros(self.weights.shape, np.int64)
        self.sums = device.zeros((3, self.padded), np.float64)
        self.units = Units(device, self.padded)
        self._decay, self._decay_there = np.empty(0, self.real), device.empty(0, self.real)
        self._pieces = block_count(self.inputs, UPDATE_ROWS)
        self._parts = device.empty((self._pieces, 3, self.padded), np.float64)

    @property
    def row_sum(self) -> DeviceArray:
        """Sums of the weights over the inputs of each `kind` of position, float64 (kinds, padded)."""
        patches = self.layer.patches
        return self.sums[:1] if patches is None else patches.row_sums(self.weights)

    @property
    def kind(self) -> DeviceArray:
        """Kind of each position, int32 (positions,); empty where all are alike."""
        patches = self.layer.patches
        return self.device.empty(0, np.int32) if patches is None else patches.kind

    def step(
        self,
        scale: float,
        decay: np.ndarray,
        *,
        adam: bool,
        step: float,
        beta1: float,
        beta2: float,
        floor: float,
        shrink: float,
        nesterov: bool,
    ) -> None:
        """One step on ``scale * gradient + decay * weights``.

        `decay` is real (padded,); the other numbers are those of `eventsnn.learn.optimisers.Constants`.
        """
        device, numbers = self.device, np.array([scale, step, beta1, beta2, floor, shrink], self.real)
        if not np.array_equal(decay, self._decay):  # a copy would wait for what was launched
            self._decay, self._decay_there = decay.copy(), device.put(np.ascontiguousarray(decay, self.real))
        device.launch(
            f"update_weights<{REALS[self.real]}>",
            (self._pieces, block_count(self.padded)),
            min(THREADS, self.padded),
            np.int32(self.inputs),
            np.int32(self.padded),
            self.gradient,
            self.units.units,
            self.weights,
            self.moments[0],
            self.moments[1] if adam else device.empty(0, self.real),
            self._decay_there,
            *numbers,
            np.int32(nesterov),
            self._parts,
        )
        device.launch(
            "add_parts",
            block_count(3 * self.padded),
            THREADS,
            np.int32(self._pieces),
            np.int32(self.padded),
            self._parts,
            self.sums,
        )
