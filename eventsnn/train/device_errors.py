"""Errors on their way down on a graphics card: what a rule says, to the sums of `eventsnn.gpu.backward`.

The same way on the CPU is `eventsnn.train.errors`, and what each quantity is stands there. Errors are
those of units: samples, or the positions of samples (`eventsnn.gpu.patches`).
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
        Its output layer has one position.
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
    """

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
        self.rule, self.samples, self.forced, self.most_forced = rule, samples, 0, 0
        # Nobody needs what the lowest layer that is trained would hand down.
        self.lowest = next(number for number, each in enumerate(weights) if each is not None)

    def begin(self) -> None:
        """Begin the mini-batch, again if need be."""
        self.forced = 0
        for weights in self.weights:
            if weights is not None:
                weights.units.begin()
                weights.gradient.clear()

    def choose_units(self) -> None:
        """Choose the units of all gradients, when all samples have been seen; they come once more then."""
        self.forced = 0
        for number, weights in enumerate(self.weights):
            if weights is not None:
                self._choose(number, weights)

    def _choose(self, number: int, weights: DeviceWeights) -> None:
        # Where `LayerBackward.reverse` may use tiles.
        tiles = number == self.lowest and weights.real == np.float32
        weights.units.choose(self.samples * self.layers[number].positions, tiles)

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
        for number in range(len(self.layers) - 1, self.lowest - 1, -1):
            layer = self.layers[number]
            way = LayerBackward(
                self.device,
                layer.constants,
                layer.channels,
                layer.weights,
                passes[number].arrivals,
                spikes,
                delta,
            )
            options = self._options(number)
            self._learn_layer(number, way, lateral, options, learn, choose)
            if number > self.lowest:
                delta = self._hand_down(number, way, options)
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
        layer, weights, down = self.network.layers[number], self.weights[number], number > self.lowest
        nothing = self.device.empty(0, np.int64)
        if weights is None:  # errors only pass through
            way.prepare(self.device.zeros(1, np.int32))
            way.reverse(nothing, self._nothing(), down)
            return
        way.prepare(weights.units.most)
        # With inhibition or forced spikes the total PSP is not the threshold for each spike.
        total = way.total_psp() if number == len(self.layers) - 1 else self._nothing()
        way.scale(
            weights.units,
            weights.row_sum,
            total,
            lateral,
            weights.kind,
            resting=layer.resting,
            threshold=layer.threshold,
            silent_spsp=options.silent_spsp,
            silent_ratio=options.silent_ratio,
        )
        if choose:
            self._choose(number, weights)
        if learn or down:
            way.reverse(weights.gradient if learn else nothing, weights.units.units, down)

    def _hand_down(self, number: int, way: LayerBackward, options: LayerOptions) -> DeviceArray:
        """Errors of the layer below, float64 (units, padded)."""
        below, patches = self.layers[number - 1], self.layers[number].patches
        how = options.effect_ratio, options.divisor
        if patches is None:
            return way.errors_below(below.neurons, below.positions, below.padded, *how)
        inputs = patches.geometry.inputs
        return patches.sum_errors(way.errors_below(inputs, 1, inputs, *how), below.padded)

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
        self.most_forced = max(self.most_forced, *map(len, given))
        return ForcedSpikes.put(self.device, samples, labels[samples], given)
