"""Many samples side by side through the sweep: what training and evaluation do with a mini-batch.

Layers are cut into blocks of neurons, and samples are kept in their order: the result is the same to the last
bit for any number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from eventsnn._ext.store import SpikeStore
from eventsnn._ext.team import Pipeline, Stage
from eventsnn._util.threads import Pool
from eventsnn.model import Network, bias
from eventsnn.simulate.engines.arguments import endless
from eventsnn.simulate.engines.arrivals import EVERYONE, Arrivals, Kept, LayerInput, list_sources
from eventsnn.simulate.engines.layer_run import (
    LayerRun,
    begin_samples,
    fits_cache,
    merge,
    overflowing,
    run_layer,
)
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.simulate.engines.positions import SampleRuns, count_positions, run_positions
from eventsnn.simulate.engines.readout import BatchReadout, read_out_batch, silent_run
from eventsnn.trace.batch_record import BatchRecord, Trains
from eventsnn.trace.record import ExitReason, first_votes


@dataclass
class Held:
    """The last layer before it has run, so that training can go through it forward and back in one pipeline.

    Attributes
    ----------
    packed : PackedNetwork
    pool : Pool
    layer_input : LayerInput
        What arrives in it, when `stages` have been done.
    store : SpikeStore
        Its spikes then.
    stages : list of Stage
        What is to be done in each sample, the sweep last; empty when that has been done.
    counts : int64 array (samples, neurons) or None
        Spikes of each neuron, where somebody has counted them.
    """

    packed: PackedNetwork
    pool: Pool
    layer_input: LayerInput
    store: SpikeStore
    stages: list[Stage]
    counts: np.ndarray | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Say what was wrong when its stages are done within."""
        try:
            with overflowing(self.packed, len(self.packed.network.layers) - 1):
                yield
        except OverflowError as error:
            raise endless(error) from None

    def begin(self, stages: Sequence[Stage] = ()) -> None:
        """Begin with its stages in each sample, and then these; `Pool.finish` completes them."""
        own, self.stages = self.stages, []
        with self.running():
            self.pool.begin(Pipeline([*own, *stages]))

    def complete(self) -> list[LayerRun]:
        """Its run."""
        if self.stages:
            self.begin()
        with self.running():
            self.pool.finish()
        return [merge(self.packed.network.output, self.layer_input, self.store, self.pool.share)]


class BatchRun:
    """A mini-batch after the forward pass.

    Attributes
    ----------
    samples : Arrivals
        The mini-batch itself, or what the frozen prefix made of it.
    begun : list of sequences of LayerRun
        The runs of each layer: one for all samples, or one for each where positions share weights. Without
        the last while it is `held`.
    layers : list of sequences of LayerRun
        The same with the last, which runs when it is asked for.
    durations : float64 array (samples,)
        When each sample ends, ms; see `Arrivals.ends`.
    readout : BatchReadout or None
        What the last layer's potentials give, where it is a readout; its own run in `layers` has no spikes.
    held : Held or None
    divided : int or None
        Layer from which on there are this rank's samples alone, its `Ranks.part` of them; see
        `divides_samples`. From the layer below it has `counts` of these alone.
    decided : array or None
        `votes` of all samples, where ranks have divided these.
    """

    def __init__(self, samples: Arrivals, begun: list[Sequence[LayerRun]], durations: np.ndarray) -> None:
        self.samples, self.begun, self.durations = samples, begun, durations
        self.readout: BatchReadout | None = None
        self.held: Held | None = None
        self.divided: int | None = None
        self.decided: np.ndarray | None = None

    @property
    def layers(self) -> list[Sequence[LayerRun]]:
        if self.held is not None:
            self.begun.append(self.held.complete())
            self.held = None
        return self.begun

    def votes(self, network: Network) -> np.ndarray:
        """What decides, array (samples, outputs): a readout, or output spikes; see `LayerSpikes.votes`."""
        if self.decided is not None:
            return self.decided
        if self.readout is not None:
            return self.readout.values
        if network.decides == "count":
            return self.layer_counts(-1)
        spikes = self.layer_spikes(-1)
        return first_votes(spikes.times, spikes.neurons, spikes.ptr, self.layer_counts(-1).shape[1])

    def records(self, network: Network, engine: str, dtype: str) -> BatchRecord:
        """Every sample as a run of its own, until all was quiet."""
        samples = len(self.samples)
        trains, counts = {"input": _trains(self.samples)}, {}
        if network.input.has_bias:
            times = [bias.spike_times(network.input, end) for end in self.durations.tolist()]
            trains["bias"] = Trains.join([(each, np.zeros(len(each), np.int32)) for each in times])
        for number, name in enumerate(network.names):
            trains[name], counts[name] = _trains(self.layer_spikes(number)), self.layer_counts(number)
        return BatchRecord(
            network=network,
            trains=trains,
            t_end=np.full(samples, math.inf),
            exit_reasons=(ExitReason.QUIET,) * samples,
            engine=engine,
            dtype=dtype,
            step_ms=None,
            origins=np.zeros(samples, np.int64),
            readout=None if self.readout is None else self.readout.values,
            spike_counts=counts,
        )

    def layer_spikes(self, number: int) -> Arrivals:
        """Spikes of layer `number` in every sample."""
        runs = self.layers[number]
        if isinstance(runs, SampleRuns):
            return runs.spikes
        return runs[0].spikes if len(runs) == 1 else Arrivals.join([run.spikes.sample(0) for run in runs])

    def layer_counts(self, number: int) -> np.ndarray:
        """Spike counts of layer `number`, int64 array (samples, neurons)."""
        if self.held is not None and number >= 0 and number < len(self.begun):
            runs = self.begun[number]
        elif self.held is not None and self.held.counts is not None:
            return self.held.counts
        else:
            runs = self.layers[number]
        return join_counts(runs)


def join_counts(runs: Sequence[LayerRun]) -> np.ndarray:
    """Spike counts of a layer in all its runs, int64 array (samples, neurons)."""
    if isinstance(runs, SampleRuns):
        return runs.counts
    return runs[0].counts if len(runs) == 1 else np.concatenate([run.counts for run in runs])


def _trains(spikes: Arrivals) -> Trains:
    return Trains(spikes.times, spikes.neurons, spikes.ptr)


def arrive(packed: PackedNetwork, number: int, spikes: Arrivals, ends: np.ndarray) -> Arrivals:
    """What arrives at a layer: the spikes of the one below, delayed, and those of the bias neuron."""
    layer, arrivals = packed.network.layers[number], spikes.delayed(packed.network.layers[number].delay)
    if layer.has_bias:
        sensor, size = packed.network.input, packed.network.source_size(number - 1)
        arrivals = arrivals.with_bias(sensor, size, ends, layer.bias_delay)
    return arrivals


def arrive_later(
    packed: PackedNetwork, number: int, spikes: Arrivals, ends: np.ndarray
) -> tuple[Arrivals, list[Stage]]:
    """The same in a layer that `merges_below`: the arrays are empty, and stages fill them, if any has to."""
    layer, sensor = packed.network.layers[number], packed.network.input
    if not layer.has_bias and not layer.delay:
        return spikes, []
    trains = [bias.spike_times(sensor, end) + layer.bias_delay for end in ends.tolist()]
    if not layer.has_bias:
        trains = [np.empty(0)] * len(ends)
    size = packed.network.source_size(number - 1)
    arrivals, delivery = spikes.delivered(float(layer.least_delay), trains, size)
    return arrivals, [delivery]


def merges_below(packed: PackedNetwork, number: int, kept: Kept) -> bool:
    """Whether there is such a layer, and it takes the spikes of the layer below before they are merged, to do
    that sample by sample with what it does itself.
    """
    layers = packed.network.layers
    if not 0 < number < len(layers) or layers[number - 1].shares_weights or number in kept:
        return False
    layer = layers[number]
    small = fits_cache(layer, packed.blocks[str(layer.name)], packed.division)
    return small and layer.each_delay is None


def divides_samples(packed: PackedNetwork, number: int, kept: Kept) -> bool:
    """Whether ranks that have divided the blocks of a layer can divide the samples of the layers above it.

    There must be some layers above it, and all must be gone through sample by sample.
    """
    layers = packed.network.layers
    above = range(number + 1, len(layers))
    if not above or not packed.divides(number):
        return False
    return all(merges_below(packed, each, kept) and not layers[each].ties_weights for each in above)


def prepare_ahead(packed: PackedNetwork, samples: Arrivals, reverse: bool = False) -> Arrivals:
    """A mini-batch with all that can be made of it before it is its turn, in another thread.

    Tables depend on the neurons' constants, but not on the weights. `reverse`: also what the backward pass
    needs. Layers with many positions, layers in which only the queue can tell what comes next and readouts
    have no tables that can be made ahead.
    """
    layer = packed.network.layers[0]
    if not layer.geometry.whole or not layer.fires or not len(samples):
        return samples
    arrivals = arrive(packed, 0, samples, samples.ends)
    prepared = LayerInput.of(arrivals, packed.constants[0], packed.real)
    if reverse:
        prepared = replace(prepared, sources=list_sources(arrivals, layer.inputs))
    return replace(samples, prepared=prepared)


def run_batch(
    packed: PackedNetwork,
    samples: Arrivals,
    ends: np.ndarray,
    pool: Pool,
    kept: Kept = EVERYONE,
    hold: bool = False,
    divide: bool = False,
) -> BatchRun:
    """Spikes of every layer for a mini-batch.

    Parameters
    ----------
    packed : PackedNetwork
        A chain of layers.
    samples : Arrivals
        Input spikes, sorted by (time, neuron) within each sample.
    ends : float64 array (samples,)
        When each sample ends, ms: until then the bias neuron fires.
    pool : Pool
        An update of the weights may be under way in it: shared work waits for that.
    kept : Kept
        Spikes of other neurons are not passed on; in the result they are there.
    hold : bool
        The last layer may wait until its run is asked for; see `BatchRun.held`.
    divide : bool
        Ranks that have divided the layer below those that go by sample may divide the samples, too.

    Raises
    ------
    SimulationError
        For a neuron that would fire without end at one instant.
    """
    run = BatchRun(samples, [], ends)
    spikes = samples
    waiting: list[Stage] = []
    try:
        number = 0
        while number < len(packed.network.layers):
            layer, prepared = packed.network.layers[number], spikes.prepared
            together = count_positions(packed, number)
            if together:
                stretch = range(number, number + together)
                run.begun += run_positions(packed, stretch, spikes, ends, pool.share, kept)
                number += together
                spikes = run.layer_spikes(number - 1)
                if number in kept and number < len(packed.network.layers):
                    spikes = spikes.where(kept[number])
                continue
            if waiting:
                arrivals, stages = arrive_later(packed, number, spikes, ends)
                waiting = [*waiting, *stages]
            else:
                arrivals = arrive(packed, number, spikes, ends) if prepared is None else prepared.arrivals
            if not layer.fires:
                pool.finish()  # it reads its weights here
                run.readout = read_out_batch(packed, arrivals, ends, pool.share)
                run.begun.append([silent_run(packed, number, arrivals, pool.share)])
                break
            if hold and waiting and number == len(packed.network.layers) - 1:
                layer_input, tables = LayerInput.begin(arrivals, packed.constants[number], packed.real)
                store, sweep = begin_samples(packed, number, layer_input, math.inf)
                run.held = Held(packed, pool, layer_input, store, [*waiting, tables, sweep])
                break
            later: list[Stage] | None = [] if merges_below(packed, number + 1, kept) else None
            swap = divide and divides_samples(packed, number, kept)
            how = (pool.share, pool.threads, prepared, waiting, later, swap)
            run.begun.append(run_layer(packed, number, arrivals, math.inf, *how))
            waiting = later or []
            spikes = run.layer_spikes(number)
            if swap:
                own = packed.division.ranks.part(len(samples))
                run.divided, ends = number + 1, ends[own.start : own.stop]
            number += 1
            if number in kept:
                spikes = spikes.where(kept[number])
    except OverflowError as error:
        raise endless(error) from None
    return run
