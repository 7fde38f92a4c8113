"""What a readout layer makes of the spikes of a simulation, all at once or part by part."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from eventsnn._ext.readout import ROWS, read_out
from eventsnn._util.saved import StateReader
from eventsnn.model import Layer, Network
from eventsnn.model.layers import BIAS
from eventsnn.reference.lif import constants
from eventsnn.reference.lif import record as kernel_constants
from eventsnn.reference.readout import mean
from eventsnn.trace.record import SpikeRecord

WHEN, SLOPE = 3, 4
"""Rows of a state: the time of the highest potential, and the slope just after it."""


class Reading:
    """Potentials of a readout layer, arrival by arrival, in float64 whatever the weights are.

    Parameters
    ----------
    layer : Readout
    weights : float64 array (sources, neurons)

    Attributes
    ----------
    state : float64 array (ROWS, neurons)
        See ``read_out``; rows are the fields of `eventsnn.reference.readout.Neuron`.
    now : float
        Time of the last arrival, ms.
    """

    def __init__(self, layer: Layer, weights: np.ndarray) -> None:
        self._layer, self._weights = layer, weights
        self.tau = time_constant(layer)
        self.state, self.now = np.zeros((ROWS, layer.neurons)), 0.0
        self.state[WHEN] = -1.0

    def _read(self, times: np.ndarray, sources: np.ndarray, state: np.ndarray, end: float) -> float:
        known, highest = kernel_constants(self._layer.lif), self._layer.value == "max"
        return read_out(times, sources, self._weights, known, self.tau, highest, state, self.now, end)

    def arrive(self, times: np.ndarray, sources: np.ndarray) -> None:
        """Take arrivals, ascending, none before the last: float64, ms; int32, rows of the weights."""
        self.now = self._read(times, sources, self.state, -1.0)

    def finish(self, end: float) -> np.ndarray:
        """The state at `end` ms, which is not before the last arrival, and may be infinite."""
        state = self.state.copy()
        self._read(np.empty(0), np.empty(0, np.int32), state, end)
        return state

    def values(self, end: float) -> np.ndarray:
        """What is read out from time 0 to `end` ms, float64 array (neurons,).

        Raises
        ------
        FloatingPointError
            The potentials are beyond what float64 holds.
        """
        u, i, highest, _, _, weight = state = self.finish(end)
        if not np.isfinite(state).all():
            raise FloatingPointError
        if self._layer.value == "max":
            return highest
        return np.asarray(mean(constants(self._layer.lif), u, i, weight, end, self.tau))


def time_constant(layer: Layer) -> float:
    """Of the weight of a readout layer's mean, ms; infinite where the mean has none."""
    return float(layer.tau_weight) if layer.value == "weighted" else math.inf  # type: ignore[attr-defined]


def read_record(network: Network, record: SpikeRecord, sample_end: float) -> np.ndarray | None:
    """What the readout layer of a network gives in a whole simulation, whose input ended at `sample_end` ms.

    None where there is none.
    """
    if network.output.fires:
        return None
    trains = {name: (record[name].times, record[name].neurons) for name in ("input", "bias", *network.names)}
    run = ReadoutRun(network, np.dtype(record.dtype).type)
    return run.advance(trains, record.t_end, sample_end)


class ReadoutRun:
    """The readout layer of a network in the middle of a simulation.

    Parameters
    ----------
    network : Network
        Its last layer is a readout.
    real : numpy type
        Precision to which weights are rounded.
    """

    def __init__(self, network: Network, real: type[np.floating]) -> None:
        names, number = network.names, len(network.layers) - 1
        self._name, self._value = names[-1], network.output.value
        self._sources: list[tuple[str, float, int]] = []
        weights, first = [], 0
        for p in network.deliveries:
            if p.target == number:
                source = "bias" if p.source == BIAS else "input" if p.source < 0 else names[p.source]
                self._sources.append((source, p.delay, first))
                weights.append(network.projection_weights(p).T.astype(real).astype(np.float64))
                first += len(weights[-1])
        self._size = first
        self._reading = Reading(network.output, np.ascontiguousarray(np.concatenate(weights)))
        self._held = np.empty(0), np.empty(0, np.int32)

    def advance(
        self, trains: Mapping[str, tuple[np.ndarray, np.ndarray]], end: float, sample_end: float
    ) -> np.ndarray:
        """Take spikes (times, neurons) of all layers by name, those that were not given before.

        All before `end`, ms, are known now, and what arrives later waits. Returns what is read out up to
        `end`; a plain mean, up to `sample_end` if that is earlier.

        Raises
        ------
        FloatingPointError
            The potentials are beyond what float64 holds.
        """
        end = min(end, sample_end) if self._value == "mean" else end
        parts = [self._held]
        for name, delay, first in self._sources:
            times, neurons = trains[name]
            parts.append((times + delay, neurons + np.int32(first)))
        times, rows = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        order = np.lexsort((rows, times))
        order, later = np.split(order, [np.searchsorted(times[order], end)])
        self._held = times[later], rows[later]
        self._reading.arrive(times[order], rows[order])
        return self._reading.values(end)

    def save(self) -> dict[str, np.ndarray]:
        """The state, as arrays."""
        reading, (times, rows) = self._reading, self._held
        return {"state": reading.state, "now": np.array(reading.now), "times": times, "rows": rows}

    def restore(self, state: StateReader, horizon: float) -> None:
        """Take over what `save` returned when all was known up to `horizon`, ms.

        Raises
        ------
        StateError
            It cannot be the state of this layer then.
        """
        reading = self._reading
        held = state.train("times", "rows", self._size, lowest=horizon)
        values = state.numbers("state", reading.state.shape, np.float64)
        now = float(state.numbers("now", (), np.float64, lowest=0.0, highest=horizon))
        state.close()
        if (values[WHEN] > now).any():
            raise state.error("state", f"has a highest potential after the last arrival at {now} ms")
        self._held, reading.state[...], reading.now = held, values, now
