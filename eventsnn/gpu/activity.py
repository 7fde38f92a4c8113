"""How active the layers were in a mini-batch: launches of ``kernels/activity.h``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eventsnn.gpu.batch import DeviceLayer
from eventsnn.gpu.device import Device, DeviceArray
from eventsnn.gpu.forward import LayerPass
from eventsnn.gpu.reverse import THREADS, block_count


def count_activity(device: Device, passes: Sequence[LayerPass], layers: Sequence[DeviceLayer]) -> DeviceArray:
    """Of the neurons of some layers that are not dropped: how many spikes they fired in all, how many fired
    none, and how many there are; int64 (layers, 3).
    """
    activity = device.zeros((len(layers), 3), np.int64)
    for n, (each, layer) in enumerate(zip(passes, layers, strict=True)):
        samples, padded = each.spikes.counts.shape
        device.launch(
            "count_activity",
            min(block_count(samples * padded), 4 * device.multiprocessors),
            THREADS,
            np.int32(samples),
            np.int32(layer.channels),
            np.int32(layer.positions),
            np.int32(padded),
            each.kept,
            each.spikes.counts,
            activity[n : n + 1],
        )
    return activity
