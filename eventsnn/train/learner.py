"""One mini-batch, forward and backward, on packed weights: the sweep engine, then the rule, then the update.

Layers are cut into blocks of neurons, samples are kept in their order, and sums run over samples in that
order: the result is the same to the last bit for any number of threads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from eventsnn.engines.arguments import endless
from eventsnn.engines.packed import PackedNetwork
from eventsnn.engines.sweep import Arrivals, LayerInput, LayerSpikes, refusal, run_layer
from eventsnn.errors import TrainingError
from eventsnn.learning.hm2bp import HM2BP
from eventsnn.network import Network
from eventsnn.train.parallel import Pool


@dataclass
class BatchRun:
    """A mini-batch after the forward pass.

    Attributes
    ----------
    inputs : list of LayerInput
        What arrived at each layer.
    layers : list of LayerSpikes
        What each fired.
    durations : float64 array (samples,)
        Time of each sample's last input event, ms.
    """

    inputs: list[LayerInput]
    layers: list[LayerSpikes]
    durations: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """Output spike counts, int64 array (samples, outputs)."""
        return self.layers[-1].counts


def check_trainable(network: Network) -> None:
    """Raise TrainingError, saying why, for a network that HM2-BP as built here cannot train."""
    reason = refusal(network)
    if reason:
        raise TrainingError(f"network cannot be trained: {reason}; HM2-BP here trains chains of dense layers")
    for layer in network.layers[:-1]:
        if layer.lateral_inhibition:
            raise TrainingError(
                f"layer {layer.name!r} cannot be trained: "
                "HM2-BP knows lateral inhibition in the output layer only"
            )


def run_forward(packed: PackedNetwork, samples: Arrivals, pool: Pool) -> BatchRun:
    """Spikes of every layer for a mini-batch.

    Parameters
    ----------
    packed : PackedNetwork
        A chain of dense layers.
    samples : Arrivals
        Input spikes, sorted by (time, neuron) within each sample.
    pool : Pool

    Raises
    ------
    SimulationError
        For a neuron that would fire without end at one instant.
    """
    ends = samples.ptr[1:]
    empty = samples.ptr[:-1] == ends
    durations = np.where(empty, 0.0, samples.times[ends - 1]) if len(samples.times) else np.zeros(len(ends))
    run = BatchRun([], [], durations)
    spikes = samples
    try:
        for number, layer in enumerate(packed.network.layers):
            arrivals = spikes.delayed(layer.delay)
            given = LayerInput.of(arrivals, packed.constants[number], packed.real, pool.share)
            fired = run_layer(packed, number, given, math.inf, pool.share, pool.threads)
            run.inputs.append(given)
            run.layers.append(fired)
            spikes = fired.spikes
    except OverflowError as error:
        raise endless(error) from None
    return run


def check_rule(network: Network, rule: HM2BP) -> None:
    """Raise TrainingError if a rule's targets make no sense for a network's output."""
    if network.output.neurons < 2:
        raise TrainingError(f"layer {network.output.name!r}: classification needs at least 2 output neurons")
    if not isinstance(rule, HM2BP):
        raise TrainingError(f"rule must be an HM2BP, got {type(rule).__name__}")
