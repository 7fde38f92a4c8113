"""Samples through a network on the clock, side by side."""

from __future__ import annotations

from eventsnn._ext.engine_clocked import ClockedRun
from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.threads import Pool
from eventsnn.model.steps import check_length, count_steps, last_step
from eventsnn.simulate.engines.arrivals import EVERYONE, Arrivals, Kept
from eventsnn.simulate.engines.clocked_network import ClockedNetwork


def steps_of(samples: Arrivals, step_ms: float) -> list[int]:
    """Steps that each sample takes: those of its stated duration, else up to that of its last spike.

    Raises
    ------
    SimulationError
        For more steps than the clock takes.
    """
    if samples.duration is not None:
        steps = [count_steps(samples.duration, step_ms)] * len(samples)
    else:
        steps = [last_step(last, step_ms) + 1 for last in samples.last_times.tolist()]
    what = "the longest recording" if samples.duration is None else "duration_ms"
    check_length(max(steps, default=0), step_ms, what)
    return steps


def run_samples(
    clock: ClockedNetwork,
    samples: Arrivals,
    steps: list[int],
    ends: list[float],
    pool: Pool,
    kept: Kept = EVERYONE,
) -> list[ClockedRun]:
    """Every sample through all layers in so many steps; the bias neuron fires until `ends`, ms.

    Hidden neurons that are not `kept` do not fire.
    """
    runs: list[ClockedRun | None] = [None] * len(samples)
    counter = WorkCounter(len(samples))

    def work() -> None:
        while (sample := counter.take()) >= 0:
            there = {number: neurons[sample] for number, neurons in kept.items()}
            runs[sample] = clock.run(*samples.sample(sample), steps[sample], ends[sample], there)

    pool.share(work, counter)
    return [run for run in runs if run is not None]
