"""What a layer does in some samples: its positions are small dense layers that share their weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from eventsnn._ext.engine_sweep import sweep_blocks
from eventsnn._ext.patches import count_patches, fill_patches
from eventsnn._ext.store import SpikeStore, merge_trains
from eventsnn._ext.work_counter import WorkCounter
from eventsnn.model import Layer
from eventsnn.model.layers.geometry import Geometry
from eventsnn.simulate.engines import queue
from eventsnn.simulate.engines.arrivals import Arrivals, Carried, LayerInput, Share, call
from eventsnn.simulate.engines.blocks import WIDTH, block_count
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.simulate.engines.precision import overflow

# Neuron updates per kernel call: about 10 ms.
CHUNK = 10_000_000


@dataclass(frozen=True)
class LayerRun:
    """Arrivals at a layer in some samples, and the spikes that it fired.

    Every position of every sample is a *unit*, number ``sample * positions + position``: a small dense layer
    of its own, whose neurons are the channels. Units of a dense layer are samples.

    Attributes
    ----------
    input : LayerInput
        What arrived, unit by unit; sources are numbered as the inputs of a position.
    by_block : (times, channels, ptr)
        Spikes in the order block, unit, time; see ``SpikeStore.collect``.
    unit_counts : int64 array (units, channels)
        Spikes of each neuron.
    spikes : Arrivals
        The layer's spikes, sorted by (time, neuron) within each sample.
    counts : int64 array (samples, neurons)
        `unit_counts`, sample by sample.
    """

    input: LayerInput
    by_block: tuple[np.ndarray, np.ndarray, np.ndarray]
    unit_counts: np.ndarray
    spikes: Arrivals
    counts: np.ndarray


def run_layer(
    packed: PackedNetwork, number: int, arrivals: Arrivals, stop: float, share: Share = call, threads: int = 1
) -> list[LayerRun]:
    """Run one layer on every sample of a batch, in runs of consecutive samples.

    A layer that does not share weights takes all samples at once, and the threads share out its blocks; where
    there are many positions, the threads share out the samples, each a run, which keeps memory and caches
    small.

    Parameters
    ----------
    arrivals : Arrivals
        What arrives in each sample: source neurons, the bias neuron as the one after the last.
    share : callable
        Calls the work it is given once on each of `threads` threads.
    """
    layer = packed.network.layers[number]
    if not layer.shares_weights:
        return [_run_samples(packed, number, arrivals, stop, share, threads)]
    runs: list[Any] = [None] * len(arrivals)
    counter = WorkCounter(len(arrivals))

    def work() -> None:
        while (sample := counter.take()) >= 0:
            runs[sample] = _run_samples(packed, number, Arrivals.single(*arrivals.sample(sample)), stop)

    share(work)
    return runs


def _run_samples(
    packed: PackedNetwork, number: int, arrivals: Arrivals, stop: float, share: Share = call, threads: int = 1
) -> LayerRun:
    layer = packed.network.layers[number]
    layer_input = LayerInput.of(
        expand(layer.geometry, arrivals), packed.constants[number], packed.real, share
    )
    if needs_queue(layer):
        return order_by_block(
            layer_input, Arrivals.join(_queue_trains(packed, number, arrivals, stop, share)), layer
        )
    # A few units of work for each thread, so that none waits long; a block's weights stay in its cache.
    blocks = len(packed.blocks[str(layer.name)])
    parts = 1 if threads == 1 else -(-4 * threads // blocks)
    return merge(layer, layer_input, sweep_all(packed, number, layer_input, stop, share, parts), share)


def sweep_all(
    packed: PackedNetwork,
    number: int,
    layer_input: LayerInput,
    stop: float,
    share: Share = call,
    parts: int = 1,
    carried: Carried | None = None,
    until: float = math.inf,
) -> SpikeStore:
    """All blocks of a layer through all samples, from rest or from the state `carried` on.

    `until` is, for the latter, the time up to which spikes can be known: none at it or later.
    """
    layer, arrivals = packed.network.layers[number], layer_input.arrivals
    weights = packed.blocks[str(layer.name)]
    blocks = len(weights)
    store = SpikeStore(blocks, len(arrivals), parts)
    lateral = packed.blocks.get(f"{layer.name}:lateral", np.empty((0, 0, 0), packed.real))
    counter = WorkCounter(blocks * store.parts)
    # A call ends after about `CHUNK` neuron updates, so that Ctrl-C is heard.
    most = max(1, CHUNK // max(1, len(arrivals.times) * WIDTH // store.parts))
    state = {} if carried is None else {name: getattr(carried, name) for name in ("u", "i", "end", "now")}

    def work() -> None:
        while counter.left:
            sweep_blocks(
                weights,
                lateral,
                packed.constants[number],
                layer_input.events,
                arrivals.ptr,
                layer_input.table,
                stop,
                store,
                counter,
                most,
                **state,
                until=until,
            )

    try:
        share(work)
    except FloatingPointError:
        raise overflow(packed.real, str(layer.name)) from None
    return store


def needs_queue(layer: Layer) -> bool:
    """Whether its spikes inhibit other blocks at once, so that only the queue can tell what comes next."""
    return bool(layer.lateral_inhibition) and layer.neurons > WIDTH


def expand(geometry: Geometry, arrivals: Arrivals, positions: np.ndarray | None = None) -> Arrivals:
    """The spikes that each unit sees: those in the patch of its position; sources are inputs of a position.

    Units are all positions of all samples, or of one sample these `positions`. Its twin stands in the tests:
    a loop over events and patches.
    """
    if geometry.whole:
        return arrivals
    if len(arrivals) > 1:
        units = [expand(geometry, Arrivals.single(*arrivals.sample(n))) for n in range(len(arrivals))]
        return Arrivals.join([each.sample(n) for each in units for n in range(len(each))])
    table = geometry.table if positions is None else geometry.table_of(geometry.cells[positions])
    cell_ptr, patch, offset = table
    times, neurons = arrivals.times, arrivals.neurons
    ptr = np.empty((geometry.patches if positions is None else len(positions)) + 1, np.int64)
    count_patches(neurons, geometry.source[0], cell_ptr, patch, ptr)
    expanded = Arrivals(np.empty(ptr[-1]), np.empty(ptr[-1], np.int32), ptr)
    cursor = ptr[:-1].copy()
    fill_patches(
        times,
        neurons,
        geometry.source[0],
        cell_ptr,
        patch,
        offset,
        geometry.area,
        cursor,
        expanded.times,
        expanded.neurons,
    )
    return expanded


def _queue_trains(
    packed: PackedNetwork, number: int, arrivals: Arrivals, stop: float, share: Share
) -> list[tuple[np.ndarray, np.ndarray]]:
    trains: list[tuple[np.ndarray, np.ndarray]] = [(np.empty(0), np.empty(0, np.int32))] * len(arrivals)
    counter = WorkCounter(len(arrivals))

    def work() -> None:
        while (sample := counter.take()) >= 0:
            trains[sample] = queue.run_layer(packed, number, *arrivals.sample(sample), stop)

    share(work)
    return trains


def merge(
    layer: Layer,
    layer_input: LayerInput,
    store: SpikeStore,
    share: Share = call,
    units: np.ndarray | None = None,
) -> LayerRun:
    """A layer's run from the spikes of its units: of one position in many samples, or of one sample.

    `units` are, for the latter, the positions that were run; by default all.
    """
    fired, channels, ptr = store.collect()
    positions, neurons = layer.positions, channels
    samples = 1 if units is not None else store.samples // positions
    if positions > 1:
        assert samples == 1
        which = np.arange(positions) if units is None else units
        position = which[np.repeat(np.arange(len(ptr) - 1) % len(which), np.diff(ptr))]
        neurons = (channels * positions + position).astype(np.int32)
    totals = np.diff(ptr).reshape(-1, samples).sum(axis=0)
    ends = np.concatenate([[0], np.cumsum(totals)]).astype(np.int64)
    spikes = Arrivals(np.empty(ends[-1]), np.empty(ends[-1], np.int32), ends)
    counts = np.empty((samples, layer.neurons), np.int64)
    counter = WorkCounter(samples)
    share(lambda: merge_trains(fired, neurons, ptr, ends, spikes.times, spikes.neurons, counts, counter))
    if positions > 1 and (np.diff(spikes.times) == 0.0).any():
        # Trains were merged by position; neurons that fire at one instant are to stand in their own order.
        order = np.lexsort((spikes.neurons, spikes.times))
        spikes = Arrivals(spikes.times[order], spikes.neurons[order], ends)
    by_position = counts if positions == 1 else np.ascontiguousarray(counts.reshape(-1, positions).T)
    return LayerRun(layer_input, (fired, channels, ptr), by_position, spikes, counts)


def order_by_block(layer_input: LayerInput, spikes: Arrivals, layer: Layer) -> LayerRun:
    """A run of a layer of one position from its spikes, sorted by (time, neuron) within each sample."""
    neurons, samples = layer.neurons, len(spikes)
    sample = np.repeat(np.arange(samples), np.diff(spikes.ptr))
    key = (spikes.neurons // WIDTH).astype(np.int64) * samples + sample
    order = np.argsort(key, kind="stable")
    sizes = np.bincount(key, minlength=block_count(neurons) * samples)
    by_block = spikes.times[order], spikes.neurons[order], np.concatenate([[0], np.cumsum(sizes)])
    counts = np.bincount(sample * neurons + spikes.neurons, minlength=samples * neurons)
    counts = counts.reshape(samples, neurons)
    return LayerRun(layer_input, by_block, counts, spikes, counts)
