"""From recordings to output spike counts, with any engine: what evaluation does with a mini-batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np

from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.threads import Pool
from eventsnn.errors import SimulationError
from eventsnn.model import Network
from eventsnn.model.steps import check_clock
from eventsnn.simulate.engines import queue, sweep
from eventsnn.simulate.engines.arguments import check_dtype, check_t_stop
from eventsnn.simulate.engines.clocked import ClockedNetwork
from eventsnn.simulate.engines.packed import pack_once
from eventsnn.simulate.engines.sweep import Arrivals
from eventsnn.trace.record import SpikeRecord
from eventsnn.train.clocked_runs import run_samples, steps_of
from eventsnn.train.frozen_prefix import split_frozen_prefix
from eventsnn.train.learner import run_forward

Forward: TypeAlias = Callable[[Arrivals], np.ndarray]
"""From samples to output spike counts, int64 array (samples, outputs)."""


def clocked_forward(network: Network, step_ms: float, dtype: str | None, pool: Pool) -> Forward:
    """Through all layers on the clock; SimulationError if it cannot run the network."""
    if check_dtype("float32" if dtype is None else dtype) is not np.float32:
        raise SimulationError(
            "engine 'clocked' computes in float32 only; engine 'queue' or 'sweep' runs the network in exact "
            "time"
        )
    check_clock(network, step_ms)
    clock, last = ClockedNetwork(network, step_ms=step_ms), len(network.layers)

    def forward(samples: Arrivals) -> np.ndarray:
        runs = run_samples(clock, samples, steps_of(samples, step_ms), samples.ends.tolist(), pool)
        return np.array([clock.counts(run, last) for run in runs], np.int64)

    return forward


def exact_forward(network: Network, engine: str, dtype: str | None, pool: Pool) -> tuple[str, Forward]:
    """(engine, forward pass) in exact time, until all is quiet; SimulationError if that cannot be.

    A network with recurrent connections runs until the stated end of a sample, if there is one.
    """
    front, chain = split_frozen_prefix(network)
    if chain.is_recurrent and network.settings.duration_ms is not None:
        return stopped_forward(network, engine, dtype, network.settings.duration_ms, pool)
    if chain.is_recurrent:
        raise SimulationError(
            "t_stop: a network with recurrent connections may fire for ever; give t_stop in ms (--t-stop)"
        )
    reason = sweep.refusal(chain)
    if engine == "sweep" and reason:
        raise SimulationError(f"engine 'sweep' cannot run this network: {reason}; use engine='queue'")
    if not (engine == "queue" or reason):
        packed = pack_once(chain, check_dtype("float32" if dtype is None else dtype))
        return "sweep", lambda samples: run_forward(packed, samples, pool, front).counts
    if front and network.input.has_bias:
        raise SimulationError("engine 'queue' knows no biases above a reservoir; use engine='auto'")
    run = _through_queue(chain, dtype, None)
    outputs = network.output.neurons

    def forward(samples: Arrivals) -> np.ndarray:
        return _share_counts(run, front.spikes(samples, pool) if front else samples, outputs, pool)

    return "queue", forward


def stopped_forward(
    network: Network, engine: str, dtype: str | None, t_stop: float, pool: Pool
) -> tuple[str, Forward]:
    """(engine, forward pass) in exact time of any network, recurrent ones too, until `t_stop`, ms."""
    if engine not in ("auto", "queue"):
        raise SimulationError(f"engine {engine!r} takes no t_stop here; use engine='queue'")
    run = _through_queue(network, dtype, check_t_stop(network, t_stop))
    return "queue", lambda samples: _share_counts(run, samples, network.output.neurons, pool)


def _through_queue(
    network: Network, dtype: str | None, t_stop: float | None
) -> Callable[[np.ndarray, np.ndarray], SpikeRecord]:
    """Engine queue for one sample, in the precision that suits the network best if none is given."""
    lowered = network.lowered
    real = np.dtype(check_dtype(queue.default_dtype(lowered) if dtype is None else dtype)).name
    return partial(queue.run, lowered, dtype=real, t_stop=t_stop)


def _share_counts(
    run: Callable[[np.ndarray, np.ndarray], SpikeRecord], samples: Arrivals, outputs: int, pool: Pool
) -> np.ndarray:
    """Output counts of samples that the threads share, each run on its own."""
    counts = np.empty((len(samples), outputs), np.int64)
    turns = WorkCounter(len(samples))

    def work() -> None:
        while (sample := turns.take()) >= 0:
            counts[sample] = run(*samples.sample(sample)).output.counts

    pool.share(work)
    return counts
