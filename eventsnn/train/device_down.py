"""The way down through the layers of a mini-batch on a graphics card, which all rules have in common.

A subclass says what goes down: errors (`eventsnn.train.device_errors`) or exact derivatives
(`eventsnn.train.device_derivatives`). The same way on the CPU is `eventsnn.train.downward`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eventsnn.gpu.batch import DeviceLayer, DeviceSpikes
from eventsnn.gpu.device import Device, DeviceArray
from eventsnn.gpu.forward import LayerPass
from eventsnn.gpu.weights import DeviceWeights
from eventsnn.learn.rule import Rule
from eventsnn.model import Network
from eventsnn.train.device_readout import SpikeDerivatives


@dataclass(frozen=True)
class Part:
    """What the output neurons did in some samples of a mini-batch, or all, and were to do; on the host.

    Attributes
    ----------
    counts : int64 array (samples, outputs)
    times : float64 array (samples, most, outputs) or None
        Of each output neuron's spikes, ms, infinite beyond its count; None where nobody asks.
    ends : float64 array (samples,)
        When each sample ends, ms.
    labels : int array (samples,)
    sample_weights : float64 array (samples,)
    above : SpikeDerivatives or None
        What a readout layer hands down to the last layer on the device.
    inputs : bool array (samples, inputs) or None
        Which inputs were not dropped.
    """

    counts: np.ndarray
    times: np.ndarray | None
    ends: np.ndarray
    labels: np.ndarray
    sample_weights: np.ndarray
    above: SpikeDerivatives | None = None
    inputs: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, part: slice) -> Part:
        times = None if self.times is None else self.times[part]
        above = None if self.above is None else self.above[part]
        inputs = None if self.inputs is None else self.inputs[part]
        ends, labels, weights = self.ends[part], self.labels[part], self.sample_weights[part]
        return Part(self.counts[part], times, ends, labels, weights, above, inputs)


def read_times(spikes: DeviceSpikes, counts: np.ndarray) -> np.ndarray:
    """`Part.times` of an output layer with these `counts`, int array (samples, outputs)."""
    most = int(counts.max(initial=0))
    times = spikes.fired.read()[:, :most, : counts.shape[1]]
    return np.where(np.arange(most)[:, None] < counts[:, None, :], times, np.inf)


def join_times(parts: Sequence[np.ndarray]) -> np.ndarray:
    """`Part.times` of all samples, from those of parts."""
    most = max(part.shape[1] for part in parts)
    fill = [((0, 0), (0, most - part.shape[1]), (0, 0)) for part in parts]
    return np.concatenate([np.pad(p, f, constant_values=np.inf) for p, f in zip(parts, fill, strict=True)])


class DeviceDown(ABC):
    """The way down of one mini-batch, whole or in parts.

    Parameters
    ----------
    device : Device
    network : Network
        Its output layer has one position; a readout is not on the device.
    layers : list of DeviceLayer
    weights : list of DeviceWeights or None
        None of layers that are not trained.
    rule : Rule
    samples : int
        Of the whole mini-batch.

    Attributes
    ----------
    forced : int
        Samples whose label neuron was silent and was given spikes for the S-PSPs.
    most_forced : int
        The most spikes that one was given.
    looks : bool
        Whether the whole mini-batch is to be looked at, before any of it goes down.
    """

    forced = 0
    most_forced = 0
    looks = False

    def __init__(
        self,
        device: Device,
        network: Network,
        layers: Sequence[DeviceLayer],
        weights: Sequence[DeviceWeights | None],
        rule: Rule,
        samples: int,
    ) -> None:
        self.device, self.network, self.layers, self.weights = device, network, layers, weights
        self.rule, self.samples = rule, samples
        # Nobody needs what the lowest layer that is trained would hand down.
        trained = (number for number, each in enumerate(weights) if each is not None)
        self.lowest = next(trained, len(weights))

    def begin(self) -> None:
        """Begin the mini-batch, again if need be."""
        self.forced = 0
        for weights in self.weights:
            if weights is not None:
                weights.units.begin()
                weights.gradient.clear()

    def look(self, passes: Sequence[LayerPass]) -> None:
        """Look at some samples, or all; see `looks`."""
        assert not self.looks

    def choose_units(self) -> None:
        """Choose the units of all gradients, when all samples have been seen; they come once more then."""
        self.forced = 0
        for number, weights in enumerate(self.weights):
            if weights is not None:
                self.choose(number, weights)

    @abstractmethod
    def choose(self, number: int, weights: DeviceWeights) -> None:
        """Choose the units of a layer's gradient."""

    @abstractmethod
    def run(self, passes: Sequence[LayerPass], part: Part, *, learn: bool, choose: bool) -> np.ndarray:
        """Some samples, or all, through all layers; returns their losses, float64 (samples,).

        Parameters
        ----------
        passes
            What the layers did.
        part : Part
        learn : bool
            Whether to add to the gradients; else these samples only have their say in the units.
        choose : bool
            Whether these are all samples of the mini-batch: the units are chosen on the way.
        """

    def nothing(self) -> DeviceArray:
        """An array of no numbers."""
        return self.device.empty(0, np.float64)
