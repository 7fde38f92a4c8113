"""How active the layers were in a mini-batch: launches of ``kernels/activity.h``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eventsnn.gpu.batch import DeviceSpikes
from eventsnn.gpu.device import Device, DeviceArray
from eventsnn.gpu.reverse import THREADS, block_count


def count_activity(device: Device, spikes: Sequence[DeviceSpikes], neurons: Sequence[int]) -> DeviceArray:
    """How many spikes some layers fired in all, and how many neurons none: int64 (layers, 2)."""
    activity = device.zeros((len(spikes), 2), np.int64)
    for n, (each, count) in enumerate(zip(spikes, neurons, strict=True)):
        samples, padded = each.counts.shape
        device.launch(
            "count_activity",
            min(block_count(samples * padded), 4 * device.multiprocessors),
            THREADS,
            np.int32(samples),
            np.int32(count),
            np.int32(padded),
            each.counts,
            activity[n : n + 1],
        )
    return activity
