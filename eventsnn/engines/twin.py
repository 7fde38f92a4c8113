"""The readable engine: a priority queue of certificates in plain Python, the oracle of the compiled ones.

It performs the compiled engines' floating-point operations one by one, so spike times agree to the last bit.
"""

from __future__ import annotations

import heapq
import math

import numpy as np

from eventsnn.engines import bias
from eventsnn.engines.arguments import check_input, endless, engine_projections
from eventsnn.engines.decay import decay
from eventsnn.engines.lif import Constants, certificate, constants, next_crossing, respond
from eventsnn.engines.record import SpikeRecord, make_record
from eventsnn.network import Network
from eventsnn.network.layers import BIAS


class _Layer:
    """State of a layer: committed at `now`, certificates since then.

    Potentials are counted from the resting potential: threshold - resting in `c`, reset to -resting.
    """

    def __init__(self, c: Constants, resting: float, size: int) -> None:
        self.c = c
        self.reset = -resting
        self.now = 0.0
        self.u = [self.reset] * size  # membrane potential; at the reset value while refractory
        self.i = [0.0] * size  # synaptic current
        self.end = [-math.inf] * size  # end of the last refractory period, ms
        self.last = [-math.inf] * size  # time of the last spike, ms
        # Each certificate, whether it is a spike, and the start it is counted from.
        self.start = [0.0] * size
        self.d = [math.inf] * size
        self.fires = [False] * size
        self.times: list[float] = []
        self.neurons: list[int] = []

    def advance(self, t: float) -> None:
        """Commit the state at time `t`. A spike resets u alone, so I needs no memory of it."""
        a, h, b = respond(self.c, t - self.now)
        for n, (u, i, end) in enumerate(zip(self.u, self.i, self.end, strict=True)):
            if end >= t:
                self.u[n] = self.reset
            elif end >= self.now:
                since, driven, _ = respond(self.c, t - end)
                at_end = i * decay((end - self.now) * self.c.rate_s)[0]
                self.u[n] = self.reset * since + at_end * driven
            else:
                self.u[n] = u * a + i * h
            self.i[n] = i * b
        self.now = t

    def certify(self, n: int) -> None:
        """First certificate of neuron `n`, from now or from the end of its refractory period."""
        self.start[n], self.fires[n] = max(self.now, self.end[n]), False
        self.d[n] = certificate(self.c, *self.at_start(n))

    def refine(self, n: int) -> None:
        """Replace the certificate by the spike, or by none."""
        self.fires[n] = True
        self.d[n] = next_crossing(self.c, *self.at_start(n))

    def at_start(self, n: int) -> tuple[float, float]:
        """State of neuron `n` at the time that its certificate counts from."""
        if self.end[n] >= self.now:  # equal: it fired at `now` and has no refractory period
            return self.reset, self.i[n] * decay((self.end[n] - self.now) * self.c.rate_s)[0]
        return self.u[n], self.i[n]

    def next_spike(self, before: float) -> float:
        """Time of the next spike; certificates are refined until that is known, or none is < `before`."""
        while True:
            certificates = [start + d for start, d in zip(self.start, self.d, strict=True)]
            t = min(certificates)
            if t >= before:
                return t
            open_ones = [n for n, bound in enumerate(certificates) if bound == t and not self.fires[n]]
            if not open_ones:
                return t
            for n in open_ones:
                self.refine(n)


def run(
    network: Network, times_ms: np.ndarray, indices: np.ndarray, *, t_stop: float | None = None
) -> SpikeRecord:
    """Simulate in float64; arguments and result as `eventsnn.engines.queue.run`."""
    times, inputs, stop = check_input(network, times_ms, indices, t_stop)
    projections = engine_projections(network)
    matrices = [network.projection_weights(p).astype(np.float64).T.tolist() for p in projections]
    layers = [
        _Layer(constants(layer.lif.from_rest), float(layer.resting), layer.neurons)
        for layer in network.layers
    ]

    # Deliveries: (arrival, projection, neuron of the source). Their order among equal times is intrinsic.
    queue: list[tuple[float, int, int]] = []

    def send(source: int, neuron: int, t: float) -> None:
        for number, projection in enumerate(projections):
            if projection.source == source:
                heapq.heappush(queue, (t + projection.delay, number, neuron))

    for t, neuron in zip(times.tolist(), inputs.tolist(), strict=True):
        send(-1, neuron, t)

    biases = bias.until(network, times_ms, stop)
    for t in biases.tolist():
        send(BIAS, 0, t)

    while True:
        arrival = queue[0][0] if queue else math.inf
        spikes = [layer.next_spike(arrival) for layer in layers]
        spike = min(spikes)
        if min(arrival, spike) == math.inf or min(arrival, spike) > stop:
            break
        if arrival <= spike:
            _deliver(arrival, queue, projections, matrices, layers)
        else:
            number = spikes.index(spike)
            for neuron in _fire(layers[number], spike):
                send(number, neuron, spike)

    trains = [(np.array(layer.times, np.float64), np.array(layer.neurons, np.int32)) for layer in layers]
    return make_record(network, trains, (times, inputs), stop, "twin", "float64", bias=biases)


def _deliver(t: float, queue: list, projections: list, matrices: list, layers: list[_Layer]) -> None:
    """Apply everything that arrives at `t`; the neurons of the layers reached get new certificates."""
    reached = set()
    while queue and queue[0][0] == t:
        _, number, neuron = heapq.heappop(queue)
        layer = layers[projections[number].target]
        if layer not in reached:
            layer.advance(t)
            reached.add(layer)
        for n, weight in enumerate(matrices[number][neuron]):
            layer.i[n] += weight
    for layer in reached:
        for n in range(len(layer.u)):
            layer.certify(n)


def _fire(layer: _Layer, t: float) -> list[int]:
    """Fire every neuron of the layer whose spike time is `t`, in neuron order."""
    firing = [n for n, d in enumerate(layer.d) if layer.fires[n] and layer.start[n] + d == t]
    for n in firing:
        if layer.last[n] == t:
            raise endless(OverflowError(f"neuron {n} fires again at {t!r} ms, the instant it fired at"))
        layer.last[n] = t
        layer.times.append(t)
        layer.neurons.append(n)
        layer.end[n] = t + layer.c.refractory
        layer.certify(n)
    return firing
