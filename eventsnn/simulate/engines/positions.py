"""Convolution and pooling layers that follow each other, as one pipeline of stages: sample by sample, without
Python between.

Twin: `layer_run.run_layer`, layer by layer; the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

import numpy as np

from eventsnn._ext.positions import PositionInput, PositionSpikes, SweepPositions, sweep_positions
from eventsnn._ext.team import Pipeline
from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.threads import Share
from eventsnn.model import Layer, bias
from eventsnn.simulate.engines.arrivals import Arrivals, Kept, PatchInput
from eventsnn.simulate.engines.division import Division
from eventsnn.simulate.engines.layer_run import LayerRun, elsewhere, needs_queue
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.simulate.engines.precision import overflow

ALL = np.empty((0, 0), np.uint8)

AT_ONCE = 1 << 17
"""So many arrivals at positions, of 8 bytes each, are placed at a time: they bound the memory, and stay in a
cache until they have been read. Each time takes a pass over all spikes: a quarter of that is slower."""


@dataclass
class SampleRuns(Sequence[LayerRun]):
    """The runs of a layer of many positions, one for each sample, made when they are asked for.

    Attributes
    ----------
    layer : Layer
    given : PositionInput
    fired : PositionSpikes
    constants : structured array (1,)
    real : type
        Precision.
    own : range
        The samples that this rank has run, and will go back through.
    """

    layer: Layer
    given: PositionInput
    fired: PositionSpikes
    constants: np.ndarray
    real: type[np.floating]
    own: range

    @property
    def counts(self) -> np.ndarray:
        """Spikes of each neuron, int64 array (samples, neurons)."""
        return self.fired.counts

    @cached_property
    def spikes(self) -> Arrivals:
        """The layer's spikes in all samples."""
        return Arrivals(*self.fired.join(0, self.fired.samples))

    def join_ranks(self, division: Division) -> None:
        """Take the spikes of the samples that other ranks have run."""
        times, neurons, ptr = self.fired.join(self.own.start, self.own.stop)
        times, neurons, sizes = division.join_samples(str(self.layer.name), times, neurons, np.diff(ptr))
        self.spikes = Arrivals(times, neurons, np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)]))
        for sample in range(len(self)):
            if sample not in self.own:
                fired = self.spikes.sample(sample)[1]
                self.fired.counts[sample] = np.bincount(fired, minlength=self.layer.neurons)

    def __len__(self) -> int:
        return self.fired.samples

    @overload
    def __getitem__(self, which: int) -> LayerRun: ...
    @overload
    def __getitem__(self, which: slice) -> list[LayerRun]: ...
    def __getitem__(self, which: int | slice) -> LayerRun | list[LayerRun]:
        numbers = range(self.fired.samples)[which]
        return self._run(numbers) if isinstance(numbers, int) else [self._run(each) for each in numbers]

    def _run(self, sample: int) -> LayerRun:
        if sample not in self.own:
            return elsewhere(self.layer, Arrivals.single(*self.spikes.sample(sample)))
        arrivals = Arrivals.single(*self.given.arrivals(sample))
        seen = PatchInput(self.layer.geometry, arrivals, self.constants, self.real)
        counts, positions = self.fired.counts[sample : sample + 1], self.layer.positions
        by_position = counts if positions == 1 else np.ascontiguousarray(counts.reshape(-1, positions).T)
        spikes = Arrivals(*self.fired.join(sample, sample + 1))
        return LayerRun(seen, self.fired.by_block(sample), by_position, spikes, counts)


def count_positions(packed: PackedNetwork, first: int) -> int:
    """How many layers from `first` on are convolution and pooling layers that one pipeline can do, each rank
    its samples.
    """
    layers, division, number = packed.network.layers, packed.division, first
    divides = division.divides_samples(str(layers[first].name))
    for number, layer in enumerate(layers[first:], first):
        if not layer.shares_weights or layer.geometry.whole or not layer.fires or needs_queue(layer):
            return number - first
        if division.divides_samples(str(layer.name)) != divides:
            return number - first
    return number + 1 - first


def run_positions(
    packed: PackedNetwork,
    layers: range,
    samples: Arrivals,
    ends: np.ndarray,
    share: Share,
    kept: Kept,
) -> list[Sequence[LayerRun]]:
    """Run consecutive layers that `count_positions` has counted; arguments and errors are those of
    `batch.run_batch`.

    Returns
    -------
    list
        The runs of each layer, one for each sample.
    """
    n = len(samples)
    own = packed.division.samples(str(packed.network.layers[layers.start].name), n)
    counter = WorkCounter(own.stop, own.start)
    runs, stages = list[SampleRuns](), list[SweepPositions]()
    for number in layers:
        layer, constants = packed.network.layers[number], packed.constants[number]
        below = runs[-1].fired if runs else None
        given = take_input(packed, number, below, samples, ends, kept if below is not None else {})
        fired = PositionSpikes(layer.channels, layer.positions, n)
        weights = packed.blocks[str(layer.name)]
        stages.append(sweep_positions(weights, given, math.inf, fired, counter))
        runs.append(SampleRuns(layer, given, fired, constants, packed.real, own))
    with _overflowing(packed, layers, stages):
        share(Pipeline([*stages]))
    if packed.division.divides_samples(str(packed.network.layers[layers.start].name)):
        for each in runs:
            each.join_ranks(packed.division)
    return [*runs]


def take_input(
    packed: PackedNetwork,
    number: int,
    below: PositionSpikes | None,
    samples: Arrivals,
    ends: np.ndarray,
    kept: Kept,
) -> PositionInput:
    """What arrives at a layer: the spikes `below`, or `samples`, of the neurons that are `kept`, delayed, and
    those of the bias neuron; see `batch.arrive`.
    """
    layer, sensor = packed.network.layers[number], packed.network.input
    geometry, trains = layer.geometry, list[np.ndarray]()
    if layer.has_bias:
        trains = [bias.spike_times(sensor, end) + layer.bias_delay for end in ends.tolist()]
    sizes = [len(train) for train in trains] if trains else [0] * len(ends)
    there = np.ascontiguousarray(kept[number]).view(np.uint8) if number in kept else ALL
    assert not isinstance(layer.delay, Sequence)
    return PositionInput(
        below,
        samples.times,
        samples.neurons,
        samples.ptr,
        float(layer.delay),
        np.concatenate([*trains, np.empty(0)]),
        np.cumsum([0, *sizes], dtype=np.int64),
        packed.network.source_size(number - 1),
        there,
        geometry.source[0],
        *geometry.places,
        geometry.area,
        geometry.patches,
        packed.constants[number],
        packed.real is np.float32,
        AT_ONCE,
    )


@contextmanager
def _overflowing(packed: PackedNetwork, layers: range, stages: Sequence[SweepPositions]) -> Iterator[None]:
    """See `layer_run.overflowing`: the layer is the first whose stage has failed."""
    try:
        yield
    except FloatingPointError:
        failed: Any = next(number for number, stage in zip(layers, stages, strict=True) if stage.failed)
        raise overflow(packed.real, str(packed.network.layers[failed].name)) from None
