"""Exact derivatives on their way down on a graphics card, through the sums of `eventsnn.gpu.derivatives`.

The same way on the CPU is `eventsnn.train.derivatives`, and what each quantity is stands there. Derivatives
are those by the times of spikes, in the layout of `eventsnn.gpu.batch.DeviceSpikes`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eventsnn._ext.layer_events import LayerEvents
from eventsnn._util.threads import call
from eventsnn.errors import TrainingError
from eventsnn.gpu.derivatives import LayerDerivatives, Pull, tally
from eventsnn.gpu.device import DeviceArray
from eventsnn.gpu.forward import LayerPass
from eventsnn.gpu.reverse import Units
from eventsnn.gpu.weights import DeviceWeights
from eventsnn.learn.charges import Activity
from eventsnn.learn.rule import Pulls
from eventsnn.reference.lif import record
from eventsnn.simulate.engines.arrivals import Arrivals, LayerInput
from eventsnn.train.device_down import DeviceDown, Part

EXTREME = {np.dtype(np.float32): 120, np.dtype(np.float64): 900}
"""Largest and smallest power of two that a gradient is counted in: what the precision holds."""


class SpikesAlone(Activity):
    """The output layer as losses see it: its spikes, in one block; what arrived is on the device."""

    @property
    def events(self) -> LayerEvents:
        """Not there: TrainingError."""
        raise TrainingError(
            "on device cuda the losses of a rule see spikes of the output layer alone; use device cpu"
        )


class DeviceDerivatives(DeviceDown):
    """Down go derivatives by the times of spikes.

    What goes down through a mini-batch is float64; the sums are of the layer's precision. The gradient of a
    weight is a sum of whole numbers of 64 bits, whose units follow from what one arrival can add at the most:
    psp_max times the charges of a neuron's spikes, of the sample of the mini-batch where these are largest.
    """

    def begin(self) -> None:
        """See `DeviceDown`."""
        super().begin()
        pulls = self.rule.pulls()
        assert pulls is not None  # others are refused
        self.pulls: Pulls = pulls
        self.hidden = len(self.network.layers) - 1  # so many layers
        self.looks = bool(pulls.silent_hidden or pulls.spikes_pull)
        # Of the layers that share no weights; those of others are each sample's own.
        self.tallies = {
            number: self.device.zeros((1, 3, self.layers[number].padded), np.int64)
            for number in range(self.lowest, self.hidden)
            if self.looks and not self.network.layers[number].shares_weights
        }

    def look(self, passes: Sequence[LayerPass]) -> None:
        """See `DeviceDown`."""
        for number, tallies in self.tallies.items():
            there = passes[number]
            tally(self.device, self.layers[number], there, len(there.spikes.counts), tallies)

    def choose(self, number: int, weights: DeviceWeights) -> None:
        """See `DeviceDown`."""
        weights.units.choose(
            self.samples * self.layers[number].positions, tiles=False, extreme=EXTREME[weights.real]
        )

    def run(self, passes: Sequence[LayerPass], part: Part, *, learn: bool, choose: bool) -> np.ndarray:
        """See `DeviceDown`."""
        slots = passes[-1].spikes.slots
        if part.above is None:
            loss, by_spikes = self._losses(part, slots)
        else:
            loss, by_spikes = np.zeros(len(part)), part.above.spread(self.layers[-1], slots)
        # All that is copied to the device goes before the first launch, as copies wait for launches.
        derivatives, labels = self.device.put(by_spikes), self.device.put(part.labels.astype(np.int32))
        for number in range(len(self.layers) - 1, self.lowest - 1, -1):
            layer, there = self.layers[number], passes[number]
            way = LayerDerivatives(
                self.device,
                layer.constants,
                layer.channels,
                layer.weights,
                there.arrivals,
                there.spikes,
                derivatives,
            )
            self._learn_layer(number, way, there, labels, learn, choose)
            if number > self.lowest:
                derivatives = way.hand_down(self.layers[number - 1], passes[number - 1].spikes, layer)
        return loss

    def _learn_layer(
        self,
        number: int,
        way: LayerDerivatives,
        there: LayerPass,
        labels: DeviceArray,
        learn: bool,
        choose: bool,
    ) -> None:
        weights, down = self.weights[number], number > self.lowest
        # Derivatives only pass through a layer that is not trained.
        units = Units(self.device, way.padded) if weights is None else weights.units
        way.prepare(units.most)
        self._pull(number, way, there, labels, units)
        way.charge(self.rule.slope_floor(self.network.layers[number].lif), units)
        if weights is not None and choose:
            self.choose(number, weights)
        unwanted = self.device.empty(0, np.int64)
        way.sum(unwanted if weights is None or not learn else weights.gradient, units.units, down)

    def _pull(
        self, number: int, way: LayerDerivatives, there: LayerPass, labels: DeviceArray, units: Units
    ) -> None:
        """Pull silent neurons and spike counts of a layer."""
        pulls, device, nothing = self.pulls, self.device, self.device.empty(0, np.int64)
        layer = self.layers[number]
        if number == self.hidden:
            if pulls.silent_label:
                way.pull_neurons(Pull(pulls.silent_label), layer, there.kept, labels, nothing, 1, units)
        elif self.looks:
            tallies, group = self.tallies.get(number), self.samples
            if tallies is None:
                group = layer.positions
                tallies = device.zeros((way.samples // group, 3, way.padded), np.int64)
                tally(device, layer, there, group, tallies)
            pull = Pull(pulls.silent_hidden, pulls.silent_share, pulls.spikes_pull, pulls.spikes_target)
            unlabelled = device.empty(0, np.int32)
            way.pull_neurons(pull, layer, there.kept, unlabelled, tallies, group, units)

    def _losses(self, part: Part, slots: int) -> tuple[np.ndarray, np.ndarray]:
        """Losses, and their derivatives by the output spikes, (samples, slots, padded)."""
        layer, top, times = self.network.output, self.layers[-1], part.times
        assert times is not None
        sample, slot, neuron = np.nonzero(np.isfinite(times))
        fired = times[sample, slot, neuron]
        order = np.lexsort((neuron, fired, sample))
        sample, slot, neuron = sample[order], slot[order], neuron[order]
        ptr = np.searchsorted(sample, np.arange(len(part) + 1))
        silence = Arrivals(np.empty(0), np.empty(0, np.int32), np.zeros(len(part) + 1, np.int64))
        constants = record(layer.lif)
        output = SpikesAlone(
            layer.lif,
            layer.neurons,
            constants,
            np.empty((1, 0, 0)),
            LayerInput.of(silence, constants, np.float64),
            fired[order],
            neuron.astype(np.int32),
            ptr.astype(np.int64),
            np.empty(0, np.int32),
            call,
        )
        loss, derivatives = self.rule.spike_losses(output, part.labels, part.ends)
        dense = np.zeros((len(part), slots, top.padded))
        dense[sample, slot, neuron] = derivatives * part.sample_weights[sample]
        return loss, dense
