"""From recordings to output spike counts, with any engine: what evaluation does with a mini-batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from eventsnn._util.threads import Pool
from eventsnn.errors import SimulationError
from eventsnn.model import Network
from eventsnn.simulate.engines import Settings, candidates, choose
from eventsnn.simulate.engines.arguments import check_t_stop
from eventsnn.simulate.engines.arrivals import Arrivals
from eventsnn.simulate.engines.engine import Counter, Recorder
from eventsnn.trace.operations import OperationCounter
from eventsnn.trace.record import SpikeRecord
from eventsnn.train.batches import Batch
from eventsnn.train.frozen_prefix import split_frozen_prefix, stack


class Forward:
    """The way of the recordings of a data set through a network.

    In exact time each runs until all is quiet, or until `t_stop`, ms. With recurrent connections besides
    those of reservoirs a network may never be quiet: there each runs until its own end, as in training.

    Parameters
    ----------
    network, engine, settings, t_stop
        As for `choose` and `Engine.counter`.
    pool : Pool

    Attributes
    ----------
    engine : Engine
    settings : Settings
        Completed.
    counter : OperationCounter or None
        Counts the operations of every run, if it is set.

    Raises
    ------
    SimulationError
        If no engine can run the network so.
    """

    def __init__(
        self, network: Network, engine: str, settings: Settings, t_stop: float | None, pool: Pool
    ) -> None:
        self.counter: OperationCounter | None = None
        prefix, chain, cut = None, network, t_stop is not None
        if not candidates(network, engine)[-1].exact:
            if t_stop is not None:
                raise SimulationError(
                    "t_stop is for exact time; on the clock, say how long a recording lasts: duration_ms"
                )
        elif t_stop is None:
            prefix, chain = split_frozen_prefix(network)
            if chain.is_recurrent:
                prefix, chain, cut = None, network, True
        self.t_stop = None if t_stop is None else check_t_stop(network, t_stop)
        self.engine, self.settings = choose(chain, engine, replace(settings, cut=cut))
        self._prefix, self._chain, self._pool = prefix, chain, pool

    @cached_property
    def _counter(self) -> Counter:
        return self.engine.counter(self._chain, self.settings, self.t_stop)

    @cached_property
    def _recorder(self) -> Recorder:
        return self.engine.recorder(self._chain, self.settings, self.t_stop)

    def prepare(self, batch: Batch) -> Batch:
        """A mini-batch made ready for its turn, while another one runs on several threads."""
        if self._prefix is not None or self._pool.threads == 1 or batch.ready is not None:
            return batch
        return replace(batch, ready=self.engine.prepare(self._chain, self.settings, batch.arrivals))

    def votes(self, batch: Batch) -> np.ndarray:
        """What decides, see `no_votes`: array (samples, outputs)."""
        if self.counter is not None:
            return np.array([record.votes for record in self.records(batch)])
        samples = batch.arrivals
        reached = samples if self._prefix is None else self._prefix.spikes(samples, self._pool)
        return self._counter(reached, samples.ends, self._pool)

    def records(self, batch: Batch) -> Sequence[SpikeRecord]:
        """All spikes of the same runs."""
        records = self._run(batch)
        if self.counter is not None:
            for record in records:
                self.counter.add(record)
        return records

    def _run(self, batch: Batch) -> Sequence[SpikeRecord]:
        samples = batch.arrivals
        if self._prefix is None:
            return self._recorder(samples, samples.ends, self._pool)
        below = self._prefix.records(samples, self._pool)
        reached = Arrivals.join([(each.output.times, each.output.neurons) for each in below])
        return stack(below, self._recorder(reached, samples.ends, self._pool))
