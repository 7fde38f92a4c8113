"""The clocked reference: 1 ms steps in float32, as the authors of HM2-BP compute (numpy, no compiled kernel).

Within step t, for every layer: ``v -= v/tau_m; I -= I/tau_s; I += sum w s(t-1); v += I/tau_s``, then v = 0
while refractory, then a spike where ``v > theta``. A spike needs one step to the next layer. Times are
counted in steps of 1 ms; nothing happens in step 0.

Reference: Jin, Zhang & Li, "Hybrid Macro/Micro Level Backpropagation for Training Deep Spiking Neural
Networks", NeurIPS 2018, and the program released with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from eventsnn.engines.arguments import check_input
from eventsnn.engines.record import SpikeRecord, make_record
from eventsnn.errors import SimulationError
from eventsnn.network import Conv, Dense, Network

SLACK = 1e-6  # what the authors take off the threshold of all layers but convolutions


class _Layer:
    """State of one layer: float32 potential and current, whole steps of refractory time left."""

    def __init__(self, layer: Dense, weights: Any, slack: float) -> None:
        self.weights = weights.astype(np.float32)
        self.theta = np.float32(layer.threshold - slack)
        self.tau_m, self.tau_s = np.float32(layer.tau_m), np.float32(layer.tau_s)
        self.lateral = np.float32(layer.lateral_inhibition)
        self.refractory = round(layer.refractory)
        self.v = np.zeros(layer.neurons, np.float32)
        self.current = np.zeros(layer.neurons, np.float32)
        self.wait = np.zeros(layer.neurons, np.int32)
        self.spikes = np.zeros(layer.neurons, np.float32)

    def step(self, arriving: np.ndarray) -> np.ndarray:
        """One step; `arriving` and the result are 0/1 float32 arrays of the spikes of one step."""
        self.v -= self.v / self.tau_m
        self.current -= self.current / self.tau_s
        if arriving.any():
            self.current += self.weights @ arriving
        if self.lateral and self.spikes.any():
            self.current -= self.lateral * (self.spikes.sum() - self.spikes)
        self.v += self.current / self.tau_s
        waiting = self.wait > 0
        self.v[waiting] = 0.0
        self.wait[waiting] -= 1
        fired = self.v > self.theta
        self.v[fired] = 0.0
        self.wait[fired] = self.refractory
        self.spikes = fired.astype(np.float32)
        return self.spikes


def run(
    network: Network,
    times_ms: np.ndarray,
    indices: np.ndarray,
    *,
    t_stop: float | None,
) -> SpikeRecord:
    """Simulate in steps of 1 ms.

    Parameters
    ----------
    network : Network
        A chain of layers (`Dense`, `Conv`, `Pool`) without delays, resting potentials or further connections,
        refractory periods whole.
    times_ms, indices : arrays (n,)
        Input spikes. A time falls into the step floor(t); several spikes of a neuron in one step count once.
    t_stop : float
        Last step, ms, included; None is refused, since a clock has no other end.

    Returns
    -------
    SpikeRecord
        float32; whole times in ms.

    Raises
    ------
    SimulationError
        Naming what the clock cannot do.
    """
    problem = refusal(network)
    if problem:
        raise SimulationError(f"engine 'clocked': {problem}")
    if t_stop is None:
        raise SimulationError("t_stop: engine 'clocked' needs the last step in ms")
    times, neurons, stop = check_input(network, times_ms, indices, t_stop)
    steps = int(stop) + 1
    source = np.zeros((steps, network.input.neurons), np.float32)
    source[times.astype(np.int64), neurons] = 1.0
    trains = []
    lowered = network.lowered
    for name, layer, described in zip(lowered.names, lowered.layers, network.layers, strict=True):
        assert isinstance(layer, Dense)
        state = _Layer(layer, lowered.weights[name], 0.0 if isinstance(described, Conv) else SLACK)
        spikes = np.zeros((steps, layer.neurons), np.float32)
        for t in range(1, steps):
            spikes[t] = state.step(source[t - 1])
        when, who = np.nonzero(spikes)
        trains.append((when.astype(np.float64), who.astype(np.int32)))
        source = spikes
    return make_record(network, trains, (times, neurons), stop, "clocked", "float32")


def refusal(network: Network) -> str | None:
    """Why the clock cannot run this network; None if it can."""
    if network.connections:
        return "only chains of layers, no further connections"
    for layer in network.layers:
        if layer.delay:
            return f"layer {layer.name!r}: a delay of {layer.delay:g} ms; only 0 is possible"
        if layer.resting:
            return f"layer {layer.name!r}: a resting potential of {layer.resting:g}; only 0 is possible"
        if layer.refractory != round(layer.refractory):
            return f"layer {layer.name!r}: refractory must be whole ms, got {layer.refractory:g}"
    return None
