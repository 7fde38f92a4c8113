"""The trace of a training run: its weights epoch by epoch, and what the rule does with some recordings.

A recording that is traced runs once more by itself, forward and back, before its mini-batch is learned: with
the weights that the mini-batch meets, and into gradients that nobody uses. So tracing changes no bit of the
training, and costs nothing where it is not asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from eventsnn._util.threads import Pool
from eventsnn.data.source import LabelledSource
from eventsnn.errors import TraceError
from eventsnn.learn.rule import Rule
from eventsnn.model import Network
from eventsnn.simulate.engines.arrivals import Kept
from eventsnn.trace.choice import Training
from eventsnn.trace.creation import run_config
from eventsnn.trace.learning import Learned
from eventsnn.trace.options import TraceOptions
from eventsnn.train.batches import Batch, BatchLoader
from eventsnn.train.downward import LayerState, Learner
from eventsnn.train.dropout import Dropout
from eventsnn.train.traced import Tracing

RECORDINGS = 10
"""Recordings that are traced if none are chosen: the first of the training set."""


@dataclass
class _Scratch:
    """Weights as they are, and a gradient that nobody uses."""

    weights: np.ndarray
    gradient: np.ndarray
    row_sum: np.ndarray


class TrainingTrace(Tracing):
    """Writes the trace; use it in a ``with`` statement.

    Parameters
    ----------
    options : TraceOptions
    network : Network
        As it is before training.
    chain : Network
        The part of it that is trained.
    states : dict of str to LayerState
        Its weights.
    rule : Rule
    learner : Learner
    loader : BatchLoader
    source : LabelledSource
    indices : int64 array
        Recordings that are trained on.
    real : {"float32", "float64"}
    seed : int

    Attributes
    ----------
    taken : frozenset of int
        Numbers of the recordings that are traced.

    Raises
    ------
    TraceError
        The trace cannot be written, or none of its recordings is trained on.
    """

    def __init__(
        self,
        options: TraceOptions,
        network: Network,
        chain: Network,
        states: Mapping[str, LayerState],
        rule: Rule,
        learner: Learner[Any],
        loader: BatchLoader,
        source: LabelledSource,
        indices: np.ndarray,
        real: str,
        seed: int,
    ) -> None:
        self._network, self._states, self._rule, self._learner = network, states, rule, learner
        self._loader, self._source = loader, source
        trained = np.sort(indices).tolist()
        self.taken = frozenset(n for n in trained if options.takes(n))
        if options.samples is None:
            self.taken = frozenset(trained[:RECORDINGS])
        if not self.taken:
            raise TraceError(
                f"samples: none of these recordings is trained on; those that are lie in {trained[0]}.."
                f"{trained[-1]}, without those that validate"
            )
        settings = network.settings
        config = run_config(settings.engine, real, None, settings.step_ms)
        training = Training(tuple(states), rule.quantities(chain), real)
        self._writer = options.open(network, config, seed, training)

    def snapshot(self, epoch: int, step: int, weights: Mapping[str, Any]) -> None:
        """Keep the weights, and all that was traced before."""
        self._writer.snapshot(epoch, step, weights)

    def observe(
        self,
        batch: Batch,
        epoch: int,
        boost: np.ndarray,
        weights: Callable[[], Mapping[str, Any]],
        dropout: Dropout,
        pool: Pool,
    ) -> None:
        """Trace the chosen recordings of a mini-batch that is about to be learned.

        Parameters
        ----------
        batch : Batch
        epoch : int
            Counted from 0.
        boost : float64 array (recordings,)
            Their weights in the loss.
        weights : callable
            Tells the present weights of what is trained.
        dropout : Dropout
            Tells who is dropped.
        pool : Pool
        """
        for place, index in enumerate(batch.indices.tolist()):
            if index in self.taken:
                one = _only(batch, place)
                network = self._network.with_weights({**self._network.weights, **weights()})
                kept = dropout.draw(epoch, one.indices)
                self._trace(one, epoch + 1, boost[place : place + 1], network, kept, pool)

    def _trace(
        self, one: Batch, epoch: int, boost: np.ndarray, network: Network, kept: Kept, pool: Pool
    ) -> None:
        learned = Learned()
        scratch = {
            key: _Scratch(state.weights, np.zeros_like(state.gradient), state.row_sum)
            for key, state in self._states.items()
        }
        run = self._learner.forward(one.arrivals, pool, kept)
        (record,) = self._learner.records(run, one.arrivals, pool)
        self._learner.accumulate(scratch, run, one.labels, boost, self._rule, pool, None, kept, learned)
        learned.norms = {key: float(np.linalg.norm(state.gradient)) for key, state in scratch.items()}
        index = int(one.indices[0])
        self._writer.append(
            replace(record, origin_us=int(self._loader.origins_us(one)[0])),
            source=str(self._source.paths[index]),
            label=int(one.labels[0]),
            epoch=epoch,
            network=network,
            learned=learned,
        )


def _only(batch: Batch, place: int) -> Batch:
    """One recording of a mini-batch."""
    part = slice(batch.ptr[place], batch.ptr[place + 1])
    return Batch(
        batch.times[part],
        batch.neurons[part],
        np.array([0, part.stop - part.start], np.int64),
        batch.indices[place : place + 1],
        batch.labels[place : place + 1],
        batch.duration,
        None if batch.origins is None else batch.origins[place : place + 1],
    )
