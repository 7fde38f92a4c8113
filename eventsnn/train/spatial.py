"""Convolution and pooling layers in a mini-batch: sample by sample, each position a sample of a dense layer.

Source: Jin, Zhang & Li, NeurIPS 2018, and the authors' program for what it leaves open. Weights are shared:
gradients are summed over positions, while S-PSPs and self terms belong to a position. Samples are shared out
among threads and their gradients added up in their order: the number of threads changes no bit.
"""

from __future__ import annotations

import numpy as np

from eventsnn._ext.rule import learn_blocks
from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.threads import Pool as Threads
from eventsnn.learn.optimisers import OptimiserState, Step
from eventsnn.learn.rule import Rule
from eventsnn.model import Layer, Network
from eventsnn.simulate.engines.blocks import WIDTH, pad
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.simulate.engines.sweep import Arrivals, LayerRun, call
from eventsnn.train.first_layer import learn_first


def count_spatial(network: Network) -> int:
    """Number of spatial layers, all of which come first."""
    return sum(layer.shares_weights for layer in network.layers)


def learn_spatial(
    packed: PackedNetwork,
    states: dict[str, OptimiserState],
    layers: list[list[LayerRun]],
    samples: Arrivals,
    delta: np.ndarray,
    rule: Rule,
    threads: Threads,
    updates: dict[str, Step] | None,
) -> None:
    """Gradients of all convolutions, from the errors `delta` (samples, neurons) of the last spatial layer."""
    runs = list(zip(*layers[: count_spatial(packed.network)], strict=True))
    gradients: list[dict[str, np.ndarray]] = [{} for _ in runs]
    row_sums = {
        str(layer.name): sum_inside(layer, states[str(layer.name)])
        for layer in packed.network.layers
        if layer.trainable
    }
    turns = WorkCounter(len(runs))

    def work() -> None:
        while (sample := turns.take()) >= 0:
            gradients[sample] = _learn_sample(
                packed, row_sums, runs[sample], samples.sample(sample)[1], delta[sample], rule
            )

    threads.share(work)
    for own in gradients:
        for name, gradient in own.items():
            states[name].gradient += gradient
    for name in {name for own in gradients for name in own} if updates else ():
        assert updates is not None
        updates[name].run(call)


def sum_inside(layer: Layer, state: OptimiserState) -> np.ndarray:
    """Sums of the weights inside the image, float64 array (1 or positions, blocks, WIDTH)."""
    inside, kind = layer.geometry.borders
    if inside.all():
        return state.row_sum[None]
    blocks, _, width = state.weights.shape
    by_cell = state.weights.reshape(blocks, -1, layer.geometry.area, width).sum(axis=1, dtype=np.float64)
    sums: np.ndarray = np.where(inside[:, None, :, None], by_cell, 0.0).sum(axis=2)
    return sums[kind]


def _learn_sample(
    packed: PackedNetwork,
    row_sums: dict[str, np.ndarray],
    runs: tuple[LayerRun, ...],
    inputs: np.ndarray,
    delta: np.ndarray,
    rule: Rule,
) -> dict[str, np.ndarray]:
    """One sample from the last spatial layer down; gradients (blocks, pre, WIDTH) by layer."""
    gradients: dict[str, np.ndarray] = {}
    for number in range(len(runs) - 1, -1, -1):
        layer = packed.network.layers[number]
        gradient = np.zeros_like(packed.blocks[str(layer.name)])
        by_position = np.ascontiguousarray(delta.reshape(layer.shape[0], -1).T)
        if number == 0:
            if layer.trainable:
                learn_first(
                    gradient,
                    packed.constants[0],
                    row_sums[str(layer.name)],
                    runs[0].given,
                    runs[0].by_block,
                    runs[0].unit_counts,
                    by_position,
                    rule.layer_options(layer, None),
                    call,
                )
                gradients[str(layer.name)] = gradient
            break
        source = runs[number - 1].counts[0] if number else np.bincount(inputs)
        delta = _learn_upper(packed, number, row_sums, runs[number], source, by_position, rule, gradient)
        if layer.trainable:
            gradients[str(layer.name)] = gradient
    return gradients


def _learn_upper(
    packed: PackedNetwork,
    number: int,
    row_sums: dict[str, np.ndarray],
    run: LayerRun,
    source_counts: np.ndarray,
    delta: np.ndarray,
    rule: Rule,
    gradient: np.ndarray,
) -> np.ndarray:
    """Add the gradient of a layer to `gradient`; returns the errors of the layer below (its neurons,)."""
    layer = packed.network.layers[number]
    options = rule.layer_options(layer, packed.network.layers[number - 1])
    geometry, weights = layer.geometry, packed.blocks[str(layer.name)]
    blocks, pre, _ = weights.shape
    inside = geometry.rows >= 0
    counts = np.where(inside, source_counts[geometry.rows], 0)
    # Of a pooling layer it would go into gradients that nobody wants.
    row_sum = row_sums.get(str(layer.name), np.zeros((1, blocks, WIDTH)))
    below = np.zeros((blocks, len(delta), pre))
    errors = pad(delta, blocks)
    learn_blocks(
        weights,
        packed.constants[number],
        *run.given.parts,
        *run.by_block,
        pad(run.unit_counts, blocks),
        counts,
        errors,
        np.ones_like(errors),
        row_sum,
        options.divisor,
        options.silent_spsp,
        options.silent_ratio,
        options.effect_ratio,
        False,
        gradient[None],
        below,
        WorkCounter(blocks),
    )
    total = below.sum(axis=0)
    return np.bincount(geometry.rows[inside], weights=total[inside], minlength=len(source_counts))
