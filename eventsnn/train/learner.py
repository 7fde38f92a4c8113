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
from eventsnn.simulate.engines.sweep import Arrivals, LayerRun, refusal, run_layer
from eventsnn.train.frozen_prefix import FrozenPrefix


@dataclass
class BatchRun:
    """A mini-batch after the forward pass.

    Attributes
    ----------
    samples : Arrivals
        The mini-batch itself, or what the frozen prefix made of it.
    layers : list of lists of LayerRun
        The runs of each layer: one for all samples, or one for each where positions share weights.
    durations : float64 array (samples,)
        When each sample ends, ms; see `Arrivals.ends`.
    """

    samples: Arrivals
    layers: list[list[LayerRun]]
    durations: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """Output spike counts, int64 array (samples, outputs)."""
        return self.layer_counts(-1)

    def layer_spikes(self, number: int) -> Arrivals:
        """Spikes of layer `number` in every sample."""
        runs = self.layers[number]
        return runs[0].spikes if len(runs) == 1 else Arrivals.join([run.spikes.sample(0) for run in runs])

    def layer_counts(self, number: int) -> np.ndarray:
        """Spike counts of layer `number`, int64 array (samples, neurons)."""
        runs = self.layers[number]
        return runs[0].counts if len(runs) == 1 else np.concatenate([run.counts for run in runs])


def check_trainable(network: Network, rule: Rule | None = None) -> None:
    """Raise TrainingError, saying why, for a network that the reverse sweep or the rule cannot train."""
    reason = refusal(network)
    if reason:
        raise TrainingError(
            f"network cannot be trained: {reason}; "
            "training takes chains of convolution, pooling and dense layers"
        )
    if network.output.shares_weights:
        raise TrainingError(f"layer {network.output.name!r}: the last layer must be a Dense one")
    if rule is not None and rule.sends == "derivatives":
        for layer in network.layers:
            if layer.lateral_inhibition:
                raise TrainingError(
                    f"rule {rule.name!r} cannot train layer {layer.name!r}: exact derivatives do not go "
                    "through lateral inhibition; set lateral_inhibition to 0"
                )
    reason = None if rule is None else rule.refusal(network)
    if reason:
        raise TrainingError(reason)


def run_forward(
    packed: PackedNetwork, samples: Arrivals, pool: Pool, prefix: FrozenPrefix | None = None
) -> BatchRun:
    """Spikes of every layer for a mini-batch.

    Parameters
    ----------
    packed : PackedNetwork
        A chain of layers.
    samples : Arrivals
        Input spikes, sorted by (time, neuron) within each sample.
    pool : Pool
    prefix : FrozenPrefix, optional
        What the input spikes go through first.

    Raises
    ------
    SimulationError
        For a neuron that would fire without end at one instant.
    """
    durations = samples.ends
    if prefix is not None:
        samples = prefix.spikes(samples, pool)
    run = BatchRun(samples, [], durations)
    spikes = samples
    try:
        for number, layer in enumerate(packed.network.layers):
            arrivals = spikes.delayed(layer.delay)
            if layer.has_bias:
                sensor, size = packed.network.input, packed.network.source_size(number - 1)
                arrivals = arrivals.with_bias(sensor, size, durations, layer.delay)
            run.layers.append(run_layer(packed, number, arrivals, math.inf, pool.share, pool.threads))
            spikes = run.layer_spikes(number)
    except OverflowError as error:
        raise endless(error) from None
    return run
