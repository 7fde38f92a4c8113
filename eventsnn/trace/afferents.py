"""Spikes that arrive at one neuron, and the contribution of each to its membrane potential.

Between resets the neuron is linear (Jin, Zhang & Li 2018, eq. 1-3), so its potential is a sum over arriving
spikes. With r the end of its last refractory period, a spike arriving at g with unit weight contributes to
u(t) ::

    eps(t - g) - e^{-(t-r)/tau_m} eps(r - g) [g <= r]
        = eps(t - g)                              for g > r
        = e^{-(r-g)/tau_s} eps(t - r)             for g <= r

The second form is used (`eventsnn.reference.spsp.unit_contributions`): it is a product of positive numbers,
so nothing cancels. A resting potential contributes

    resting (1 - e^{-(t-r)/tau_m})

with r = 0 before the first spike: the potential begins at 0, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eventsnn.errors import TraceError
from eventsnn.model import LIF, Network, Projection
from eventsnn.reference.lif import resting_share
from eventsnn.trace.record import LayerSpikes, SpikeRecord
from eventsnn.trace.schema import source_name


@dataclass(frozen=True, eq=False)
class Afferents:
    """Spikes that reach one neuron through one projection.

    Attributes
    ----------
    projection : Projection
    arrivals : float64 array (n,)
        Times of arrival (spike time plus delay), ms, ascending.
    neurons : int array (n,)
        Pre-synaptic neuron of each.
    weights : float64 array (n,)
        Synaptic weight of each.
    rows : int array (n,)
        Its number among the spikes of the source.
    """

    projection: Projection
    arrivals: np.ndarray
    neurons: np.ndarray
    weights: np.ndarray
    rows: np.ndarray


def afferents(network: Network, record: SpikeRecord, layer: int, neuron: int) -> list[Afferents]:
    """Everything that reaches a neuron: feed-forward, lateral, recurrent; one item per projection."""
    results = []
    for projection in network.projections:
        if projection.target != layer:
            continue
        spikes = record[source_name(network, projection)]
        arrivals, rows, _ = projection.arrive(spikes.times, spikes.neurons, onto=neuron)
        neurons = spikes.neurons[rows]
        weights = network.afferent_weights(projection, neuron)[neurons]
        results.append(Afferents(projection, arrivals, neurons, weights, rows))
    return results


def reset_times(spike_times: np.ndarray, lif: LIF) -> np.ndarray:
    """End of the refractory period that precedes each spike of one neuron, ms; -inf for its first spike."""
    resets = np.full(len(spike_times), -np.inf)
    resets[1:] = spike_times[:-1] + lif.refractory
    return resets


def all_reset_times(spikes: LayerSpikes, lif: LIF) -> np.ndarray:
    """`reset_times` of every spike of a layer, in the record's order."""
    order = np.argsort(spikes.neurons, kind="stable")
    again = spikes.neurons[order[1:]] == spikes.neurons[order[:-1]]
    resets = np.full(len(spikes), -np.inf)
    resets[order[1:][again]] = spikes.times[order[:-1][again]] + lif.refractory
    return resets


def resting_contribution(t: np.ndarray | float, reset: np.ndarray | float, lif: LIF) -> np.ndarray:
    """Share that the resting potential has in the potential at `t` (ms, any shape); `reset` as above."""
    elapsed = np.maximum(np.asarray(t, dtype=np.float64) - np.maximum(reset, 0.0), 0.0)
    return resting_share(elapsed, lif)


def check_exact_time(engine: str, purpose: str) -> None:
    """Refuse spikes of the clocked engine: on its grid of steps the closed form does not hold.

    Raises
    ------
    TraceError
    """
    if engine == "clocked":
        raise TraceError(
            f"{purpose} needs spikes in exact time, but these come from the 'clocked' engine, "
            "which computes in steps; simulate again with engine='queue'"
        )
