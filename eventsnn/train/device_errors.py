"""Errors on their way down on a graphics card: what a rule says, to the sums of `eventsnn.gpu.backward`.

The same way on the CPU is `eventsnn.train.errors`, and what each quantity is stands there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eventsnn.gpu.backward import ForcedSpikes, LayerBackward, lateral_factors
from eventsnn.gpu.batch import DeviceLayer, DeviceSpikes
from eventsnn.gpu.device import Device, DeviceArray
from eventsnn.gpu.forward import LayerPass
from eventsnn.gpu.weights import DeviceWeights
from eventsnn.learn.rule import LayerOptions, Rule
from eventsnn.model import Network


class DeviceErrors:
    """The way down of one mini-batch, whole or in parts.

    Parameters
    ----------
    device : Device
    network : Network
    layers : list of DeviceLayer
    weights : list of DeviceWeights
    rule : Rule
    samples : int
        Of the whole mini-batch.

    Attributes
    ----------
    forced : int
        Samples whose label neuron was silent and was given spikes for the S-PSPs.
    """

    def __init__(
        self,
        device: Device,
        network: Network,
        layers: Sequence[DeviceLayer],
        weights: Sequence[DeviceWeights],
        rule: Rule,
        samples: int,
    ) -> None:
        self.device, self.network, self.layers, self.weights = device, network, layers, weights
        self.rule, self.samples, self.forced = rule, samples, 0

    def begin(self) -> None:
        """Begin the mini-batch, again if need be."""
        self.forced = 0
        for weights in self.weights:
            weights.units.begin()
            weights.gradient.clear()

    def choose_units(self) -> None:
        """Choose the units of all gradients, when all samples have been seen; they come once more then."""
        self.forced = 0
        for number in range(len(self.weights)):
            self._choose(number)

    def _choose(self, number: int) -> None:
        weights = self.weights[number]
        tiles = number == 0 and weights.real == np.float32  # where `LayerBackward.reverse` may use them
        weights.units.choose(self.samples, tiles)

    def run(
        self,
        passes: Sequence[LayerPass],
        counts: np.ndarray,
        ends: np.ndarray,
        labels: np.ndarray,
        sample_weights: np.ndarray,
        *,
        learn: bool,
        choose: bool,
    ) -> np.ndarray:
        """Some samples, or all, through all layers; returns their losses, float64 (samples,).

        Parameters
        ----------
        passes
            What the layers did.
        counts : int array (samples, outputs)
        ends, labels, sample_weights : arrays (samples,)
        learn : bool
            Whether to add to the gradients; else these samples only have their say in the units.
        choose : bool
            Whether these are all samples of the mini-batch: the units are chosen on the way.
        """
        output, top, neurons = self.network.output, self.layers[-1], self.layers[-1].neurons
        loss, derivative = self.rule.losses(counts, labels)
        errors = np.zeros((len(labels), top.padded))
        errors[:, :neurons] = self.rule.output_errors(derivative, sample_weights, output.threshold)
        # All that is copied to the device goes before the first launch, as copies wait for launches.
        delta, named = self.device.put(errors), self.device.put(labels.astype(np.int32))
        forced, spikes = self._find_forced(counts, ends, labels), passes[-1].spikes
        lateral = self._lateral_factors(spikes, named)  # before spikes are forced: these inhibit nobody
        if forced is not None:
            spikes = forced.apply(self.device, spikes)
        for number in range(len(self.layers) - 1, -1, -1):
            layer = self.layers[number]
            way = LayerBackward(
                self.device,
                layer.constants,
                layer.neurons,
                layer.weights,
                passes[number].arrivals,
                spikes,
                delta,
            )
            options = self._options(number)
            self._learn_layer(number, way, lateral, options, learn, choose)
            if number:
                below = self.layers[number - 1]
                delta = way.errors_below(below.neurons, below.padded, options.effect_ratio, options.divisor)
                spikes, lateral = passes[number - 1].spikes, self._nothing()
        return loss

    def _learn_layer(
        self,
        number: int,
        way: LayerBackward,
        lateral: DeviceArray,
        options: LayerOptions,
        learn: bool,
        choose: bool,
    ) -> None:
        layer, weights = self.network.layers[number], self.weights[number]
        way.prepare(weights.units)
        # With inhibition or forced spikes the total PSP is not the threshold for each spike.
        total = way.total_psp() if number == len(self.layers) - 1 else self._nothing()
        way.scale(
            weights.units,
            weights.row_sum,
            total,
            lateral,
            resting=layer.resting,
            threshold=layer.threshold,
            silent_spsp=options.silent_spsp,
            silent_ratio=options.silent_ratio,
        )
        if choose:
            self._choose(number)
        if learn or number:
            gradient = weights.gradient if learn else self.device.empty(0, np.int64)
            way.reverse(gradient, weights.units.units, down=number > 0)

    def _options(self, number: int) -> LayerOptions:
        layers = self.network.layers
        return self.rule.layer_options(layers[number], layers[number - 1] if number else None)

    def _nothing(self) -> DeviceArray:
        return self.device.empty(0, np.float64)

    def _lateral_factors(self, spikes: DeviceSpikes, labels: DeviceArray) -> DeviceArray:
        output, layer = self.network.output, self.layers[-1]
        strength = self.rule.lateral_strength(output)
        if not strength:
            return self._nothing()
        return lateral_factors(
            self.device, layer.constants, spikes, labels, layer.neurons, output.threshold, strength
        )

    def _find_forced(self, counts: np.ndarray, ends: np.ndarray, labels: np.ndarray) -> ForcedSpikes | None:
        """What silent label neurons are given."""
        silent = np.flatnonzero(counts[np.arange(len(labels)), labels] == 0)
        times = {sample: self.rule.forced_spikes(ends[sample]) for sample in silent.tolist()}
        samples = np.array([sample for sample, each in times.items() if len(each)], np.int64)
        self.forced += len(samples)
        if not len(samples):
            return None
        given = [times[sample] for sample in samples.tolist()]
        return ForcedSpikes.put(self.device, samples, labels[samples], given)
