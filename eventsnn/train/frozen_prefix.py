"""The part of a network that is not trained: everything up to its last reservoir."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.threads import Pool
from eventsnn.errors import TrainingError
from eventsnn.model import Input, Network
from eventsnn.simulate.driver import run_whole
from eventsnn.simulate.engines import Settings, choose
from eventsnn.simulate.engines.arrivals import Arrivals
from eventsnn.simulate.engines.clocked import records_of
from eventsnn.simulate.engines.clocked_network import ClockedNetwork
from eventsnn.simulate.engines.clocked_samples import run_samples, steps_of
from eventsnn.trace.record import SpikeRecord


class FrozenPrefix:
    """Layers whose spikes are the input of those that are trained; in exact time they run in float64.

    Spikes of a reservoir may bring about others for ever: each sample ends when `Arrivals.ends` says.

    Parameters
    ----------
    network : Network
    step_ms : float, optional
        Length of the clock's step; exact time by default.
    """

    def __init__(self, network: Network, step_ms: float | None = None) -> None:
        self.network = network
        self._clock = None if step_ms is None else ClockedNetwork(network, step_ms=step_ms)
        if step_ms is None:
            self._engine, self._settings = choose(network, "queue", Settings())

    def spikes(self, samples: Arrivals, pool: Pool) -> Arrivals:
        """Spikes of the last layer for every sample, sorted by (time, neuron) within each.

        Raises
        ------
        SimulationError
            For a neuron that would fire without end at one instant.
        """
        if self._clock is not None:
            steps, last = steps_of(samples, self._clock.step_ms), len(self.network.layers)
            runs = run_samples(self._clock, samples, steps, samples.ends.tolist(), pool)
            return Arrivals.join([self._clock.train(run, last) for run in runs])
        records = self.records(samples, pool)
        return Arrivals.join([(record.output.times, record.output.neurons) for record in records])

    def records(self, samples: Arrivals, pool: Pool) -> list[SpikeRecord]:
        """All spikes of every sample; errors as of `spikes`."""
        if self._clock is not None:
            steps, until = steps_of(samples, self._clock.step_ms), samples.ends.tolist()
            return records_of(
                self._clock, samples, until, run_samples(self._clock, samples, steps, until, pool)
            )
        records: dict[int, SpikeRecord] = {}
        counter, ends = WorkCounter(len(samples)), samples.ends.tolist()

        def work() -> None:
            while (sample := counter.take()) >= 0:
                records[sample] = run_whole(
                    self._engine, self.network, samples.sample(sample), self._settings, ends[sample]
                )

        pool.share(work, counter)
        return [records[sample] for sample in range(len(samples))]

    def stack(self, samples: Arrivals, above: Sequence[SpikeRecord], pool: Pool) -> list[SpikeRecord]:
        """Records of the whole network, from those of the layers that follow."""
        return stack(self.records(samples, pool), above)


def stack(below: Sequence[SpikeRecord], above: Sequence[SpikeRecord]) -> list[SpikeRecord]:
    """Of each sample one record of frozen layers and of those that follow, complete up to where both are."""
    return [
        replace(
            upper,
            layers=lower.layers | upper.layers,
            input=lower.input,
            bias=lower.bias,
            t_end=lower.t_end,
            exit_reason=lower.exit_reason,
        )
        for lower, upper in zip(below, above, strict=True)
    ]


def split_frozen_prefix(
    network: Network, step_ms: float | None = None
) -> tuple[FrozenPrefix | None, Network]:
    """The layers up to the last reservoir, if there is one, and the chain of the others.

    With `step_ms`, in steps of the clock.

    Raises
    ------
    TrainingError
        Where the two cannot be told apart: connections besides those of reservoirs, no layer after the last.
    """
    number = 1 + max((n for n, x in enumerate(network.layers) if not x.differentiable), default=-1)
    if not number:
        return None, network
    if network.connections:
        raise TrainingError(
            f"a network with a reservoir must be a chain of layers, and connection "
            f"{network.connections[0].key!r} makes it more than that"
        )
    dropping = ["input"] if network.input.dropout else []
    dropping += [layer.owner for layer in network.layers[:number] if layer.dropout]
    if dropping:
        raise TrainingError(
            f"{dropping[0]}: nothing up to a reservoir is trained, and dropout is for what is; leave it out"
        )
    if number == len(network.layers):
        raise TrainingError(
            f"layer {network.output.name!r}: nothing in a reservoir is trained, and it is the last layer; "
            "add a dense one"
        )
    weights, delays, last = network.weights, network.delays, network.layers[number - 1]
    names = [str(layer.name) for layer in network.layers[number:]]
    prefix = Network(
        network.input,
        *network.layers[:number],
        weights={key: w for key, w in weights.items() if key not in names},
        delays={key: each for key, each in delays.items() if key not in names},
        settings=network.settings,
    )
    chain = Network(
        Input(last.neurons, bias_interval=network.input.bias_interval),
        *network.layers[number:],
        weights={key: weights[key] for key in names if key in weights},
        delays={key: delays[key] for key in names if key in delays},
        settings=network.settings,
    )
    return FrozenPrefix(prefix, step_ms), chain
