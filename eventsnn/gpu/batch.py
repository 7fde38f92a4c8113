"""A mini-batch on the device: what arrives at a layer, the layers themselves, and the spikes that they fire.

Every array has its samples along the first axis or says where each sample begins, so that how a data set is
cut into mini-batches changes no bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eventsnn.gpu.device import Device, DeviceArray
from eventsnn.reference.lif import RECORD

if TYPE_CHECKING:
    from eventsnn.gpu.patches import DevicePatches

WARP = 32
"""Lanes of a warp; layers are padded to a multiple of it with neurons whose weights are 0."""


@dataclass(frozen=True)
class DeviceArrivals:
    """Spikes arriving at a layer, each sample's sorted by (time, source).

    Attributes
    ----------
    times : float64 (n,)
        ms.
    sources : int32 (n,)
        Source neuron of each; the bias neuron is the one after the last.
    first : int64 (samples,)
        Where each sample begins.
    count : int32 (samples,)
        How many it has.
    """

    times: DeviceArray
    sources: DeviceArray
    first: DeviceArray
    count: DeviceArray

    @classmethod
    def put(cls, device: Device, times: np.ndarray, sources: np.ndarray, ptr: np.ndarray) -> DeviceArrivals:
        """From the host: sample s is [ptr[s], ptr[s + 1])."""
        return cls(
            device.put(times),
            device.put(sources.astype(np.int32, copy=False)),
            device.put(ptr[:-1].astype(np.int64, copy=False)),
            device.put(np.diff(ptr).astype(np.int32)),
        )

    def __len__(self) -> int:
        return len(self.first)

    def read(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(times, sources, ptr) on the host, one sample after the other."""
        first, count = self.first.read(), self.count.read()
        ptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(count, dtype=np.int64)])
        places = np.repeat(first - ptr[:-1], count) + np.arange(ptr[-1])
        return self.times.read().reshape(-1)[places], self.sources.read().reshape(-1)[places], ptr


@dataclass(frozen=True)
class DeviceLayer:
    """A layer: the positions of one with many are small dense layers that share their weights.

    Attributes
    ----------
    name : str
    channels : int
        Neurons of a position.
    constants : `RECORD` (1,)
        Of its neurons.
    weights : real (sources, padded)
        What an arrival from each source of a position adds to its currents; the bias neuron is the last.
    lateral : real (neurons, padded), optional
        The same of its own spikes, which arrive at once; for up to `WARP` neurons.
    delays : float64 (1,) or (sources,)
        From each source, or from all, ms; `delayed` says whether there is one other than 0.
    patches : DevicePatches, optional
        What its positions see, where one does not see everything.
    """

    name: str
    channels: int
    constants: DeviceArray
    weights: DeviceArray
    lateral: DeviceArray | None
    delays: DeviceArray
    delayed: bool
    patches: DevicePatches | None = None

    @classmethod
    def put(
        cls,
        device: Device,
        name: str,
        constants: np.ndarray,
        weights: np.ndarray,
        lateral: np.ndarray | None,
        delays: list[float],
        patches: DevicePatches | None = None,
    ) -> DeviceLayer:
        """From the host.

        Parameters
        ----------
        constants : `RECORD` (1,)
        weights : real (channels, sources of a position)
        lateral : real (neurons, neurons), optional
            From the neurons of the second axis.
        delays : list of float
            From each source or from all, ms.
        patches : DevicePatches, optional
        """
        assert constants.dtype == RECORD
        delay = np.array(delays, np.float64)
        return cls(
            name,
            len(weights),
            device.put(constants),
            device.put(pad_rows(weights)),
            None if lateral is None else device.put(pad_rows(lateral)),
            device.put(delay),
            bool(delay.any()),
            patches,
        )

    @property
    def positions(self) -> int:
        """How many positions it has."""
        return 1 if self.patches is None else self.patches.geometry.patches

    @property
    def neurons(self) -> int:
        """Neurons of all positions; number ``channel * positions + position`` is one of each."""
        return self.channels * self.positions

    @property
    def padded(self) -> int:
        """Channels with those that fill up the last warp."""
        return self.weights.shape[1]

    @property
    def real(self) -> np.dtype[np.floating]:
        """Type of weights and state."""
        return self.weights.dtype


def pad_rows(weights: np.ndarray) -> np.ndarray:
    """Weights (neurons, sources) as rows of the sources, filled up with zeros: (sources, padded)."""
    neurons, sources = weights.shape
    rows = np.zeros((sources, padded_size(neurons)), weights.dtype)
    rows[:, :neurons] = weights.T
    return rows


def padded_size(neurons: int) -> int:
    """The next multiple of `WARP`."""
    return -(-neurons // WARP) * WARP


@dataclass(frozen=True)
class DeviceSpikes:
    """The spikes of a layer, neuron by neuron. A unit is a position of a sample, see `DevicePatches`.

    Attributes
    ----------
    fired : float64 (units, slots, padded)
        Time of each neuron's spike number k, ms, for k below its count.
    after : int32 (units, slots, padded)
        The last arrival before each, counted from 0 in its unit; several at one instant are all before it.
    counts : int32 (units, padded)
    """

    fired: DeviceArray
    after: DeviceArray
    counts: DeviceArray

    @property
    def slots(self) -> int:
        """Spikes of a neuron that there is room for."""
        return self.fired.shape[1]
