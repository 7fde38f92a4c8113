"""Errors of neurons on their way down, in exact time.

A layer's gradient is delta_i (1 + s_i) lambda_i e_{i|j}, with the errors delta, the spike-train level PSPs e,
the self terms s and the lateral factors lambda; the errors of the layer below are sums of delta_i w_ij
rho_{i|j}.
Source: Jin, Zhang & Li, NeurIPS 2018; what else a layer does to errors is the rule's (`LayerOptions`).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from eventsnn._ext.optimiser import Update
from eventsnn._ext.rule import lateral_factors, learn_blocks
from eventsnn._ext.work_counter import WorkCounter
from eventsnn.learn.charges import Activity
from eventsnn.learn.optimisers import Step
from eventsnn.learn.rule import LayerOptions
from eventsnn.model import Layer
from eventsnn.simulate.engines.arrivals import Arrivals, LayerInput, Share
from eventsnn.simulate.engines.blocks import WIDTH, pad
from eventsnn.simulate.engines.layer_run import LayerRun, order_by_block
from eventsnn.train.downward import EVERY, LayerState, Outcome
from eventsnn.train.exact import ExactDownward, reverse


class ErrorsDown(ExactDownward):
    """Down go errors of the neurons of a layer, float64 (samples, neurons)."""

    def begin(self, labels: np.ndarray, sample_weights: np.ndarray) -> Outcome:
        (top,) = self.runs[-1]
        output = self.layers[-1]
        loss, derivative = self.rule.losses(top.counts, labels)
        self.above = self.rule.output_errors(derivative, sample_weights, output.threshold)
        self.lateral = self._lateral_factors(top, labels)
        top, forced = self._force_spikes(top, labels)
        self.runs[-1] = [top]
        return Outcome(loss, forced)

    def _lateral_factors(self, top: LayerRun, labels: np.ndarray) -> np.ndarray:
        """Lateral factors of the output neurons (samples, outputs), from their true spikes."""
        layer, share = self.layers[-1], self.threads.share
        strength = self.rule.lateral_strength(layer)
        if not strength:
            return np.ones_like(self.above)
        blocks = len(self.packed.blocks[str(layer.name)])
        errors, labels = pad(self.above, blocks), np.ascontiguousarray(labels, np.int64)
        activity = self.activity(-1, top, share)
        charges = self.rule.charges(activity, np.ones_like(errors))
        factors = np.ones_like(errors)
        own_spikes = LayerInput.of(top.spikes, activity.constants, np.float64, share)
        events = replace(activity, arrivals=own_spikes).events
        counter = WorkCounter(len(errors))
        share(
            lambda: lateral_factors(
                events,
                charges,
                top.counts,
                labels,
                errors,
                strength,
                factors,
                counter,
            )
        )
        return factors[:, : layer.neurons]

    def _force_spikes(self, top: LayerRun, labels: np.ndarray) -> tuple[LayerRun, int]:
        """The output layer with spikes forced on silent label neurons, and the number of such samples."""
        silent = top.counts[np.arange(len(labels)), labels] == 0
        if not silent.any():
            return top, 0
        trains, count = [], 0
        for sample, label in enumerate(labels.tolist()):
            times, neurons = top.spikes.sample(sample)
            forced = self.rule.forced_spikes(self.durations[sample]) if silent[sample] else ()
            if len(forced):
                count += 1
                times = np.concatenate([times, forced])
                neurons = np.concatenate([neurons, np.full(len(forced), label, np.int32)])
                order = np.lexsort((neurons, times))
                times, neurons = times[order], neurons[order]
            trains.append((times, neurons))
        if not count:
            return top, 0
        return order_by_block(top.input, Arrivals.join(trains), self.layers[-1]), count

    def applies_updates(self, number: int) -> bool:
        return number == 0 and len(self.layers) > 1

    def learn_layer(self, number: int, state: LayerState | None, update: Step | None) -> None:
        layer = self.layers[number]
        blocks = len(self.packed.blocks[str(layer.name)])
        self.row_sum = np.zeros((1, blocks, WIDTH)) if state is None else row_sums(layer, state)
        self.layer_options = self.options(number)
        super().learn_layer(number, state, update)
        self.lateral = np.ones_like(self.above)

    def learn_samples(
        self, number: int, samples: slice, gradient: np.ndarray, update: Update | None, share: Share
    ) -> np.ndarray:
        layer, run = self.layers[number], self.layer_run(number, samples)
        activity = self.activity(number, run, share)
        errors = _by_unit(layer, self.above[samples])
        options = self.layer_options
        if self.applies_updates(number):
            factor, silent = _direct_factors(layer, options, errors, run.unit_counts, self.row_sum)
            blocks, real = len(gradient), gradient.dtype
            charges = self.rule.charges(activity, pad(factor.astype(real), blocks))
            reverse(activity, charges, pad(silent.astype(real), blocks), gradient, update, derive=False)
            return np.empty(0)
        below = self.source_counts(number, samples)
        sources = _count_sources(layer, run.input.arrivals, below)
        factors = _by_unit(layer, self.lateral[samples])
        threads = self.threads.threads if samples is EVERY else 1
        total = self._learn_matrices(
            activity, options, run.unit_counts, sources, errors, factors, gradient, threads
        )
        return _by_source(layer, total) if number else np.empty(0)

    def _learn_matrices(
        self,
        layer: Activity,
        options: LayerOptions,
        counts: np.ndarray,
        sources: np.ndarray,
        errors: np.ndarray,
        factors: np.ndarray,
        gradient: np.ndarray,
        threads: int,
    ) -> np.ndarray:
        """Gradient of a layer through its S-PSP matrices; returns errors of its inputs (units, inputs)."""
        blocks, inputs, _ = layer.weights.shape
        units, real = len(errors), layer.weights.dtype
        # Threads share out the blocks, or where these are few the units; the sums are the same.
        by_unit = threads > 1 and blocks < 2 * threads
        parts = np.zeros((units, *layer.weights.shape), real) if by_unit else gradient[None]
        below = np.zeros((1 if by_unit else blocks, units, inputs))
        counter = WorkCounter(units if by_unit else blocks)
        padded = [pad(array, blocks) for array in (counts, errors, factors)]
        # Of a neuron without an error nobody asks for S-PSPs.
        charges = self.rule.charges(layer, (padded[1] != 0.0).astype(real))
        events = layer.events
        layer.share(
            lambda: learn_blocks(
                layer.weights,
                events,
                charges,
                padded[0],
                sources,
                padded[1],
                padded[2],
                self.row_sum,
                options.divisor,
                options.silent_spsp,
                options.silent_ratio,
                options.effect_ratio,
                by_unit,
                parts,
                below,
                counter,
            )
        )
        if by_unit:
            for part in parts:
                gradient += part
        return below.sum(axis=0)


def row_sums(layer: Layer, state: LayerState) -> np.ndarray:
    """Sums of the weights of each neuron, in each position if they differ; (1 or n, blocks, WIDTH).

    The resting potential counts as the weight of an input.
    """
    inside, kind = layer.geometry.borders
    if inside.all():
        return state.row_sum[None] + layer.resting
    blocks, _, width = state.weights.shape
    patch = state.weights[:, : layer.patch].reshape(blocks, -1, layer.geometry.area, width)
    by_cell = patch.sum(axis=1, dtype=np.float64)
    sums: np.ndarray = np.where(inside[:, None, :, None], by_cell, 0.0).sum(axis=2)
    if layer.has_bias:
        sums += state.weights[:, -1].astype(np.float64)
    return sums[kind] + layer.resting


def _direct_factors(
    layer: Layer, options: LayerOptions, errors: np.ndarray, counts: np.ndarray, row_sum: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Factors of the S-PSPs of each neuron in the gradient, and the substitute where it was silent.

    The gradient is delta (1 + s) e with the self term s of `LayerOptions`. In an exact feed-forward run a_i =
    nu o_i, the resting potential's share included, so that s of a neuron that fired is 1.
    """
    active = counts > 0
    silent = options.silent_ratio * row_sum.reshape(len(row_sum), -1)[:, : layer.channels] / layer.threshold
    return (
        np.where(active, 2.0 * errors, 0.0),
        np.where(active, 0.0, errors * (1.0 + silent) * options.silent_spsp),
    )


def _by_unit(layer: Layer, values: np.ndarray) -> np.ndarray:
    """From (samples, neurons) to (units, channels)."""
    if layer.positions == 1:
        return values
    by_position = values.reshape(len(values), layer.channels, layer.positions).transpose(0, 2, 1)
    return np.ascontiguousarray(by_position.reshape(-1, layer.channels))


def _by_source(layer: Layer, errors: np.ndarray) -> np.ndarray:
    """From errors of the inputs (units, inputs) to errors of the source neurons (samples, sources)."""
    if layer.geometry.whole:
        return errors[:, : layer.patch]  # the bias neuron is no neuron of the layer below
    # Number 0 is for what lies beyond the edge, where rows are -1.
    numbers, sources = layer.geometry.rows.ravel() + 1, math.prod(layer.known_source)
    samples = errors[:, : layer.patch].reshape(-1, len(numbers))
    return np.array([np.bincount(numbers, each, sources + 1)[1:] for each in samples])


def _count_sources(layer: Layer, arrivals: Arrivals, below: np.ndarray | None) -> np.ndarray:
    """Spikes of each input in each unit, int64 (units, inputs); `below`: those of the source neurons."""
    if below is not None and not layer.has_bias:
        if layer.geometry.whole:
            return below
        counts = np.zeros((len(below), 1 + below.shape[1]), np.int64)
        counts[:, 1:] = below  # number 0, beyond the edge, never fires
        return counts[:, layer.geometry.rows + 1].reshape(-1, layer.inputs)
    inputs = layer.inputs
    unit = np.repeat(np.arange(len(arrivals)), np.diff(arrivals.ptr))
    return np.bincount(unit * inputs + arrivals.neurons, minlength=len(arrivals) * inputs).reshape(-1, inputs)
