"""The clocked reference in readable form, numpy in float32: the oracle of ``cython_ext/engine_clocked.pyx``.

Within step t, for every layer: ``v -= v/tau_m; I -= I/tau_s; I += sum w s(t-1); v += I/tau_s``, then v = 0
while refractory, then a spike where ``v > theta``. A spike needs one step to the next layer. Times are
counted in steps of 1 ms; nothing happens in step 0.

Reference: Jin, Zhang & Li, "Hybrid Macro/Micro Level Backpropagation for Training Deep Spiking Neural
Networks", NeurIPS 2018, and the program released with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from eventsnn.engines.bias import spike_times
from eventsnn.network import Conv, Dense, Network, Pool

SLACK = 1e-6  # what the authors take off the threshold of all layers but convolutions

Trains = list[tuple[np.ndarray, np.ndarray]]


class _Layer:
    """State of one layer: float32 potential and current, whole steps of refractory time left."""

    def __init__(self, layer: Dense, weights: Any, slack: float) -> None:
        matrix = weights.toarray() if hasattr(weights, "toarray") else weights
        self.columns = np.ascontiguousarray(matrix.T, np.float32)
        self.theta = np.float32(layer.threshold - slack)
        self.tau_m, self.tau_s = np.float32(layer.tau_m), np.float32(layer.tau_s)
        self.lateral = np.float32(layer.lateral_inhibition)
        self.refractory = round(layer.refractory)
        self.v = np.zeros(layer.neurons, np.float32)
        self.current = np.zeros(layer.neurons, np.float32)
        self.wait = np.zeros(layer.neurons, np.int32)
        self.spikes = np.zeros(layer.neurons, np.float32)

    def step(self, arriving: np.ndarray) -> np.ndarray:
        """One step; `arriving` lists source neurons, the result 0/1 float32 of the layer's spikes."""
        self.v -= self.v / self.tau_m
        self.current -= self.current / self.tau_s
        for source in arriving:  # one by one: the order of a sum is part of its bits
            self.current += self.columns[source]
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


def run(network: Network, times: np.ndarray, neurons: np.ndarray, steps: int) -> Trains:
    """(times in ms, neurons) of every layer; arguments as `eventsnn.engines.clocked.run_steps`."""
    biased = network.input.has_bias
    source = np.zeros((steps, network.input.neurons + biased), bool)
    source[times.astype(np.int64), neurons] = True
    when_bias = spike_times(network.input, float(np.max(times, initial=0.0))).astype(np.int64)
    source[when_bias, -1:] |= biased
    trains = []
    lowered = network.lowered
    shape: tuple[int, int] = (network.input.polarities, network.input.width * network.input.height)
    for name, layer, described in zip(lowered.names, lowered.layers, network.layers, strict=True):
        assert isinstance(layer, Dense)
        state = _Layer(layer, lowered.weights[name], 0.0 if isinstance(described, Conv) else SLACK)
        spikes = np.zeros((steps, layer.neurons + biased), bool)
        # Sources are added cell by cell, the channels of each together, the bias neuron last.
        order = np.arange(shape[0] * shape[1]).reshape(shape).T.ravel()
        order = np.append(order, order.size)[: source.shape[1]]
        for t in range(1, steps):
            spikes[t, : layer.neurons] = state.step(order[source[t - 1][order]])
        when, who = np.nonzero(spikes)
        trains.append((when.astype(np.float64), who.astype(np.int32)))
        spikes[when_bias, -1:] |= biased
        source = spikes
        shape = (layer.neurons, 1)
        if isinstance(described, Conv | Pool):
            shape = (described.shape[0], described.geometry.patches)
    return trains
