"""The backward pass of a mini-batch: errors and S-PSPs give the gradients of all synaptic weights.

Formulas: Jin, Zhang & Li, NeurIPS 2018; what a layer does to errors is the rule's (eventsnn.learn.rule), and
the oracle is the rule's twin in eventsnn.reference. The first hidden layer needs no S-PSP matrix: its
gradient is a sum over input events (eventsnn._ext.spsp), scaled by the neurons' errors. The layers above it
are small; their matrices are formed block by block and sample by sample (eventsnn._ext.rule).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eventsnn._ext.rule import lateral_factors, learn_blocks
from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.threads import Pool
from eventsnn.learn.optimisers import OptimiserState, Step
from eventsnn.learn.rule import Rule
from eventsnn.simulate.engines.blocks import WIDTH, pad
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.simulate.engines.sweep import Arrivals, LayerInput, LayerRun, order_by_block
from eventsnn.train.first_layer import learn_first
from eventsnn.train.learner import BatchRun
from eventsnn.train.spatial import count_spatial, learn_spatial


@dataclass
class Errors:
    """Outcome of a mini-batch.

    Attributes
    ----------
    loss : float64 array (samples,)
    forced : int
        Samples whose label neuron was silent and was given spikes for the S-PSPs.
    """

    loss: np.ndarray
    forced: int


def accumulate_gradients(
    packed: PackedNetwork,
    states: dict[str, OptimiserState],
    run: BatchRun,
    labels: np.ndarray,
    sample_weights: np.ndarray,
    rule: Rule,
    pool: Pool,
    updates: dict[str, Step] | None = None,
) -> Errors:
    """Add the gradients of a mini-batch, summed over its samples, to ``states[...].gradient``.

    Parameters
    ----------
    labels : int array (samples,)
    sample_weights : float64 array (samples,)
        Boosting weights.
    updates : dict of str to Step, optional
        What to do with the weights of each layer as soon as its gradient is complete, block by block.
    """
    network = packed.network
    loss, derivative = rule.losses(run.counts, labels)
    delta = rule.output_errors(derivative, sample_weights, network.output.threshold)
    lateral = _lateral_factors(packed, run, labels, delta, rule, pool)
    fired, forced = _lend_spikes(packed, run, labels, rule)
    spatial = count_spatial(network)
    for number in range(len(network.layers) - 1, spatial - 1, -1):
        name = str(network.layers[number].name)
        update = updates[name] if updates else None
        if number == 0 and len(network.layers) > 1:
            (first,) = run.layers[0]
            learn_first(
                states[name].gradient,
                packed.constants[0],
                states[name].row_sum[None],
                first.given,
                first.by_block,
                first.counts,
                delta,
                rule.layer_options(network.layers[0], None),
                pool.share,
                update,
            )
            break
        delta = _learn_upper(packed, number, states[name], run, fired, delta, lateral, rule, pool, update)
        fired, lateral = run.layers[number - 1][0], np.ones_like(delta)
    if spatial:
        learn_spatial(packed, states, run.layers, run.samples, delta, rule, pool, updates)
    return Errors(loss, forced)


def _lateral_factors(
    packed: PackedNetwork, run: BatchRun, labels: np.ndarray, delta: np.ndarray, rule: Rule, pool: Pool
) -> np.ndarray:
    """Lateral factors of the output neurons (samples, outputs), from their true spikes."""
    layer = packed.network.output
    strength = rule.lateral_strength(layer)
    (top,) = run.layers[-1]
    if not strength:
        return np.ones_like(delta)
    blocks = len(packed.blocks[str(layer.name)])
    found = np.ones((len(delta), blocks * WIDTH))
    own = LayerInput.of(top.spikes, packed.constants[-1], np.float64, pool.share)
    turns = WorkCounter(len(delta))
    padded = pad(delta, blocks)
    numbers = np.ascontiguousarray(labels, np.int64)
    pool.share(
        lambda: lateral_factors(
            packed.constants[-1],
            *own.parts,
            *top.by_block,
            top.counts,
            numbers,
            padded,
            strength,
            found,
            turns,
        )
    )
    return found[:, : layer.neurons]


def _lend_spikes(
    packed: PackedNetwork, run: BatchRun, labels: np.ndarray, rule: Rule
) -> tuple[LayerRun, int]:
    """The output spikes that S-PSPs are taken from: silent label neurons have some lent. And how many did."""
    (top,) = run.layers[-1]
    silent = top.counts[np.arange(len(labels)), labels] == 0
    if not silent.any():
        return top, 0
    trains, forced = [], 0
    for sample, label in enumerate(labels.tolist()):
        times, neurons = top.spikes.sample(sample)
        lent = rule.forced_spikes(run.durations[sample]) if silent[sample] else ()
        if len(lent):
            forced += 1
            times = np.concatenate([times, lent])
            neurons = np.concatenate([neurons, np.full(len(lent), label, np.int32)])
            order = np.lexsort((neurons, times))
            times, neurons = times[order], neurons[order]
        trains.append((times, neurons))
    if not forced:
        return top, 0
    return order_by_block(top.given, Arrivals.join(trains), packed.network.output), forced


def _count_arrivals(arrivals: Arrivals, n: int) -> np.ndarray:
    """Spikes of each of `n` source neurons, int64 array (samples, n)."""
    sample = np.repeat(np.arange(len(arrivals)), np.diff(arrivals.ptr))
    return np.bincount(sample * n + arrivals.neurons, minlength=len(arrivals) * n).reshape(-1, n)


def _learn_upper(
    packed: PackedNetwork,
    number: int,
    state: OptimiserState,
    run: BatchRun,
    fired: LayerRun,
    delta: np.ndarray,
    lateral: np.ndarray,
    rule: Rule,
    pool: Pool,
    update: Step | None,
) -> np.ndarray:
    """Gradient of a layer from its S-PSP matrices, and its update; returns the errors of the layer below."""
    layer = packed.network.layers[number]
    weights = packed.blocks[str(layer.name)]
    blocks, n_pre, _ = weights.shape
    samples = len(delta)
    given = run.layers[number][0].given
    biased = layer.has_bias
    counted = number == 0 or biased  # the bias neuron is no neuron of the layer below
    below_counts = _count_arrivals(given.arrivals, n_pre) if counted else run.layer_counts(number - 1)
    options = rule.layer_options(layer, packed.network.layers[number - 1] if number else None)
    # Threads share out the blocks, or where these are few the samples; the sums are the same.
    by_sample = pool.threads > 1 and blocks < 2 * pool.threads
    parts = np.zeros((samples, *weights.shape), packed.real) if by_sample else state.gradient[None]
    below = np.zeros((1 if by_sample else blocks, samples, n_pre))
    turns = WorkCounter(samples if by_sample else blocks)
    counts, errors, factors = pad(fired.counts, blocks), pad(delta, blocks), pad(lateral, blocks)
    pool.share(
        lambda: learn_blocks(
            weights,
            packed.constants[number],
            *given.parts,
            *fired.by_block,
            counts,
            below_counts,
            errors,
            factors,
            state.row_sum[None],
            options.divisor,
            options.silent_spsp,
            options.silent_ratio,
            options.effect_ratio,
            by_sample,
            parts,
            below,
            turns,
        )
    )
    if by_sample:
        for part in parts:
            state.gradient += part
    total = below[0]
    for part in below[1:]:
        total += part
    if update is not None:
        update.run(pool.share)
    return total[:, :-1] if biased else total
