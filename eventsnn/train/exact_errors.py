"""Errors of neurons on their way down, in exact time."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from eventsnn._ext.optimiser import Update
from eventsnn._ext.rule import direct_factors
from eventsnn._ext.spsp_matrix import ExactSpsp
from eventsnn._util.threads import Share
from eventsnn.simulate.engines.arrivals import Arrivals, LayerInput
from eventsnn.simulate.engines.blocks import WIDTH, pad
from eventsnn.simulate.engines.layer_run import LayerRun, order_by_block
from eventsnn.train.errors import ErrorsDown, MakeMatrix
from eventsnn.train.exact import ExactDownward, reverse


class ExactErrors(ErrorsDown, ExactDownward):
    """Errors by the S-PSPs of exact spike times.

    The first layer hands nothing down, and its gradient needs no matrices: it is a sum over input events.
    """

    units_first = True  # what belongs to a position is made once for all its blocks

    def output_counts(self) -> np.ndarray:
        return self.runs[-1][0].counts

    def force_spikes(self, samples: np.ndarray, labels: np.ndarray) -> int:
        (top,) = self.runs[-1]
        trains = [top.spikes.sample(sample) for sample in range(self.samples)]
        count = 0
        for sample in samples.tolist():
            forced = self.rule.forced_spikes(self.durations[sample])
            if len(forced):
                count += 1
                self.see("lent_spikes", len(self.layers) - 1, (forced, np.full(len(forced), labels[sample])))
                times = np.concatenate([trains[sample][0], forced])
                label = np.full(len(forced), labels[sample], np.int32)
                neurons = np.concatenate([trains[sample][1], label])
                order = np.lexsort((neurons, times))
                trains[sample] = times[order], neurons[order]
        if count:
            self.runs[-1] = [order_by_block(top.input, Arrivals.join(trains), self.layers[-1])]
        return count

    def lateral_matrices(self) -> MakeMatrix:
        (top,) = self.runs[-1]
        share = self.threads.share
        activity = self.activity(-1, top, share)
        every = np.ones((self.samples, len(activity.weights) * WIDTH))
        charges = self.rule.charges(activity, every)
        # In double precision: the factors are few, and feed back on themselves.
        own_spikes = LayerInput.of(top.spikes, activity.constants, np.float64, share)
        events = replace(activity, arrivals=own_spikes, after=np.empty(0, np.int32)).events
        return lambda: ExactSpsp(events, charges, top.counts)

    def matrices(self, number: int, samples: slice, errors: np.ndarray, share: Share) -> MakeMatrix:
        run = self.layer_run(number, samples)
        activity = self.activity(number, run, share)
        # Of a neuron without an error nobody asks for S-PSPs.
        charges = self.rule.charges(activity, (errors != 0.0).astype(activity.weights.dtype))
        sources, events = self.input_counts(number, run, samples), activity.events
        return lambda: ExactSpsp(events, charges, sources)

    def input_counts(self, number: int, run: LayerRun, samples: slice) -> np.ndarray:
        """Spikes of each input of a layer in each unit, int64 (units, inputs)."""
        layer, below = self.layers[number], self.source_counts(number, samples)
        if below is not None and not layer.has_bias:
            if layer.geometry.whole:
                return below
            counts = np.zeros((len(below), 1 + below.shape[1]), np.int64)
            counts[:, 1:] = below  # number 0, beyond the edge, never fires
            return counts[:, layer.geometry.rows + 1].reshape(-1, layer.inputs)
        return count_arrivals(run.input.arrivals, layer.inputs)

    def to_sources(self, number: int, below: np.ndarray) -> np.ndarray:
        layer = self.layers[number]
        if layer.geometry.whole:
            return super().to_sources(number, below)
        # Number 0 is for what lies beyond the edge, where rows are -1.
        numbers, sources = layer.geometry.rows.ravel() + 1, math.prod(layer.known_source)
        samples = below[:, : layer.patch].reshape(-1, len(numbers))
        return np.array([np.bincount(numbers, each, sources + 1)[1:] for each in samples])

    def applies_updates(self, number: int) -> bool:
        return number == 0 and len(self.layers) > 1

    def learn_samples(
        self, number: int, samples: slice, gradient: np.ndarray, update: Update | None, share: Share
    ) -> np.ndarray:
        if not self.applies_updates(number):
            return super().learn_samples(number, samples, gradient, update, share)
        layer, options, run = self.layers[number], self.options(number), self.layer_run(number, samples)
        activity, real = self.activity(number, run, share), gradient.dtype
        errors = self.to_units(number, self.above[samples])
        counts = pad(run.unit_counts, len(gradient))
        factor, fill = np.empty_like(errors), np.empty_like(errors)
        sums = self.row_sums(number, samples)
        sums = sums.reshape(len(sums), -1)
        direct_factors(
            errors,
            counts,
            sums,
            float(layer.threshold),
            options.silent_spsp,
            options.silent_ratio,
            factor,
            fill,
        )
        if self.observer is not None:
            # The total PSP of a neuron that fired is nu for each spike, as `direct_factors` has it.
            silent = options.silent_ratio * np.broadcast_to(sums, errors.shape) / layer.threshold
            self.see_self_terms(number, errors, np.where(counts > 0, 1.0, silent))
        charges = self.rule.charges(activity, factor.astype(real))
        # Nothing of this mini-batch waits for the updated weights.
        begin = None if update is None else self.threads.begin
        reverse(activity, charges, fill.astype(real), gradient, update, derive=False, begin=begin)
        return np.empty(0)


def count_arrivals(arrivals: Arrivals, inputs: int) -> np.ndarray:
    """Arrivals from each input in each unit, int64 (units, inputs)."""
    unit = np.repeat(np.arange(len(arrivals)), np.diff(arrivals.ptr))
    return np.bincount(unit * inputs + arrivals.neurons, minlength=len(arrivals) * inputs).reshape(-1, inputs)
