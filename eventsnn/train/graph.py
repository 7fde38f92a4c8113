"""Training of networks of any graph: recurrent, lateral, skip and feedback connections, dense or sparse.

Forward every recording runs by itself through the queue engine, or its windowed schedule where weights are
sparse. A network with loops may fire for ever: there a recording ends where its input does, or at the stated
duration. Derivatives go back through the spikes of all layers in reverse order of time
(`eventsnn.trace.adjoint`), since in a loop a spike hands something on to earlier spikes of its own layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.threads import Pool
from eventsnn.learn.charges import Activity
from eventsnn.learn.optimisers import OptimiserState, Step
from eventsnn.learn.rule import Rule
from eventsnn.model import Network
from eventsnn.reference.lif import record as constants_of
from eventsnn.simulate.engines import ENGINES, Settings
from eventsnn.simulate.engines.arrivals import Arrivals, Share
from eventsnn.simulate.engines.blocks import WIDTH, block_count
from eventsnn.simulate.engines.layer_run import LayerRun
from eventsnn.simulate.simulation import run_whole
from eventsnn.trace.adjoint import sweep
from eventsnn.trace.record import SpikeRecord
from eventsnn.trace.schema import source_name
from eventsnn.trace.synapses import Synapses
from eventsnn.train.derivatives import merged_order
from eventsnn.train.downward import Learner, Outcome
from eventsnn.train.frozen_prefix import FrozenPrefix
from eventsnn.train.graph_errors import GraphErrors
from eventsnn.train.graph_weights import GraphWeights
from eventsnn.train.joined import Inputs, run_joined


@dataclass
class GraphRun:
    """A mini-batch after the forward pass.

    Attributes
    ----------
    network : Network
        With the weights that it ran with.
    records : list of SpikeRecord
        Of each sample.
    durations : float64 array (samples,)
        When each sample ends, ms; see `Arrivals.ends`.
    """

    network: Network
    records: list[SpikeRecord]
    durations: np.ndarray


class GraphLearner(Learner[GraphRun]):
    """A network of any graph in exact time, forward and backward.

    Parameters
    ----------
    weights : GraphWeights
        Read again for each mini-batch.
    prefix : FrozenPrefix, optional
        What the input spikes go through first.
    """

    def __init__(self, weights: GraphWeights, prefix: FrozenPrefix | None = None) -> None:
        self.weights, self.prefix = weights, prefix
        self.engine = ENGINES.get("queue")
        # Where weights stay sparse the engine computes in float64 only, and much faster so.
        dtype = np.dtype(weights.real).name
        if dtype == "float32":
            dtype = self.engine.fastest_dtype(weights.network)
        self.settings = self.engine.settle(weights.network, Settings(dtype))

    def forward(self, samples: Arrivals, threads: Pool) -> GraphRun:
        network, ends = self.weights.trained(), samples.ends
        if self.prefix is not None:
            samples = self.prefix.spikes(samples, threads)
        records: list[SpikeRecord | None] = [None] * len(samples)
        counter = WorkCounter(len(samples))

        def work() -> None:
            while (sample := counter.take()) >= 0:
                end = float(ends[sample])
                stop = end if network.is_recurrent else None
                train = samples.sample(sample)
                records[sample] = run_whole(self.engine, network, train, self.settings, stop, end)

        threads.share(work)
        return GraphRun(network, [record for record in records if record is not None], ends)

    def counts(self, run: GraphRun, number: int) -> np.ndarray:
        name = run.network.names[number - 1]
        return np.array([record[name].counts for record in run.records])

    def votes(self, run: GraphRun) -> np.ndarray:
        return np.array([record.votes for record in run.records])

    def accumulate(
        self,
        states: dict[str, OptimiserState],
        run: GraphRun,
        labels: np.ndarray,
        sample_weights: np.ndarray,
        rule: Rule,
        threads: Pool,
        updates: Mapping[str, Step] | None = None,
    ) -> Outcome:
        if rule.sends == "errors":
            down = GraphErrors(self.weights, states, run.records, run.durations, rule, threads)
            return down.run(labels, sample_weights, updates or {})
        outcome, synapses = _derive(run, labels, sample_weights, rule, threads)
        for key, gradient in synapses.collect().items():
            self.weights.add_gradient(key, gradient, states[key])
        for step in (updates or {}).values():
            step.run(threads.share)
        return outcome


def _derive(
    run: GraphRun, labels: np.ndarray, sample_weights: np.ndarray, rule: Rule, threads: Pool
) -> tuple[Outcome, Synapses]:
    """The losses, and the derivatives by all weights of their sum."""
    network = run.network.lowered
    last = len(network.layers) - 1
    parts, seen = [], []
    for number in range(last + 1):
        inputs = Inputs.of(network, number)
        parts.append(
            run_joined(
                network, run.records, run.durations, number, inputs.projections, np.float64, threads.share
            )
        )
        seen.append(activity(run, number, parts[-1], inputs.size, threads.share))
    loss, derivatives = rule.spike_losses(seen[last], labels, run.durations)
    derivatives = derivatives[merged_order(network.layers[last], parts[last])]
    each = np.split(derivatives, parts[last].spikes.ptr[1:-1])
    seeds = [
        {(last, row): float(part[row] * weight) for row in np.flatnonzero(part).tolist()}
        for part, weight in zip(each, sample_weights.tolist(), strict=True)
    ]
    synapses = _sweep_samples(run, seeds, rule, threads)
    for number, layer in enumerate(seen):
        pull = rule.silent_gradients(layer, labels if number == last else None)
        if pull.any():
            _pull_silent(run, synapses, number, pull)
    return Outcome(loss, 0), synapses


def _sweep_samples(
    run: GraphRun, seeds: list[dict[tuple[int, int], float]], rule: Rule, threads: Pool
) -> Synapses:
    """Hand the derivatives of all samples down; their sums by weight, added in the order of the samples."""
    synapses = Synapses(run.network)
    least = [rule.slope_floor(layer.lif) for layer in run.network.layers]
    each = [synapses.fork() if seed else None for seed in seeds]
    counter = WorkCounter(len(seeds))

    def work() -> None:
        while (sample := counter.take()) >= 0:
            own = each[sample]
            if own is not None:
                sweep(run.network, run.records[sample], seeds[sample], own, least)

    threads.share(work)
    for own in each:
        if own is not None:
            synapses.found += own.found
    return synapses


def _pull_silent(run: GraphRun, synapses: Synapses, number: int, pull: np.ndarray) -> None:
    """Add `pull` (samples, neurons) to the gradients of a layer's weights from all neurons that fired."""
    for place, p in enumerate(run.network.projections):
        if p.target == number and not p.lateral:
            source = source_name(run.network, p)
            fired = np.array([record[source].counts > 0 for record in run.records], np.float64)
            synapses.add(place, fired, pull)


def activity(run: GraphRun, number: int, part: LayerRun, inputs: int, share: Share) -> Activity:
    """A layer as rules see it; it has no weights."""
    layer = run.network.layers[number]
    weights = np.broadcast_to(np.float64(0.0), (block_count(layer.neurons), inputs, WIDTH))
    return Activity(
        layer.lif, layer.neurons, constants_of(layer.lif), weights, part.input, *part.by_block, share
    )
