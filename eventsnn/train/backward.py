"""The backward pass of a mini-batch: errors and S-PSPs give the gradients of all synaptic weights.

Formulas: Jin, Zhang & Li, NeurIPS 2018, composed as in eventsnn.learning; the oracle is
`learning.twin.gradients`. The first hidden layer needs no S-PSP matrix: its gradient is a sum over input
events (eventsnn._ext.spsp), scaled by the neurons' errors. Layers above it are small; theirs are formed
sample by sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eventsnn._ext.spsp import mark_first, reverse_blocks
from eventsnn.engines.blocks import WIDTH, block_count, unpack
from eventsnn.engines.packed import PackedNetwork
from eventsnn.engines.sweep import Arrivals, make_table
from eventsnn.learning import macro
from eventsnn.learning.hm2bp import HM2BP
from eventsnn.train.learner import BatchRun, LayerRun, block_ranges, order_by_block
from eventsnn.train.optimisers import OptimiserState
from eventsnn.train.parallel import Pool


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


@dataclass
class _Output:
    """Errors at the output neurons, and the trains that their S-PSPs are taken from."""

    loss: np.ndarray
    delta: np.ndarray
    lateral: np.ndarray
    spikes: Arrivals
    counts: np.ndarray
    forced: int


def accumulate_gradients(
    packed: PackedNetwork,
    states: dict[str, OptimiserState],
    run: BatchRun,
    labels: np.ndarray,
    sample_weights: np.ndarray,
    rule: HM2BP,
    pool: Pool,
) -> Errors:
    """Add the gradients of a mini-batch, summed over its samples, to ``states[...].gradient``.

    Parameters
    ----------
    labels : int array (samples,)
    sample_weights : float64 array (samples,)
        Boosting weights.
    """
    network = packed.network
    output = _output_errors(packed, run, labels, sample_weights, rule)
    delta = output.delta
    spikes, counts, lateral = output.spikes, output.counts, output.lateral
    for number in range(len(network.layers) - 1, -1, -1):
        layer = network.layers[number]
        state = states[str(layer.name)]
        this = run.layers[number]
        last = number == len(network.layers) - 1
        if number == 0 and not last:
            _fused_gradient(packed, state, this, delta, rule, pool)
            break
        below = run.layers[number - 1].counts if number else _input_counts(packed, this.arrivals)
        if not last:
            spikes, counts, lateral = this.spikes, this.counts, np.ones_like(delta)
        delta = _layer_gradient(
            packed, number, state, this, spikes, counts, below, delta, lateral, rule, pool
        )
    return Errors(output.loss, output.forced)


def _input_counts(packed: PackedNetwork, arrivals: Arrivals) -> np.ndarray:
    n = packed.network.input.neurons
    sample = np.repeat(np.arange(len(arrivals)), np.diff(arrivals.ptr))
    return np.bincount(sample * n + arrivals.neurons, minlength=len(arrivals) * n).reshape(-1, n)


def _output_errors(
    packed: PackedNetwork, run: BatchRun, labels: np.ndarray, sample_weights: np.ndarray, rule: HM2BP
) -> _Output:
    layer = packed.network.output
    top = run.layers[-1]
    samples = len(labels)
    delta = np.zeros((samples, layer.neurons))
    lateral = np.ones_like(delta)
    losses = np.zeros(samples)
    loss_of = macro.softmax_loss if rule.head == "softmax" else macro.count_loss
    trains, forced = [], 0
    for s, label in enumerate(labels):
        counts = top.counts[s]
        losses[s], d = loss_of(counts, int(label), rule)
        delta[s] = sample_weights[s] * d / layer.threshold
        train = top.spikes.sample(s)
        if layer.lateral_inhibition and d.any():
            lateral[s] = _lateral_factors(packed, train, counts, int(label))
        if rule.force_label_spikes and counts[label] == 0:
            train = _force(train, int(label), macro.forced_spike_times(run.durations[s], rule.desired))
            forced += 1
        trains.append(train)
    spikes = Arrivals.join(trains)
    counts = np.array([np.bincount(n, minlength=layer.neurons) for _, n in trains])
    return _Output(losses, delta, lateral, spikes, counts, forced)


def _force(
    train: tuple[np.ndarray, np.ndarray], label: int, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A train with further spikes of neuron `label`, sorted by (time, neuron)."""
    all_times = np.concatenate([train[0], times])
    neurons = np.concatenate([train[1], np.full(len(times), label, np.int32)])
    order = np.lexsort((neurons, all_times))
    return all_times[order], neurons[order]


def _lateral_factors(
    packed: PackedNetwork, train: tuple[np.ndarray, np.ndarray], counts: np.ndarray, label: int
) -> np.ndarray:
    layer = packed.network.output
    spikes = Arrivals.join([train])
    constants = packed.constants[-1]
    e = spsp_matrix(spikes, spikes, layer.neurons, layer.neurons, constants, np.float64)
    active = counts > 0
    active[label] = True
    return macro.lateral_factor(e, counts, active, layer.threshold, layer.lateral_inhibition)


def spsp_matrix(
    arrivals: Arrivals,
    spikes: Arrivals,
    n_pre: int,
    n_post: int,
    constants: np.ndarray,
    real: type[np.floating],
    table: np.ndarray | None = None,
) -> np.ndarray:
    """S-PSPs e (post, pre), float64, of one sample: `arrivals` and `spikes` hold a single one each."""
    if table is None:
        table = make_table(arrivals, constants, real)
    blocks = block_count(n_post)
    out = np.zeros((blocks, n_pre, WIDTH), dtype=real)
    first = np.zeros(len(arrivals.times), np.uint8)
    ones = np.ones((1, blocks * WIDTH), dtype=real)
    reverse_blocks(
        out,
        0,
        blocks,
        constants,
        arrivals.times,
        arrivals.neurons,
        arrivals.ptr,
        first,
        table,
        *order_by_block(spikes, n_post),
        ones,
        np.zeros_like(ones),
    )
    return unpack(out, n_post).astype(np.float64)


def _layer_gradient(
    packed: PackedNetwork,
    number: int,
    state: OptimiserState,
    this: LayerRun,
    spikes: Arrivals,
    counts: np.ndarray,
    below: np.ndarray,
    delta: np.ndarray,
    lateral: np.ndarray,
    rule: HM2BP,
    pool: Pool,
) -> np.ndarray:
    """Gradient of a layer from its S-PSP matrices; returns the errors of the layer below."""
    network = packed.network
    layer = network.layers[number]
    n_pre = below.shape[1]
    weights = unpack(packed.blocks[str(layer.name)], layer.neurons).astype(np.float64)
    threshold_below = network.layers[number - 1].threshold if number else 1.0

    def one_sample(s: int) -> tuple[np.ndarray, np.ndarray] | None:
        if not delta[s].any():
            return None
        part = slice(this.arrivals.ptr[s], this.arrivals.ptr[s + 1])
        arrivals = Arrivals.join([this.arrivals.sample(s)])
        train = Arrivals.join([spikes.sample(s)])
        e = spsp_matrix(
            arrivals, train, n_pre, layer.neurons, packed.constants[number], packed.real, this.table[part]
        )
        e = macro.apply_silent_rule(e, below[s], counts[s], rule)
        own = macro.self_term(weights, e, counts[s], layer.threshold, rule)
        gradient = macro.weight_gradient(delta[s], e, own, lateral[s])
        rho = macro.effect_ratio(e, below[s], counts[s], rule)
        return gradient, macro.hidden_error(delta[s], weights, rho, threshold_below)

    total = np.zeros((layer.neurons, n_pre))
    errors = np.zeros((len(delta), n_pre))
    for s, outcome in enumerate(pool.map(one_sample, range(len(delta)))):
        if outcome is not None:
            total += outcome[0]
            errors[s] = outcome[1]
    for block in range(len(state.gradient)):
        rows = total[block * WIDTH : (block + 1) * WIDTH]
        state.gradient[block, :, : len(rows)] += rows.T.astype(packed.real)
    return errors


def _fused_gradient(
    packed: PackedNetwork, state: OptimiserState, this: LayerRun, delta: np.ndarray, rule: HM2BP, pool: Pool
) -> None:
    """Gradient of the first layer, event by event, without its S-PSP matrix.

    In an exact feed-forward run a_i = nu o_i, so the self term of a neuron that fired is 1.
    """
    layer = packed.network.layers[0]
    n_pre = packed.network.input.neurons
    blocks = len(state.gradient)
    silent_own = rule.silent_post_ratio * state.row_sum.reshape(-1)[: layer.neurons] / layer.threshold
    fired = this.counts > 0
    coefficient = np.zeros((len(delta), blocks * WIDTH), dtype=packed.real)
    silent = np.zeros_like(coefficient)
    coefficient[:, : layer.neurons] = np.where(fired, 2.0 * delta, 0.0)
    silent[:, : layer.neurons] = np.where(fired, 0.0, delta * (1.0 + silent_own) * rule.silent_post_spsp)
    first = np.empty(len(this.arrivals.times), np.uint8)
    mark_first(this.arrivals.neurons, this.arrivals.ptr, n_pre, first)
    times, neurons, ptr = this.by_block
    samples = len(delta)

    def one_range(span: tuple[int, int]) -> None:
        reverse_blocks(
            state.gradient,
            *span,
            packed.constants[0],
            this.arrivals.times,
            this.arrivals.neurons,
            this.arrivals.ptr,
            first,
            this.table,
            times,
            neurons,
            ptr[span[0] * samples : span[1] * samples + 1],
            coefficient,
            silent,
        )

    pool.map(one_range, block_ranges(blocks, pool))
