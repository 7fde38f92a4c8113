"""Exact derivatives on their way down: by the time of each spike, from layer to layer."""

from __future__ import annotations

import numpy as np

from eventsnn._ext.optimiser import Update
from eventsnn.learn.constants import LearnedConstants, constant_derivatives
from eventsnn.learn.optimisers import Step
from eventsnn.model import Layer
from eventsnn.simulate.engines.arrivals import Arrivals, Share
from eventsnn.simulate.engines.blocks import pad
from eventsnn.simulate.engines.layer_run import LayerRun, expand
from eventsnn.train.downward import EVERY, LayerState, Outcome
from eventsnn.train.exact import ExactDownward, reverse


class DerivativesDown(ExactDownward):
    """Down go derivatives by the times of a layer's spikes, sample by sample, sorted by (time, neuron).

    Attributes
    ----------
    constants : LearnedConstants
        What is learned besides weights; its gradients are added to.
    """

    constants: LearnedConstants

    def begin(self, labels: np.ndarray, sample_weights: np.ndarray) -> Outcome:
        (top,) = self.runs[-1]
        output = self.activity(-1, top, self.threads.share)
        self.labels = labels
        self._found: dict[int, dict[str, float]] = {}  # derivatives by constants, by first sample
        loss, derivatives = self.rule.spike_losses(output, labels, self.durations)
        self.above = (derivatives * sample_weights[output.units])[merged_order(self.layers[-1], top)]
        return Outcome(loss, 0)

    def trains(self, number: int) -> bool:
        return super().trains(number) or bool(self.constants.of(self.layers[number]))

    def learn_layer(self, number: int, state: LayerState | None, update: Step | None) -> None:
        super().learn_layer(number, state, update)
        for name, constant in self.constants.of(self.layers[number]).items():
            # One sample after the other: the same bits for any number of threads.
            constant.gradient += sum(self._found[sample][name] for sample in sorted(self._found))
        self._found.clear()

    def applies_updates(self, number: int) -> bool:
        return True

    def learn_samples(
        self, number: int, samples: slice, gradient: np.ndarray, update: Update | None, share: Share
    ) -> np.ndarray:
        layer, run = self.layers[number], self.layer_run(number, samples)
        earlier = self.runs[number][: samples.start or 0]
        first = sum(len(each.spikes.times) for each in earlier)
        activity = self.activity(number, run, share)
        derivatives = np.empty(len(run.spikes.times))
        derivatives[merged_order(layer, run)] = self.above[first : first + len(derivatives)]
        charges, arrivals = self.rule.charges(activity, derivatives), run.input.arrivals
        learned = self.constants.of(layer)
        # Before the weights are updated: these derivatives, too, are those at the weights as they were.
        found = constant_derivatives(activity, charges, learned) if learned else {}
        labels = self.labels if number == len(self.layers) - 1 else None
        silent = pad(self.rule.silent_gradients(activity, labels).astype(gradient.dtype), len(gradient))
        derive = number > 0 or "delay" in learned
        down = reverse(activity, charges, silent, gradient, update, derive)
        if "delay" in learned:
            found["delay"] = float(down.sum(dtype=np.float64))
        self._found[samples.start or 0] = found
        if not number:
            return np.empty(0)
        # The same spike may arrive in several patches; those of the bias neuron are nobody's.
        spikes = self._source_spikes(number, samples)
        numbers = np.arange(len(spikes.times), dtype=np.float64)
        spike = expand(layer.geometry, Arrivals(numbers, spikes.neurons, spikes.ptr)).times.astype(np.int64)
        total = down.sum(axis=0, dtype=np.float64)[arrivals.neurons < layer.patch]
        return np.bincount(spike, weights=total, minlength=len(numbers))

    def _source_spikes(self, number: int, samples: slice) -> Arrivals:
        """The spikes of the layer below in `samples`."""
        below = self.runs[number - 1]
        if len(below) > 1:
            return Arrivals.join([each.spikes.sample(0) for each in below[samples]])
        spikes = below[0].spikes
        return spikes if samples is EVERY else Arrivals.single(*spikes.sample(samples.start))


def merged_order(layer: Layer, run: LayerRun) -> np.ndarray:
    """Numbers of the spikes in ``run.by_block`` in the order of ``run.spikes``."""
    times, channels, ptr = run.by_block
    unit = np.repeat(np.arange(len(ptr) - 1) % len(run.input.arrivals), np.diff(ptr))
    sample, position = np.divmod(unit, layer.positions)
    return np.lexsort((channels.astype(np.int64) * layer.positions + position, times, sample))
