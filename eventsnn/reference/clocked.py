"""The clocked engine in readable form, float32: the oracle of ``cython_ext/engines/engine_clocked.pyx``.

Within step t, for every layer: ``v += (E - v)/tau_m; I -= I/tau_s; I += sum w s(t-1); v += I/tau_s``, E being
the resting potential, then v = 0 while refractory, then a spike where ``v > theta``. A spike needs as many
steps to the next layer, or over a further connection, as the delay has, but at least one. Times and constants
are counted in steps; nothing happens in step 0.

Reference: Jin, Zhang & Li, "Hybrid Macro/Micro Level Backpropagation for Training Deep Spiking Neural
Networks", NeurIPS 2018, and the program released with it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from eventsnn.model import Layer, Network
from eventsnn.model.bias import spike_times
from eventsnn.model.layers import BIAS

Trains = list[tuple[np.ndarray, np.ndarray]]


class Constants(NamedTuple):
    """Constants of a layer's neurons, as `ClockedLayer` of the kernels takes them too; times in steps.

    `leak` is what the resting potential adds to the potential in each step.
    """

    threshold: float
    tau_m: float
    tau_s: float
    leak: float
    lateral: float
    refractory: int


def constants(layer: Layer, slack: float, step_ms: float) -> Constants:
    """Those of a layer, its threshold lowered by `slack`."""
    tau_m, tau_s = layer.tau_m / step_ms, layer.tau_s / step_ms
    refractory = round(layer.refractory / step_ms)
    leak, lateral = layer.resting / tau_m, layer.lateral_inhibition
    return Constants(layer.threshold - slack, tau_m, tau_s, leak, lateral, refractory)


class _Layer:
    """State of one layer: float32 potential and current, whole steps of refractory time left."""

    def __init__(self, layer: Layer, slack: float, step_ms: float) -> None:
        *numbers, self.refractory = constants(layer, slack, step_ms)
        self.theta, self.tau_m, self.tau_s, self.leak, self.lateral = map(np.float32, numbers)
        self.v = np.zeros(layer.neurons, np.float32)
        self.current = np.zeros(layer.neurons, np.float32)
        self.wait = np.zeros(layer.neurons, np.int32)
        self.spikes = np.zeros(layer.neurons, np.float32)

    def step(self, arriving: list[np.ndarray]) -> np.ndarray:
        """One step. `arriving` lists the weights of the arriving spikes; the result is 0/1 float32, the
        spikes.
        """
        self.v -= self.v / self.tau_m
        if self.leak:
            self.v += self.leak
        self.current -= self.current / self.tau_s
        for weights in arriving:  # one by one: the order of a sum is part of its bits
            self.current += weights
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


def run(network: Network, times: np.ndarray, neurons: np.ndarray, steps: int, step_ms: float = 1.0) -> Trains:
    """(times in ms, neurons) of every layer; times in ms, input neurons, number of steps, their length."""
    biased, lowered = network.input.has_bias, network.lowered
    sizes = [network.input.neurons, *(layer.neurons for layer in network.layers)]
    spikes = [np.zeros((steps, size + biased), bool) for size in sizes]
    spikes[0][_step_of(times, step_ms), neurons] = True
    when_bias = _step_of(spike_times(network.input, float(np.max(times, initial=0.0))), step_ms)
    for neuron_spikes in spikes:
        neuron_spikes[when_bias[when_bias < steps], -1:] |= biased
    layers = [
        _Layer(layer, described.threshold_slack, step_ms)
        for layer, described in zip(lowered.layers, network.layers, strict=True)
    ]
    orders = [_order_of(network, number) for number in range(-1, len(layers))]
    ways = [_ways_into(lowered, number, step_ms) for number in range(len(layers))]
    for t in range(1, steps):
        for number, layer in enumerate(layers):
            arriving = [
                columns[neuron]
                for source, latency, columns in ways[number]
                if t >= latency
                for neuron in orders[source + 1]
                if neuron < len(columns) and spikes[source + 1][t - latency, neuron]
            ]
            spikes[number + 1][t, : sizes[number + 1]] = layer.step(arriving)
    trains = []
    for neuron_spikes, size in zip(spikes[1:], sizes[1:], strict=True):
        when, who = np.nonzero(neuron_spikes[:, :size])
        trains.append((when * step_ms, who.astype(np.int32)))
    return trains


def _step_of(times: np.ndarray, step_ms: float) -> np.ndarray:
    """floor(t / step), in which 1.8 / 0.6 is 3 even if its last bit is wrong."""
    return np.array([math.floor(round(t / step_ms, 8)) for t in times.tolist()], np.int64)


def _order_of(network: Network, number: int) -> np.ndarray:
    """Neurons of a layer (-1: the input) in the order in which their spikes are added, the bias last.

    Cell by cell, the channels of each together.
    """
    channels, cells = network.input.polarities, network.input.width * network.input.height
    if number >= 0:
        layer = network.layers[number]
        channels, cells = layer.channels, layer.positions
    order = np.arange(channels * cells).reshape(channels, cells).T.ravel()
    return np.append(order, order.size)[: order.size + network.input.has_bias]


def _ways_into(network: Network, number: int, step_ms: float) -> list[tuple[int, int, np.ndarray]]:
    """(source layer, steps, float32 weights (pre, post)) of the connections into a layer: from the layer
    before, then others.
    """
    ways = []
    for p in network.projections:
        if p.target != number or p.lateral or p.source == BIAS:
            continue
        weights = network.weights[p.key]
        matrix = weights.toarray() if hasattr(weights, "toarray") else weights
        ways.append((p.source, max(1, round(p.delay / step_ms)), np.ascontiguousarray(matrix.T, np.float32)))
    return ways
