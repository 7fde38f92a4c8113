"""The clocked reference: steps of 1 ms, or another length, in float32, as the authors of HM2-BP compute.

What a step does is written down in `eventsnn.reference.clocked`, which gives the same spikes; here it is done
by a kernel, for which `eventsnn.simulate.engines.clocked_network` lays out the layers.

Reference: Jin, Zhang & Li, "Hybrid Macro/Micro Level Backpropagation for Training Deep Spiking Neural
Networks", NeurIPS 2018, and the program released with it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from eventsnn._ext.engine_clocked import ClockedRun
from eventsnn.errors import NetworkError
from eventsnn.model import Network
from eventsnn.model.bias import spike_times
from eventsnn.model.settings import DEFAULT_STEP_MS, check_step
from eventsnn.model.steps import check_length, count_steps, further_connections, last_step, refusal, to_steps
from eventsnn.simulate.engines.arguments import check_t_stop
from eventsnn.simulate.engines.clocked_network import ClockedNetwork
from eventsnn.simulate.engines.clocked_run import ClockedParts
from eventsnn.simulate.engines.clocked_samples import run_samples, steps_of
from eventsnn.simulate.engines.engine import Counter, Engine, Limits, Recorder, Run, Settings
from eventsnn.trace.record import SpikeRecord, make_record

if TYPE_CHECKING:
    from eventsnn._util.threads import Pool
    from eventsnn.simulate.engines.arrivals import Arrivals


class ClockedEngine(Engine):
    """Steps of `Settings.step_ms`; see `Engine`.

    For networks whose refractory periods and delays are whole steps. A time falls
    into the step floor(t / step_ms); several spikes of a neuron in one step count once, those of the bias
    neuron, too. Spike times, in ms, are whole steps.
    """

    name = "clocked"
    exact = False
    dtypes = ("float32",)

    def refusal(self, network: Network, settings: Settings) -> str | None:
        """See `Engine`."""
        step_ms = _step(settings)
        try:
            check_step(step_ms)
        except NetworkError as error:
            return f"engine 'clocked': {error}"
        reason = refusal(network, step_ms)
        return None if reason is None else f"engine 'clocked': {reason}"

    def start(self, network: Network, settings: Settings) -> Run:
        """See `Engine`."""
        return ClockedParts(ClockedNetwork(network, step_ms=_step(settings)), settings.silent)

    def silences(self, network: Network, layers: Collection[int]) -> bool:
        """See `Engine`: in chains of layers, of whole recordings."""
        return not further_connections(network)

    def counter(self, network: Network, settings: Settings, t_stop: float | None) -> Counter:
        """See `Engine`: all samples with the same weights."""
        if network.decides != "count":
            return super().counter(network, settings, t_stop)
        step_ms, last = _step(settings), len(network.layers)
        clock = ClockedNetwork(network, step_ms=step_ms)

        def count(samples: Arrivals, ends: np.ndarray, pool: Pool) -> np.ndarray:
            runs = run_samples(clock, samples, steps_of(samples, step_ms), ends.tolist(), pool)
            return np.array([clock.counts(run, last) for run in runs], np.int64)

        return count

    def recorder(self, network: Network, settings: Settings, t_stop: float | None) -> Recorder:
        """See `Engine`: as `counter`."""
        if not network.output.fires:
            return super().recorder(network, settings, t_stop)
        step_ms = _step(settings)
        clock = ClockedNetwork(network, step_ms=step_ms)

        def record(samples: Arrivals, ends: np.ndarray, pool: Pool) -> list[SpikeRecord]:
            until = ends.tolist()
            runs = run_samples(clock, samples, steps_of(samples, step_ms), until, pool)
            return records_of(clock, samples, until, runs)

        return record

    def limits(self, network: Network, settings: Settings, t_stop: float | None, last: float) -> Limits:
        """See `Engine`: the clock has to be told when to stop."""
        step_ms = _step(settings)
        duration = network.settings.duration_ms if t_stop is None and not settings.in_parts else None
        if duration is not None:
            steps = count_steps(duration, step_ms)
            check_length(steps, step_ms, "duration_ms")
            return Limits(float(np.nextafter(duration, 0.0)), (steps - 1) * step_ms, duration)
        stop = check_t_stop(network, last if t_stop is None else t_stop)
        check_length(last_step(stop, step_ms) + 1, step_ms, "t_stop")
        return Limits(stop, last_step(stop, step_ms) * step_ms, stop)

    def stamp(self, times: np.ndarray, settings: Settings) -> np.ndarray:
        """See `Engine`: the steps, each once."""
        step_ms = _step(settings)
        return np.unique(to_steps(times, step_ms)) * step_ms


def records_of(
    clock: ClockedNetwork, samples: Arrivals, ends: list[float], runs: list[ClockedRun]
) -> list[SpikeRecord]:
    """All spikes of samples, which end at `ends`, ms, from their runs."""
    network, step_ms = clock.network, clock.step_ms
    return [
        make_record(
            network,
            [clock.train(run, 1 + layer) for layer in range(len(network.layers))],
            samples.sample(number),
            end,
            ClockedEngine.name,
            "float32",
            bias=clock.bias_steps(spike_times(network.input, end), run.steps) * step_ms,
            step_ms=step_ms,
        )
        for number, (run, end) in enumerate(zip(runs, ends, strict=True))
    ]


def _step(settings: Settings) -> float:
    return DEFAULT_STEP_MS if settings.step_ms is None else settings.step_ms


ENGINE = ClockedEngine()
run = ENGINE.run
