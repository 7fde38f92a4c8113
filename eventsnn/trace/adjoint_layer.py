"""A layer as the adjoint sweep needs it: what arrived, the slope of every spike, what a spike hands on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eventsnn._ext.adjoint import read_states, read_states_apart, rest
from eventsnn.errors import TraceError
from eventsnn.model import LIF, Network
from eventsnn.model.layers import BIAS
from eventsnn.reference.lif import psp
from eventsnn.reference.lif import record as constants_of
from eventsnn.trace.cone import Cone
from eventsnn.trace.cone_synapses import ConeSynapses
from eventsnn.trace.record import SpikeRecord
from eventsnn.trace.synapses import Synapses

Floats = npt.NDArray[np.float64]

TOLERANCE = 1e-6
"""How far a spike may be from solving its own equation, relative to the terms of that equation."""

# Arrivals between two looks at the signals.
CHUNK = 10_000


class Trains:
    """The spike trains that a sweep goes through, one after the other, by the number of their source.

    Parameters
    ----------
    network, record
    cone : Cone, optional
        Whose neurons alone take part, and are counted by their places in it.
    synapses : Synapses or ConeSynapses
        Of the network, or of the cone.

    Attributes
    ----------
    times, neurons : dict of int to arrays
        Of the spikes of each source.
    rows : dict of int to slice or int64 array
        Which spikes of the record these are.
    sizes : list of int
        Neurons of each layer.
    starts : dict of int
        Where each train begins in arrays of all spikes, whose `length` is that of all.
    """

    def __init__(
        self,
        network: Network,
        record: SpikeRecord,
        synapses: Synapses | ConeSynapses,
        cone: Cone | None = None,
    ) -> None:
        self._network, self._synapses, self._cone = network, synapses, cone
        self.times: dict[int, Floats] = {}
        self.neurons: dict[int, np.ndarray] = {}
        self.rows: dict[int, slice | np.ndarray] = {}
        self._senders: dict[int, np.ndarray] = {}  # neurons as the network counts them
        self.starts: dict[int, int] = {}
        self.length = 0
        named = [*enumerate(network.names), (BIAS, "bias"), (-1, "input")]
        for number, name in named:
            spikes = record[name]
            self.rows[number], self.neurons[number] = slice(None), spikes.neurons
            if cone is not None:
                slots = cone.slots(number)[spikes.neurons]
                self.rows[number] = np.flatnonzero(slots >= 0)
                self.neurons[number] = slots[self.rows[number]]
            self.times[number] = spikes.times[self.rows[number]]
            self._senders[number] = spikes.neurons[self.rows[number]]
            self.starts[number] = self.length
            self.length += len(self.times[number])
        self.sizes = [
            layer.neurons if cone is None else len(cone.neurons[n]) for n, layer in enumerate(network.layers)
        ]

    def labels(self, number: int) -> np.ndarray | None:
        """The neurons of a layer as the network counts them; None if they are counted so."""
        return None if self._cone is None else self._cone.neurons[number]

    def part(self, values: np.ndarray, source: int) -> np.ndarray:
        """What belongs to one train."""
        start = self.starts[source]
        return values[start : start + len(self.times[source])]

    def place(self, source: int, row: int) -> int:
        """Which spike of a train that of the record is."""
        rows = self.rows[source]
        return row if isinstance(rows, slice) else int(np.searchsorted(rows, row))

    def arrivals(self, number: int, stop: float) -> tuple[np.ndarray, ...]:
        """What arrives at a layer before `stop`, in order of time: when, through which projection, the place
        of its spike in all trains, its sender.
        """
        parts = [(np.zeros(0), np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.int32))]
        for place, p in enumerate(self._network.projections):
            if p.target != number:
                continue
            times, rows, senders = p.arrive(self.times[p.source], self._senders[p.source])
            n = int(np.searchsorted(times, stop))
            times, rows, senders = times[:n], rows[:n], senders[:n]
            if isinstance(self._synapses, ConeSynapses):
                senders = self._synapses.senders(place)[senders]
                used = senders >= 0
                times, rows, senders = times[used], rows[used], senders[used]
            places = np.full(len(times), place, np.int32)
            parts.append((times, places, self.starts[p.source] + rows, senders.astype(np.int32)))
        columns = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
        order = np.argsort(columns[0], kind="stable")
        return tuple(column[order] for column in columns)


class BackwardLayer:
    """What the sweep needs to know of a layer: its spikes and arrivals up to `stop`, ms.

    Slopes u' below `least_slope`, if it is given, count as this.

    Attributes
    ----------
    times, neurons
        Its spikes.
    arrivals : float64 array (n,), ms
    arriving : (projection, place of the spike in all trains, sender) of each arrival
    apart : bool
        Whether its neurons are taken apart, see ``ApartNeurons``; `full` and `steps` are of no use then.
    full : uint8 array (n,), steps : float64 array (n, 3)
        Arrivals to which the state of all neurons is taken, and propagators from each arrival to the next of
        these; see ``read_states``.
    slopes : float64 array (spikes,)
        u' of each spike.
    """

    def __init__(
        self,
        network: Network,
        trains: Trains,
        number: int,
        synapses: Synapses | ConeSynapses,
        stop: float,
        least_slope: float | None = None,
    ) -> None:
        self.lif: LIF = network.layers[number].lif
        self._name, self.size = network.names[number], trains.sizes[number]
        self._labels = trains.labels(number)
        self.start, self.apart = trains.starts[number], bool(synapses.apart[number])
        count = int(np.searchsorted(trains.times[number], stop, side="right"))
        self.times, self.neurons = trains.times[number][:count], trains.neurons[number][:count]
        self.arrivals, *arriving = trains.arrivals(number, stop)
        self.arriving = tuple(arriving)
        self._find_previous()
        if self.apart:
            n = len(self.arrivals)
            self.full, self.steps = np.zeros(n, np.uint8), np.zeros((n, 3))
        else:
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

    def _find_steps(self, synapses: Synapses | ConeSynapses) -> None:
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

    def _solve(self, synapses: Synapses | ConeSynapses, least_slope: float | None) -> None:
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

    def _read(
        self, points: Floats, neurons: np.ndarray, synapses: Synapses | ConeSynapses
    ) -> tuple[Floats, Floats]:
        """V and I of neurons at some times, from all arrivals before each."""
        if self.apart:
            return self._read_apart(points, neurons, synapses)
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

    def _read_apart(
        self, points: Floats, neurons: np.ndarray, synapses: Synapses | ConeSynapses
    ) -> tuple[Floats, Floats]:
        """The same of neurons that are taken apart."""
        last = np.searchsorted(self.arrivals, points) - 1
        order = np.lexsort((points, last))
        ends = np.searchsorted(last[order], np.arange(-1, len(self.arrivals)), side="right")
        states, found = rest(self.size), np.zeros((2, len(points)))
        projection, _, pre = self.arriving
        for start in range(0, len(pre), CHUNK):
            stop = min(start + CHUNK, len(pre))
            read_states_apart(
                synapses.table, constants_of(self.lif), projection, pre, self.arrivals, ends, neurons[order],
                points[order], states, found, start, stop,
            )  # fmt: skip
        at = np.empty_like(found)
        at[:, order] = found
        return at[0], at[1]

    def _back(self, points: Floats) -> tuple[np.ndarray, Floats]:
        """The last arrival before each point, -1 for none, and the propagators from there to the point."""
        last = np.searchsorted(self.arrivals, points) - 1
        there = last >= 0
        gaps = np.zeros(len(points))
        gaps[there] = points[there] - self.arrivals[last[there]]
        return last, _propagators(gaps, self.lif)

    def plan(self, first_arrival: int) -> tuple[np.ndarray, Floats]:
        """`places` and `factors` of ``sweep_back``; arrivals are counted from `first_arrival`."""
        if self.apart:
            none = np.full(len(self.times), -1)
            at, at_end, steps = none, none, np.tile([1.0, 0.0, 1.0], (len(none), 1))
            steps_end = steps
        else:
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

    def moments(self) -> Floats:
        """`moments` of ``sweep_back``."""
        return np.stack([self.times, np.where(self._previous >= 0, self._reset, -np.inf)], axis=1)

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
                neuron = self.neurons[k] if self._labels is None else self._labels[self.neurons[k]]
                place = f"neuron {neuron} of layer {self._name!r} at {self.times[k]:.6f} ms"
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
