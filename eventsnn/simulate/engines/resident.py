"""Recordings that lie on a device, as the engines and the learners take them."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from eventsnn.gpu.recordings import DeviceBatch
from eventsnn.simulate.engines.arrivals import Arrivals


class ResidentArrivals(Arrivals):
    """`Arrivals` on a device. What the host asks for is copied when it first asks, so that whoever knows no
    device can use them too.

    Parameters
    ----------
    batch : DeviceBatch
    """

    def __init__(self, batch: DeviceBatch) -> None:
        # Not the base's: its fields are copies here.
        vars(self).update(batch=batch, duration=batch.duration, prepared=None)

    batch: DeviceBatch

    @cached_property
    def _host(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.batch.arrivals.read()

    @property
    def times(self) -> np.ndarray:
        """See `Arrivals`."""
        return self._host[0]

    @property
    def neurons(self) -> np.ndarray:
        """See `Arrivals`."""
        return self._host[1]

    @property
    def ptr(self) -> np.ndarray:
        """See `Arrivals`."""
        return self._host[2]

    @property
    def most_events(self) -> int:
        """See `Arrivals`: those before any is dropped."""
        return self.batch.most_events

    @cached_property
    def last_times(self) -> np.ndarray:
        """See `Arrivals`."""
        return self.batch.last.read()

    def __len__(self) -> int:
        return len(self.batch)

    def part(self, part: slice) -> Arrivals:
        """See `Arrivals`."""
        return ResidentArrivals(self.batch.part(part))
