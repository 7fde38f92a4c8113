"""Exact derivatives on their way down: by the time of each spike, from layer to layer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from eventsnn._ext.optimiser import Update
from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.threads import Share
from eventsnn.learn.charges import count_charges
from eventsnn.learn.constants import LearnedConstants, constant_derivatives
from eventsnn.learn.optimisers import Step
from eventsnn.model import Layer
from eventsnn.simulate.engines.arrivals import Arrivals, expand
from eventsnn.simulate.engines.blocks import pack, pad, unpack
from eventsnn.simulate.engines.layer_run import LayerRun, order_by_block
from eventsnn.train.downward import EVERY, LayerState, Outcome, by_unit
from eventsnn.train.exact import ExactDownward, reverse
from eventsnn.train.readout import ReadoutSample, pull_readout


class DerivativesDown(ExactDownward):
    """Down go derivatives by the times of a layer's spikes, sample by sample, sorted by (time, neuron).

    Attributes
    ----------
    constants : LearnedConstants
        What is learned besides weights; its gradients are added to.
    """

    constants: LearnedConstants

    def begin(self, labels: np.ndarray, sample_weights: np.ndarray) -> Outcome:
        self.labels = labels
        self._found: dict[int, dict[str, Any]] = {}  # derivatives by constants, by first sample
        if self.readout is not None:
            loss, errors = self.rule.readout_losses(self.readout.values, labels)
            self.above = errors * sample_weights[:, None]
            self.see("errors", len(self.layers) - 1, self.above[0])
            return Outcome(loss, 0)
        (top,) = self.runs[-1]
        output = self.activity(-1, top, self.threads.share)
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
        return self.layers[number].fires

    def learn_samples(
        self, number: int, samples: slice, gradient: np.ndarray, update: Update | None, share: Share
    ) -> np.ndarray:
        layer, run = self.layers[number], self.layer_run(number, samples)
        if not layer.fires:
            return self._learn_readout(number, run, gradient, share)
        earlier = self.runs[number][: samples.start or 0]
        first = sum(len(each.spikes.times) for each in earlier)
        activity = self.activity(number, run, share)
        self.see("spike_derivatives", number, self.above[first:])
        if number + 1 in self.kept:
            activity = replace(activity, kept=by_unit(layer, self.kept[number + 1][samples]))
        derivatives = np.empty(len(run.spikes.times))
        derivatives[merged_order(layer, run)] = self.above[first : first + len(derivatives)]
        charges = self.rule.charges(activity, derivatives)
        factors = self.rule.count_factors(activity) if number < len(self.layers) - 1 else None
        if factors is not None:
            charges = charges + count_charges(activity, pad(activity.of_kept(factors), len(gradient)))
        learned = self.constants.of(layer)
        # Before the weights are updated: these derivatives, too, are those at the weights as they were.
        found = constant_derivatives(activity, charges, learned) if learned else {}
        labels = self.labels if number == len(self.layers) - 1 else None
        pull = activity.of_kept(self.rule.silent_gradients(activity, labels))
        silent = pad(pull.astype(gradient.dtype), len(gradient))
        derive = self._hands_down(number) or "delay" in learned or "delays" in learned
        down = reverse(activity, charges, silent, gradient, update, derive)
        if derive and activity.own_blocks is not None and len(activity.own_blocks) < len(down):
            self.division.ranks.complete(down)
        total = down.sum(axis=0, dtype=np.float64)
        if "delay" in learned:
            found["delay"] = float(total.sum())
        if "delays" in learned:
            found["delays"] = np.bincount(run.input.arrivals.neurons, total, layer.inputs)
        self._found[samples.start or 0] = found
        return self._to_spikes(number, samples, run, total)

    def _hands_down(self, number: int) -> bool:
        return number > 0 or self.to_inputs

    def _to_spikes(self, number: int, samples: slice, run: LayerRun, down: np.ndarray) -> np.ndarray:
        """Derivatives by the spikes of the layer below, from those by the arrivals; none below the first."""
        if not self._hands_down(number):
            return np.empty(0)
        layer, fired = self.layers[number], self._source_spikes(number, samples)
        # The number of a spike stands for its time: where it went, and what came back.
        numbered = Arrivals(np.arange(len(fired.times), dtype=np.float64), fired.neurons, fired.ptr)
        # Those of the bias neuron are nobody's.
        total = down[run.input.arrivals.neurons < layer.patch]
        passed = numbered.where(self.kept[number][samples]) if number in self.kept else numbered
        if layer.each_delay is not None:
            sent = Arrivals(fired.times[passed.times.astype(np.int64)], passed.neurons, passed.ptr)
            spike = passed.times[sent.delayed_order(layer.each_delay)]
        else:
            spike = expand(layer.geometry, passed).times  # the same spike may arrive in several patches
        return np.bincount(spike.astype(np.int64), weights=total, minlength=len(fired.times))

    def _learn_readout(self, number: int, run: LayerRun, gradient: np.ndarray, share: Share) -> np.ndarray:
        """`learn_samples` of a readout layer, in all samples."""
        layer, readout, arrivals = self.layers[number], self.readout, run.input.arrivals
        assert readout is not None
        weights = unpack(self.packed.blocks[str(layer.name)], layer.channels).astype(np.float64).T
        ends = self.durations if layer.value == "mean" else np.full(self.samples, np.inf)
        gradients = np.zeros((self.samples, *weights.shape))
        down, counter = np.zeros(len(arrivals.times)), WorkCounter(self.samples)

        def work() -> None:
            while (sample := counter.take()) >= 0:
                seen = ReadoutSample(
                    *arrivals.sample(sample), ends[sample], readout.when[sample], readout.slope[sample]
                )
                part = slice(arrivals.ptr[sample], arrivals.ptr[sample + 1])
                gradients[sample], down[part] = pull_readout(layer, weights, seen, self.above[sample])

        share(work, counter)
        if layer.value == "max":
            reached = order_by_block(run.input, readout.maxima, layer)
            pull = self.rule.silent_gradients(self.activity(number, reached, share), self.labels)
            fired = [np.bincount(arrivals.sample(n)[1], minlength=len(weights)) > 0 for n in range(len(pull))]
            gradients += np.array(fired)[:, :, None] * pull[:, None, :]
        total = np.zeros_like(gradient)
        pack(gradients.sum(axis=0).T, total)
        gradient += total
        self._found[0] = {"delay": float(down.sum())}
        return self._to_spikes(number, EVERY, run, down)

    def _source_spikes(self, number: int, samples: slice) -> Arrivals:
        """The spikes of the layer below in `samples`."""
        below = self.runs[number - 1] if number else []
        if len(below) > 1:
            return Arrivals.join([each.spikes.sample(0) for each in below[samples]])
        spikes = below[0].spikes if below else self.input_spikes
        return spikes if samples is EVERY else Arrivals.single(*spikes.sample(samples.start))


def merged_order(layer: Layer, run: LayerRun) -> np.ndarray:
    """Numbers of the spikes in ``run.by_block`` in the order of ``run.spikes``."""
    times, channels, ptr, _ = run.by_block
    unit = np.repeat(np.arange(len(ptr) - 1) % len(run.input.arrivals), np.diff(ptr))
    sample, position = np.divmod(unit, layer.positions)
    return np.lexsort((channels.astype(np.int64) * layer.positions + position, times, sample))
