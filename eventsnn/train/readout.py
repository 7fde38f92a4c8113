"""Back through a readout layer: derivatives by its weights, and by the times of the spikes that reach it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eventsnn.model import Layer, Network
from eventsnn.model.layers import BIAS
from eventsnn.reference.lif import psp
from eventsnn.reference.readout import share
from eventsnn.simulate.engines.readout import BatchReadout
from eventsnn.trace.readout import SLOPE, WHEN, Reading, time_constant
from eventsnn.trace.record import SpikeRecord
from eventsnn.trace.schema import source_name
from eventsnn.trace.synapses import Synapses


@dataclass(frozen=True)
class ReadoutSample:
    """What reached a readout layer in a sample, and what came of it.

    Attributes
    ----------
    times : float64 array (arrivals,), ms; sources : int array (arrivals,)
        Ascending; rows of the weights.
    end : float
        Until when the layer was read out, ms.
    when, slope : float64 array (outputs,)
        Of maxima; see `eventsnn.simulate.engines.readout.BatchReadout`.
    """

    times: np.ndarray
    sources: np.ndarray
    end: float
    when: np.ndarray
    slope: np.ndarray


def pull_readout(
    layer: Layer, weights: np.ndarray, sample: ReadoutSample, errors: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of a loss whose derivatives by what is read out are `errors`, float64 (outputs,).

    A mean is a sum over arrivals, see `share`. A maximum at t is u(t) = sum_g w_g eps(t - s_g), and t itself,
    where u' = 0, has no influence: each is a charge at t (`eventsnn.learn.charges`). Where an arrival turns
    the potential, the maximum is at that arrival and moves with it, by u' just before.

    Parameters
    ----------
    layer : Readout
    weights : float64 array (sources, outputs)

    Returns
    -------
    gradient : float64 array (sources, outputs)
    by_time : float64 array (arrivals,)
        By the times of the arrivals.
    """
    times, sources, n = sample.times, sample.sources, len(weights)
    if layer.value != "max":
        shares, slopes = share(layer.lif, times, sample.end, time_constant(layer))
        totals = np.bincount(sources, weights=shares, minlength=n)
        return totals[:, None] * errors, (weights * errors).sum(axis=1)[sources] * slopes
    gradient, by_time, lif = np.zeros_like(weights), np.zeros(len(times)), layer.lif
    for k in np.flatnonzero((sample.when >= 0.0) & (errors != 0.0)).tolist():
        when, error = sample.when[k], errors[k]
        before, until = np.searchsorted(times, when), np.searchsorted(times, when, side="right")
        lags, rows = when - times[:before], sources[:before]
        responses = psp(lags, lif)
        gradient[:, k] = error * np.bincount(rows, weights=responses, minlength=n)
        rises = np.exp(-lags / lif.tau_s) / lif.tau_s - responses / lif.tau_m
        by_time[:before] -= error * weights[rows, k] * rises
        if sample.slope[k] < 0.0 and until > before:
            step = weights[sources[before:until], k].sum() / lif.tau_s
            by_time[until - 1] += error * (sample.slope[k] - step)
    return gradient, by_time


class GraphReadout:
    """The readout layer of a network of any graph after a mini-batch's forward pass.

    Parameters
    ----------
    network : Network
    records : list of SpikeRecord
    durations : float64 array (samples,)
        When each sample ends, ms.

    Attributes
    ----------
    found : BatchReadout
    """

    def __init__(self, network: Network, records: Sequence[SpikeRecord], durations: np.ndarray) -> None:
        self._network, self._layer, last = network, network.output, len(network.layers) - 1
        self._places = [n for n, p in enumerate(network.projections) if p.target == last]
        parts = [network.projection_weights(network.projections[n]).T for n in self._places]
        self._starts = np.cumsum([0, *map(len, parts)]).tolist()
        self._weights = np.ascontiguousarray(np.concatenate(parts), np.float64)
        self._owners: list[np.ndarray] = []  # projection, source layer and row of its spikes of each arrival
        self._samples: list[ReadoutSample] = []
        values = np.array([record.readout for record in records])
        for record, duration in zip(records, durations.tolist(), strict=True):
            end = min(duration, record.t_end) if self._layer.value == "mean" else record.t_end
            self._samples.append(self._read(record, end))
        when, slope = (np.array([getattr(s, name) for s in self._samples]) for name in ("when", "slope"))
        self.found = BatchReadout(values, when, slope)

    def _read(self, record: SpikeRecord, end: float) -> ReadoutSample:
        times, sources, owners = [], [], []
        for n, first in zip(self._places, self._starts, strict=False):
            p = self._network.projections[n]
            spikes = record[source_name(self._network, p)]
            times.append(spikes.times + p.delay)
            sources.append(spikes.neurons + np.int32(first))
            rows = np.arange(len(spikes))
            owners.append(np.stack([np.full_like(rows, n), np.full_like(rows, p.source), rows], axis=1))
        when, inputs = np.concatenate(times), np.concatenate(sources)
        order = np.lexsort((inputs, when))
        order = order[: np.searchsorted(when[order], end)]
        self._owners.append(np.concatenate(owners)[order])
        reading = Reading(self._layer, self._weights)
        reading.arrive(when[order], inputs[order])
        state = reading.finish(end)
        return ReadoutSample(when[order], inputs[order], end, state[WHEN], state[SLOPE])

    def pull(
        self, errors: np.ndarray, synapses: Synapses, delays: np.ndarray
    ) -> list[dict[tuple[int, int], float]]:
        """Derivatives of the loss by the spikes of the layers below, by (layer, row of its record; the input
        is layer -1), of each sample, from those by what is read out (samples, outputs).

        Those by weights are added to what `synapses` collect, those by the delays of projections to `delays`,
        see `Synapses.delay_places`.
        """
        seeds: list[dict[tuple[int, int], float]] = []
        for sample, owners, error in zip(self._samples, self._owners, errors, strict=True):
            gradient, by_time = pull_readout(self._layer, self._weights, sample, error)
            for place, part in zip(self._places, np.split(gradient, self._starts[1:-1]), strict=True):
                synapses.add_pairs(place, part)
            places = synapses.delay_places[owners[:, 0], 0]
            delays += np.bincount(places, weights=by_time, minlength=len(delays))
            found: dict[tuple[int, int], float] = {}
            for (_, layer, row), derivative in zip(owners.tolist(), by_time.tolist(), strict=True):
                if layer != BIAS and derivative:
                    found[layer, row] = found.get((layer, row), 0.0) + derivative
            seeds.append(found)
        return seeds
