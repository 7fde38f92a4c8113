"""Mini-batches that lie on a device, for whoever trains or evaluates: `BatchLoader`, but on the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.data.source import LabelledSource
from eventsnn.errors import DeviceMemoryError
from eventsnn.gpu.device import Device
from eventsnn.gpu.recordings import DeviceBatch, DeviceLoader, DeviceRecordings, refusal
from eventsnn.simulate.engines.resident import ResidentArrivals
from eventsnn.train.batches import Batch, BatchLoader


class ResidentBatch(Batch):
    """A `Batch` on a device. What the host asks for is copied when it first asks."""

    def __init__(self, batch: DeviceBatch) -> None:
        arrivals = ResidentArrivals(batch)
        vars(self).update(indices=batch.indices, labels=batch.labels, duration=batch.duration, ready=arrivals)
        vars(self).update(origins=None)

    ready: ResidentArrivals

    @property
    def times(self) -> np.ndarray:
        """See `Batch`."""
        return self.ready.times

    @property
    def neurons(self) -> np.ndarray:
        """See `Batch`."""
        return self.ready.neurons

    @property
    def ptr(self) -> np.ndarray:
        """See `Batch`."""
        return self.ready.ptr


class ResidentLoader(BatchLoader):
    """A `BatchLoader` whose mini-batches lie on a device, with the same bits; arguments and errors as there.

    Parameters
    ----------
    device : Device
    keep : array of int
        The recordings to hold on the device, as many as fit; those that come once only need not be held.
    """

    def __init__(
        self,
        device: Device,
        keep: npt.ArrayLike,
        source: LabelledSource,
        inputs: int,
        *more: Any,
        **options: Any,
    ) -> None:
        super().__init__(source, inputs, *more, **options)
        recordings = DeviceRecordings(device, source, keep)
        self._loader = DeviceLoader(recordings, inputs, *more, **options)

    def prepare(self, indices: npt.ArrayLike, epoch: int) -> Batch:
        """See `BatchLoader`: on the host if the device has no room for so many, which are then divided."""
        try:
            return ResidentBatch(self._loader.prepare(indices, epoch))
        except DeviceMemoryError:
            return super().prepare(indices, epoch)


def make_loader(
    device: Device | None,
    keep: npt.ArrayLike,
    source: LabelledSource,
    inputs: int,
    *more: Any,
    **options: Any,
) -> BatchLoader:
    """A loader on a device, if there is one and it can do what is asked for; else one on the host."""
    names = ("augmentation", "seed", "distortion", "settings")
    asked = {**dict(zip(names, more, strict=False)), **options}
    if device is None or refusal(source, asked.get("augmentation"), asked.get("settings")) is not None:
        return BatchLoader(source, inputs, *more, **options)
    return ResidentLoader(device, keep, source, inputs, *more, **options)
