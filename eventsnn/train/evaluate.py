"""Accuracy of a network on labelled recordings."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from eventsnn._ext.turns import Turns
from eventsnn.data.memory import EventTargetSequence, as_source
from eventsnn.data.source import LabelledSource
from eventsnn.engines import clocked, queue, sweep
from eventsnn.engines.arguments import check_dtype
from eventsnn.engines.packed import PackedNetwork, pack_once
from eventsnn.engines.record import decide_all
from eventsnn.errors import SimulationError
from eventsnn.network import Network
from eventsnn.train.clocked import ClockedLearner
from eventsnn.train.front import Front, split_front
from eventsnn.train.labels import match_source
from eventsnn.train.learner import run_forward
from eventsnn.train.parallel import Pool
from eventsnn.train.progress import progress_bar
from eventsnn.train.samples import Feeder, check_source, cut

BATCH = 16
ENGINES = ("auto", "queue", "sweep", "clocked")


@dataclass(frozen=True)
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
    """

    n: int
    accuracy: float
    no_decision: int
    confusion: list[list[int]]
    seconds: float
    skipped: int

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def evaluate(
    network: Network,
    data: LabelledSource | EventTargetSequence,
    *,
    engine: str = "auto",
    dtype: str = "float32",
    threads: int | None = None,
    progress: bool = False,
) -> Evaluation:
    """Simulate every recording of a data set and compare decisions with labels.

    Parameters
    ----------
    network : Network
    data : LabelledSource
        For instance `eventsnn.data.NMNIST`; or a data set of tonic's, see `eventsnn.data.from_tonic`.
    engine : {"auto", "queue", "sweep", "clocked"}
        The first three give the same spikes; ``clocked`` takes the authors' steps of 1 ms, up to and
        including that of a recording's last event. See `eventsnn.simulate`.
    dtype : {"float32", "float64"}
        Precision of the state; training uses float32.
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
    front, chain = (None, network) if engine == "clocked" else split_front(network)
    if chain.is_recurrent:
        raise SimulationError(
            "a network with recurrent connections may fire for ever; evaluate needs one that ends"
        )
    engine = _choose_engine(chain, engine, dtype)
    if engine == "queue" and front and network.input.has_bias:
        raise SimulationError("engine 'queue' knows no biases above a reservoir; use engine='auto'")
    packed = pack_once(chain.lowered if engine == "queue" else chain, check_dtype(dtype))
    start = time.perf_counter()
    with Pool(threads) as pool:
        everything = np.arange(len(source))
        counts, labels = count_outputs(
            packed, source, everything, pool, front=front, engine=engine, progress=progress
        )
    seconds = time.perf_counter() - start
    return tally(counts, labels, seconds, len(source) - len(labels))


def _choose_engine(network: Network, engine: str, dtype: str) -> str:
    """The engine to use; SimulationError if it cannot run the network."""
    if engine == "clocked":
        reason = clocked.refusal(network)
        if reason:
            raise SimulationError(f"engine 'clocked' cannot run this network: {reason}")
        if check_dtype(dtype) is not np.float32:
            raise SimulationError("engine 'clocked' computes in float32 only")
        return engine
    reason = sweep.refusal(network)
    if engine == "sweep" and reason:
        raise SimulationError(f"engine 'sweep' cannot run this network: {reason}; use engine='queue'")
    return "queue" if engine == "queue" or reason else "sweep"


def count_outputs(
    packed: PackedNetwork,
    data: LabelledSource,
    indices: np.ndarray,
    pool: Pool,
    *,
    front: Front | None = None,
    engine: str = "sweep",
    progress: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Output spike counts (samples, outputs) and labels of the readable recordings among `indices`.

    `engine` is "queue", "sweep" or "clocked".
    """
    found, labels = [], []
    clock = ClockedLearner(packed) if engine == "clocked" else None
    feeder = Feeder(data, (front.network if front else packed.network).input.neurons)
    with progress_bar(len(indices), "evaluating", progress) as bar:
        for batch in pool.ahead(lambda part: feeder.prepare(part, 0), cut(indices, BATCH)):
            arrivals = sweep.Arrivals(batch.times, batch.neurons, batch.ptr)
            if len(batch) and clock is not None:
                found.append(clock.counts(clock.forward(arrivals, pool), len(packed.network.layers)))
            elif len(batch) and engine == "queue":
                found.append(_queue_counts(packed, front.spikes(arrivals, pool) if front else arrivals, pool))
            elif len(batch):
                found.append(run_forward(packed, arrivals, pool, front).counts)
            labels.append(batch.labels)
            bar.update(len(batch.labels))
    empty = np.zeros((0, packed.network.output.neurons), np.int64)
    return np.concatenate([empty, *found]), np.concatenate([np.zeros(0, np.int64), *labels])


def _queue_counts(packed: PackedNetwork, samples: sweep.Arrivals, pool: Pool) -> np.ndarray:
    counts = np.empty((len(samples), packed.network.output.neurons), np.int64)
    turns = Turns(len(samples))

    def work() -> None:
        while (sample := turns.take()) >= 0:
            counts[sample] = queue.run_packed(packed, *samples.sample(sample)).output.counts

    pool.share(work)
    return counts


def tally(counts: np.ndarray, labels: np.ndarray, seconds: float, skipped: int) -> Evaluation:
    """Decisions against labels."""
    outputs = counts.shape[1]
    confusion = np.zeros((outputs, outputs), dtype=np.int64)
    decisions = decide_all(counts)
    decided = decisions >= 0
    np.add.at(confusion, (labels[decided], decisions[decided]), 1)
    no_decision = int(len(labels) - decided.sum())
    n = len(labels)
    accuracy = float(np.trace(confusion)) / n if n else 0.0
    return Evaluation(n, accuracy, no_decision, confusion.tolist(), seconds, skipped)
