"""The adjoint sweep: derivatives of spike times with respect to all that came before, in reverse time.

It computes what `eventsnn.reference.sensitivity` does, whose formulas it uses, without going through all
pairs of spikes. A spike at t with the derivative x acts on its layer's inputs as a charge q = -x/u' at t and
one of -q e^{-(t-r)/tau_m} at r, the end of the refractory period before it. With the points p and charges q_p
of a neuron,

    G(s) = sum_{p > s} q_p eps(p - s),   P(s) = sum_{p > s} q_p e^{-(p-s)/tau_m},   G'(s) = (G - P)/tau_s

G is what an arrival at s means for its synaptic weight, w G' for its time; the last formula is
eps' = (e^{-x/tau_m} - eps)/tau_s. Going back by D makes G e^{-D/tau_s} + P eps(D) of G and P e^{-D/tau_m} of
P: one step for all neurons of a layer per arrival, whatever the number of their spikes. So the sweep costs
O(arrivals x post-synaptic neurons), as a simulation does, and its memory is that of weights and spikes. Where
each synapse has a delay of its own, an arrival is that of one, and its one neuron is read from the state of
a later time: the cost is O(arrivals + points x post-synaptic neurons).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from eventsnn._ext.adjoint import ApartNeurons, sweep_back
from eventsnn.model import Network
from eventsnn.reference.lif import record as constants_of
from eventsnn.trace.adjoint_layer import BackwardLayer, Floats, Trains
from eventsnn.trace.cone import Cone
from eventsnn.trace.cone_synapses import ConeSynapses
from eventsnn.trace.record import SpikeRecord
from eventsnn.trace.synapses import Synapses

# Arrivals and spikes between two looks at the signals.
CHUNK = 10_000


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Derivatives:
    """Derivatives with respect to the parameters of a network, by key or layer."""

    weights: Mapping[str, Any]
    lateral: Mapping[str, float]
    delays: Mapping[str, Any]
    thresholds: Mapping[str, float]
    resting: Mapping[str, float]
    refractory: Mapping[str, float]

    def derivatives(self) -> dict[str, Any]:
        """These, by name."""
        return {entry.name: getattr(self, entry.name) for entry in fields(Derivatives)}


@dataclass(frozen=True)
class Adjoint(Derivatives):
    """Derivatives of a weighted sum of spike times, ms.

    Attributes
    ----------
    events : float64 array (input events,)
        With respect to the time of every input event.
    strengths : float64 array (input events,)
        With respect to a factor on all synapses of the event, at 1.
    spikes : list of float64 arrays
        With respect to every spike time of every layer.
    slopes : list of float64 arrays
        u' of every spike that can have led to those of the sum, unit of weights per ms; else NaN.
    weights : dict
        By key, in the shape of the network's weights; ``csr_array`` where these are sparse.
    lateral : dict of str to float
        By layer, with respect to the strength of its lateral inhibition.
    delays : dict of str to float or array
        By key of the projection; those of biases are part of their layer's. Arrays where there are several
        delays, see `Synapses.collect_delays`.
    thresholds, resting, refractory : dict of str to float
        By layer.
    """

    events: Floats
    strengths: Floats
    spikes: list[Floats]
    slopes: list[Floats]


def pull_back(network: Network, record: SpikeRecord, seeds: dict[tuple[int, int], float]) -> Adjoint:
    """Derivatives of the sum of factor times spike time over `seeds`.

    Parameters
    ----------
    network : Network
    record : SpikeRecord
        A complete run of `network` in exact time, float64.
    seeds : dict of (layer, row) to float
        Factor of each spike; `row` counts the spikes of the layer in the record's order.

    Raises
    ------
    TraceError
        If a spike that matters does not solve its equation, or its potential did not rise: the record is not
        one of this network, or the derivative does not exist.
    """
    cone = Cone(network, record, seeds)
    synapses = ConeSynapses(network, cone)
    swept = sweep(network, record, seeds, synapses, cone=cone)
    layers, trains, totals = swept.layers, swept.trains, swept.totals
    sums = [layer.add_up(trains.part(totals, number)) for number, layer in enumerate(layers)]

    def spread(values: Floats, source: int, elsewhere: float = 0.0) -> Floats:
        """Of all spikes of a source in the record, from those of its neurons in the cone."""
        name = {-1: "input"}.get(source) or network.names[source]
        every = np.full(len(record[name]), elsewhere)
        every[trains.rows[source]] = values
        return every

    thresholds, resting, refractory = (
        dict(zip(network.names, column, strict=True)) for column in zip(*sums, strict=True)
    )
    return Adjoint(
        events=spread(trains.part(totals, -1), -1),
        strengths=spread(trains.part(swept.strengths, -1), -1),
        spikes=[spread(trains.part(totals, number), number) for number in range(len(layers))],
        slopes=[
            spread(_extended(layer.slopes, len(trains.times[number])), number, math.nan)
            for number, layer in enumerate(layers)
        ],
        weights=synapses.collect(),
        lateral=synapses.collect_lateral(),
        delays=synapses.collect_delays(swept.delays),
        thresholds=thresholds,
        resting=resting,
        refractory=refractory,
    )


def _extended(slopes: Floats, spikes: int) -> Floats:
    return np.append(slopes, np.full(spikes - len(slopes), math.nan))


@dataclass(frozen=True, eq=False)
class Sweep:
    """What a sweep has found; the derivatives by weights are in its synapses.

    Attributes
    ----------
    layers : list of BackwardLayer
    trains : Trains
        Which parts of the following arrays belong to the spikes of which source.
    totals, strengths : float64 array (spikes and input events,)
        Derivatives by their times, and by a factor on all their synapses.
    delays : float64 array
        Derivatives by delays, see `Synapses.delay_places`.
    """

    layers: list[BackwardLayer]
    trains: Trains
    totals: Floats
    strengths: Floats
    delays: Floats

    def charges(self, number: int) -> Floats:
        """Charges that the spikes of a layer had, in the record's order; see `eventsnn.learn.charges`."""
        return self.layers[number].charges(self.trains.part(self.totals, number))


def sweep(
    network: Network,
    record: SpikeRecord,
    seeds: Mapping[tuple[int, int], float],
    synapses: Synapses | ConeSynapses,
    least_slopes: Sequence[float] | None = None,
    cone: Cone | None = None,
) -> Sweep:
    """Hand the derivatives `seeds` down to all that the spikes depend on; nothing is checked.

    Parameters
    ----------
    network, record, seeds
        See `pull_back`; there is at least one seed.
    synapses : Synapses or ConeSynapses
        Of this network, or of the cone, with its weights; the derivatives by these are added to its own.
    least_slopes : sequence of float, optional
        For each layer: slopes u' below this count as this, for derivatives that stay bounded.
    cone : Cone, optional
        Of the seeds. Without one all neurons take part, and what is found is about all spikes of the record.
    """
    stop = max(float(record[network.names[layer]].times[row]) for layer, row in seeds)
    trains, numbers = Trains(network, record, synapses, cone), range(len(network.layers))
    least = [None] * len(numbers) if least_slopes is None else least_slopes
    layers = [BackwardLayer(network, trains, n, synapses, stop, least[n]) for n in numbers]
    totals, strengths = np.zeros(trains.length), np.zeros(trains.length)
    for (layer, row), factor in seeds.items():
        totals[trains.starts[layer] + trains.place(layer, row)] += factor
    return Sweep(layers, trains, totals, strengths, _sweep(layers, synapses, totals, strengths))


def _sweep(
    layers: list[BackwardLayer], synapses: Synapses | ConeSynapses, totals: Floats, strengths: Floats
) -> Floats:
    """Hand `totals` down to everything that the spikes depend on; returns the derivatives by delays."""
    starts = np.cumsum([0, *(len(layer.arrivals) for layer in layers)]).tolist()
    codes, rows = _schedule(layers, starts)
    neurons = np.zeros(len(totals), np.int32)
    places, factors = np.full((len(totals), 3), -1), np.zeros((len(totals), 5))
    moments = np.zeros((len(totals), 2))
    for layer, start in zip(layers, starts, strict=False):
        own = slice(layer.start, layer.start + len(layer.times))
        neurons[own] = layer.neurons
        places[own], factors[own] = layer.plan(start)
        moments[own] = layer.moments()
    sizes = [layer.size for layer in layers]
    projection, source, pre = (
        np.concatenate(column) for column in zip(*(layer.arriving for layer in layers), strict=True)
    )
    delays = np.zeros(synapses.delays)
    arguments = (
        synapses.table,
        codes,
        rows,
        np.stack([np.cumsum([0, *sizes[:-1]]), sizes], axis=1),
        np.array([layer.lif.tau_s for layer in layers]),
        projection,
        source,
        pre,
        np.concatenate([layer.steps for layer in layers]),
        np.concatenate([layer.full for layer in layers]),
        neurons,
        places,
        factors,
        np.zeros((3, sum(sizes))),
        np.zeros(len(layers), np.uint8),
        np.full(starts[-1], -1),
        np.full(2 * len(totals), -1),
        np.zeros((2 * len(totals), 2)),
        totals,
        strengths,
        synapses.delay_places,
        delays,
        ApartNeurons(
            synapses.apart.astype(np.uint8),
            np.concatenate([constants_of(layer.lif) for layer in layers]),
            sum(sizes),
        ),
        np.concatenate([layer.arrivals for layer in layers]),
        moments,
    )
    for start in range(0, len(codes), CHUNK):
        sweep_back(*arguments, start, min(start + CHUNK, len(codes)))
    return delays


def _schedule(layers: list[BackwardLayer], starts: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """`codes` and `rows` of ``sweep_back``: all in reverse order of time, arrivals first at an instant.

    A spike's total is complete when all its arrivals, which are at its time or later, have been visited.
    """
    times, codes, rows = [], [], []
    for number, (layer, start) in enumerate(zip(layers, starts, strict=False)):
        for code, first, train in ((number, start, layer.arrivals), (~number, layer.start, layer.times)):
            times.append(train)
            codes.append(np.full(len(train), code, np.int32))
            rows.append(first + np.arange(len(train)))
    all_codes, all_rows = np.concatenate(codes), np.concatenate(rows)
    order = np.lexsort((-all_rows, all_codes < 0, -np.concatenate(times)))
    return all_codes[order], all_rows[order]
