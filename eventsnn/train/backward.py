"""Training in exact time; the way down through the layers is that of `eventsnn.train.downward`.

What goes down from layer to layer is the rule's choice (eventsnn.learn.rule):

- errors of neurons, with one matrix of spike-train level PSPs for each unit (eventsnn._ext.rule); none is
  needed of the first layer, whose gradient is a sum over input events (`eventsnn.train.exact_errors`);
- derivatives by the time of each spike, for which the same sum over events serves in every layer
  (`eventsnn.train.derivatives`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from eventsnn._util.threads import Pool
from eventsnn.learn.constants import NO_CONSTANTS, LearnedConstants
from eventsnn.learn.optimisers import Optimiser, Step
from eventsnn.learn.rule import Rule
from eventsnn.simulate.engines.arrivals import EVERYONE, Arrivals, Kept
from eventsnn.simulate.engines.batch import BatchRun, prepare_ahead
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.trace.record import SpikeRecord
from eventsnn.train.derivatives import DerivativesDown
from eventsnn.train.downward import LayerState, Learner, Observer, Outcome
from eventsnn.train.exact_errors import ExactErrors, goes_down_divided, takes_held
from eventsnn.train.frozen_prefix import FrozenPrefix
from eventsnn.train.learner import run_forward


class ExactLearner(Learner[BatchRun]):
    """A network in exact time, forward and backward.

    Parameters
    ----------
    packed : PackedNetwork
        Its weights are read again for each mini-batch.
    prefix : FrozenPrefix, optional
        What the input spikes go through first.
    constants : LearnedConstants, optional
        What is learned besides weights, where the rule sends derivatives.
    rule : Rule, optional
        That of every `accumulate`, which several ranks have to know in the forward pass.
    """

    def __init__(
        self,
        packed: PackedNetwork,
        prefix: FrozenPrefix | None = None,
        constants: LearnedConstants | None = None,
        rule: Rule | None = None,
    ) -> None:
        self.packed, self.prefix = packed, prefix
        self.divide = rule is not None and goes_down_divided(rule)
        self.constants = constants or LearnedConstants((), Optimiser())

    def forward(self, samples: Arrivals, threads: Pool, kept: Kept = EVERYONE) -> BatchRun:
        return run_forward(self.packed, samples, threads, self.prefix, kept, True, self.divide)

    def prepare(self, samples: Arrivals) -> Arrivals:
        # A delay or a time constant that is learned will be another.
        if self.prefix is not None or self.constants:
            return samples
        return prepare_ahead(self.packed, samples, reverse=True)

    def counts(self, run: BatchRun, number: int) -> np.ndarray:
        return run.layer_counts(number - 1)

    def output_spikes(self, run: BatchRun) -> Arrivals:
        return run.layer_spikes(-1)

    def votes(self, run: BatchRun) -> np.ndarray:
        return run.votes(self.packed.network)

    def records(self, run: BatchRun, samples: Arrivals, threads: Pool) -> Sequence[SpikeRecord]:
        real = np.dtype(self.packed.real).name
        above = run.records(self.packed.network, "sweep", real)
        return above if self.prefix is None else self.prefix.stack(samples, above, threads)

    def change(self, constants: Mapping[str, Mapping[str, Any]]) -> None:
        self.packed.change(constants)

    def accumulate(
        self,
        states: Mapping[str, LayerState],
        run: BatchRun,
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
        kind = DerivativesDown if rule.sends == "derivatives" else ExactErrors
        if kind is not ExactErrors or observer is not None or not takes_held(self.packed, rule, kept):
            _ = run.layers  # all of them are needed now
        down = kind(self.packed, states, run, rule, threads)
        down.kept, down.division = kept, self.packed.division
        if isinstance(down, DerivativesDown):
            down.constants = self.constants if observer is None else NO_CONSTANTS
            down.to_inputs = to_inputs
        down.observer = observer
        return down.run(labels, sample_weights, updates or {})
