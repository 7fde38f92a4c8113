"""Errors of neurons on their way down, in exact time.

A layer whose weights fit a cache, as those of the last layer nearly always do, is gone through sample by
sample, without Python between. What it does in a sample is a list of stages (`eventsnn._ext.team.Stage`):

================== =================================================== ============================
stage              reads, of its sample                                writes, of its sample
================== =================================================== ============================
``merge_trains``   spikes of the layer below, block by block           the same, merged, and counts
``deliver_spikes`` merged spikes, those of the bias neuron             arrivals
``fill_tables``    arrivals                                            tables of the arrivals
``sweep_blocks``   arrivals, tables; also the layer's weights          spikes of the layer
``count_errors``   spikes of the layer; also labels, weights of the    counts, loss, errors, forced
                   samples, durations                                  spikes
``charge_counts``  spikes of the layer, forced ones, where errors are  charges
``learn_units``    arrivals, tables, spikes, charges, errors, counts   ``own``: gradient of the
                   of both layers; also the layer's weights and their  layer, ``below``: errors of
                   row sums                                            the layer below
``direct_factors`` ``below``, counts of the first layer; also the row  ``factor``, ``fill`` of the
                   sums of its weights                                 first layer
================== =================================================== ============================

A `Pipeline` does some of them for the samples of its first stage's counter, in any order: nothing of a sample
depends on another. The first five are one pipeline, which is begun while Python prepares the other, the last
three. The forward pass holds it back for that (`eventsnn.simulate.engines.batch.Held`) where the rule counts
spikes (`Rule.count_targets`). Elsewhere the forward pass does the first four, and the losses, errors and
forced spikes are the rule's, in Python. `direct_factors` is there in networks of two layers.

Convolution and pooling layers that follow each other have one stage each, which does all of this in its
sample, what arrives at each position being made in memory of the thread:

=================== ================================================== ============================
``sweep_positions`` spikes of the layer below; also the weights        spikes of the layer, merged,
                                                                       and counts
``learn_positions`` spikes of both layers, errors; also the weights    ``own``, ``below``
                    and their row sums
=================== ================================================== ============================

The former are a pipeline of the forward pass (`eventsnn.simulate.engines.positions`). The latter come after
``learn_units`` of a layer that goes by sample, else in a pipeline by themselves. Beside them, for threads
that find no sample left, the weights of the layer above are updated.

Two things follow when all samples are done: their gradients are added up in the order of the samples
(``complete_blocks``), and the first layer's gradient is summed by blocks of its neurons (``charge_counts`` by
block, ``reverse_blocks``), which needs ``factor`` and ``fill`` of all samples. With one thread samples come
in order: gradients are added at once, and ``own`` is empty.

Ranks that have divided the blocks of a layer divide the samples of the layers above it, if these all go by
sample (`eventsnn.simulate.engines.batch.divides_samples`): each has its samples alone, until what comes down
to the divided layer is exchanged. Gradients are added up from rank to rank (`eventsnn.train.sample_sums`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from eventsnn._ext.charges import charge_counts
from eventsnn._ext.count_errors import count_errors
from eventsnn._ext.optimiser import Update
from eventsnn._ext.rule import direct_factors
from eventsnn._ext.spsp_matrix import ExactSpsp
from eventsnn._ext.store import ForcedSpikes
from eventsnn._ext.team import Pipeline, Stage, Together
from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.threads import Pool, Share
from eventsnn.learn.charges import begin_charges
from eventsnn.learn.optimisers import Step
from eventsnn.learn.rule import Rule
from eventsnn.simulate.engines.arrivals import Arrivals, Kept, LayerInput
from eventsnn.simulate.engines.batch import BatchRun
from eventsnn.simulate.engines.blocks import WIDTH, pad
from eventsnn.simulate.engines.layer_run import LayerRun, fits_cache, order_by_block
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.train.downward import LayerState, Outcome, by_unit
from eventsnn.train.errors import NO_FACTORS, MakeMatrix
from eventsnn.train.exact import PackedLayers, begin_reverse, reverse
from eventsnn.train.sample_sums import SampleSums, Unfinished
from eventsnn.train.staged_errors import StagedErrors


@dataclass
class Coming:
    """What is to come of the output layer while it is held.

    Attributes
    ----------
    errors : float64 array (samples, blocks * WIDTH)
    there : real array like `errors`
        1 where there is an error.
    forced : ForcedSpikes
    """

    errors: np.ndarray
    there: np.ndarray
    forced: ForcedSpikes


class ExactErrors(StagedErrors):
    """Errors by the S-PSPs of exact spike times.

    The first layer hands nothing down, and its gradient needs no matrices: it is a sum over input events.
    """

    units_first = True  # what belongs to a position is made once for all its blocks

    def __init__(
        self,
        packed: PackedLayers,
        states: Mapping[str, LayerState],
        run: BatchRun,
        rule: Rule,
        threads: Pool,
    ) -> None:
        super().__init__(packed, states, run, rule, threads)
        self.coming: Coming | None = None
        self.batch = run
        self.sums: SampleSums | None = None

    def run(self, labels: np.ndarray, sample_weights: np.ndarray, updates: Mapping[str, Step]) -> Outcome:
        if self.divided:
            own = self.division.ranks.part(self.samples)
            part = slice(own.start, own.stop)
            labels, sample_weights, self.durations = labels[part], sample_weights[part], self.durations[part]
            self.own, self.samples = own, len(own)
        self.labels = labels
        outcome = super().run(labels, sample_weights, updates)
        following = self.finish_stages()
        if following:
            # Nothing of this mini-batch waits for updated weights.
            (self.threads.begin if updates else self.threads.share)(Together(following))
        if self.divided:
            self._join_samples()
        if self.sums is None:
            self._count_forced()
        else:
            self.sums.finish_relay(self.threads.share)
        return outcome

    def begin(self, labels: np.ndarray, sample_weights: np.ndarray) -> Outcome:
        self.outcome = self._begin(labels, sample_weights)
        return self.outcome

    def _begin(self, labels: np.ndarray, sample_weights: np.ndarray) -> Outcome:
        if self.held is None:
            return super().begin(labels, sample_weights)
        # The losses and the errors of the output layer are made in a stage, too.
        targets, output = self.rule.count_targets(), self.layers[-1]
        assert targets is not None
        shape = (self.samples, len(self.weights(-1)) * WIDTH)
        there, forced = np.empty(shape, self.weights(-1).dtype), ForcedSpikes(self.samples)
        self.coming = Coming(np.empty(shape), there, forced)
        self.lateral = NO_FACTORS
        self.above, loss = self.coming.errors, np.empty(self.samples)
        self.held.counts = np.empty((self.samples, output.neurons), np.int64)
        stage = count_errors(
            self.held.store,
            forced,
            np.ascontiguousarray(labels, np.int64),
            np.ascontiguousarray(sample_weights, np.float64),
            np.ascontiguousarray(self.durations, np.float64),
            *targets,
            float(output.threshold),
            self.held.counts,
            loss,
            self.coming.errors,
            there,
        )
        # What the layer learns is prepared meanwhile.
        self.held.begin([stage])
        return Outcome(loss, 0)

    def unit_errors(self, number: int, samples: slice) -> np.ndarray:
        if self.coming is not None and number == len(self.layers) - 1:
            return self.coming.errors
        return super().unit_errors(number, samples)

    def output_counts(self) -> np.ndarray:
        return self.runs[-1][0].counts

    def force_spikes(self, samples: np.ndarray, labels: np.ndarray) -> int:
        (top,) = self.runs[-1]
        trains, numbers = list[np.ndarray](), list[int]()
        for sample in samples.tolist():
            forced = self.rule.forced_spikes(self.durations[sample])
            if len(forced):
                trains.append(forced)
                numbers.append(sample)
                self.see("lent_spikes", len(self.layers) - 1, (forced, np.full(len(forced), labels[sample])))
        if trains:
            sizes, forced_in = [len(train) for train in trains], np.array(numbers)
            own = np.repeat(np.arange(self.samples), np.diff(top.spikes.ptr))
            sample = np.concatenate([own, np.repeat(forced_in, sizes)])
            forced_neurons = np.repeat(labels[forced_in], sizes).astype(np.int32)
            neurons = np.concatenate([top.spikes.neurons, forced_neurons])
            times = np.concatenate([top.spikes.times, *trains])
            order = np.lexsort((neurons, times, sample))
            ends = np.cumsum(np.bincount(sample, minlength=self.samples))
            spikes = Arrivals(times[order], neurons[order], np.concatenate([np.zeros(1, np.int64), ends]))
            self.runs[-1] = [order_by_block(top.input, spikes, self.layers[-1])]
        return len(trains)

    def lateral_matrices(self) -> MakeMatrix:
        (top,) = self.runs[-1]
        share = self.threads.share
        activity = self.activity(-1, top, share)
        every = np.ones((self.samples, len(activity.weights) * WIDTH))
        charges = self.rule.charges(activity, every)
        # In double precision: the factors are few, and feed back on themselves.
        own_spikes = LayerInput.of(top.spikes, activity.constants, np.float64, share)
        events = replace(activity, arrivals=own_spikes, after=np.empty(0, np.int32)).events
        return lambda: ExactSpsp(events, charges, top.counts)

    def matrices(self, number: int, samples: slice, errors: np.ndarray, share: Share) -> MakeMatrix:
        if self.coming is not None and self.held is not None and number == len(self.layers) - 1:
            constants, sources = self.packed.constants[number], self.source_counts(number, samples)
            coming = self.held.layer_input.coming_events(constants, self.held.store, self.coming.forced)
            none, counter = np.empty((0, 2)), WorkCounter(self.samples)
            self.stages.append(charge_counts(coming, self.coming.there, none, counter, True))
            assert sources is not None
            return partial(ExactSpsp, coming, none, sources)
        run = self.layer_run(number, samples)
        activity = self.activity(number, run, share)
        # Of a neuron without an error nobody asks for S-PSPs.
        factor = (errors != 0.0).astype(activity.weights.dtype)
        if self.learns_by_sample(number):
            charges, stage = begin_charges(activity, factor, by_unit=True)
            self.stages.append(stage)
        else:
            charges = self.rule.charges(activity, factor)
        sources, events = self.input_counts(number, run, samples), activity.events
        return lambda: ExactSpsp(events, charges, sources)

    def input_counts(self, number: int, run: LayerRun, samples: slice) -> np.ndarray:
        """Spikes of each input of a layer in each unit, int64 (units, inputs)."""
        layer, below = self.layers[number], self.source_counts(number, samples)
        if below is not None and not layer.has_bias:
            if layer.geometry.whole:
                return below
            counts = np.zeros((len(below), 1 + below.shape[1]), np.int64)
            counts[:, 1:] = below  # number 0, beyond the edge, never fires
            return counts[:, layer.geometry.rows + 1].reshape(-1, layer.inputs)
        return count_arrivals(run.input.arrivals, layer.inputs)

    def to_sources(self, number: int, below: np.ndarray) -> np.ndarray:
        layer = self.layers[number]
        if layer.geometry.whole:
            return super().to_sources(number, below)
        # Number 0 is for what lies beyond the edge, where rows are -1.
        numbers, sources = layer.geometry.rows.ravel() + 1, math.prod(layer.known_source)
        samples = below[:, : layer.patch].reshape(-1, len(numbers))
        return np.array([np.bincount(numbers, each, sources + 1)[1:] for each in samples])

    def applies_updates(self, number: int) -> bool:
        return number == 0 and len(self.layers) > 1

    def learns_by_sample(self, number: int) -> bool:
        """Whether a layer is gone through sample by sample, when what it makes is needed."""
        layer = self.layers[number]
        if not self.plain or not number or layer.ties_weights:
            return False
        return fits_cache(layer, self.weights(number), self.division)

    def learn_layer(self, number: int, state: LayerState | None, update: Step | None) -> None:
        if self.learns_positions(number):
            self.begin_positions(number, state, update)
            return
        # Only the factors of the first layer are made of its errors in a stage too.
        waits = self.plain and self.applies_updates(number) and not self.layers[number].shares_weights
        if not waits or number + 1 in self.kept or self.divided:
            self.finish_samples()
        if self.divided and number + 1 == self.batch.divided:
            self._join_samples()
        super().learn_layer(number, state, update)

    def step(self, number: int, update: Step) -> None:
        if self.unfinished and self.learns_by_sample(number):
            self.unfinished[-1].update = update
        elif number and (task := update.task()) is not None and self.learns_positions(number - 1):
            self.beside.append(task)
        else:
            super().step(number, update)

    def _count_forced(self) -> None:
        targets = self.rule.count_targets()
        if self.held is not None and self.held.counts is not None and targets is not None and targets[3]:
            of_label = self.held.counts[np.arange(len(self.labels)), self.labels]
            self.outcome.forced = int((of_label == 0).sum())

    def _join_samples(self) -> None:
        """Go on with all samples, from the layer that ranks have divided by blocks."""
        batch, ranks, outcome = self.batch, self.division.ranks, self.outcome
        assert batch.divided is not None
        unfinished, self.unfinished = self.unfinished, []
        self.divided, self.samples, self.durations = False, len(batch.samples), batch.durations
        self._count_forced()
        self.sums = SampleSums(unfinished)
        self.sums.begin_relay(ranks)
        numbers = range(batch.divided - 1, len(self.layers) - 1)
        counts = [batch.begun[number][0].counts for number in numbers]
        joined = [self.above, outcome.loss, batch.votes(self.packed.network), *counts]
        every = [np.empty((self.samples, *each.shape[1:]), each.dtype) for each in joined]
        for whole, each in zip(every, joined, strict=True):
            whole[self.own.start : self.own.stop] = each
        forced = np.full(ranks.size, outcome.forced)
        ranks.complete(*every, forced)
        self.sums.relay.advance()
        self.above, outcome.loss, batch.decided, *counts = every
        outcome.forced = int(forced.sum())
        for number, each in zip(numbers, counts, strict=True):
            run = replace(batch.begun[number][0], counts=each, unit_counts=each)
            batch.begun[number] = self.runs[number] = [run]

    def learn_samples(
        self, number: int, samples: slice, gradient: np.ndarray, update: Update | None, share: Share
    ) -> np.ndarray:
        if self.applies_updates(number):
            self._learn_first(samples, gradient, update, share)
            return np.empty(0)
        if not self.learns_by_sample(number):
            return super().learn_samples(number, samples, gradient, update, share)
        threads = self.threads.threads
        # Those of the first samples can be added at once.
        apart = threads > 1 or (self.divided and not self.division.ranks.first)
        learning = self.begin_learning(number, samples, gradient, share, threads, True, apart)
        self.stages.append(learning.stage)
        self.unfinished.append(Unfinished(gradient, learning.own, self.layers[number].channels))
        is_held = self.held is not None and number == len(self.layers) - 1
        arrived = self.held.layer_input if self.held and is_held else self.layer_run(number, samples).input
        if self.items is not None:
            self.items += 2 * len(gradient) * len(arrived.arrivals.times)
        return self.to_sources(number, learning.below[0])

    def _learn_first(self, samples: slice, gradient: np.ndarray, update: Update | None, share: Share) -> None:
        """`learn_samples` of the first layer, which needs no matrices."""
        layer, options, run = self.layers[0], self.options(0), self.layer_run(0, samples)
        activity, errors = self.activity(0, run, share), by_unit(layer, self.above[samples])
        if layer.positions > 1:
            errors = np.ascontiguousarray(errors)
        shape = (len(errors), len(gradient) * WIDTH)
        factor, fill = np.empty(shape, gradient.dtype), np.empty(shape, gradient.dtype)
        sums = self.row_sums(0, samples)
        sums = sums.reshape(len(sums), -1)
        how = float(layer.threshold), options.silent_spsp, options.silent_ratio
        factors = direct_factors(errors, run.unit_counts, sums, *how, factor, fill)
        if self.observer is not None:
            # The total PSP of a neuron that fired is nu for each spike, as `direct_factors` has it.
            padded, counts = self.to_units(0, self.above[samples]), pad(run.unit_counts, len(gradient))
            silent = options.silent_ratio * np.broadcast_to(sums, shape) / layer.threshold
            self.see_self_terms(0, padded, np.where(counts > 0, 1.0, silent))
        if layer.shares_weights:
            factors()
            charges = self.rule.charges(activity, factor)
            reverse(activity, charges, fill, gradient, update, derive=False)
            return
        self.stages.append(factors)
        sweep: list[Stage] = []

        def begin_sweep() -> None:
            """Meanwhile, since it takes nothing from the samples' stages but the arrays that they fill."""
            charges, stage = begin_charges(activity, factor)
            sweep.extend([stage, begin_reverse(activity, charges, fill, gradient, update)])

        if self.plain:
            self.threads.meanwhile(begin_sweep)
            following = self.finish_stages()
        else:
            following = self.finish_stages()
            charges = self.rule.charges(activity, factor)
            sweep.append(begin_reverse(activity, charges, fill, gradient, update))
        # Nothing of this mini-batch waits for the updated weights.
        (share if update is None else self.threads.begin)(Together([*following, Pipeline(sweep)]))


def count_arrivals(arrivals: Arrivals, inputs: int) -> np.ndarray:
    """Arrivals from each input in each unit, int64 (units, inputs)."""
    unit = np.repeat(np.arange(len(arrivals)), np.diff(arrivals.ptr))
    return np.bincount(unit * inputs + arrivals.neurons, minlength=len(arrivals) * inputs).reshape(-1, inputs)


def goes_down_divided(rule: Rule) -> bool:
    """Whether the way down follows ranks that have divided the samples of the last layers."""
    return rule.sends == "errors" and rule.usual_charges


def takes_held(packed: PackedNetwork, rule: Rule, kept: Kept) -> bool:
    """Whether the way down can begin before the last layer has run."""
    output = packed.network.output
    # PyTorch's losses stand before a rule and hand on what they do not do: theirs are not the rule's.
    own = getattr(rule.count_targets, "__self__", None) is rule and rule.count_targets() is not None
    return own and not rule.lateral_strength(output) and not output.has_bias and not kept
