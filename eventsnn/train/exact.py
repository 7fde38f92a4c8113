"""The way down in exact time: what a layer did as rules see it, and the sum of charges at its arrivals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

import numpy as np

from eventsnn._ext.arrivals import list_rows
from eventsnn._ext.optimiser import Update
from eventsnn._ext.spsp import reverse_blocks, reverse_patches
from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.threads import Pool
from eventsnn.learn.charges import Activity
from eventsnn.learn.rule import Rule
from eventsnn.model import Network
from eventsnn.simulate.engines.arrivals import Arrivals, PatchInput, Share
from eventsnn.simulate.engines.batch import BatchRun
from eventsnn.simulate.engines.layer_run import LayerRun
from eventsnn.train.downward import Downward, LayerState

# rows, n_rows, ends, when, last, n_times of ``list_rows``.
Sources: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


NOTHING = Arrivals.single(np.empty(0), np.empty(0, np.int32))


class PackedLayers(Protocol):
    """A network as the way down sees it; see `PackedNetwork`."""

    @property
    def network(self) -> Network: ...
    @property
    def blocks(self) -> dict[str, np.ndarray]: ...
    @property
    def constants(self) -> Sequence[np.ndarray] | np.ndarray: ...


class ExactDownward(Downward):
    """The way down from a batch run in exact time."""

    def __init__(
        self,
        packed: PackedLayers,
        states: Mapping[str, LayerState],
        run: BatchRun,
        rule: Rule,
        threads: Pool,
    ) -> None:
        super().__init__(packed.network, states, len(run.samples), rule, threads)
        self.packed, self.durations, self.runs = packed, run.durations, list(run.layers)
        self.readout = run.readout

    def weights(self, number: int) -> np.ndarray:
        return self.packed.blocks[str(self.layers[number].name)]

    def layer_run(self, number: int, samples: slice) -> LayerRun:
        """Run of a layer in `samples`."""
        runs = self.runs[number]
        return runs[0] if len(runs) == 1 else runs[samples.start]

    def source_counts(self, number: int, samples: slice) -> np.ndarray | None:
        """Spikes that each neuron of the layer below passed on, (samples, neurons); None if that is the
        input.
        """
        if number == 0:
            return None
        below = self.runs[number - 1]
        one = len(below) == 1
        counts = below[0].counts[samples] if one else np.concatenate([run.counts for run in below[samples]])
        return counts * self.kept[number][samples] if number in self.kept else counts

    def activity(self, number: int, run: LayerRun, share: Share) -> Activity:
        """The same as rules see it."""
        layer, packed = self.layers[number], self.packed
        weights, constants = self.weights(number), packed.constants[number]
        own = self.own_blocks(number, len(weights))
        return Activity(
            layer.lif, layer.channels, constants, weights, run.input, *run.by_block, share, own_blocks=own
        )


def reverse(
    layer: Activity,
    charges: np.ndarray,
    silent: np.ndarray,
    gradient: np.ndarray,
    update: Update | None,
    derive: bool,
) -> np.ndarray:
    """Sum charges at the arrivals, see ``reverse_blocks``.

    Returns the derivatives by the times of the arrivals, (blocks, arrivals), or nothing unless `derive`.
    """
    blocks, inputs, _ = gradient.shape
    patches = isinstance(layer.arrivals, PatchInput)
    arrivals = layer.arrivals.arrivals if derive or not patches else NOTHING
    down = np.zeros((blocks if derive else 0, len(arrivals.times)), gradient.dtype)
    events = layer.events
    if patches:
        reverse_patches(gradient, events, charges, silent, layer.weights, down)
        assert update is None
        return down
    rows, counter = list_sources(arrivals, inputs, layer.share), layer.counter()
    layer.share(
        lambda: reverse_blocks(gradient, events, charges, silent, *rows, layer.weights, down, update, counter)
    )
    return down


def list_sources(arrivals: Arrivals, inputs: int, share: Share) -> Sources:
    """Data about the source neurons of the arrivals for `reverse_blocks`; see ``list_rows``."""
    n, units = len(arrivals.times), len(arrivals)
    rows, ends, when, last = (np.empty(n, np.int32) for _ in range(4))
    sources = rows, np.empty(units, np.int64), ends, when, last, np.empty(units, np.int64)
    counter = WorkCounter(units)
    share(lambda: list_rows(arrivals.times, arrivals.neurons, arrivals.ptr, inputs, *sources, counter))
    return sources
