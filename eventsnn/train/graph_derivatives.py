"""Exact derivatives through a network of any graph: one walk over all spikes in reverse order of time.

In a loop a spike hands something on to earlier spikes of its own layer, so layers cannot be gone through one
by one; the walk is that of `eventsnn.trace.adjoint`, sample by sample, in float64.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.ranks import ALONE, Ranks
from eventsnn._util.threads import Pool
from eventsnn.learn.charges import Activity
from eventsnn.learn.constants import LearnedConstants, constant_derivatives
from eventsnn.learn.optimisers import Step
from eventsnn.learn.rule import Rule
from eventsnn.model.sparse import is_sparse
from eventsnn.reference.lif import record as constants_of
from eventsnn.simulate.engines.arrivals import EVERYONE, Kept
from eventsnn.simulate.engines.blocks import WIDTH, block_count
from eventsnn.simulate.engines.layer_run import order_by_block
from eventsnn.trace.adjoint import Sweep, sweep
from eventsnn.trace.schema import source_name
from eventsnn.trace.synapses import Synapses
from eventsnn.train.derivatives import merged_order
from eventsnn.train.downward import LayerState, Observer, Outcome
from eventsnn.train.graph_weights import GraphWeights
from eventsnn.train.joined import GraphRun, Inputs, join_weights, run_joined
from eventsnn.train.readout import GraphReadout

Seeds = dict[tuple[int, int], float]
"""Derivatives of the loss by (layer, row of its record)."""


GROUPS = 4
"""Parts of a mini-batch whose gradients are added up apart, whatever the number of threads: each takes the
memory of all weights."""


class GraphDerivatives:
    """The way back of one mini-batch.

    An `observer` is told the derivatives of the one sample that there is then.

    Parameters
    ----------
    weights : GraphWeights
    states : dict of str to OptimiserState
        Gradients are added to theirs.
    run : GraphRun
    rule, threads

    Attributes
    ----------
    kept : Kept
        Neurons that were not dropped in the forward pass.
    ranks : Ranks
        The processes that go back through the samples.
    """

    ranks: Ranks = ALONE
    kept: Kept = EVERYONE
    observer: Observer | None = None

    def __init__(
        self,
        weights: GraphWeights,
        states: Mapping[str, LayerState],
        run: GraphRun,
        rule: Rule,
        threads: Pool,
    ) -> None:
        self.weights, self.states, self.rule, self.threads = weights, states, rule, threads
        self.network, self.records, self.ends = run.network, run.records, run.durations
        self.graph_run = run
        dense, share = self.network.lowered, threads.share
        self.inputs = [Inputs.of(dense, n, lateral=True) for n in range(len(dense.layers))]
        self.runs = [
            run_joined(dense, run, n, inputs.projections, np.float64, share)
            for n, inputs in enumerate(self.inputs)
        ]

    def run(
        self,
        labels: np.ndarray,
        sample_weights: np.ndarray,
        updates: Mapping[str, Step],
        constants: LearnedConstants,
        to_inputs: bool = False,
    ) -> Outcome:
        """Add up the gradients of all weights and constants, and update the weights."""
        last, synapses = len(self.runs) - 1, Synapses(self.network)
        self.delays = np.zeros(synapses.delays)
        seen = [self.activity(number) for number in range(last + 1)]
        if self.network.output.fires:
            loss, seeds = self._seed_spikes(seen[last], labels, sample_weights)
        else:
            readout = GraphReadout(self.network, self.records, self.ends)
            loss, errors = self.rule.readout_losses(readout.found.values, labels)
            seeds = readout.pull(errors * sample_weights[:, None], synapses, self.delays)
            # So that a maximum above 0 counts as a spike; a mean, which always has a derivative, is left out.
            self.runs[last] = order_by_block(self.runs[last].input, readout.found.maxima, self.network.output)
            seen[last:] = [self.activity(last)] if self.network.decides == "max" else []
        # What the readout has from the input directly goes through no layer.
        direct = [{row: part.pop((-1, row)) for layer, row in list(part) if layer < 0} for part in seeds]
        swept = self._sweep(synapses, seeds)
        self._show(swept[0])
        for number, layer in enumerate(seen):
            pull = layer.of_kept(self.rule.silent_gradients(layer, labels if number == last else None))
            if pull.any():
                self._pull_silent(synapses, number, pull)
        for key, gradient in synapses.collect().items():
            self.weights.add_gradient(key, gradient, self.states[key])
        if constants:
            self._add_constants(constants, swept, synapses)
        for step in updates.values():
            step.run(self.threads.share)
        return Outcome(loss, 0, self._by_inputs(swept, direct) if to_inputs else None)

    def _by_inputs(self, swept: list[Sweep | None], direct: list[dict[int, float]]) -> np.ndarray:
        """Derivatives by the times of the input spikes, sample after sample.

        `direct` has, by number of the spike, what did not go through a layer.
        """
        each = []
        for record, found, more in zip(self.records, swept, direct, strict=True):
            part = np.zeros(len(record.input))
            if found is not None:
                part += found.trains.part(found.totals, -1)
            part[list(more)] += list(more.values())
            each.append(part)
        return np.concatenate(each)

    def _show(self, found: Sweep | None) -> None:
        """Tell the observer, if there is one, what the sweep of the one sample found."""
        if self.observer is not None:
            for number, name in enumerate(self.network.names):
                spikes = len(self.records[0][name])
                derivatives = np.zeros(spikes) if found is None else found.trains.part(found.totals, number)
                if self.network.layers[number].fires:
                    self.observer.see("spike_derivatives", name, derivatives)

    def _seed_spikes(
        self, output: Activity, labels: np.ndarray, sample_weights: np.ndarray
    ) -> tuple[np.ndarray, list[Seeds]]:
        """Losses of the samples, and their derivatives by the output spikes."""
        last = len(self.runs) - 1
        loss, derivatives = self.rule.spike_losses(output, labels, self.ends)
        derivatives = derivatives[merged_order(self.network.lowered.layers[last], self.runs[last])]
        each = np.split(derivatives, self.runs[last].spikes.ptr[1:-1])
        seeds: list[Seeds] = [
            {(last, row): float(part[row] * weight) for row in np.flatnonzero(part).tolist()}
            for part, weight in zip(each, sample_weights.tolist(), strict=True)
        ]
        return loss, seeds

    def activity(self, number: int, weighted: bool = False) -> Activity:
        """A layer as rules see it; it has no weights unless `weighted`."""
        layer, run, inputs = self.network.lowered.layers[number], self.runs[number], self.inputs[number]
        if weighted:
            network = self.network.lowered
            if any(p.branches is not None and p.branches.each_synapse for p, _ in inputs.projections):
                inputs = Inputs.of(network, number, lateral=True, apart=True)
                projections, share = inputs.projections, self.threads.share
                run = run_joined(network, self.graph_run, number, projections, np.float64, share, apart=True)
            weights = join_weights(network, number, inputs)
        else:
            weights = np.broadcast_to(np.float64(0.0), (block_count(layer.neurons), inputs.size, WIDTH))
        constants, share = constants_of(layer.lif), self.threads.share
        kept = self.kept.get(number + 1)
        return Activity(layer.lif, layer.neurons, constants, weights, run.input, *run.by_block, share, kept)

    def _sweep(self, synapses: Synapses, seeds: list[Seeds]) -> list[Sweep | None]:
        """Hand the derivatives of all samples down; their sums by weight are added in the samples' order."""
        least = [self.rule.slope_floor(layer.lif) for layer in self.network.layers]
        groups = np.array_split(np.arange(len(seeds)), min(GROUPS, len(seeds)))
        each = [synapses.fork() for _ in groups]
        swept: list[Sweep | None] = [None] * len(seeds)
        own = self.ranks.part(len(groups))
        counter = WorkCounter(own.stop, own.start)

        def work() -> None:
            while (number := counter.take()) >= 0:
                for sample in groups[number].tolist():
                    if seeds[sample]:
                        record, sums = self.records[sample], each[number]
                        swept[sample] = sweep(self.network, record, seeds[sample], sums, least)

        self.threads.share(work, counter)
        for number, sums in enumerate(each):
            self.ranks.spread(sums.found, self.ranks.owner(len(groups), number))
            synapses.found += sums.found
        return swept

    def _pull_silent(self, synapses: Synapses, number: int, pull: np.ndarray) -> None:
        """Add `pull` (samples, neurons) to the gradients of a layer's weights from all neurons that fired."""
        for place, p in enumerate(self.network.projections):
            if p.target == number and not p.lateral:
                source = source_name(self.network, p)
                fired = np.array([record[source].counts > 0 for record in self.records], np.float64)
                synapses.add(place, fired, pull)

    def _add_constants(
        self, constants: LearnedConstants, swept: list[Sweep | None], synapses: Synapses
    ) -> None:
        """Add the derivatives by delays, time constants and thresholds that are learned."""
        network, names = self.network, self.network.names
        delays = self.delays
        for found in swept:
            if found is not None:
                delays += found.delays
        for number, layer in enumerate(network.layers):
            learned = constants.of(layer)
            if not learned.keys() - {"delay", "delays"}:
                continue
            # In the order of the record, sample after sample, and from there in that of the activity.
            charges = np.concatenate(
                [
                    np.zeros((len(record[names[number]]), 2)) if found is None else found.charges(number)
                    for record, found in zip(self.records, swept, strict=True)
                ]
            )
            by_block = np.empty_like(charges)
            by_block[merged_order(network.lowered.layers[number], self.runs[number])] = charges
            seen = self.activity(number, weighted=bool(learned.keys() & {"tau_m", "tau_s"}))
            for name, derivative in constant_derivatives(seen, by_block, learned).items():
                learned[name].gradient += derivative
        parts = {str(layer.name): layer for layer in network.layers} | {c.key: c for c in network.connections}
        for key, derivative in synapses.collect_delays(delays).items():
            learned = constants.of(parts[key]) if key in parts else {}
            for name in learned.keys() & {"delay", "delays"}:
                learned[name].gradient += derivative.data if is_sparse(derivative) else derivative
