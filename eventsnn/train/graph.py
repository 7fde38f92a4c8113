"""Training of networks of any graph: recurrent, lateral, skip and feedback connections, dense or sparse.

Forward every recording runs by itself through the queue engine, or its windowed schedule where weights are
sparse. A network with loops may fire for ever: there a recording ends where its input does, or at the stated
duration. The way back is `eventsnn.train.graph_derivatives` or `eventsnn.train.graph_errors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.threads import Pool
from eventsnn.learn.constants import NO_CONSTANTS, LearnedConstants
from eventsnn.learn.optimisers import Optimiser, Step
from eventsnn.learn.rule import Rule
from eventsnn.simulate.driver import run_whole
from eventsnn.simulate.edits import silenced
from eventsnn.simulate.engines import ENGINES, Settings
from eventsnn.simulate.engines.arrivals import EVERYONE, Arrivals, Kept
from eventsnn.simulate.engines.division import WHOLE, Division
from eventsnn.trace.record import SpikeRecord
from eventsnn.train.downward import LayerState, Learner, Observer, Outcome
from eventsnn.train.frozen_prefix import FrozenPrefix
from eventsnn.train.graph_derivatives import GraphDerivatives
from eventsnn.train.graph_errors import GraphErrors
from eventsnn.train.graph_weights import GraphWeights
from eventsnn.train.joined import GraphRun


class GraphLearner(Learner[GraphRun]):
    """A network of any graph in exact time, forward and backward.

    Parameters
    ----------
    weights : GraphWeights
        Read again for each mini-batch.
    prefix : FrozenPrefix, optional
        What the input spikes go through first.
    constants : LearnedConstants, optional
        What is learned besides the weights; none by default.
    division : Division
        Who runs which samples, and goes back through which. All processes hold and update all weights.
    """

    def __init__(
        self,
        weights: GraphWeights,
        prefix: FrozenPrefix | None = None,
        constants: LearnedConstants | None = None,
        division: Division = WHOLE,
    ) -> None:
        self.weights, self.prefix, self.division = weights, prefix, division
        self.constants = constants or LearnedConstants((), Optimiser())
        # A layer that learns delays of its source neurons may begin with one for all.
        if self.constants.by_source:
            weights.change(self.constants.by_source)
        self.engine = ENGINES.get("queue")
        # Where weights stay sparse the engine computes in float64 only, and much faster so.
        dtype = np.dtype(weights.real).name
        if dtype == "float32":
            dtype = self.engine.fastest_dtype(weights.network)
        self.settings = self.engine.settle(weights.network, Settings(dtype))

    def forward(self, samples: Arrivals, threads: Pool, kept: Kept = EVERYONE) -> GraphRun:
        network, ends = self.weights.trained(), samples.ends
        if self.prefix is not None:
            samples = self.prefix.spikes(samples, threads)
        if 0 in kept:
            samples = samples.where(kept[0])
        dropped = {network.names[n - 1]: ~there for n, there in kept.items() if n}
        records: list[SpikeRecord | None] = [None] * len(samples)
        own = self.division.ranks.part(len(samples))
        counter = WorkCounter(own.stop, own.start)

        def work() -> None:
            while (sample := counter.take()) >= 0:
                end = float(ends[sample])
                stop = end if network.is_recurrent else None
                train = samples.sample(sample)
                # A dropped neuron is one that never fires: nothing reaches it.
                out = {name: np.flatnonzero(each[sample]) for name, each in dropped.items()}
                left = silenced(network, out) if out else network
                records[sample] = run_whole(self.engine, left, train, self.settings, stop, end)

        threads.share(work, counter)
        of_ranks = self.division.ranks.collect(records[own.start : own.stop])
        return GraphRun(network, [record for part in of_ranks for record in part if record is not None], ends)

    def counts(self, run: GraphRun, number: int) -> np.ndarray:
        name = run.network.names[number - 1]
        return np.array([record[name].counts for record in run.records])

    def output_spikes(self, run: GraphRun) -> Arrivals:
        return Arrivals.join([(record.output.times, record.output.neurons) for record in run.records])

    def votes(self, run: GraphRun) -> np.ndarray:
        return np.array([record.votes for record in run.records])

    def accumulate(
        self,
        states: Mapping[str, LayerState],
        run: GraphRun,
        labels: np.ndarray,
        sample_weights: np.ndarray,
        rule: Rule,
        threads: Pool,
        updates: Mapping[str, Step] | None = None,
        kept: Kept = EVERYONE,
        observer: Observer | None = None,
        *,
        to_inputs: bool = False,
    ) -> Outcome:
        if rule.sends == "errors":
            down = GraphErrors(self.weights, states, run, rule, threads)
            down.kept, down.observer, down.division = kept, observer, self.division
            return down.run(labels, sample_weights, updates or {})
        walk = GraphDerivatives(self.weights, states, run, rule, threads)
        walk.kept, walk.observer = kept, observer
        constants = self.constants if observer is None else NO_CONSTANTS
        if not (constants or to_inputs) and observer is None:  # these ask for what was found in each sample
            walk.ranks = self.division.ranks
        return walk.run(labels, sample_weights, updates or {}, constants, to_inputs)

    def records(self, run: GraphRun, samples: Arrivals, threads: Pool) -> list[SpikeRecord]:
        return run.records if self.prefix is None else self.prefix.stack(samples, run.records, threads)

    def change(self, constants: Mapping[str, Mapping[str, Any]]) -> None:
        self.weights.change(constants)
