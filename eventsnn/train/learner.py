"""One mini-batch, forward and backward, on packed weights: the sweep engine, then the rule, then the update.

Layers are cut into blocks of neurons, samples are kept in their order, and sums run over samples in that
order: the result is the same to the last bit for any number of threads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from eventsnn._util.threads import Pool
from eventsnn.errors import TrainingError
from eventsnn.learn.rule import Rule
from eventsnn.model import Network
from eventsnn.simulate.engines.arguments import endless
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.simulate.engines.sweep import Arrivals, LayerInput, LayerSpikes, PatchRun, refusal, run_layer
from eventsnn.train.frozen_prefix import FrozenPrefix
from eventsnn.train.spatial import count_spatial, run_spatial


@dataclass
class BatchRun:
    """A mini-batch after the forward pass.

    Attributes
    ----------
    samples : Arrivals
        The mini-batch itself, or what its front made of it.
    inputs : dict of int to LayerInput
        What arrived at each dense layer, by its number.
    layers : list of LayerSpikes
        What each layer fired; of a spatial layer without its spikes by block.
    spatial : list of lists of PatchRun
        For each sample, the runs of the spatial layers.
    durations : float64 array (samples,)
        When each sample ends, ms; see `Arrivals.ends`.
    """

    samples: Arrivals
    inputs: dict[int, LayerInput]
    layers: list[LayerSpikes]
    durations: np.ndarray
    spatial: list[list[PatchRun]]

    @property
    def counts(self) -> np.ndarray:
        """Output spike counts, int64 array (samples, outputs)."""
        return self.layers[-1].counts


def check_trainable(network: Network, rule: Rule | None = None) -> None:
    """Raise TrainingError, saying why, for a network that the reverse sweep or the rule cannot train."""
    reason = refusal(network)
    if reason:
        raise TrainingError(
            f"network cannot be trained: {reason}; "
            "training takes chains of convolution, pooling and dense layers"
        )
    if count_spatial(network) == len(network.layers):
        raise TrainingError(f"layer {network.output.name!r}: the last layer must be a Dense one")
    reason = None if rule is None else rule.refusal(network)
    if reason:
        raise TrainingError(reason)


def run_forward(
    packed: PackedNetwork, samples: Arrivals, pool: Pool, front: FrozenPrefix | None = None
) -> BatchRun:
    """Spikes of every layer for a mini-batch.

    Parameters
    ----------
    packed : PackedNetwork
        A chain of dense layers.
    samples : Arrivals
        Input spikes, sorted by (time, neuron) within each sample.
    pool : Pool
    front : FrozenPrefix, optional
        What the input spikes go through first.

    Raises
    ------
    SimulationError
        For a neuron that would fire without end at one instant.
    """
    durations = samples.ends
    if front is not None:
        samples = front.spikes(samples, pool)
    run = BatchRun(samples, {}, [], durations, [])
    spikes = samples
    try:
        if packed.network.is_spatial:
            spikes = _run_spatial(packed, run, pool)
        for number, layer in enumerate(packed.network.layers):
            if number < len(run.layers):
                continue
            sensor, size = packed.network.input, packed.network.source_size(number - 1)
            arrivals = spikes.delayed(layer.delay).with_bias(sensor, size, durations, layer.delay)
            given = LayerInput.of(arrivals, packed.constants[number], packed.real, pool.share)
            fired = run_layer(packed, number, given, math.inf, pool.share, pool.threads)
            run.inputs[number] = given
            run.layers.append(fired)
            spikes = fired.spikes
    except OverflowError as error:
        raise endless(error) from None
    return run


def _run_spatial(packed: PackedNetwork, run: BatchRun, pool: Pool) -> Arrivals:
    """The spatial layers, entered into `run`; returns what the last of them fired."""
    run.spatial = run_spatial(packed, run.samples, pool)
    nothing = (np.empty(0), np.empty(0, np.int32), np.zeros(1, np.int64))
    for number in range(count_spatial(packed.network)):
        own = [runs[number] for runs in run.spatial]
        spikes = Arrivals.join([(each.times, each.neurons) for each in own])
        counts = np.stack([each.counts.T.ravel() for each in own])
        run.layers.append(LayerSpikes(spikes, nothing, counts))
    return run.layers[-1].spikes
