"""The way down of exact derivatives through layers on a device: launches of ``kernels/derivatives.h``.

Nothing here knows a rule: what a rule wants comes as numbers. The sweep itself is `eventsnn.gpu.reverse`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eventsnn.gpu.batch import DeviceLayer, DeviceSpikes
from eventsnn.gpu.device import Device, DeviceArray
from eventsnn.gpu.forward import REALS, LayerPass
from eventsnn.gpu.reverse import THREADS, LayerSweep, Units, block_count

TALLY_PIECES = 32
"""Threads that count what a neuron does in a group of samples, at the most."""


@dataclass(frozen=True)
class Pull:
    """What neurons of a layer are pulled by; see ``pull_neurons``.

    Attributes
    ----------
    silent : float
        Minus what a silent neuron adds to the gradients of its weights.
    share : float
        In what share of the samples of a group a neuron must be silent for that.
    spikes_pull, spikes_target : float
        Of the mean spike count in a group.
    """

    silent: float
    share: float = 0.0
    spikes_pull: float = 0.0
    spikes_target: float = 0.0


def tally(device: Device, layer: DeviceLayer, there: LayerPass, group: int, tallies: DeviceArray) -> None:
    """Add to int64 (groups, 3, padded), of every `group` units in a row, the spikes of each neuron, the units
    in which it is silent, and those in which it is not dropped, which are those that count.
    """
    units, padded = there.spikes.counts.shape
    groups, pieces = units // group, min(TALLY_PIECES, group)
    device.launch(
        "tally_neurons",
        block_count(groups * pieces * padded),
        THREADS,
        np.int32(groups),
        np.int32(group),
        np.int32(pieces),
        np.int32(layer.channels),
        np.int32(layer.positions),
        np.int32(padded),
        there.kept,
        there.spikes.counts,
        tallies,
    )


@dataclass
class LayerDerivatives(LayerSweep):
    """A layer on the way down of derivatives by the times of spikes.

    Parameters
    ----------
    derivatives : float64 (units, slots, padded)
        By the times of its spikes.
    """

    derivatives: DeviceArray

    def __post_init__(self) -> None:
        super().__post_init__()
        self.pull = self.device.empty(0, np.float64)
        slots = self.spikes.slots
        self.charges = self.device.empty((self.samples, 2 * slots, self.padded), np.float64)

    def pull_neurons(
        self,
        pull: Pull,
        layer: DeviceLayer,
        kept: DeviceArray,
        labels: DeviceArray,
        tallies: DeviceArray,
        group: int,
        units: Units,
    ) -> None:
        """Pull silent neurons and spike counts, before `charge`.

        Parameters
        ----------
        pull : Pull
        layer : DeviceLayer
        kept : uint8 (samples, neurons)
            Neurons that are not dropped; empty if none is.
        labels : int32 (units,)
            Of the output layer, whose silent label neurons alone are pulled; empty for others.
        tallies : int64 (groups, 3, padded)
            See `tally`; empty where there are labels.
        group : int
            Units of a group; of the one group there is, those of the whole mini-batch.
        units : Units
        """
        self.pull = self.device.empty((self.samples, self.padded), np.float64)
        self.device.launch(
            "pull_neurons",
            block_count(self.samples * self.padded),
            THREADS,
            np.int32(self.samples),
            np.int32(self.neurons),
            np.int32(layer.positions),
            np.int32(self.padded),
            kept,
            self.spikes.counts,
            labels,
            tallies,
            np.int32(group),
            np.float64(pull.silent),
            np.float64(pull.share),
            np.float64(pull.spikes_pull),
            np.float64(pull.spikes_target),
            self.pull,
            units.largest,
        )

    def charge(self, least_slope: float, units: Units) -> None:
        """Make the charges of the spikes; after `prepare`. Smaller slopes, per ms, count as `least_slope`."""
        self.device.launch(
            f"spike_charges<{REALS[self.real]}>",
            self.grid,
            self.threads,
            *self._walk(),
            self.weights,
            self.derivatives,
            self.pull,
            np.float64(least_slope),
            self.charges,
            units.largest,
        )

    def sum(self, gradient: DeviceArray, units: DeviceArray, down: bool) -> None:
        """Add to the gradient, int64 (inputs, padded) or empty; `down`: also compute what goes down."""
        if not gradient.size and not down:
            return
        shared = self.make_down() if down else 0
        self.device.launch(
            f"sum_charges<{REALS[self.real]}, {'true' if down else 'false'}>",
            self.grid,
            self.threads,
            *self._walk(),
            self.charges,
            self.pull,
            units,
            gradient,
            self.weights,
            self.down,
            shared=shared,
        )

    def hand_down(self, below: DeviceLayer, spikes: DeviceSpikes, layer: DeviceLayer) -> DeviceArray:
        """Derivatives by the times of the `spikes` of the layer `below`, float64 (units, slots, padded);
        after `sum` with `down`.
        """
        device, patches = self.device, layer.patches
        derivatives = device.empty(spikes.fired.shape, np.float64)
        table: tuple[DeviceArray, ...] = 3 * (device.empty(0, np.int32),)
        samples, area = self.samples // layer.positions, 1
        if patches is not None:
            table, area = patches.table, patches.geometry.area
        device.launch(
            f"hand_down<{REALS[self.real]}>",
            block_count(samples * below.neurons),
            THREADS,
            np.int32(samples),
            np.int32(layer.positions),
            self.arrivals.first,
            self.arrivals.count,
            self.arrivals.times,
            self.arrivals.sources,
            self.down,
            spikes.fired,
            spikes.counts,
            np.int32(below.channels),
            np.int32(below.positions),
            np.int32(spikes.slots),
            np.int32(below.padded),
            layer.delays,
            *table,
            np.int32(area),
            derivatives,
        )
        return derivatives
