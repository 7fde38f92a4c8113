"""From recordings to output spike counts, with any engine: what evaluation does with a mini-batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from eventsnn._util.threads import Pool
from eventsnn.errors import SimulationError
from eventsnn.model import Network
from eventsnn.simulate.engines import Settings, candidates, choose
from eventsnn.simulate.engines.arguments import check_t_stop
from eventsnn.simulate.engines.arrivals import Arrivals
from eventsnn.train.frozen_prefix import split_frozen_prefix

Forward: TypeAlias = Callable[[Arrivals], np.ndarray]
"""From samples to output spike counts, int64 array (samples, outputs)."""


def choose_forward(
    network: Network, engine: str, settings: Settings, t_stop: float | None, pool: Pool
) -> tuple[str, float | None, Forward]:
    """(engine, its step, forward pass) for the recordings of a data set.

    In exact time each runs until all is quiet, or until `t_stop`, ms. With recurrent connections besides
    those of reservoirs a network may never be quiet: there each runs until its own end, as in training.

    Raises
    ------
    SimulationError
        If no engine can run the network so.
    """
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
    if t_stop is not None:
        t_stop = check_t_stop(network, t_stop)
    chosen, settings = choose(chain, engine, replace(settings, cut=cut))
    count = chosen.counter(chain, settings, t_stop)

    def forward(samples: Arrivals) -> np.ndarray:
        ends = samples.ends
        return count(samples if prefix is None else prefix.spikes(samples, pool), ends, pool)

    return chosen.name, settings.step_ms, forward
