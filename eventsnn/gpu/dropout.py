"""What dropout adds to the way down of errors on a device: launches of ``kernels/dropout.h``."""

from __future__ import annotations

import numpy as np

from eventsnn.gpu.batch import DeviceLayer
from eventsnn.gpu.device import Device, DeviceArray
from eventsnn.gpu.forward import REALS
from eventsnn.gpu.reverse import THREADS, block_count


def mask_errors(device: Device, layer: DeviceLayer, kept: DeviceArray, errors: DeviceArray) -> None:
    """Errors of a layer, float64 (units, padded), become 0 of neurons that are not `kept`, uint8 (samples,
    neurons).
    """
    device.launch(
        "mask_errors",
        block_count(errors.size),
        THREADS,
        np.int32(len(errors)),
        np.int32(layer.channels),
        np.int32(layer.positions),
        np.int32(layer.padded),
        kept,
        errors,
    )


def kept_sums(
    device: Device, layer: DeviceLayer, kept: DeviceArray, row_sum: DeviceArray, kind: DeviceArray
) -> tuple[DeviceArray, DeviceArray]:
    """Sums of a layer's weights over the inputs that are there in each unit, and which unit has which.

    Parameters
    ----------
    kept : uint8 (samples, neurons of the layer below)
    row_sum : float64 (kinds, padded), kind : int32 (positions,)
        Those over all inputs, see `eventsnn.gpu.weights.DeviceWeights`.

    Returns
    -------
    sums : float64 (units, padded)
    numbers : int32 (units,)
        Of the rows of `sums`, as `kind` has them.
    """
    samples, below = kept.shape
    units = samples * layer.positions
    sums, numbers = device.empty((units, layer.padded), np.float64), device.empty(units, np.int32)
    geometry = device.empty(0, np.int32) if layer.patches is None else layer.patches.numbers
    threads = min(THREADS, layer.padded)
    device.launch(
        f"kept_sums<{REALS[layer.real]}>",
        (units, block_count(layer.padded, threads)),
        threads,
        geometry,
        np.int32(units),
        np.int32(layer.positions),
        np.int32(below),
        np.int32(layer.padded),
        kept,
        row_sum,
        kind,
        layer.weights,
        sums,
        numbers,
    )
    return sums, numbers
