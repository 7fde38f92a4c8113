"""Errors of neurons on their way down through a network with recurrent and skip connections: ST-RSBP.

A layer is one dense layer of all its inputs (`eventsnn.train.joined`), so that gradients, self terms and
errors of its sources are those of a chain (`eventsnn.train.errors`). Errors come to a layer from every layer
that it feeds, and go around in its own loops first (`eventsnn.learn.recurrent`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.threads import Pool, call
from eventsnn.learn.charges import Activity
from eventsnn.learn.optimisers import Step
from eventsnn.learn.recurrent import recurrent_errors
from eventsnn.learn.rule import LayerOptions, Rule
from eventsnn.model import Network
from eventsnn.reference.lif import record as constants_of
from eventsnn.reference.macro import ratio_by_pre
from eventsnn.simulate.engines.arrivals import Arrivals, LayerInput
from eventsnn.simulate.engines.batch import BatchRun
from eventsnn.simulate.engines.blocks import WIDTH, unpack
from eventsnn.simulate.engines.layer_run import LayerRun, order_by_block
from eventsnn.train.downward import EVERY, LayerState, Outcome
from eventsnn.train.exact import reverse
from eventsnn.train.exact_errors import ExactErrors, count_arrivals
from eventsnn.train.graph_weights import GraphWeights
from eventsnn.train.joined import GraphRun, Inputs, run_joined


@dataclass
class JoinedWeights:
    """Weights of all layers, each with those of all its inputs; what `ExactErrors` asks of packed ones."""

    network: Network
    blocks: dict[str, np.ndarray]
    constants: list[np.ndarray]


@dataclass
class JoinedState:
    """Weights of all inputs of a layer, and what of an optimiser's state `ExactErrors` needs."""

    weights: np.ndarray
    gradient: np.ndarray
    row_sum: np.ndarray


class GraphErrors(ExactErrors):
    """The way down through all layers, output first.

    Parameters
    ----------
    weights, states, run, rule, threads
        As of `eventsnn.train.graph_derivatives.GraphDerivatives`.
    """

    def __init__(
        self,
        weights: GraphWeights,
        states: Mapping[str, LayerState],
        run: GraphRun,
        rule: Rule,
        threads: Pool,
    ) -> None:
        network, share = weights.network, threads.share
        self.graph_weights, self.graph_run = weights, run
        self.inputs = [Inputs.of(network, n) for n in range(len(network.layers))]
        self.each_state, joined = states, {}
        for layer, inputs in zip(network.layers, self.inputs, strict=True):
            by_key = [weights.dense_block(key) for key in inputs.first]
            block = np.ascontiguousarray(np.concatenate(by_key, axis=1))
            row_sum = np.sum([states[key].row_sum for key in inputs.first], axis=0)
            joined[str(layer.name)] = JoinedState(block, np.zeros_like(block), row_sum)
        packed = JoinedWeights(
            network,
            {name: state.weights for name, state in joined.items()},
            [constants_of(layer.lif) for layer in network.layers],
        )
        runs = [
            [run_joined(network, run, n, inputs.projections, weights.real, share)]
            for n, inputs in enumerate(self.inputs)
        ]
        samples = Arrivals.join([(record.input.times, record.input.neurons) for record in run.records])
        super().__init__(packed, joined, BatchRun(samples, [*runs], run.durations), rule, threads)
        self.network = network

    def run(self, labels: np.ndarray, sample_weights: np.ndarray, updates: Mapping[str, Step]) -> Outcome:
        outcome = self.begin(labels, sample_weights)
        self.errors = [np.zeros((self.samples, layer.neurons)) for layer in self.layers]
        self.errors[-1] += self.above
        for number in range(len(self.layers) - 1, -1, -1):
            self.above = self._around_loops(number, self.of_kept(number, self.errors[number]))
            state = self.states[str(self.layers[number].name)]
            self.learn_layer(number, state, None)
            if len(self.own_blocks(number, len(state.gradient))) < len(state.gradient):
                self.division.ranks.complete(state.gradient)
            for key, first in self.inputs[number].first.items():
                self.graph_weights.add_block(key, state.gradient, first, self.each_state[key])
        for step in updates.values():
            step.run(self.threads.share)
        return outcome

    @property
    def plain(self) -> bool:
        """What goes down from a layer is read at once: see `to_sources`."""
        return False

    def options(self, number: int) -> LayerOptions:
        return self.rule.layer_options(self.layers[number], None)  # each source has a divisor of its own

    def input_counts(self, number: int, run: LayerRun, samples: slice) -> np.ndarray:
        return count_arrivals(run.input.arrivals, self.inputs[number].size)

    def hands_down(self, number: int) -> bool:
        return True

    def dropped_inputs(self, number: int, samples: slice) -> np.ndarray | None:
        dropped = np.zeros((self.samples, self.inputs[number].size), bool)
        for p, first in self.inputs[number].projections:
            if p.source + 1 in self.kept:
                dropped[:, first : first + self.network.source_size(p.source)] = ~self.kept[p.source + 1]
        return dropped if dropped.any() else None

    def below_shape(self, number: int, units: int) -> tuple[int, int]:
        return units, self.inputs[number].size

    def to_sources(self, number: int, below: np.ndarray) -> np.ndarray:
        for p, first in self.inputs[number].projections:
            if p.source >= 0 and p.source != number:
                of_source = below[:, first : first + self.layers[p.source].neurons]
                options = self.rule.layer_options(self.layers[number], self.layers[p.source])
                self.errors[p.source] += of_source / options.divisor
        return np.empty((self.samples, 0))

    def _around_loops(self, number: int, direct: np.ndarray) -> np.ndarray:
        """The errors of a layer, from those that come from above, with what goes around within it."""
        loops = [p for p, _ in self.inputs[number].projections if p.source == number]
        if not loops:
            return direct
        size, real = self.layers[number].neurons, self.graph_weights.real
        side_by_side = [(p, n * size) for n, p in enumerate(loops)]
        arrived = run_joined(
            self.network, self.graph_run, number, side_by_side, real, self.threads.share
        ).input.arrivals
        weights = np.concatenate([self.graph_weights.dense_block(p.key) for p in loops], axis=1)
        unpacked = unpack(weights, size).astype(np.float64)
        own = self.division.ranks.part(self.samples)
        errors, counter = direct.copy(), WorkCounter(own.stop, own.start)

        def work() -> None:
            while (sample := counter.take()) >= 0:
                if direct[sample].any():
                    train = Arrivals.single(*arrived.sample(sample))
                    coupling = self._coupling(number, sample, train, weights, unpacked)
                    errors[sample] = recurrent_errors(direct[sample], coupling)

        self.threads.share(work, counter)
        self.division.ranks.complete(errors)
        return errors

    def _coupling(
        self, number: int, sample: int, arrived: Arrivals, weights: np.ndarray, unpacked: np.ndarray
    ) -> np.ndarray:
        """C[i, p] = w_ip rho_{i|p} / nu_p within a layer, in one sample; float64 (neurons, neurons).

        `arrived` are the spikes of its loops, `weights` those of the loops side by side.
        """
        layer, constants = self.layers[number], self.packed.constants[number]
        fired = self.layer_run(number, EVERY).spikes.sample(sample)
        given = LayerInput.of(arrived, constants, self.graph_weights.real)
        run = order_by_block(given, Arrivals.single(*fired), layer)
        activity = Activity(layer.lif, layer.neurons, constants, weights, given, *run.by_block, call)
        one = np.ones((1, len(weights) * WIDTH), weights.dtype)
        matrix = np.zeros_like(weights)
        reverse(activity, self.rule.charges(activity, one), 0.0 * one, matrix, None, derive=False)
        options, rho = self.rule.layer_options(layer, layer), np.ones_like(unpacked)
        if options.effect_ratio:
            (pre_counts,) = count_arrivals(arrived, unpacked.shape[1])
            e = unpack(matrix, layer.neurons).astype(np.float64)
            rho = ratio_by_pre(e, pre_counts, run.unit_counts[0])
        # What comes to a silent neuron does not change its count: it hands nothing on within its layer.
        effects = np.where(run.unit_counts[0][:, None] > 0, unpacked * rho / options.divisor, 0.0)
        return effects.reshape(layer.neurons, -1, layer.neurons).sum(axis=1)
