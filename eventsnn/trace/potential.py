"""Membrane potential and synaptic current rebuilt exactly from spikes, weights and input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from eventsnn._util.words import number_of
from eventsnn.errors import TraceError
from eventsnn.model import LIF, Network, Projection
from eventsnn.reference.lif import psp, responses, resting_share
from eventsnn.trace.afferents import afferents, check_exact_time, resting_contribution
from eventsnn.trace.record import SpikeRecord
from eventsnn.trace.schema import KIND_POST_RESET, KIND_PRE_SPIKE, KIND_SAMPLE, source_name
from eventsnn.trace.selection import check_neuron

# Times worked on at once: what arrived before a block is summed once, what arrives within it for every time.
BLOCK = 64

Row: TypeAlias = tuple[float, np.ndarray, np.ndarray, np.ndarray, int]
"""Time (ms), neurons, their potentials and currents, kind."""

MOST_BYTES = 8 << 30
"""Of the potentials of one layer in one sample, which are in memory at once."""
ROW_BYTES = 8 + 4 + 8 + 8 + 1


def membrane_potential(
    network: Network, record: SpikeRecord, layer: str, neuron: int, times_ms: npt.ArrayLike
) -> np.ndarray:
    """Membrane potential of one neuron at any times.

    Parameters
    ----------
    network : Network
    record : SpikeRecord
        A run of `network` by an exact-time engine.
    layer : str
        Name of the layer; "input" has no potential.
    neuron : int
    times_ms : float array (n,)
        Times, ms, in any order, finite. Not after `record.t_end`, beyond which spikes are unknown.

    Returns
    -------
    float64 array (n,)
        u in the unit of threshold and weights. At a spike time the value just before the reset, that is the
        threshold up to rounding; 0 from there to the end of the refractory period.

    Raises
    ------
    TraceError
        No such neuron, times that are not finite or after the end of the record, or a run of the clocked
        engine.
    """
    times = _check_times(network, record, layer, neuron, times_ms, "the membrane potential")
    lif = network[layer].lif

    spikes = record[layer].of(neuron)
    last = np.searchsorted(spikes, times, side="left") - 1
    resets = (
        np.where(last >= 0, spikes[last] + lif.refractory, -np.inf)
        if spikes.size
        else np.full(times.shape, -np.inf)
    )
    state = _NeuronState(*_arrivals(network, record, layer, neuron), lif)

    potential = np.zeros(times.shape)
    awake = np.flatnonzero(times > resets)
    awake = awake[np.argsort(times[awake], kind="stable")]
    for epoch in np.split(awake, np.flatnonzero(resets[awake[1:]] != resets[awake[:-1]]) + 1):
        for first in range(0, epoch.size, BLOCK):
            rows = epoch[first : first + BLOCK]
            potential[rows] = state.potentials(times[rows], resets[rows[0]])
            potential[rows] += resting_contribution(times[rows], resets[rows[0]], lif)
    return potential


def synaptic_current(
    network: Network, record: SpikeRecord, layer: str, neuron: int, times_ms: npt.ArrayLike
) -> np.ndarray:
    """Synaptic current of one neuron at any times: the sum of ``w exp(-(t - s)/tau_s)`` over its arrivals s.

    Arguments and errors as of `membrane_potential`.

    Returns
    -------
    float64 array (n,)
        In the unit of the weights; with what arrives at the time itself. Resets leave it as it is.
    """
    times = _check_times(network, record, layer, neuron, times_ms, "the synaptic current")
    lif = network[layer].lif
    state = _NeuronState(*_arrivals(network, record, layer, neuron), lif)
    current, order = np.zeros(times.shape), np.argsort(times, kind="stable")
    for first in range(0, order.size, BLOCK):
        rows = order[first : first + BLOCK]
        current[rows] = state.currents(times[rows])
    return current


def _check_times(
    network: Network, record: SpikeRecord, layer: str, neuron: int, times_ms: npt.ArrayLike, what: str
) -> np.ndarray:
    """The times as an array; see `membrane_potential` for the errors."""
    check_exact_time(record.engine, what)
    network[layer]  # raises NetworkError if there is none
    check_neuron(network, layer, neuron)
    times = np.asarray(times_ms, dtype=np.float64)
    if times.ndim != 1 or not np.isfinite(times).all():
        raise TraceError(f"times_ms must be a one-dimensional array of finite times, got shape {times.shape}")
    if times.size and times.max() > record.t_end:
        raise TraceError(f"times_ms goes up to {times.max():g} ms, but this run ended at {record.t_end:g} ms")
    return times


def _arrivals(
    network: Network, record: SpikeRecord, layer: str, neuron: int
) -> tuple[np.ndarray, np.ndarray]:
    """When spikes arrive at a neuron, ms, ascending, and the weight of each, which is not 0."""
    incoming = afferents(network, record, network.index(layer), neuron)
    arrivals = np.concatenate([a.arrivals for a in incoming])
    weights = np.concatenate([a.weights for a in incoming])
    used = np.flatnonzero(weights)  # of a layer for a large sensor, hardly any source is connected
    order = used[np.argsort(arrivals[used], kind="stable")]
    return arrivals[order], weights[order]


class _NeuronState:
    """What the arrivals at one neuron, whose resting potential is left out, amount to at a time that goes on.

    So each of them is looked at once, and not again after every reset.
    """

    def __init__(self, arrivals: np.ndarray, weights: np.ndarray, lif: LIF) -> None:
        self._arrivals, self._weights, self._lif = arrivals, weights, lif
        self._time = self._reset = -math.inf
        self._taken = 0
        self._u = self._i = 0.0

    def potentials(self, times: np.ndarray, reset: float) -> np.ndarray:
        """Potential at ascending `times`, none of them before those asked for last, without a reset between
        them; `reset` is the last before them.
        """
        if reset != self._reset:
            self._advance(reset)
            self._u, self._reset = 0.0, reset
        within = self._advance_to_first(times)
        a, h, _ = responses(times - times[0], self._lif)
        return np.asarray(
            self._u * a
            + self._i * h
            + psp(times[:, None] - self._arrivals[within], self._lif) @ self._weights[within]
        )

    def currents(self, times: np.ndarray) -> np.ndarray:
        """Current at ascending `times`, as `potentials`; with what arrives at the time itself."""
        within = self._advance_to_first(times)
        ages = times[:, None] - self._arrivals[within]
        late = np.where(ages >= 0.0, np.exp(-np.maximum(ages, 0.0) / self._lif.tau_s), 0.0)
        held = self._i * np.exp(-(times - times[0]) / self._lif.tau_s)
        return np.asarray(held + late @ self._weights[within])

    def _advance_to_first(self, times: np.ndarray) -> slice:
        """Go on to the first of some times; which arrivals come after it, up to the last."""
        self._advance(times[0])
        return slice(self._taken, int(np.searchsorted(self._arrivals, times[-1], side="right")))

    def _advance(self, time: float) -> None:
        until = int(np.searchsorted(self._arrivals, time, side="right"))
        ages = time - self._arrivals[self._taken : until]
        weights = self._weights[self._taken : until]
        if self._u or self._i:
            a, h, b = (float(x[0]) for x in responses(np.array([time - self._time]), self._lif))
            self._u, self._i = self._u * a + self._i * h, self._i * b
        self._u += float(psp(ages, self._lif) @ weights)
        self._i += float(np.exp(-ages / self._lif.tau_s) @ weights)
        self._time, self._taken = time, until


@dataclass(frozen=True, eq=False, repr=False)
class PotentialTrace:
    """Potential of several neurons, rows in order of time.

    Attributes
    ----------
    times : float64 array (n,)
        ms since the start of the sample.
    neurons : uint32 array (n,)
    values : float64 or float32 array (n,)
    kinds : uint8 array (n,)
        0 sample of the grid, 1 just before a reset, 2 just after it.
    """

    times: np.ndarray
    neurons: np.ndarray
    values: np.ndarray
    kinds: np.ndarray

    def __repr__(self) -> str:
        span = f", {self.times[0]:.6g} .. {self.times[-1]:.6g} ms" if len(self.times) else ""
        neurons = number_of(len(np.unique(self.neurons)), "neuron")
        return f"<PotentialTrace: {number_of(len(self.times), 'value')} of {neurons}{span}>"


class _LayerState:
    """Membrane potentials and synaptic currents of one layer, advanced from instant to instant."""

    def __init__(self, size: int) -> None:
        self.u = np.zeros(size)
        self.i = np.zeros(size)
        self.free = np.ones(size)  # 0 while refractory

    def advance(self, a: float, h: float, b: float, rest: float) -> None:
        """Apply the propagators of an interval in which nothing happens."""
        self.u = (self.u * a + self.i * h + rest) * self.free
        self.i *= b


def last_spike(run: SpikeRecord) -> float:
    """Time of the last spike of a run, input spikes among them, ms; 0 without any."""
    trains = (run.input, *run.layers.values())
    return float(max((spikes.times[-1] for spikes in trains if len(spikes)), default=0.0))


def sample_length(run: SpikeRecord) -> float:
    """Length of a run, ms: up to its end, or its last spike if it ran until the network was quiet."""
    return float(run.t_end) if np.isfinite(run.t_end) else last_spike(run)


class CurrentTrace(PotentialTrace):
    """Synaptic current of several neurons, rows in order of time; at a spike it is that just before."""

    def __repr__(self) -> str:
        return super().__repr__().replace("Potential", "Current")


def record_potentials(
    network: Network,
    run: SpikeRecord,
    layer: str,
    length: float,
    step: float,
    neurons: np.ndarray | None = None,
    window: tuple[float, float] = (0.0, math.inf),
) -> tuple[PotentialTrace, CurrentTrace]:
    """Potentials and currents of a layer from 0 to `length` (ms) every `step` ms, and around its resets.

    Of the `neurons` that are chosen, and from the first to the last time of the `window`, ms.

    Raises
    ------
    TraceError
        The grid asks for more than `MOST_BYTES`.
    """
    first, last = window[0], min(length, window[1])
    size = network[layer].neurons if neurons is None else len(neurons)
    need = (max(0.0, last - first) / step + 1.0) * size * ROW_BYTES
    if need > MOST_BYTES:
        raise TraceError(
            f"potentials of layer {layer!r} every {step:g} ms for {length:g} ms take "
            f"{need / 2**30:,.1f} GiB; record fewer layers (potential_layers), a wider grid "
            f"(potential_step) or a shorter time (t_stop, --t-stop, --until): at most "
            f"{MOST_BYTES / 2**30:g} GiB"
        )
    grid = step * np.arange(math.ceil(first / step), math.ceil((last + 0.5 * step) / step))
    return replay_both(network, run, layer, grid[grid <= min(run.t_end, window[1])], neurons, window)


def replay_layer(network: Network, record: SpikeRecord, layer: str, grid_ms: np.ndarray) -> PotentialTrace:
    """The potentials alone of `replay_both`, of all neurons."""
    return replay_both(network, record, layer, grid_ms)[0]


def replay_both(
    network: Network,
    record: SpikeRecord,
    layer: str,
    grid_ms: np.ndarray,
    chosen: np.ndarray | None = None,
    window: tuple[float, float] = (0.0, math.inf),
) -> tuple[PotentialTrace, CurrentTrace]:
    """Potentials and currents of neurons of a layer: on a grid, and just before and after their resets.

    The layer is run again with its spikes given instead of looked for: one pass over arrivals, grid, spikes
    and refractory ends in order of time, all neurons at once, O(instants x neurons).

    Parameters
    ----------
    network, record, layer
        As in `membrane_potential`, which gives the same values one neuron at a time.
    grid_ms : float64 array (n,)
        Ascending times, ms.
    chosen : int64 array, optional
        Neurons, ascending; all by default.
    window : (float, float)
        Resets outside it are left out.
    """
    check_exact_time(record.engine, "the membrane potential")
    lif, index = network[layer].lif, network.index(layer)
    everyone = np.arange(network[layer].neurons) if chosen is None else chosen
    deliveries, weights = _deliveries(network, record, index, everyone)
    # Each neuron is replayed by itself: of those that are not chosen nothing is needed.
    own = np.isin(record[layer].neurons, everyone)
    times = record[layer].times[own]
    places = np.searchsorted(everyone, record[layer].neurons[own])
    ends = times + lif.refractory
    instants = np.unique(np.concatenate([deliveries[0], grid_ms, times, ends]))
    # The potentials leave 0 for their resting potential at time 0, before anything happens.
    lengths = np.diff(instants, prepend=np.minimum(instants[:1], 0.0))
    shares = *responses(lengths, lif), resting_share(lengths, lif)
    propagators = zip(*(share.tolist() for share in shares), strict=True)
    delivered = _group(instants, deliveries[0])
    fired = _group(instants, times)
    ended = _group(instants, ends)
    sampled = np.isin(instants, grid_ms).tolist()
    shown = ((instants >= window[0]) & (instants <= window[1])).tolist()

    state = _LayerState(len(everyone))
    names = everyone.astype(np.uint32)
    rows: list[Row] = []
    for n, (t, propagator) in enumerate(zip(instants.tolist(), propagators, strict=True)):
        state.advance(*propagator)
        for k in range(delivered[n], delivered[n + 1]):
            posts, values = weights[deliveries[1][k]]
            sender = deliveries[2][k]
            state.i[slice(None) if posts is None else posts[sender]] += values[sender]
        if sampled[n]:
            rows.append((t, names, state.u, state.i.copy(), KIND_SAMPLE))
        firing = places[fired[n] : fired[n + 1]]
        if firing.size:
            if shown[n]:
                who, current = names[firing], state.i[firing]
                rows.append((t, who, state.u[firing], current, KIND_PRE_SPIKE))
                rows.append((t, who, np.zeros(firing.size), current, KIND_POST_RESET))
            state.u = state.u.copy()  # the rows keep the potentials before the reset
            state.u[firing] = 0.0
            state.free[firing] = 0.0
        state.free[places[ended[n] : ended[n + 1]]] = 1.0
    return _join(rows)


_Targets: TypeAlias = tuple[np.ndarray | None, np.ndarray]
"""What each sender of a projection reaches of the chosen neurons: the place of its one neuron among them, -1
for none (senders,), or None for all; and its weights, by sender."""


def _deliveries(
    network: Network, record: SpikeRecord, index: int, chosen: np.ndarray
) -> tuple[tuple[np.ndarray, list[int], list[int]], list[_Targets]]:
    """Arrivals at a layer by time: (times, projection, sender, see `Projection.arrive`); and the weights."""
    times, numbers, senders = [], [], []
    weights: list[_Targets] = []
    for projection in network.projections:
        if projection.target != index:
            continue
        spikes = record[source_name(network, projection)]
        arrivals, _, arriving = projection.arrive(spikes.times, spikes.neurons)
        targets = _targets(network, projection, chosen)
        if targets[0] is not None:
            reaching = targets[0][arriving] >= 0
            arrivals, arriving = arrivals[reaching], arriving[reaching]
        times.append(arrivals)
        numbers.append(np.full(len(arrivals), len(weights)))
        senders.append(arriving)
        weights.append(targets)
    merged = np.concatenate(times)
    order = np.argsort(merged, kind="stable")
    return (
        merged[order],
        np.concatenate(numbers)[order].tolist(),
        np.concatenate(senders)[order].tolist(),
    ), weights


def _targets(network: Network, projection: Projection, chosen: np.ndarray) -> _Targets:
    branches = projection.branches
    if branches is not None and branches.post is not None:
        place = np.full(network.layers[projection.target].neurons, -1)
        place[chosen] = np.arange(len(chosen))
        return place[branches.post], network.sender_weights(projection).astype(np.float64)
    return None, np.ascontiguousarray(network.projection_weights(projection)[chosen].T, dtype=np.float64)


def _group(instants: np.ndarray, times: np.ndarray) -> list[int]:
    """Offsets such that ``times[offset[n]:offset[n + 1]]`` are the times at ``instants[n]``; both
    ascending.
    """
    return [*np.searchsorted(times, instants, side="left").tolist(), len(times)]


def _join(rows: list[Row]) -> tuple[PotentialTrace, CurrentTrace]:
    sizes = [len(neurons) for _, neurons, _, _, _ in rows]
    times = np.repeat(np.array([row[0] for row in rows], dtype=np.float64), sizes)
    neurons, potentials, currents = (
        np.concatenate([row[column] for row in rows] or [np.zeros(0)]) for column in (1, 2, 3)
    )
    neurons = neurons.astype(np.uint32)
    kinds = np.repeat(np.array([row[4] for row in rows], dtype=np.uint8), sizes)
    # A reset leaves the current as it is: one row is enough.
    once = kinds != KIND_POST_RESET
    return (
        PotentialTrace(times, neurons, potentials, kinds),
        CurrentTrace(times[once], neurons[once], currents[once], kinds[once]),
    )
