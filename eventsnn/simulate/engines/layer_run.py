"""What a layer does in some samples: its positions are small dense layers that share their weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from eventsnn._ext.engine_sweep import sweep_blocks, sweep_patches
from eventsnn._ext.store import SpikeStore, merge_trains
from eventsnn._ext.team import Pipeline, Stage
from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.threads import Share, call
from eventsnn.model import Layer
from eventsnn.simulate.engines import queue
from eventsnn.simulate.engines.arrivals import Arrivals, Carried, LayerInput, PatchInput, Spikes
from eventsnn.simulate.engines.blocks import WIDTH, block_count
from eventsnn.simulate.engines.division import WHOLE, Division
from eventsnn.simulate.engines.joining import join_blocks, swap_blocks
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.simulate.engines.precision import overflow

NO_SPIKES = np.empty(0), np.empty(0, np.int32)
NO_INPUT: Any = None  # of a sample that another rank goes through, nobody asks what arrived

# Neuron updates per kernel call: about 10 ms.
CHUNK = 10_000_000

CACHED = 1 << 19
"""So many bytes of weights stay in the cache of a core while sample after sample goes through the layer."""


@dataclass(frozen=True)
class LayerRun:
    """Arrivals at a layer in some samples, and the spikes that it fired.

    Every position of every sample is a *unit*, number ``sample * positions + position``: a small dense layer
    of its own, whose neurons are the channels. Units of a dense layer are samples.

    Attributes
    ----------
    input : LayerInput or PatchInput
        What arrived, unit by unit; sources are numbered as the inputs of a position.
    by_block : (times, channels, ptr, after)
        Spikes in the order block, unit, time; see ``SpikeStore.collect``. `after` is empty where not noted.
    unit_counts : int64 array (units, channels)
        Spikes of each neuron.
    spikes : Arrivals
        The layer's spikes, sorted by (time, neuron) within each sample.
    counts : int64 array (samples, neurons)
        `unit_counts`, sample by sample.
    """

    input: LayerInput | PatchInput
    by_block: Spikes
    unit_counts: np.ndarray
    spikes: Arrivals
    counts: np.ndarray


def run_layer(
    packed: PackedNetwork,
    number: int,
    arrivals: Arrivals,
    stop: float,
    share: Share = call,
    threads: int = 1,
    prepared: LayerInput | None = None,
    waiting: Sequence[Stage] = (),
    later: list[Stage] | None = None,
    swap: bool = False,
) -> list[LayerRun]:
    """Run one layer on every sample of a batch, in runs of consecutive samples.

    A layer that does not share weights takes all samples at once, and the threads share out its blocks, or,
    where it `fits_cache`, the samples; where there are many positions, the threads share out the samples,
    each a run, which keeps memory and caches small.

    Parameters
    ----------
    arrivals : Arrivals
        What arrives in each sample: source neurons, the bias neuron as the one after the last.
    share : callable
        Calls the work it is given once on each of `threads` threads.
    prepared : LayerInput, optional
        The arrivals with their tables, if these are there already.
    waiting : sequence of Stage
        What fills the arrivals, sample by sample, of a layer that `fits_cache`.
    later : list of Stage, optional
        Of a layer that does not share weights: gets the stage that fills the run's `spikes`, `counts` and
        `by_block`, for the next layer to do with `waiting`. Until then they only have the right sizes.
    swap : bool
        Of a layer whose blocks ranks have divided, with `later`: `by_block` has the spikes of this rank's
        blocks, and `spikes` and `counts` those of all blocks in its part of the samples.
    """
    layer = packed.network.layers[number]
    if not layer.shares_weights:
        how = (share, threads, prepared, waiting, later, swap)
        return [_run_samples(packed, number, arrivals, stop, *how)]
    runs: list[Any] = [None] * len(arrivals)
    own = packed.division.samples(str(layer.name), len(arrivals))
    counter = WorkCounter(own.stop, own.start)

    def work() -> None:
        while (sample := counter.take()) >= 0:
            runs[sample] = _run_samples(packed, number, Arrivals.single(*arrivals.sample(sample)), stop)

    share(work, counter)
    return _join_runs(packed.division, layer, runs, own)


def fits_cache(layer: Layer, weights: np.ndarray, division: Division) -> bool:
    """Whether a layer is so small that all its blocks are gone through sample by sample, so that what comes
    before and after them can be a stage of the same pipeline.
    """
    return (
        layer.fires
        and not layer.shares_weights
        and not needs_queue(layer)
        and not division.divides(str(layer.name), len(weights))
        and weights.nbytes <= CACHED
    )


def _join_runs(division: Division, layer: Layer, runs: Sequence[LayerRun], own: range) -> list[LayerRun]:
    """The runs of all samples: of those that other ranks have run, the spikes alone."""
    if not division.divides_samples(str(layer.name)):
        return list(runs)
    mine = Arrivals.join([NO_SPIKES, *(run.spikes.sample(0) for run in runs[own.start : own.stop])])
    sizes = np.diff(mine.ptr)[1:]
    times, neurons, sizes = division.join_samples(str(layer.name), mine.times, mine.neurons, sizes)
    spikes = Arrivals(times, neurons, np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)]))
    return [
        runs[sample] if sample in own else elsewhere(layer, Arrivals.single(*spikes.sample(sample)))
        for sample in range(len(runs))
    ]


def elsewhere(layer: Layer, spikes: Arrivals) -> LayerRun:
    """A sample that another rank has run, and will go back through."""
    counts = np.bincount(spikes.neurons, minlength=layer.neurons)[None]
    nothing = np.empty(0), np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.int32)
    return LayerRun(NO_INPUT, nothing, np.empty((0, layer.channels), np.int64), spikes, counts)


def _run_samples(
    packed: PackedNetwork,
    number: int,
    arrivals: Arrivals,
    stop: float,
    share: Share = call,
    threads: int = 1,
    prepared: LayerInput | None = None,
    waiting: Sequence[Stage] = (),
    later: list[Stage] | None = None,
    swap: bool = False,
) -> LayerRun:
    layer = packed.network.layers[number]
    if needs_queue(layer):
        layer_input = prepare(packed, number, arrivals, share) if prepared is None else prepared
        return order_by_block(
            layer_input, Arrivals.join(_queue_trains(packed, number, arrivals, stop, share)), layer
        )
    if prepared is None and fits_cache(layer, packed.blocks[str(layer.name)], packed.division):
        layer_input, tables = LayerInput.begin(arrivals, packed.constants[number], packed.real)
        store = sweep_samples(packed, number, layer_input, stop, share, [*waiting, tables])
    else:
        # A few units of work for each thread, so that none waits long; a block's weights stay in its cache.
        blocks = len(packed.blocks[str(layer.name)])
        parts = 1 if threads == 1 else -(-4 * threads // blocks)
        layer_input = prepare(packed, number, arrivals, share) if prepared is None else prepared
        store = sweep_all(packed, number, layer_input, stop, share, parts)
    if swap and later is not None:
        return _merge_swapped(packed.division, layer, layer_input, store, later)
    return merge(layer, layer_input, store, share, division=packed.division, later=later)


def prepare(
    packed: PackedNetwork,
    number: int,
    arrivals: Arrivals,
    share: Share = call,
    since: np.ndarray | None = None,
    positions: np.ndarray | None = None,
) -> LayerInput | PatchInput:
    """What arrives at a layer, or at these `positions` of it alone, as `sweep_all` takes it.

    `since` is as for `LayerInput.of`.
    """
    geometry, constants = packed.network.layers[number].geometry, packed.constants[number]
    if geometry.whole:
        return LayerInput.of(arrivals, constants, packed.real, share, since)
    return PatchInput(geometry, arrivals, constants, packed.real, positions)


def sweep_all(
    packed: PackedNetwork,
    number: int,
    layer_input: LayerInput | PatchInput,
    stop: float,
    share: Share = call,
    parts: int = 1,
    carried: Carried | None = None,
    until: float = math.inf,
) -> SpikeStore:
    """All blocks of a layer through all samples, from rest or from the state `carried` on.

    Many positions stand for samples, and one thread alone takes them. `until` is, with a carried state, the
    time up to which spikes can be known: none at it or later.
    """
    layer = packed.network.layers[number]
    weights = packed.blocks[str(layer.name)]
    blocks = len(weights)
    state = {} if carried is None else {name: getattr(carried, name) for name in ("u", "i", "end", "now")}
    # A call ends after about `CHUNK` neuron updates, so that Ctrl-C is heard.
    if isinstance(layer_input, PatchInput):
        ready = layer_input.ready()
        patches = ready.patches
        store, counter = SpikeStore(layer.channels, patches.units, 1), WorkCounter(patches.units)
        most = max(1, CHUNK // max(1, patches.longest * blocks * WIDTH))
        run = partial(sweep_patches, weights, ready, stop, store, counter, most)

        def work() -> None:
            while counter.left:
                run(**state, until=until)

        share_sweep = partial(share, work, counter)
    else:
        arrivals = layer_input.arrivals
        store = SpikeStore(layer.channels, len(arrivals), parts)
        own = packed.own_blocks(number)
        counter = WorkCounter(own.stop * store.parts, own.start * store.parts)
        most = max(1, CHUNK // max(1, len(arrivals.times) * WIDTH // store.parts))
        sweep = _sweep(packed, number, layer_input, stop, store, counter, most, **state, until=until)
        share_sweep = partial(share, sweep)
    with overflowing(packed, number):
        share_sweep()
    return store


def sweep_samples(
    packed: PackedNetwork,
    number: int,
    layer_input: LayerInput,
    stop: float,
    share: Share,
    before: list[Stage],
) -> SpikeStore:
    """All blocks of a layer that `fits_cache` through all samples from rest, in each sample after the stages
    `before`, which fill the input.
    """
    store, sweep = begin_samples(packed, number, layer_input, stop)
    with overflowing(packed, number):
        share(Pipeline([*before, sweep]), items=2 * len(layer_input.arrivals.times))
    return store


def begin_samples(
    packed: PackedNetwork, number: int, layer_input: LayerInput, stop: float
) -> tuple[SpikeStore, Stage]:
    """What the layer's spikes come into, and the stage of `sweep_samples`; it may raise what `overflowing`
    translates.
    """
    arrivals, layer = layer_input.arrivals, packed.network.layers[number]
    store = SpikeStore(layer.channels, len(arrivals), len(arrivals))
    most = max(1, CHUNK * len(arrivals) // max(1, len(arrivals.times) * WIDTH * store.blocks))
    counter = WorkCounter(len(arrivals))
    return store, _sweep(packed, number, layer_input, stop, store, counter, most, by_sample=True)


@contextmanager
def overflowing(packed: PackedNetwork, number: int) -> Iterator[None]:
    """Say which layer's state has left the range of its precision."""
    try:
        yield
    except FloatingPointError:
        raise overflow(packed.real, str(packed.network.layers[number].name)) from None


def _sweep(
    packed: PackedNetwork,
    number: int,
    layer_input: LayerInput,
    stop: float,
    store: SpikeStore,
    counter: WorkCounter,
    most: int,
    **how: Any,
) -> Stage:
    """The kernel, for a layer that does not share weights."""
    name = str(packed.network.layers[number].name)
    return sweep_blocks(
        packed.blocks[name],
        packed.blocks.get(f"{name}:lateral", np.empty((0, 0, 0), packed.real)),
        packed.constants[number],
        layer_input.events,
        layer_input.arrivals.ptr,
        layer_input.table,
        stop,
        store,
        counter,
        most,
        **how,
    )


def needs_queue(layer: Layer) -> bool:
    """Whether its spikes inhibit other blocks at once, so that only the queue can tell what comes next."""
    return bool(layer.lateral_inhibition) and layer.neurons > WIDTH


def _queue_trains(
    packed: PackedNetwork, number: int, arrivals: Arrivals, stop: float, share: Share
) -> list[tuple[np.ndarray, np.ndarray]]:
    trains: list[tuple[np.ndarray, np.ndarray]] = [(np.empty(0), np.empty(0, np.int32))] * len(arrivals)
    counter = WorkCounter(len(arrivals))

    def work() -> None:
        while (sample := counter.take()) >= 0:
            trains[sample] = queue.run_layer(packed, number, *arrivals.sample(sample), stop)

    share(work, counter)
    return trains


def merge(
    layer: Layer,
    layer_input: LayerInput | PatchInput,
    store: SpikeStore,
    share: Share = call,
    units: np.ndarray | None = None,
    division: Division = WHOLE,
    later: list[Stage] | None = None,
) -> LayerRun:
    """A layer's run from the spikes of its units: of one position in many samples, or of one sample.

    `units` are, for the latter, the positions that were run; by default all. `division` says who else has
    spikes of the former. `later` is as for `run_layer`.
    """
    positions = layer.positions
    divided = not layer.shares_weights and division.divides(str(layer.name), store.blocks)
    # The stage that merges copies the spikes, too, unless somebody reads them before.
    copied = positions > 1 or divided
    fired, channels, ptr, after, ends = store.collect(copied)
    if divided:
        fired, channels, ptr, after = join_blocks(division.ranks, store, (fired, channels, ptr, after))
        ends = np.concatenate([[0], np.cumsum(np.diff(ptr).reshape(-1, store.samples).sum(axis=0))])
    neurons = channels
    samples = 1 if units is not None else store.samples // positions
    if positions > 1:
        assert samples == 1
        which = (np.arange(positions) if units is None else units).astype(np.int32)
        position = np.repeat(np.tile(which, store.blocks), np.diff(ptr))
        neurons = channels * np.int32(positions) + position
        ends = ends[[0, -1]]
    spikes = Arrivals(np.empty(len(fired)), np.empty(len(fired), np.int32), ends)
    counts = np.empty((samples, layer.neurons), np.int64)
    source = () if copied else (store, after)
    stage = merge_trains(fired, neurons, ptr, ends, spikes.times, spikes.neurons, counts, *source)
    if later is not None and positions == 1:
        later.append(stage)
    else:
        share(stage, items=len(fired))
    if positions > 1 and (np.diff(spikes.times) == 0.0).any():
        # Trains were merged by position; neurons that fire at one instant are to stand in their own order.
        order = np.lexsort((spikes.neurons, spikes.times))
        spikes = Arrivals(spikes.times[order], spikes.neurons[order], ends)
    by_position = counts if positions == 1 else np.ascontiguousarray(counts.reshape(-1, positions).T)
    return LayerRun(layer_input, (fired, channels, ptr, after), by_position, spikes, counts)


def _merge_swapped(
    division: Division, layer: Layer, layer_input: Any, store: SpikeStore, later: list[Stage]
) -> LayerRun:
    """`merge` where each rank goes on with its samples alone; see `run_layer`."""
    by_block = store.collect()[:4]
    times, neurons, ptr, ends = swap_blocks(division.ranks, store, by_block[:3])
    spikes = Arrivals(np.empty(len(times)), np.empty(len(times), np.int32), ends)
    counts = np.empty((len(spikes), layer.neurons), np.int64)
    later.append(merge_trains(times, neurons, ptr, ends, spikes.times, spikes.neurons, counts))
    return LayerRun(layer_input, by_block, counts, spikes, counts)


def order_by_block(layer_input: LayerInput | PatchInput, spikes: Arrivals, layer: Layer) -> LayerRun:
    """A run of a layer of one position from its spikes, sorted by (time, neuron) within each sample."""
    neurons, samples = layer.neurons, len(spikes)
    sample = np.repeat(np.arange(samples), np.diff(spikes.ptr))
    key = (spikes.neurons // WIDTH).astype(np.int64) * samples + sample
    order = np.argsort(key, kind="stable")
    sizes = np.bincount(key, minlength=block_count(neurons) * samples)
    ptr = np.concatenate([[0], np.cumsum(sizes)])
    by_block = spikes.times[order], spikes.neurons[order], ptr, np.empty(0, np.int32)
    counts = np.bincount(sample * neurons + spikes.neurons, minlength=samples * neurons)
    counts = counts.reshape(samples, neurons)
    return LayerRun(layer_input, by_block, counts, spikes, counts)
