"""Synaptic operations: what the spikes of a run make a network do, synapse by synapse; NeuroBench's metrics.

A spike is one **addition** of a weight to a synaptic current at each of its synapses, when it arrives: spikes
of the input, of layers (also through recurrent connections and lateral inhibition) and of the bias neuron
count, cells beyond the edge of a convolution and arrivals after the end of a run do not. **Effective**
additions are those of weights that are not 0. Decays, comparisons with the threshold and the steps of a clock
are neither.
NeuroBench: Yik et al., Nature Communications 16:1545, 2025, doi:10.1038/s41467-025-56739-4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from eventsnn._util.words import number_of
from eventsnn.errors import SimulationError
from eventsnn.model import Network, Projection
from eventsnn.model.layers import BIAS
from eventsnn.trace.reader import Trace
from eventsnn.trace.record import LayerSpikes, SpikeRecord
from eventsnn.trace.schema import source_name

ADDITION_PJ, MULTIPLICATION_PJ = 0.9, 3.7
"""Energy of an operation of 32-bit floating-point numbers in 45 nm, memory not included.

Horowitz, Computing's energy problem (and what we can do about it), ISSCC 2014.
"""


@dataclass(frozen=True, eq=False, repr=False)
class Operations:
    """Operations of recordings, array (recordings, layers) of int64 each; layers are those that receive.

    Attributes
    ----------
    layers : tuple of str
    additions
        Of weights to synaptic currents, zeros and biases included.
    effective
        Those of weights that are not 0, biases included.
    biases
        Those of them that come from the bias neuron.
    spikes
        Of the layers themselves.
    events : int64 array (recordings,)
        Input spikes.
    lengths_ms : float64 array (recordings,)
    """

    layers: tuple[str, ...]
    additions: np.ndarray
    effective: np.ndarray
    biases: np.ndarray
    spikes: np.ndarray
    events: np.ndarray
    lengths_ms: np.ndarray

    def __len__(self) -> int:
        return len(self.events)

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """All arrays, in the order of the fields."""
        return self.additions, self.effective, self.biases, self.spikes, self.events, self.lengths_ms

    def __repr__(self) -> str:
        total = int(self.effective.sum())
        return f"<Operations of {number_of(len(self), 'recording')}: {total:,} effective additions>"

    def to_dict(self) -> dict[str, Any]:
        """Means of a recording by layer, and totals, as plain values; None without recordings."""
        n, events = len(self), int(self.events.sum())
        names = ("additions", "effective", "biases", "spikes")
        layers = {
            layer: {name: float(getattr(self, name)[:, k].mean()) if n else None for name in names}
            for k, layer in enumerate(self.layers)
        }
        total = int(self.effective.sum())
        spikes = events + int(self.spikes.sum())
        return {
            "recordings": n,
            "events": events / n if n else None,
            "layers": layers,
            "effective_per_recording": total / n if n else None,
            "effective_per_spike": total / spikes if spikes else None,
            "energy_nj_per_recording": 1e-3 * ADDITION_PJ * total / n if n else None,
        }


class OperationCounter:
    """Counts the operations of runs of a network, one after the other.

    Parameters
    ----------
    network : Network
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self._fans = [_Fan(network, projection) for projection in network.projections]
        self._rows: list[tuple[Any, ...]] = []

    def add(self, record: SpikeRecord) -> None:
        """Count a run."""
        shape = len(self.network.names)
        additions, effective, biases = (np.zeros(shape, np.int64) for _ in range(3))
        for fan in self._fans:
            every, nonzero = fan.count(record[fan.source], record.t_end)
            additions[fan.target] += every
            effective[fan.target] += nonzero
            if fan.is_bias:
                biases[fan.target] += nonzero
        spikes = np.array([len(record.layers[name]) for name in self.network.names], np.int64)
        self._rows.append((additions, effective, biases, spikes, len(record.input), _length(record)))

    def total(self) -> Operations:
        """What was counted."""
        width, n = len(self.network.names), len(self._rows)
        additions, effective, biases, spikes = (
            np.array([row[k] for row in self._rows], np.int64).reshape(n, width) for k in range(4)
        )
        events = np.array([row[4] for row in self._rows], np.int64)
        lengths = np.array([row[5] for row in self._rows], np.float64)
        return Operations(self.network.names, additions, effective, biases, spikes, events, lengths)


def _length(record: SpikeRecord) -> float:
    """Of a run, ms: its end, or the last spike where it fell quiet."""
    if math.isfinite(record.t_end):
        return record.t_end
    return max(
        [0.0, *(float(train.times[-1]) for train in (record.input, *record.layers.values()) if len(train))]
    )


class _Fan:
    """Synapses of the neurons of a projection's source.

    Attributes
    ----------
    source : str
    target : int
        Number of the layer that receives.
    every, nonzero : int64 array (sources,)
        Synapses, and those whose weight is not 0.
    """

    def __init__(self, network: Network, projection: Projection) -> None:
        self._projection = projection
        self.source, self.target = source_name(network, projection), projection.target
        self.is_bias = projection.source == BIAS
        self.every = network.fan_out(projection)
        self.nonzero = network.fan_out(projection, nonzero=True)
        branches = projection.branches
        self._weights = (
            network.sender_weights(projection) if branches is not None and branches.each_synapse else None
        )
        self._longest = projection.delay if branches is None else float(branches.delays.max(initial=0.0))

    def drops(self, t_end: float) -> bool:
        """Whether a spike may arrive after the end of a run."""
        return self._longest > 0.0 and math.isfinite(t_end)

    def count(self, spikes: LayerSpikes, t_end: float) -> tuple[int, int]:
        """Additions that spikes lead to up to the end of the run, and the effective ones among them."""
        if not self.drops(t_end):
            return int(self.every[spikes.neurons].sum()), int(self.nonzero[spikes.neurons].sum())
        arrivals, _, senders = self._projection.arrive(spikes.times, spikes.neurons)
        senders = senders[arrivals <= t_end]
        if self._weights is not None:
            return len(senders), int(np.count_nonzero(self._weights[senders]))
        return int(self.every[senders].sum()), int(self.nonzero[senders].sum())

    def count_all(self, trace: Trace, ends: np.ndarray) -> np.ndarray:
        """`count` of all recordings of a trace, int64 (recordings, 2); spikes are read where it matters."""
        found = np.zeros((len(ends), 2), np.int64)
        dropping = np.array([self.drops(end) for end in ends.tolist()], bool)
        uniform = [(fan == fan[:1]).all() for fan in (self.every, self.nonzero)]
        if all(uniform) and len(self.every):
            found[:] = trace.spikes_per_sample(self.source)[:, None] * [self.every[0], self.nonzero[0]]
        elif self.source in trace.network.names:
            found[:] = trace.counts(self.source) @ np.stack([self.every, self.nonzero], axis=1)
        else:
            dropping[:] = True
        for sample in np.flatnonzero(dropping).tolist():
            found[sample] = self.count(trace.spikes(self.source, sample), float(ends[sample]))
        return found


def count_operations(trace: Trace) -> Operations:
    """The operations of every complete recording of a trace."""
    network, samples = trace.network, trace.samples
    ends = np.array([sample.t_end for sample in samples], np.float64)
    n, width = len(trace.spikes_per_sample("input")), len(network.names)
    additions, effective, biases = (np.zeros((n, width), np.int64) for _ in range(3))
    for projection in network.projections:
        fan = _Fan(network, projection)
        found = fan.count_all(trace, ends[:n])
        additions[:, fan.target] += found[:, 0]
        effective[:, fan.target] += found[:, 1]
        if fan.is_bias:
            biases[:, fan.target] += found[:, 1]
    return Operations(
        network.names,
        additions,
        effective,
        biases,
        np.stack([trace.spikes_per_sample(name) for name in network.names], axis=1),
        trace.spikes_per_sample("input"),
        np.array([sample.length for sample in samples[:n]], np.float64),
    )


def count_additions(trace: Trace) -> dict[str, int]:
    """Additions by layer in all complete recordings of a trace, those of weights 0 included."""
    counted = count_operations(trace)
    return dict(zip(counted.layers, counted.additions.sum(axis=0).tolist(), strict=True))


def neurobench(network: Network, operations: Operations, dt_ms: float, itemsize: int = 4) -> dict[str, Any]:
    """The metrics of NeuroBench, under its names.

    Parameters
    ----------
    network : Network
    operations : Operations
        Of recordings that ran on it.
    dt_ms : float
        Step of the program on a clock that ``Dense`` and ``ActivationSparsity`` are about, ms: it multiplies
        every synapse and updates every neuron in each step. Nothing else depends on it.
    itemsize : int
        Bytes of a weight.

    Returns
    -------
    dict
        ``Footprint`` (bytes of the weights and delays), ``ParameterCount``, ``ConnectionSparsity`` (share of
        weights that are 0, or that sparse weights leave out), ``ActivationSparsity`` (share of neurons and
        steps without a spike), ``SynapticOperations`` a recording (``Effective_MACs`` is 0: spikes are not
        graded; biases are left out, as NeuroBench does), ``MembraneUpdates`` a recording: additions and
        resets, the moments at which an exact engine has to look at a neuron.

    Raises
    ------
    SimulationError
        `dt_ms` is not a number > 0.
    """
    if not (isinstance(dt_ms, int | float) and 0.0 < dt_ms < math.inf):
        raise SimulationError(f"dt_ms: must be a time > 0 in ms, got {dt_ms!r}")
    n = max(1, len(operations))
    # A length is the difference of two times of a trace, and may be off by their rounding.
    steps = int(np.ceil(operations.lengths_ms / dt_ms - 1e-6).sum())
    firing = sum(layer.neurons for layer in network.layers if layer.fires)
    synapses = sum(int(network.fan_out(p).sum()) for p in network.projections if p.source != BIAS)
    stored, possible, nonzero = _count_weights(network)
    spikes = int(operations.spikes.sum())
    return {
        "Footprint": itemsize * stored + 8 * sum(len(delays) for delays in network.delays.values()),
        "ParameterCount": stored + sum(len(delays) for delays in network.delays.values()),
        "ConnectionSparsity": 1.0 - nonzero / possible if possible else 0.0,
        "ActivationSparsity": 1.0 - spikes / (firing * steps) if firing * steps else 0.0,
        "SynapticOperations": {
            "Effective_MACs": 0.0,
            "Effective_ACs": int((operations.effective - operations.biases).sum()) / n,
            "Dense": synapses * steps / n,
        },
        "MembraneUpdates": (int(operations.additions.sum()) + spikes) / n,
    }


def _count_weights(network: Network) -> tuple[int, int, int]:
    """Weights that are stored, that there could be between the same neurons, and that are not 0."""
    stored = possible = nonzero = 0
    for key, weights in network.weights.items():
        values = weights.data if hasattr(weights, "nnz") else np.asarray(weights)
        stored += values.size
        nonzero += int(np.count_nonzero(values))
        possible += int(np.prod(network.weight_shapes()[key]))
    return stored, possible, nonzero
