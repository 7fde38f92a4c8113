"""Accuracy of a network on labelled recordings."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from eventsnn._util import html
from eventsnn._util.arguments import to_float
from eventsnn._util.ranks import ALONE, Ranks, find_ranks
from eventsnn._util.threads import Pool
from eventsnn._util.words import number_of
from eventsnn.data.memory import EventTargetSequence, as_source
from eventsnn.data.shard import Shard
from eventsnn.data.source import LabelledSource
from eventsnn.data.splits import cap_per_class
from eventsnn.errors import NetworkError, SilentOutputWarning, SimulationError
from eventsnn.gpu.device import find_device
from eventsnn.model import Network, RunSettings
from eventsnn.model.steps import check_network
from eventsnn.simulate.engines import Settings, candidates
from eventsnn.trace.join import join as join_traces
from eventsnn.trace.operations import OperationCounter, Operations
from eventsnn.trace.options import TraceOptions
from eventsnn.train.batches import Batch, BatchLoader, check_source, cut
from eventsnn.train.forward import Forward
from eventsnn.train.labels import match_source
from eventsnn.train.predictions import Counted, Predictions
from eventsnn.train.progress import progress_bar
from eventsnn.train.resident import make_loader
from eventsnn.train.traced import TracedForward

BATCH = 16
SILENT = (
    "no output neuron fired in {recordings}; 'eventsnn simulate' says which layer falls silent: lower its "
    "threshold (network.replace) or give it larger weights (initial_weight), and check the sensor"
)


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Outcome of `evaluate`.

    Attributes
    ----------
    n : int
        Recordings evaluated.
    accuracy : float
        Fraction decided rightly; an all-silent output is "no decision" and counts as wrong.
    no_decision : int
        Recordings with an all-silent output.
    confusion : list of list of int
        [label][decision]; recordings without a decision are in no column.
    seconds : float
        Wall time, reading included.
    skipped : int
        Unreadable recordings left out.
    classes : tuple of str or None
        Names of the output neurons, those that the network has.
    predictions : Predictions
        Decision, label, output counts and file of every recording: ``predictions[0].decision``; also as
        arrays.
    engine : str
        Which engine ran: "queue", "sweep" or "gpu" (the same spikes, in exact time), or "clocked".
    step_ms : float or None
        Length of the clock's step, ms; None in exact time.
    operations : Operations or None
        Synaptic operations of every recording, where they were counted.
    """

    n: int
    accuracy: float
    no_decision: int
    confusion: list[list[int]]
    seconds: float
    skipped: int
    classes: tuple[str, ...] | None
    predictions: Predictions
    engine: str
    step_ms: float | None
    operations: Operations | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain values, without the predictions; of the operations the means."""
        values = {name: value for name, value in vars(self).items() if name != "predictions"}
        operations = values.pop("operations")
        counted = {} if operations is None else {"operations": operations.to_dict()}
        return {**values, **counted, "classes": None if self.classes is None else list(self.classes)}

    @property
    def hint(self) -> str | None:
        """Advice for when no output neuron fired at all; None if one did."""
        return (
            None
            if self.n == 0 or self.predictions.counts.any()
            else SILENT.format(recordings=number_of(self.n, "recording"))
        )

    def __repr__(self) -> str:
        return (
            f"<Evaluation of {number_of(self.n, 'recording')}: accuracy {100 * self.accuracy:.2f} %, "
            f"no decision {self.no_decision:,}, engine {self.engine!r}>"
        )

    def _repr_html_(self) -> str:
        table = [
            ("recordings", f"{self.n:,}"),
            ("accuracy", f"{100 * self.accuracy:.2f} %"),
            ("no decision", f"{self.no_decision:,}"),
            ("engine", self.engine),
        ]
        counts = np.array(self.confusion).reshape(len(self.confusion), -1)
        right = np.eye(*counts.shape) * counts
        picture = html.paint(right, counts - right) if counts.size else ""
        return html.describe("Evaluation: labels down, decisions across", table, picture, head=False)


def evaluate(
    network: Network,
    data: LabelledSource | EventTargetSequence,
    *,
    engine: str = "auto",
    step_ms: float | None = None,
    duration_ms: float | None = None,
    per_class: int | None = None,
    seed: int = 1,
    dtype: str | None = None,
    t_stop: float | None = None,
    threads: int | None = None,
    shard: Shard | None = None,
    progress: bool = False,
    trace: str | os.PathLike[str] | TraceOptions | None = None,
    operations: bool = False,
) -> Evaluation:
    """Simulate every recording of a data set and compare decisions with labels.

    Classes of the data set are matched with the network's by name. Processes that a launcher has started
    divide the recordings among them; each is given the whole outcome.

    Parameters
    ----------
    network : Network
    data : LabelledSource
        For instance `eventsnn.data.Folder`; or a data set of tonic's, see `eventsnn.data.from_tonic`; or a
        list of (events, label). Its recordings are read as the data set says: the reading options of training
        (columns, crop, ...) are applied by ``eventsnn evaluate`` alone, so give `Folder` the same.
    engine : {"auto", "queue", "sweep", "gpu", "twin", "clocked"}
        ``auto`` takes the engine that the network was trained with (`Network.settings`); in exact time, that
        is ``queue`` or ``sweep``, which give the same spikes. ``gpu`` gives them on a graphics card.
        ``clocked`` takes the authors' steps, up to and including that of a recording's last event. See
        `eventsnn.simulate`.
    step_ms : float, optional
        Length of the clock's step, ms; that of the network's settings, or 1, by default.
    duration_ms : float, optional
        How long a recording lasts; that of the network's settings by default, ``math.inf`` for until its last
        event. See `RunSettings`.
    per_class : int, optional
        At most so many recordings of each class, drawn at random by `seed`.
    seed : int
    dtype : {"float32", "float64"}, optional
        Precision of the state. By default that of training, float32, or float64 where engine ``queue`` runs
        sparse weights. Reservoirs below layers of another kind run in float64, on the clock in float32.
    t_stop : float, optional
        Last time to simulate of each recording, ms, included; engine ``queue`` only. By default until all is
        quiet, or, with recurrent connections besides those of reservoirs, until the recording ends.
    threads : int, optional
    shard : Shard, optional
        Only this shard of the recordings.
    progress : bool
        Show a progress bar on standard error, where that is a terminal.
    trace : path or TraceOptions, optional
        Write a trace of the runs, with labels and decisions, recordings in the order of the data set.
        `TraceOptions` says which recordings it keeps, by their numbers in the data set, and what of them.
    operations : bool
        Count synaptic operations, layer by layer and recording by recording: `Evaluation.operations`.

    Raises
    ------
    TraceError
        The trace cannot be written, or nothing can be recorded by such a name.
    SimulationError, TrainingError
        For an unknown engine, a network it cannot run, or data that do not fit the network.
    EventFileError
        For an unreadable recording, unless the data set is told to skip such.
    """
    check_network(network)
    candidates(network, engine)  # an unknown engine should be known before the data are read
    network = network.with_settings(_settle(network.settings, duration_ms))
    source = as_source(data, network.input.sensor_size)
    source = match_source(network, source, "the data set")
    check_source(network, source, "the data set")
    indices = np.arange(len(source)) if per_class is None else cap_per_class(source.labels, per_class, seed)
    if shard is not None:
        indices = indices[shard.part(len(indices))]
    ranks = find_ranks() if shard is None else ALONE
    asked, own = len(indices), Shard.of_rank(ranks)
    indices = indices[ranks.part(asked) if trace is None else own.part(asked)]
    placed = None if trace is None else TraceOptions.of(trace).place(own if ranks.size > 1 else None)
    with Pool(threads) as pool, ExitStack() as stack:
        forward = Forward(network, engine, Settings(dtype, step_ms, fast=True), t_stop, pool)
        # A recording comes once, so none has to be held.
        device = find_device() if forward.engine.on_device else None
        loader = make_loader(device, (), source, network.input.neurons, settings=network.settings)
        forward.counter = OperationCounter(network) if operations else None
        votes = forward.votes
        if placed is not None:
            votes = stack.enter_context(TracedForward(forward, network, loader, source, seed, placed)).votes
        start = time.perf_counter()
        show = progress and ranks.first
        counted = count_outputs(
            votes,
            network.output.neurons,
            loader,
            indices,
            pool,
            prepare=forward.prepare,
            progress=show,
            batch_size=forward.engine.batch,
        )
    counted = Counted(*ranks.join(*counted))
    if placed is not None and trace is not None and ranks.size > 1:
        _join_traces(ranks, Path(placed.path), Path(TraceOptions.of(trace).path))
    found = None if forward.counter is None else forward.counter.total()
    if found is not None:
        found = Operations(found.layers, *ranks.join(*found.arrays))
    seconds = time.perf_counter() - start
    step = forward.settings.step_ms
    outcome = tally(counted, source, asked, seconds, network.classes, forward.engine.name, step)
    if outcome.hint is not None and ranks.first:
        warnings.warn(outcome.hint, SilentOutputWarning, stacklevel=2)
    return replace(outcome, operations=found)


def _join_traces(ranks: Ranks, own: Path, path: Path) -> None:
    """Make one trace of those that the ranks have written, which go."""
    parts = ranks.collect(own)
    ranks.of_first(lambda: join_traces(parts, path))
    own.unlink(missing_ok=True)


def _settle(settings: RunSettings, duration_ms: float | None) -> RunSettings:
    """The settings with another duration, if one is given; SimulationError if it cannot be."""
    if duration_ms is None:
        return settings
    try:
        return replace(settings, duration_ms=None if to_float(duration_ms) == math.inf else duration_ms)
    except NetworkError as error:
        raise SimulationError(str(error)) from None


def count_outputs(
    votes: Callable[[Batch], np.ndarray],
    outputs: int,
    loader: BatchLoader,
    indices: np.ndarray,
    pool: Pool,
    *,
    prepare: Callable[[Batch], Batch] = lambda batch: batch,
    progress: bool = False,
    batch_size: int = BATCH,
) -> Counted:
    """What the `outputs` output neurons give in the readable recordings among `indices`, and their labels.

    `votes` tells it of a mini-batch of up to `batch_size`, array (samples, outputs). Recordings are read
    ahead, in batches, and prepared.
    """
    batches: list[Counted] = []
    with progress_bar(len(indices), "evaluating", progress) as bar:
        for batch in pool.prefetch(lambda part: prepare(loader.prepare(part, 0)), cut(indices, batch_size)):
            if len(batch):
                batches.append(Counted(votes(batch), batch.labels, batch.indices))
            bar.update(len(batch.labels))
    nothing = np.zeros(0, np.int64)
    everything = [Counted(np.zeros((0, outputs), np.int64), nothing, nothing), *batches]
    return Counted(*(np.concatenate(parts) for parts in zip(*everything, strict=True)))


def tally(
    counted: Counted,
    data: LabelledSource,
    asked: int,
    seconds: float,
    classes: tuple[str, ...] | None,
    engine: str,
    step_ms: float | None,
) -> Evaluation:
    """Decisions against labels, of `asked` recordings; `classes` are names of the output neurons."""
    counts, labels, indices = counted
    outputs = counts.shape[1]
    confusion = np.zeros((outputs, outputs), dtype=np.int64)
    paths = [data.paths[index] for index in indices.tolist()]
    predictions = Predictions(paths, labels, counts, classes)
    decisions = predictions.decisions
    decided = decisions >= 0
    np.add.at(confusion, (labels[decided], decisions[decided]), 1)
    n = len(labels)
    return Evaluation(
        n=n,
        accuracy=float(np.trace(confusion)) / n if n else 0.0,
        no_decision=int(n - decided.sum()),
        confusion=confusion.tolist(),
        seconds=seconds,
        skipped=asked - n,
        classes=classes,
        predictions=predictions,
        engine=engine,
        step_ms=step_ms,
    )
