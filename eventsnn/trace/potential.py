"""Membrane potential rebuilt exactly from spikes, weights and input: it need not be stored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eventsnn.errors import TraceError
from eventsnn.model import LIF, Network
from eventsnn.reference.lif import psp, responses, resting_share
from eventsnn.reference.spsp import unit_contributions
from eventsnn.trace.afferents import afferents, check_exact_time, resting_contribution
from eventsnn.trace.record import SpikeRecord
from eventsnn.trace.schema import KIND_POST_RESET, KIND_PRE_SPIKE, KIND_SAMPLE, source_name
from eventsnn.trace.selection import check_neuron

# Times worked on at once: what arrived before a block is summed once, what arrives within it for every time.
BLOCK = 64

MOST_BYTES = 8 << 30
"""Of the potentials of one layer in one sample, which are in memory at once."""
ROW_BYTES = 8 + 4 + 8 + 1


def membrane_potential(
    network: Network, record: SpikeRecord, layer: str, neuron: int, times_ms: np.ndarray
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
    check_exact_time(record.engine, "the membrane potential")
    lif = network[layer].lif
    check_neuron(network, layer, neuron)
    times = np.asarray(times_ms, dtype=np.float64)
    if times.ndim != 1 or not np.isfinite(times).all():
        raise TraceError(f"times_ms must be a one-dimensional array of finite times, got shape {times.shape}")
    if times.size and times.max() > record.t_end:
        raise TraceError(f"times_ms goes up to {times.max():g} ms, but this run ended at {record.t_end:g} ms")

    spikes = record[layer].of(neuron)
    last = np.searchsorted(spikes, times, side="left") - 1
    resets = (
        np.where(last >= 0, spikes[last] + lif.refractory, -np.inf)
        if spikes.size
        else np.full(times.shape, -np.inf)
    )
    incoming = afferents(network, record, network.index(layer), neuron)
    arrivals = np.concatenate([a.arrivals for a in incoming])
    weights = np.concatenate([a.weights for a in incoming])

    order = np.argsort(arrivals, kind="stable")
    arrivals, weights = arrivals[order], weights[order]

    potential = np.zeros(times.shape)
    awake = np.flatnonzero(times > resets)
    awake = awake[np.argsort(times[awake], kind="stable")]
    for epoch in np.split(awake, np.flatnonzero(resets[awake[1:]] != resets[awake[:-1]]) + 1):
        for first in range(0, epoch.size, BLOCK):
            rows = epoch[first : first + BLOCK]
            potential[rows] = _free_potential(times[rows], resets[rows[0]], arrivals, weights, lif)
            potential[rows] += resting_contribution(times[rows], resets[rows[0]], lif)
    return potential


def _free_potential(
    times: np.ndarray, reset: float, arrivals: np.ndarray, weights: np.ndarray, lif: LIF
) -> np.ndarray:
    """Potential at ascending `times` without a reset between them; `reset` is the last reset before them."""
    start = times[0]
    before, until = np.searchsorted(arrivals, (start, times[-1]), side="right")
    u = unit_contributions(start, reset, arrivals[:before], lif) @ weights[:before]
    i = np.exp((arrivals[:before] - start) / lif.tau_s) @ weights[:before]
    within = psp(times[:, None] - arrivals[before:until], lif) @ weights[before:until]
    a, h, _ = responses(times - start, lif)
    return u * a + i * h + within


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
        return f"<PotentialTrace: {len(self.times):,} values of {len(np.unique(self.neurons))} neurons{span}>"


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


def record_potentials(
    network: Network, run: SpikeRecord, layer: str, length: float, step: float
) -> PotentialTrace:
    """Potentials of a layer from 0 to `length` (ms) every `step` ms, and around its resets.

    Raises
    ------
    TraceError
        The grid asks for more than `MOST_BYTES`.
    """
    need = (length / step + 1.0) * network[layer].neurons * ROW_BYTES
    if need > MOST_BYTES:
        raise TraceError(
            f"potentials of layer {layer!r} every {step:g} ms for {length:g} ms take "
            f"{need / 2**30:,.1f} GiB; record fewer layers (potential_layers), a wider grid "
            f"(potential_step) or a shorter time (t_stop, --t-stop, --until): at most "
            f"{MOST_BYTES / 2**30:g} GiB"
        )
    grid = np.arange(0.0, length + 0.5 * step, step)
    return replay_layer(network, run, layer, grid[grid <= run.t_end])


def replay_layer(network: Network, record: SpikeRecord, layer: str, grid_ms: np.ndarray) -> PotentialTrace:
    """Potentials of all neurons of a layer: on a grid, and just before and after each of their resets.

    The layer is run again with its spikes given instead of looked for: one pass over arrivals, grid, spikes
    and refractory ends in order of time, all neurons at once, O(instants x neurons).

    Parameters
    ----------
    network, record, layer
        As in `membrane_potential`, which gives the same values one neuron at a time.
    grid_ms : float64 array (n,)
        Ascending times, ms.
    """
    check_exact_time(record.engine, "the membrane potential")
    lif, index = network[layer].lif, network.index(layer)
    deliveries, weights = _deliveries(network, record, index)
    spikes = record[layer]
    ends = spikes.times + lif.refractory
    instants = np.unique(np.concatenate([deliveries[0], grid_ms, spikes.times, ends]))
    # The potentials leave 0 for their resting potential at time 0, before anything happens.
    lengths = np.diff(instants, prepend=np.minimum(instants[:1], 0.0))
    shares = *responses(lengths, lif), resting_share(lengths, lif)
    propagators = zip(*(share.tolist() for share in shares), strict=True)
    delivered = _group(instants, deliveries[0])
    fired = _group(instants, spikes.times)
    ended = _group(instants, ends)
    sampled = np.isin(instants, grid_ms).tolist()

    state = _LayerState(network.layers[index].neurons)
    everyone = np.arange(len(state.u), dtype=np.uint32)
    rows: list[tuple[float, np.ndarray, np.ndarray, int]] = []
    for n, (t, propagator) in enumerate(zip(instants.tolist(), propagators, strict=True)):
        state.advance(*propagator)
        for k in range(delivered[n], delivered[n + 1]):
            state.i += weights[deliveries[1][k]][deliveries[2][k]]
        if sampled[n]:
            rows.append((t, everyone, state.u, KIND_SAMPLE))
        firing = spikes.neurons[fired[n] : fired[n + 1]]
        if firing.size:
            rows.append((t, firing, state.u[firing], KIND_PRE_SPIKE))
            rows.append((t, firing, np.zeros(firing.size), KIND_POST_RESET))
            state.u = state.u.copy()  # the rows keep the potentials before the reset
            state.u[firing] = 0.0
            state.free[firing] = 0.0
        state.free[spikes.neurons[ended[n] : ended[n + 1]]] = 1.0
    return _join(rows)


def _deliveries(
    network: Network, record: SpikeRecord, index: int
) -> tuple[tuple[np.ndarray, list[int], list[int]], list[np.ndarray]]:
    """Arrivals at a layer by time: (times, projection, pre-synaptic neuron); and the weights, (pre, post)."""
    times, numbers, neurons = [], [], []
    weights: list[np.ndarray] = []
    for projection in network.projections:
        if projection.target != index:
            continue
        spikes = record[source_name(network, projection)]
        arrivals, order_of = projection.arrive(spikes.times, spikes.neurons)
        times.append(arrivals)
        numbers.append(np.full(len(spikes), len(weights)))
        neurons.append(spikes.neurons[order_of])
        weights.append(np.ascontiguousarray(network.projection_weights(projection).T, dtype=np.float64))
    merged = np.concatenate(times)
    order = np.argsort(merged, kind="stable")
    return (
        merged[order],
        np.concatenate(numbers)[order].tolist(),
        np.concatenate(neurons)[order].tolist(),
    ), weights


def _group(instants: np.ndarray, times: np.ndarray) -> list[int]:
    """Offsets such that ``times[offset[n]:offset[n + 1]]`` are the times at ``instants[n]``; both
    ascending.
    """
    return [*np.searchsorted(times, instants, side="left").tolist(), len(times)]


def _join(rows: list[tuple[float, np.ndarray, np.ndarray, int]]) -> PotentialTrace:
    sizes = [len(neurons) for _, neurons, _, _ in rows]
    return PotentialTrace(
        np.repeat(np.array([row[0] for row in rows], dtype=np.float64), sizes),
        np.concatenate([row[1] for row in rows] or [np.zeros(0)]).astype(np.uint32),
        np.concatenate([row[2] for row in rows] or [np.zeros(0)]),
        np.repeat(np.array([row[3] for row in rows], dtype=np.uint8), sizes),
    )
