"""A readout layer above layers on a graphics card: it is read out and learned on the host, in float64.

Its few neurons are there what they are when all is on the CPU (`eventsnn.train.derivatives`); down go
derivatives by the times of the spikes below, to `eventsnn.train.device_derivatives`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eventsnn._util.threads import Pool
from eventsnn.gpu.batch import DeviceLayer
from eventsnn.learn.rule import Rule
from eventsnn.simulate.engines.arrivals import Arrivals
from eventsnn.simulate.engines.batch import BatchRun
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.train.derivatives import DerivativesDown
from eventsnn.train.downward import EVERY, LayerState


@dataclass(frozen=True)
class SpikeDerivatives:
    """Derivatives by the times of a layer's spikes in some samples, on the host.

    Attributes
    ----------
    values : float64 array (spikes,)
        Of a loss by their times, sample after sample.
    neurons, slots : int arrays (spikes,)
        Whose they are, and the number of each among those of its neuron.
    ptr : int64 array (samples + 1,)
        Spikes of sample s are ``[ptr[s], ptr[s + 1])``.
    """

    values: np.ndarray
    neurons: np.ndarray
    slots: np.ndarray
    ptr: np.ndarray

    @classmethod
    def of(cls, spikes: Arrivals, values: np.ndarray) -> SpikeDerivatives:
        """Of the spikes of a layer, sorted by (time, neuron) in each sample."""
        sample = np.repeat(np.arange(len(spikes)), np.diff(spikes.ptr))
        order = np.lexsort((spikes.times, spikes.neurons, sample))
        first = np.diff(spikes.neurons[order], prepend=-1) != 0
        first |= np.diff(sample[order], prepend=-1) != 0
        number = np.arange(len(order))
        slots = np.empty(len(order), np.int64)
        slots[order] = number - np.maximum.accumulate(np.where(first, number, 0))
        return cls(values, spikes.neurons, slots, spikes.ptr)

    def __getitem__(self, part: slice) -> SpikeDerivatives:
        ptr = self.ptr[part.start : part.stop + 1]
        own = slice(ptr[0], ptr[-1])
        return SpikeDerivatives(self.values[own], self.neurons[own], self.slots[own], ptr - ptr[0])

    def spread(self, layer: DeviceLayer, slots: int) -> np.ndarray:
        """In the layout of `eventsnn.gpu.batch.DeviceSpikes`, float64 (units, slots, padded)."""
        samples = len(self.ptr) - 1
        found = np.zeros((samples * layer.positions, slots, layer.padded))
        channel, position = np.divmod(self.neurons, layer.positions)
        unit = np.repeat(np.arange(samples), np.diff(self.ptr)) * layer.positions + position
        found[unit, self.slots, channel] = self.values
        return found


def learn_readout(
    packed: PackedNetwork,
    states: Mapping[str, LayerState],
    run: BatchRun,
    labels: np.ndarray,
    sample_weights: np.ndarray,
    rule: Rule,
    threads: Pool,
) -> tuple[np.ndarray, SpikeDerivatives]:
    """Add to the gradient of the readout layer of a mini-batch.

    Parameters
    ----------
    run : BatchRun
        With the runs of the readout layer and of the one below.
    packed, states, labels, sample_weights, rule, threads
        As for `Learner.accumulate`.

    Returns
    -------
    loss : float64 array (samples,)
    below : SpikeDerivatives
        Of the layer below.
    """
    number, down = len(run.begun) - 1, DerivativesDown(packed, states, run, rule, threads)
    loss = down.begin(labels, sample_weights).loss
    gradient = states[str(packed.network.output.name)].gradient
    derivatives = down.learn_samples(number, EVERY, gradient, None, threads.share)
    return loss, SpikeDerivatives.of(run.layer_spikes(number - 1), derivatives)
