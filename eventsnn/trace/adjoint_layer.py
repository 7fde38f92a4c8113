"""A layer as the adjoint sweep needs it: what arrived, the slope of every spike, what a spike hands on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eventsnn._ext.adjoint import read_states
from eventsnn.errors import TraceError
from eventsnn.model import LIF, Network
from eventsnn.model.layers import BIAS
from eventsnn.reference.lif import psp
from eventsnn.trace.record import LayerSpikes, SpikeRecord
from eventsnn.trace.schema import source_name
from eventsnn.trace.synapses import Synapses

Floats = npt.NDArray[np.float64]

TOLERANCE = 1e-6
"""How far a spike may be from solving its own equation, relative to the terms of that equation."""

# Arrivals between two looks at the signals.
CHUNK = 10_000


class Trains:
    """All spike trains one after the other, by the number of their source: `starts`, `sizes`, `length`."""

    def __init__(self, network: Network, record: SpikeRecord) -> None:
        sizes = [len(record[name]) for name in network.names]
        numbers = [*range(len(sizes)), BIAS, -1]
        self._sizes = dict(zip(numbers, [*sizes, len(record.bias), len(record.input)], strict=True))
        ends = np.cumsum(list(self._sizes.values())).tolist()
        self.starts = dict(zip(numbers, [0, *ends[:-1]], strict=True))
        self.length = ends[-1]

    def part(self, values: np.ndarray, source: int) -> np.ndarray:
        """What belongs to one train."""
        start = self.starts[source]
        return values[start : start + self._sizes[source]]


class BackwardLayer:
    """What the sweep needs to know of a layer: its spikes and arrivals up to `stop`, ms.

    Slopes u' below `least_slope`, if it is given, count as this.

    Attributes
    ----------
    times, neurons
        Its spikes.
    arrivals : float64 array (n,), ms
    arriving : (projection, place of the spike in all trains, sender) of each arrival
    full : uint8 array (n,), steps : float64 array (n, 3)
        Arrivals to which the state of all neurons is taken, and propagators from each arrival to the next of
        these; see ``read_states``.
    slopes : float64 array (spikes,)
        u' of each spike.
    """

    def __init__(
        self,
        network: Network,
        record: SpikeRecord,
        number: int,
        synapses: Synapses,
        trains: Trains,
        stop: float,
        least_slope: float | None = None,
    ) -> None:
        spikes = record[network.names[number]]
        self.lif: LIF = network.layers[number].lif
        self._name, self.size = network.names[number], network.layers[number].neurons
        self.start = trains.starts[number]
        count = int(np.searchsorted(spikes.times, stop, side="right"))
        self.times, self.neurons = spikes.times[:count], spikes.neurons[:count]
        parts = []
        for place, p in enumerate(network.projections):
            if p.target == number:
                train: LayerSpikes = record[source_name(network, p)]
                times, numbers, senders = p.arrive(train.times, train.neurons)
                n = int(np.searchsorted(times, stop))
                rows = trains.starts[p.source] + numbers[:n]
                parts.append((times[:n], np.full(n, place, np.int32), rows, senders[:n].astype(np.int32)))
        times, *columns = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        order = np.argsort(times, kind="stable")
        self.arrivals = times[order]
        self.arriving = tuple(column[order] for column in columns)
        self._find_previous()
        self._find_steps(synapses)
        self._solve(synapses, least_slope)

    def _find_previous(self) -> None:
        """`previous`: the same neuron's spike before each, -1 for none; `_reset`: r; what decays since."""
        order = np.argsort(self.neurons, kind="stable")
        self._previous = np.full(len(order), -1)
        same = self.neurons[order[1:]] == self.neurons[order[:-1]]
        self._previous[order[1:][same]] = order[:-1][same]
        after = self._previous >= 0
        self._reset = np.where(after, self.times[self._previous] + self.lif.refractory, 0.0)
        self._decay = np.exp(-(self.times - self._reset) / self.lif.tau_m)
        self._kept = np.where(after, self._decay, 0.0)  # the remaining share of V(r)

    def _find_steps(self, synapses: Synapses) -> None:
        """`full` and `steps`."""
        full = ~synapses.branched[self.arriving[0]]
        if not full.all():
            before = np.searchsorted(self.arrivals, np.concatenate([self.times, self._reset])) - 1
            full[before[before >= 0]] = True
            full[-1] = True
        places = np.flatnonzero(full)
        following = np.searchsorted(places, np.arange(len(full)), side="right")
        later = (
            self.arrivals[places[np.minimum(following, len(places) - 1)]] if len(places) else self.arrivals
        )
        self.full = full.astype(np.uint8)
        self.steps = _propagators(later - self.arrivals, self.lif)

    def _solve(self, synapses: Synapses, least_slope: float | None) -> None:
        """u' of every spike, its derivative with respect to r, and how well it solves its equation."""
        lif, n = self.lif, len(self.times)
        points = np.concatenate([self.times, self._reset])
        free, current = self._read(points, np.tile(self.neurons, 2), synapses)
        slopes = (lif.resting - lif.threshold) / lif.tau_m + current[:n] / lif.tau_s
        self.slopes: Floats = slopes if least_slope is None else np.maximum(slopes, least_slope)
        self._per_reset = self._kept * (current[n:] / lif.tau_s + lif.resting / lif.tau_m)
        before, raised = self._kept * free[n:], lif.resting * (1.0 - self._decay)
        size = np.abs(free[:n]) + np.abs(before) + np.abs(raised) + lif.threshold
        self._misfit = np.abs(free[:n] - before + raised - lif.threshold) / size

    def _read(self, points: Floats, neurons: np.ndarray, synapses: Synapses) -> tuple[Floats, Floats]:
        """V and I of neurons at some times, from all arrivals before each."""
        last, steps = self._back(points)
        order = np.argsort(last, kind="stable")
        ends = np.searchsorted(last[order], np.arange(-1, len(self.arrivals)), side="right")
        free, current = np.zeros(self.size), np.zeros(self.size)
        found = np.zeros((2, len(points)))
        projection, _, pre = self.arriving
        for start in range(0, len(pre), CHUNK):
            stop = min(start + CHUNK, len(pre))
            read_states(
                synapses.table, self.size, projection, pre, self.steps, self.full, ends, neurons[order],
                free, current, found, start, stop,
            )  # fmt: skip
        at = np.empty_like(found)
        at[:, order] = found
        a, h, b = steps.T
        return at[0] * a + at[1] * h, at[1] * b

    def _back(self, points: Floats) -> tuple[np.ndarray, Floats]:
        """The last arrival before each point, -1 for none, and the propagators from there to the point."""
        last = np.searchsorted(self.arrivals, points) - 1
        there = last >= 0
        gaps = np.zeros(len(points))
        gaps[there] = points[there] - self.arrivals[last[there]]
        return last, _propagators(gaps, self.lif)

    def plan(self, first_arrival: int) -> tuple[np.ndarray, Floats]:
        """`places` and `factors` of ``sweep_back``; arrivals are counted from `first_arrival`."""
        at, steps = self._back(self.times)
        at_end, steps_end = self._back(self._reset)
        at_end[self._previous < 0] = -1
        previous = np.where(self._previous >= 0, self._previous + self.start, -1)
        places = [np.where(k >= 0, k + first_arrival, -1) for k in (at, at_end)]
        with np.errstate(divide="ignore", invalid="ignore"):  # `add_up` refuses a slope of 0
            charge = -1.0 / self.slopes
            charge_end = self._kept / self.slopes
            factors = [
                charge * steps[:, 0],
                charge * steps[:, 1],
                charge_end * steps_end[:, 0],
                charge_end * steps_end[:, 1],
                self._per_reset / self.slopes,
            ]
        return np.stack([*places, previous], axis=1), np.stack(factors, axis=1)

    def charges(self, totals: Floats) -> Floats:
        """Charges at each spike and at the end of the refractory period that follows, float64 (spikes, 2),
        from the derivatives by the spike times.
        """
        charges, used = np.zeros((len(totals), 2)), np.flatnonzero(totals)
        share = totals[used] / self.slopes[used]
        charges[used, 0] = -share
        after = self._previous[used] >= 0
        charges[self._previous[used][after], 1] = (share * self._kept[used])[after]
        return charges

    def add_up(self, totals: Floats) -> tuple[float, float, float]:
        """Derivatives by threshold, resting potential, refractory period, from those by the spike times.

        Raises
        ------
        TraceError
            For a spike that is not of this network, or has no derivative.
        """
        totals = totals[: len(self.times)]
        used = totals != 0.0
        for wrong, text in (
            (
                self._misfit > TOLERANCE,
                "does not follow from weights and input: they are not those of one simulation (a damaged "
                "file, or another network)",
            ),
            (
                ~(self.slopes > 0.0),
                "does not rise through the threshold, but touches it: it has no derivative",
            ),
        ):
            for k in np.flatnonzero(used & wrong)[:1].tolist():
                place = f"neuron {self.neurons[k]} of layer {self._name!r} at {self.times[k]:.6f} ms"
                raise TraceError(f"the spike of {place} {text}")
        share = totals[used] / self.slopes[used]
        return (
            float(share.sum()),
            float(-(share @ (1.0 - self._decay[used]))),
            float(share @ self._per_reset[used]),
        )


def _propagators(d: Floats, lif: LIF) -> Floats:
    """e^{-d/tau_m}, eps(d), e^{-d/tau_s}: float64 array (n, 3)."""
    return np.stack([np.exp(-d / lif.tau_m), psp(d, lif), np.exp(-d / lif.tau_s)], axis=1)
