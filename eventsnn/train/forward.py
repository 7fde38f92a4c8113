"""From recordings to output spike counts, with any engine: what evaluation does with a mini-batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.threads import Pool
from eventsnn.errors import SimulationError
from eventsnn.model import Network
from eventsnn.simulate.engines import Engine, Settings, candidates, choose
from eventsnn.simulate.engines.arguments import check_t_stop
from eventsnn.simulate.engines.clocked import ClockedNetwork
from eventsnn.simulate.engines.packed import pack_once
from eventsnn.simulate.engines.sweep import Arrivals
from eventsnn.simulate.simulation import run_whole
from eventsnn.train.clocked_runs import run_samples, steps_of
from eventsnn.train.frozen_prefix import split_frozen_prefix
from eventsnn.train.learner import run_forward

Forward: TypeAlias = Callable[[Arrivals], np.ndarray]
"""From samples to output spike counts, int64 array (samples, outputs)."""


def choose_forward(
    network: Network, engine: str, settings: Settings, t_stop: float | None, pool: Pool
) -> tuple[str, float | None, Forward]:
    """(engine, its step, forward pass) for the recordings of a data set.

    In exact time each runs until all is quiet, or until `t_stop`, ms. Networks with recurrent connections
    besides those of reservoirs need that, or a stated end of a sample.

    Raises
    ------
    SimulationError
        If no engine can run the network so.
    """
    outputs = network.output.neurons
    if not candidates(network, engine)[-1].exact:
        if t_stop is not None:
            raise SimulationError(
                "t_stop is for exact time; on the clock, say how long a recording lasts: duration_ms"
            )
        chosen, settings = choose(network, engine, settings)
        if chosen.name == "clocked":
            return chosen.name, settings.step_ms, _on_the_clock(network, settings, pool)
        return chosen.name, settings.step_ms, _one_by_one(chosen, network, settings, None, outputs, pool)
    prefix, chain = split_frozen_prefix(network) if t_stop is None else (None, network)
    if t_stop is None and chain.is_recurrent:
        t_stop, prefix, chain = network.settings.duration_ms, None, network
        if t_stop is None:
            raise SimulationError(
                "t_stop: a network with recurrent connections may fire for ever; give t_stop in ms (--t-stop)"
            )
    if t_stop is not None:
        if engine == "sweep":
            raise SimulationError("engine 'sweep' takes no t_stop here; use engine='queue'")
        engine, t_stop = "queue" if engine == "auto" else engine, check_t_stop(network, t_stop)
    chosen, settings = choose(chain, engine, settings)
    if chosen.name == "sweep":
        packed = pack_once(chain, settings.real)
        return "sweep", None, lambda samples: run_forward(packed, samples, pool, prefix).counts
    if prefix and network.input.has_bias:
        raise SimulationError(f"engine {chosen.name!r} knows no biases above a reservoir; use engine='auto'")
    forward = _one_by_one(chosen, chain, settings, t_stop, outputs, pool)
    if prefix is None:
        return chosen.name, None, forward
    return chosen.name, None, lambda samples: forward(prefix.spikes(samples, pool))


def _on_the_clock(network: Network, settings: Settings, pool: Pool) -> Forward:
    """Engine clocked, many samples side by side."""
    assert settings.step_ms is not None
    step_ms, last = settings.step_ms, len(network.layers)
    clock = ClockedNetwork(network, step_ms=step_ms)

    def forward(samples: Arrivals) -> np.ndarray:
        runs = run_samples(clock, samples, steps_of(samples, step_ms), samples.ends.tolist(), pool)
        return np.array([clock.counts(run, last) for run in runs], np.int64)

    return forward


def _one_by_one(
    engine: Engine, network: Network, settings: Settings, t_stop: float | None, outputs: int, pool: Pool
) -> Forward:
    """Any engine; the threads share the samples, each of which is run on its own."""

    def forward(samples: Arrivals) -> np.ndarray:
        counts = np.empty((len(samples), outputs), np.int64)
        turns = WorkCounter(len(samples))

        def work() -> None:
            while (sample := turns.take()) >= 0:
                run = run_whole(engine, network, samples.sample(sample), settings, t_stop)
                counts[sample] = run.output.counts

        pool.share(work)
        return counts

    return forward
