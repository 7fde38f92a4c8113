"""Errors on their way down on a graphics card: what a rule says, to the sums of `eventsnn.gpu.backward`.

The same way on the CPU is `eventsnn.train.errors`, and what each quantity is stands there. Errors are
those of units: samples, or the positions of samples (`eventsnn.gpu.patches`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eventsnn.gpu.backward import ForcedSpikes, LayerBackward, lateral_factors
from eventsnn.gpu.batch import DeviceSpikes
from eventsnn.gpu.device import DeviceArray
from eventsnn.gpu.dropout import kept_sums, mask_errors
from eventsnn.gpu.forward import LayerPass
from eventsnn.gpu.weights import DeviceWeights
from eventsnn.learn.rule import LayerOptions
from eventsnn.train.device_down import DeviceDown, Part


class DeviceErrors(DeviceDown):
    """Down go errors of units, float64 (units, padded)."""

    def choose(self, number: int, weights: DeviceWeights) -> None:
        """See `DeviceDown`."""
        # Where `LayerBackward.reverse` may use tiles.
        tiles = number == self.lowest and weights.real == np.float32
        weights.units.choose(self.samples * self.layers[number].positions, tiles)

    def run(self, passes: Sequence[LayerPass], part: Part, *, learn: bool, choose: bool) -> np.ndarray:
        """See `DeviceDown`."""
        counts, ends, labels = part.counts, part.ends, part.labels
        output, top, neurons = self.network.output, self.layers[-1], self.layers[-1].neurons
        loss, derivative = self.rule.losses(counts, labels)
        errors = np.zeros((len(labels), top.padded))
        errors[:, :neurons] = self.rule.output_errors(derivative, part.sample_weights, output.threshold)
        # All that is copied to the device goes before the first launch, as copies wait for launches.
        delta, named = self.device.put(errors), self.device.put(labels.astype(np.int32))
        everyone = np.empty(0, np.uint8)
        inputs = self.device.put(everyone if part.inputs is None else part.inputs.view(np.uint8))
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
            sources = passes[number - 1].kept if number else inputs
            self._learn_layer(number, way, lateral, options, sources, learn, choose)
            if number > self.lowest:
                delta = self._hand_down(number, way, options)
                if sources.size:
                    mask_errors(self.device, self.layers[number - 1], sources, delta)
                spikes, lateral = passes[number - 1].spikes, self.nothing()
        return loss

    def _learn_layer(
        self,
        number: int,
        way: LayerBackward,
        lateral: DeviceArray,
        options: LayerOptions,
        sources: DeviceArray,
        learn: bool,
        choose: bool,
    ) -> None:
        layer, weights, down = self.network.layers[number], self.weights[number], number > self.lowest
        nothing = self.device.empty(0, np.int64)
        if weights is None:  # errors only pass through
            way.prepare(self.device.zeros(1, np.int32))
            way.reverse(nothing, self.nothing(), down)
            return
        way.prepare(weights.units.most)
        # With inhibition or forced spikes the total PSP is not the threshold for each spike.
        total = way.total_psp() if number == len(self.layers) - 1 else self.nothing()
        row_sum, kind = weights.row_sum, weights.kind
        if sources.size:
            row_sum, kind = kept_sums(self.device, self.layers[number], sources, row_sum, kind)
        way.scale(
            weights.units,
            row_sum,
            total,
            lateral,
            kind,
            resting=layer.resting,
            threshold=layer.threshold,
            silent_spsp=options.silent_spsp,
            silent_ratio=options.silent_ratio,
        )
        if choose:
            self.choose(number, weights)
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

    def _lateral_factors(self, spikes: DeviceSpikes, labels: DeviceArray) -> DeviceArray:
        output, layer = self.network.output, self.layers[-1]
        strength = self.rule.lateral_strength(output)
        if not strength:
            return self.nothing()
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
