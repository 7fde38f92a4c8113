"""One mini-batch, forward and backward, on packed weights: the sweep engine, then the rule, then the update.

Layers are cut into blocks of neurons, samples are kept in their order, and sums run over samples in that
order: the result is the same to the last bit for any number of threads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from eventsnn._ext.engine_sweep import sweep_blocks
from eventsnn.engines.arguments import endless
from eventsnn.engines.blocks import WIDTH
from eventsnn.engines.packed import PackedNetwork
from eventsnn.engines.queue import run_layer
from eventsnn.engines.sweep import Arrivals, join_parts, make_table, merge, refusal
from eventsnn.errors import TrainingError
from eventsnn.learning.hm2bp import HM2BP
from eventsnn.network import Network
from eventsnn.train.parallel import Pool, split_range


@dataclass
class LayerRun:
    """What one layer received and fired in a mini-batch.

    Attributes
    ----------
    arrivals : Arrivals
    table : real array
        See `make_table`.
    spikes : Arrivals
        Sorted by (time, neuron) within each sample.
    by_block : (times, neurons, ptr)
        The same in the order block, sample, time.
    counts : int64 array (samples, neurons)
    """

    arrivals: Arrivals
    table: np.ndarray
    spikes: Arrivals
    by_block: tuple[np.ndarray, np.ndarray, np.ndarray]
    counts: np.ndarray


@dataclass
class BatchRun:
    """A mini-batch after the forward pass.

    Attributes
    ----------
    layers : list of LayerRun
    durations : float64 array (samples,)
        Time of each sample's last input event, ms.
    """

    layers: list[LayerRun]
    durations: np.ndarray = field(default_factory=lambda: np.empty(0))

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


def run_forward(packed: PackedNetwork, samples: list[tuple[np.ndarray, np.ndarray]], pool: Pool) -> BatchRun:
    """Spikes of every layer for a mini-batch.

    Parameters
    ----------
    packed : PackedNetwork
        A chain of dense layers.
    samples : list of (times, inputs)
        float64 ms and int32 input neurons, sorted by (time, neuron).
    pool : Pool

    Raises
    ------
    SimulationError
        For a neuron that would fire without end at one instant.
    """
    durations = np.array([times[-1] if len(times) else 0.0 for times, _ in samples])
    run = BatchRun([], durations)
    spikes = Arrivals.join(samples)
    try:
        for number in range(len(packed.network.layers)):
            run.layers.append(_run_layer(packed, number, spikes, pool))
            spikes = run.layers[-1].spikes
    except OverflowError as error:
        raise endless(error) from None
    return run


def _run_layer(packed: PackedNetwork, number: int, spikes_below: Arrivals, pool: Pool) -> LayerRun:
    layer = packed.network.layers[number]
    arrivals = spikes_below.delayed(layer.delay)
    table = make_table(arrivals, packed.constants[number], packed.real)
    if layer.lateral_inhibition:
        spikes = Arrivals.join(pool.map(_layer_runner(packed, number, arrivals), range(len(arrivals))))
        by_block = order_by_block(spikes, layer.neurons)
    else:
        parts = _sweep(packed, number, arrivals, table, pool)
        spikes = merge(parts, len(arrivals))
        by_block = join_parts(parts)
    return LayerRun(arrivals, table, spikes, by_block, count_spikes(spikes, layer.neurons))


def _layer_runner(packed: PackedNetwork, number: int, arrivals: Arrivals):  # type: ignore[no-untyped-def]
    def run_one(sample: int) -> tuple[np.ndarray, np.ndarray]:
        return run_layer(packed, number, *arrivals.sample(sample), math.inf)

    return run_one


def _sweep(
    packed: PackedNetwork, number: int, arrivals: Arrivals, table: np.ndarray, pool: Pool
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    layer = packed.network.layers[number]
    weights = packed.blocks[str(layer.name)]

    def sweep_range(blocks: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return sweep_blocks(
            weights,
            *blocks,
            layer.neurons,
            packed.constants[number],
            arrivals.times,
            arrivals.neurons,
            arrivals.ptr,
            table,
            math.inf,
        )

    return pool.map(sweep_range, block_ranges(len(weights), pool))


def block_ranges(blocks: int, pool: Pool) -> list[tuple[int, int]]:
    """Ranges of blocks for the threads of a pool, a few for each so that none waits long for the others."""
    return split_range(blocks, 1 if pool.threads == 1 else 4 * pool.threads)


def count_spikes(spikes: Arrivals, neurons: int) -> np.ndarray:
    """Spike counts, int64 array (samples, neurons)."""
    sample = np.repeat(np.arange(len(spikes)), np.diff(spikes.ptr))
    return np.bincount(sample * neurons + spikes.neurons, minlength=len(spikes) * neurons).reshape(
        -1, neurons
    )


def order_by_block(spikes: Arrivals, neurons: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spikes in the order block, sample, time, as ``sweep_blocks`` returns them: (times, neurons, ptr)."""
    blocks, samples = -(-neurons // WIDTH), len(spikes)
    key = (spikes.neurons // WIDTH).astype(np.int64) * samples + np.repeat(
        np.arange(samples), np.diff(spikes.ptr)
    )
    order = np.argsort(key, kind="stable")
    ptr = np.concatenate([[0], np.cumsum(np.bincount(key, minlength=blocks * samples))]).astype(np.int64)
    return spikes.times[order], spikes.neurons[order], ptr


def check_rule(network: Network, rule: HM2BP) -> None:
    """Raise TrainingError if a rule's targets make no sense for a network's output."""
    if network.output.neurons < 2:
        raise TrainingError(f"layer {network.output.name!r}: classification needs at least 2 output neurons")
    if not isinstance(rule, HM2BP):
        raise TrainingError(f"rule must be an HM2BP, got {type(rule).__name__}")
