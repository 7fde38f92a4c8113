"""Accuracy of a network on labelled recordings."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from eventsnn._ext.turns import Turns
from eventsnn.data.memory import EventTargetSequence, as_source
from eventsnn.data.source import LabelledSource
from eventsnn.engines import clocked, queue, sweep
from eventsnn.engines.arguments import check_dtype, check_t_stop
from eventsnn.engines.packed import PackedNetwork, pack_once
from eventsnn.engines.record import SpikeRecord
from eventsnn.errors import SilentOutputWarning, SimulationError
from eventsnn.network import Network
from eventsnn.train.clocked import ClockedLearner
from eventsnn.train.front import Front, split_front
from eventsnn.train.labels import match_source
from eventsnn.train.learner import run_forward
from eventsnn.train.parallel import Pool
from eventsnn.train.predictions import Counted, Predictions
from eventsnn.train.progress import progress_bar
from eventsnn.train.samples import Feeder, check_source, cut

BATCH = 16
ENGINES = ("auto", "queue", "sweep", "clocked")
SILENT = (
    "no output neuron fired in {n} recordings; 'eventsnn simulate' says which layer falls silent: lower its "
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
    """

    n: int
    accuracy: float
    no_decision: int
    confusion: list[list[int]]
    seconds: float
    skipped: int
    classes: tuple[str, ...] | None
    predictions: Predictions

    def to_dict(self) -> dict[str, Any]:
        """As plain values, without the predictions."""
        values = {name: value for name, value in vars(self).items() if name != "predictions"}
        return {**values, "classes": None if self.classes is None else list(self.classes)}

    @property
    def hint(self) -> str | None:
        """What to try where no output neuron fired at all; None where one did."""
        return None if self.n == 0 or self.predictions.counts.any() else SILENT.format(n=self.n)

    def __repr__(self) -> str:
        return (
            f"<Evaluation of {self.n:,} recordings: accuracy {100 * self.accuracy:.2f} %, "
            f"no decision {self.no_decision:,}>"
        )


def evaluate(
    network: Network,
    data: LabelledSource | EventTargetSequence,
    *,
    engine: str = "auto",
    dtype: str = "float32",
    t_stop: float | None = None,
    threads: int | None = None,
    progress: bool = False,
) -> Evaluation:
    """Simulate every recording of a data set and compare decisions with labels.

    Classes of the data set are matched with the network's by name.

    Parameters
    ----------
    network : Network
    data : LabelledSource
        For instance `eventsnn.data.Folder`; or a data set of tonic's, see `eventsnn.data.from_tonic`; or a
        list of (events, label).
    engine : {"auto", "queue", "sweep", "clocked"}
        The first three give the same spikes; ``clocked`` takes the authors' steps of 1 ms, up to and
        including that of a recording's last event. See `eventsnn.simulate`.
    dtype : {"float32", "float64"}
        Precision of the state; training uses float32.
    t_stop : float, optional
        Last time to simulate of each recording, ms, included; engine ``queue`` only. A network with recurrent
        connections besides those of reservoirs needs it.
    threads : int, optional
    progress : bool
        Show a progress bar on standard error, where that is a terminal.

    Raises
    ------
    SimulationError, TrainingError
        For an unknown engine, a network it cannot run, or data that do not fit the network.
    EventFileError
        For an unreadable recording, unless the data set is told to skip such.
    """
    if engine not in ENGINES:
        raise SimulationError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")
    source = as_source(data, network.input.sensor_size)
    source = match_source(network, source, "the data set")
    check_source(network, source, "the data set")
    everything, start = np.arange(len(source)), time.perf_counter()
    if t_stop is None:
        front, chain = (None, network) if engine == "clocked" else split_front(network)
        engine = _choose_engine(chain, engine, dtype)
        if engine == "queue" and front and network.input.has_bias:
            raise SimulationError("engine 'queue' knows no biases above a reservoir; use engine='auto'")
        packed = pack_once(chain.lowered if engine == "queue" else chain, check_dtype(dtype))
        with Pool(threads) as pool:
            found = count_outputs(
                packed, source, everything, pool, front=front, engine=engine, progress=progress
            )
    else:
        whole = _Until(network, engine, dtype, t_stop)
        with Pool(threads) as pool:
            inputs, outputs = network.input.neurons, network.output.neurons
            found = _count(source, inputs, everything, pool, whole.counts, progress, outputs)
    outcome = tally(found, time.perf_counter() - start, source, network.classes)
    if outcome.hint is not None:
        warnings.warn(outcome.hint, SilentOutputWarning, stacklevel=2)
    return outcome


def _choose_engine(network: Network, engine: str, dtype: str) -> str:
    """The engine to use; SimulationError if it cannot run the network."""
    if engine == "clocked":
        reason = clocked.refusal(network)
        if reason:
            raise SimulationError(f"engine 'clocked' cannot run this network: {reason}")
        if check_dtype(dtype) is not np.float32:
            raise SimulationError("engine 'clocked' computes in float32 only")
        return engine
    if network.is_recurrent:
        raise SimulationError(
            "t_stop: a network with recurrent connections may fire for ever; give t_stop in ms (--t-stop)"
        )
    reason = sweep.refusal(network)
    if engine == "sweep" and reason:
        raise SimulationError(f"engine 'sweep' cannot run this network: {reason}; use engine='queue'")
    return "queue" if engine == "queue" or reason else "sweep"


class _Until:
    """Any network, recurrent ones too, up to a time: one recording after the other through engine queue."""

    def __init__(self, network: Network, engine: str, dtype: str, t_stop: float) -> None:
        if engine not in ("auto", "queue"):
            raise SimulationError(f"engine {engine!r} takes no t_stop here; use engine='queue'")
        check_dtype(dtype)
        self._network, self._dtype = network.lowered, dtype
        self._stop = check_t_stop(network, t_stop)

    def counts(self, samples: sweep.Arrivals, pool: Pool) -> np.ndarray:
        """Output counts of some recordings, int64 (samples, outputs)."""

        def run(times: np.ndarray, neurons: np.ndarray) -> SpikeRecord:
            return queue.run(self._network, times, neurons, dtype=self._dtype, t_stop=self._stop)

        return _share_counts(run, samples, self._network.output.neurons, pool)


def count_outputs(
    packed: PackedNetwork,
    data: LabelledSource,
    indices: np.ndarray,
    pool: Pool,
    *,
    front: Front | None = None,
    engine: str = "sweep",
    progress: bool = False,
) -> Counted:
    """Output spikes of the readable recordings among `indices`, and their labels.

    `engine` is "queue", "sweep" or "clocked".
    """
    clock = ClockedLearner(packed) if engine == "clocked" else None
    outputs = packed.network.output.neurons

    def count(arrivals: sweep.Arrivals, pool: Pool) -> np.ndarray:
        if clock is not None:
            return clock.counts(clock.forward(arrivals, pool), len(packed.network.layers))
        if engine == "queue":
            samples = front.spikes(arrivals, pool) if front else arrivals
            return _share_counts(partial(queue.run_packed, packed), samples, outputs, pool)
        return run_forward(packed, arrivals, pool, front).counts

    inputs = (front.network if front else packed.network).input.neurons
    return _count(data, inputs, indices, pool, count, progress, outputs)


def _count(
    data: LabelledSource,
    inputs: int,
    indices: np.ndarray,
    pool: Pool,
    count: Callable[[sweep.Arrivals, Pool], np.ndarray],
    progress: bool,
    outputs: int,
) -> Counted:
    """Read recordings ahead, in batches, and count what each makes of the output neurons."""
    found: list[Counted] = []
    feeder = Feeder(data, inputs)
    with progress_bar(len(indices), "evaluating", progress) as bar:
        for batch in pool.ahead(lambda part: feeder.prepare(part, 0), cut(indices, BATCH)):
            if len(batch):
                counts = count(sweep.Arrivals(batch.times, batch.neurons, batch.ptr), pool)
                found.append(Counted(counts, batch.labels, batch.indices))
            bar.update(len(batch.labels))
    nothing = np.zeros(0, np.int64)
    everything = [Counted(np.zeros((0, outputs), np.int64), nothing, nothing), *found]
    return Counted(*(np.concatenate(parts) for parts in zip(*everything, strict=True)))


def _share_counts(
    run: Callable[[np.ndarray, np.ndarray], SpikeRecord], samples: sweep.Arrivals, outputs: int, pool: Pool
) -> np.ndarray:
    """Output counts of samples that the threads share, each run on its own."""
    counts = np.empty((len(samples), outputs), np.int64)
    turns = Turns(len(samples))

    def work() -> None:
        while (sample := turns.take()) >= 0:
            counts[sample] = run(*samples.sample(sample)).output.counts

    pool.share(work)
    return counts


def tally(
    found: Counted, seconds: float, data: LabelledSource, classes: tuple[str, ...] | None = None
) -> Evaluation:
    """Decisions against labels; `classes` are names of the output neurons."""
    counts, labels, indices = found
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
        skipped=len(data) - n,
        classes=classes,
        predictions=predictions,
    )
