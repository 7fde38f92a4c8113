"""Errors of neurons on their way down, in exact time: what is done sample by sample, as stages, and when.

The table of the stages is at the head of `eventsnn.train.exact_errors`.
"""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Mapping
from contextlib import nullcontext

import numpy as np

from eventsnn._ext.learn_positions import learn_positions
from eventsnn._ext.team import Pipeline, Stage, Task, Together
from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.threads import Pool
from eventsnn.learn.optimisers import Step
from eventsnn.learn.rule import Rule
from eventsnn.simulate.engines.batch import BatchRun
from eventsnn.simulate.engines.positions import SampleRuns
from eventsnn.train.downward import LayerState
from eventsnn.train.errors import ErrorsDown
from eventsnn.train.exact import ExactDownward, PackedLayers
from eventsnn.train.sample_sums import SampleSums, Unfinished


class StagedErrors(ErrorsDown, ExactDownward, ABC):
    """Errors in exact time, with stages for what is done in each sample apart from all others.

    Attributes
    ----------
    stages : list of Stage
        What is still to be done in each sample.
    items : int or None
        For how many spikes or arrivals, as `Pool.share` takes it.
    beside : list of Task
        To be done beside them: nothing of this mini-batch waits for it.
    unfinished : list of Unfinished
        What follows when all samples are done.
    held : Held or None
        See `BatchRun`.
    divided : bool
        While this is so, there are this rank's samples alone.
    """

    def __init__(
        self,
        packed: PackedLayers,
        states: Mapping[str, LayerState],
        run: BatchRun,
        rule: Rule,
        threads: Pool,
    ) -> None:
        super().__init__(packed, states, run, rule, threads)
        self.stages: list[Stage] = []
        self.items: int | None = 0
        self.beside: list[Task] = []
        self.unfinished: list[Unfinished] = []
        self.held, self.divided = run.held, run.divided is not None

    @property
    def plain(self) -> bool:
        """Whether charges are those of spike counts, and nobody looks at what goes down."""
        return self.rule.usual_charges and self.observer is None

    def finish_samples(self) -> None:
        """Do what is still to be done in each sample, and what follows."""
        for task in self.finish_stages():
            self.threads.share(task)

    def finish_stages(self) -> list[Task]:
        """Do what is still to be done in each sample; returns what follows, in no particular order."""
        tasks: list[Task] = [Pipeline(self.stages), *self.beside] if self.stages else self.beside
        self.stages, self.beside = [], []
        if tasks:
            with nullcontext() if self.held is None else self.held.running():
                self.threads.share(tasks[0] if len(tasks) == 1 else Together(tasks), items=self.items)
                self.threads.finish()
            self.items = 0
        if self.divided:  # other ranks' samples come first
            return []
        unfinished, self.unfinished = self.unfinished, []
        for each in unfinished:
            if each.divided is not None:
                own = self.division.samples(each.divided, self.samples)
                (each.own,) = self.division.join_samples(each.divided, each.own[own.start : own.stop])
        return SampleSums(unfinished).complete(self.threads.share)

    def learns_positions(self, number: int) -> bool:
        """Whether a layer of many positions is gone through sample by sample, when what it makes is
        needed.
        """
        layer, state = self.layers[number], self.states.get(str(self.layers[number].name))
        if not self.plain or number == len(self.layers) - 1 or not isinstance(self.runs[number], SampleRuns):
            return False
        if number in self.kept or number + 1 in self.kept or (layer.ties_weights and state is not None):
            return False
        # Ranks exchange the errors that a dense layer below gets.
        return self.division.ranks.size == 1 or not number or self.learns_positions(number - 1)

    def begin_positions(self, number: int, state: LayerState | None, update: Step | None) -> None:
        """The stage of such a layer; only the first one hands nothing down."""
        layer, weights, runs = self.layers[number], self.weights(number), self.runs[number]
        assert isinstance(runs, SampleRuns)
        divided = str(layer.name) if self.division.divides_samples(str(layer.name)) else None
        if divided is not None and self.items is not None:
            self.finish_samples()  # of all samples, not only this rank's
        self.take_row_sums(number, state)
        own = np.empty((self.samples if state is not None else 0, *weights.shape), weights.dtype)
        below = np.empty((self.samples if number else 0, math.prod(layer.known_source)))
        stage = learn_positions(
            runs.given,
            runs.fired,
            self.threads.threads,
            weights,
            self.above,
            self.row_sum,
            float(layer.threshold),
            *self.options(number).to_kernel,
            number == 0,
            own,
            layer.geometry.rows,
            below,
            WorkCounter(runs.own.stop, runs.own.start),
        )
        self.stages.append(stage)
        self.items, self.above = None, below
        if state is not None:
            self.unfinished.append(Unfinished(state.gradient, own, layer.channels, update, divided))
