"""The way down in exact time: what a layer did as rules see it, and the sum of charges at its arrivals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from eventsnn._ext.optimiser import Update
from eventsnn._ext.spsp import reverse_blocks, reverse_patches
from eventsnn._ext.team import Stage
from eventsnn._util.threads import Pool, Share
from eventsnn.learn.charges import Activity
from eventsnn.learn.rule import Rule
from eventsnn.model import Network
from eventsnn.simulate.engines.arrivals import Arrivals, LayerInput, PatchInput, list_sources
from eventsnn.simulate.engines.batch import BatchRun, join_counts
from eventsnn.simulate.engines.layer_run import LayerRun
from eventsnn.train.downward import Downward, LayerState

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
        self.packed, self.durations, self.runs = packed, run.durations, list(run.begun)
        self.readout, self.input_spikes = run.readout, run.samples

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
        counts = below[0].counts if len(below) == 1 else join_counts(below)
        counts = counts[samples]
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
    if isinstance(layer.arrivals, PatchInput):
        arrivals = layer.arrivals.arrivals if derive else NOTHING
        down = np.zeros((len(gradient) if derive else 0, len(arrivals.times)), gradient.dtype)
        reverse_patches(gradient, layer.events, charges, silent, layer.weights, down)
        assert update is None
        return down
    shape = (len(gradient) if derive else 0, len(layer.arrivals.arrivals.times))
    down = np.zeros(shape, gradient.dtype)
    layer.share(begin_reverse(layer, charges, silent, gradient, update, down))
    return down


def begin_reverse(
    layer: Activity,
    charges: np.ndarray,
    silent: np.ndarray,
    gradient: np.ndarray,
    update: Update | None,
    down: np.ndarray | None = None,
) -> Stage:
    """The stage that does what `reverse` does, block by block, for a layer of one position; without `down`
    there are no derivatives.
    """
    assert isinstance(layer.arrivals, LayerInput)
    arrivals = layer.arrivals.arrivals
    sources = layer.arrivals.sources or list_sources(arrivals, gradient.shape[1], layer.share)
    down = np.empty((0, 0), gradient.dtype) if down is None else down
    how = layer.weights, down, update, layer.counter()
    return reverse_blocks(gradient, layer.events, charges, silent, *sources, *how)
