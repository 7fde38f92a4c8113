"""The readable engine: a priority queue of certificates in plain Python, the oracle of the compiled ones.

It performs the compiled engines' floating-point operations one by one, so that spike times of dense
layers agree to the last bit.
"""

from __future__ import annotations

import heapq
import math
from typing import Any

import numpy as np

from eventsnn._util.saved import StateReader
from eventsnn.model import Network, Projection
from eventsnn.model.bias import NOTHING, Certain
from eventsnn.model.layers import BIAS
from eventsnn.reference.decay import decay
from eventsnn.reference.lif import Constants, after_refractory, certificate, constants, next_crossing, respond


class _Layer:
    """State of a layer: committed at `now`, certificates since then. Potentials are counted from rest."""

    STATE = ("now", "u", "i", "end", "last", "start", "d", "fires")

    def __init__(self, c: Constants, size: int) -> None:
        self.c = c
        self.now = 0.0
        self.u = [self.c.reset] * size  # membrane potential; at the reset value while refractory
        self.i = [0.0] * size  # synaptic current
        self.end = [-math.inf] * size  # end of the last refractory period, ms
        self.last = [-math.inf] * size  # time of the last spike, ms
        # Each certificate, whether it is a spike, and the start it is counted from.
        self.start = [0.0] * size
        self.d = [math.inf] * size
        self.fires = [False] * size
        self.times: list[float] = []
        self.neurons: list[int] = []

    def read(self, state: StateReader, horizon: float) -> dict[str, Any]:
        """The attributes in `STATE` from a saved state, checked; see `Run.restore`."""
        shape, greatest = (len(self.u),), float(np.finfo(np.float64).max)

        def numbers(name: str, lowest: float = -math.inf, highest: float = math.inf, **more: bool) -> Any:
            expected_shape = () if name == "now" else shape
            return state.numbers(
                name, expected_shape, np.float64, lowest=lowest, highest=highest, **more
            ).tolist()

        arrays = {
            "now": numbers("now", 0.0, horizon),
            "u": numbers("u"),
            "i": numbers("i"),
            "end": numbers("end", highest=greatest, infinite=True),
            "last": numbers("last", highest=horizon, infinite=True),
            "start": numbers("start", 0.0),
            "d": numbers("d", 0.0, infinite=True),
            "fires": state.numbers("fires", shape, bool).tolist(),
        }
        state.close()
        return arrays

    def take(self) -> tuple[np.ndarray, np.ndarray]:
        """(times, neurons) fired since it was last asked."""
        fired = np.array(self.times, np.float64), np.array(self.neurons, np.int32)
        self.times, self.neurons = [], []
        return fired

    def advance(self, t: float) -> None:
        """Commit the state at time `t`. A spike resets u alone, so I needs no memory of it."""
        a, h, b = respond(self.c, t - self.now)
        for n, (u, i, end) in enumerate(zip(self.u, self.i, self.end, strict=True)):
            if end >= t:
                self.u[n] = self.c.reset
            elif end >= self.now:
                self.u[n] = after_refractory(self.c, i, self.now, end, t)
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
            return self.c.reset, self.i[n] * decay((self.end[n] - self.now) * self.c.rate_s)[0]
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


class QueueTwin:
    """A network in the middle of a simulation; see `eventsnn.simulate.engines.Run`."""

    def __init__(self, network: Network) -> None:
        self.projections = network.deliveries
        self.synapses = [list_synapses(network, p) for p in self.projections]
        self.layers = [_Layer(constants(layer.lif), layer.neurons) for layer in network.layers]
        # Deliveries: (arrival, projection, source neuron or branch). Their order at equal times is intrinsic.
        self.queue: list[tuple[float, int, int]] = []

    def advance(
        self,
        input_spikes: tuple[np.ndarray, np.ndarray],
        horizon: float,
        stop: float,
        bias: Certain = NOTHING,
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Take input spikes, and those of the bias neuron, and go on to `horizon`.

        Returns what every layer fired, (times, neurons).

        Raises
        ------
        OverflowError
            A neuron fires for ever at one instant.
        FloatingPointError
            A state has left the range of float64.
        """
        for t in bias.times.tolist():
            self._send(BIAS, 0, t)
        for t, neuron in zip(input_spikes[0].tolist(), input_spikes[1].tolist(), strict=True):
            self._send(-1, neuron, t)
        while True:
            arrival = self.queue[0][0] if self.queue else math.inf
            spikes = [layer.next_spike(arrival) for layer in self.layers]
            spike = min(spikes)
            soonest = min(arrival, spike)
            if soonest == math.inf or soonest >= horizon or soonest > stop:
                break
            if arrival <= spike:
                _deliver(arrival, self.queue, self.projections, self.synapses, self.layers)
            else:
                number = spikes.index(spike)
                for neuron in _fire(self.layers[number], spike):
                    self._send(number, neuron, spike)
        if not all(math.isfinite(x) for layer in self.layers for x in (*layer.u, *layer.i)):
            raise FloatingPointError("a membrane potential or synaptic current is no longer finite")
        return [layer.take() for layer in self.layers]

    def _send(self, source: int, neuron: int, t: float) -> None:
        for number, projection in enumerate(self.projections):
            if projection.source == source:
                for delay, sender in _senders(projection, neuron):
                    heapq.heappush(self.queue, (t + delay, number, sender))

    def save(self) -> dict[str, np.ndarray]:
        """The state, as arrays."""
        state = {"queue": np.array(sorted(self.queue), np.float64).reshape(-1, 3)}
        for number, layer in enumerate(self.layers):
            state |= {f"{number}/{name}": np.array(getattr(layer, name)) for name in _Layer.STATE}
        return state

    def restore(self, state: StateReader, horizon: float, following: float = math.inf) -> None:
        """Take over a state that `save` returned for the same network; see `Run`."""
        queue = state.numbers("queue", (None, 3), np.float64, lowest=0.0)
        read = [layer.read(state.within(f"{n}/"), horizon) for n, layer in enumerate(self.layers)]
        for t, number, neuron in queue.tolist():
            good = number.is_integer() and number < len(self.projections) and neuron.is_integer()
            if not (good and neuron < len(self.synapses[int(number)])) or (
                t < read[self.projections[int(number)].target]["now"]
            ):
                raise state.error("queue", f"holds sender {neuron}, projection {number}, time {t} ms")
        state.close()
        self.queue = [(t, int(number), int(neuron)) for t, number, neuron in queue.tolist()]
        heapq.heapify(self.queue)
        for layer, arrays in zip(self.layers, read, strict=True):
            for name, values in arrays.items():
                setattr(layer, name, values)


def list_synapses(network: Network, projection: Projection) -> list[list[tuple[int, float]]]:
    """(target, weight) of the synapses of each source neuron, or of each branch where these are synapses."""
    branches = projection.branches
    if branches is None or branches.post is None:
        columns = network.projection_weights(projection).astype(np.float64).T.tolist()
        return [list(enumerate(column)) for column in columns]
    weights = network.sender_weights(projection).astype(np.float64).tolist()
    return [[(post, weight)] for post, weight in zip(branches.post.tolist(), weights, strict=True)]


def _senders(projection: Projection, neuron: int) -> list[tuple[float, int]]:
    """(delay, sender) of everything that a spike of a source neuron makes arrive."""
    branches = projection.branches
    if branches is None:
        return [(projection.delay, neuron)]
    each = range(int(branches.ptr[neuron]), int(branches.ptr[neuron + 1]))
    return [(float(branches.delays[branch]), branch) for branch in each]


def _deliver(t: float, queue: list, projections: list, synapses: list, layers: list[_Layer]) -> None:
    """Apply everything that arrives at `t`; the neurons of the layers reached get new certificates."""
    reached = set()
    while queue and queue[0][0] == t:
        _, number, sender = heapq.heappop(queue)
        layer = layers[projections[number].target]
        if layer not in reached:
            layer.advance(t)
            reached.add(layer)
        for n, weight in synapses[number][sender]:
            layer.i[n] += weight
    for layer in reached:
        for n in range(len(layer.u)):
            layer.certify(n)


def _fire(layer: _Layer, t: float) -> list[int]:
    """Fire every neuron of the layer whose spike time is `t`, in neuron order."""
    firing = [n for n, d in enumerate(layer.d) if layer.fires[n] and layer.start[n] + d == t]
    for n in firing:
        if layer.last[n] == t:
            raise OverflowError(f"neuron {n} fires again at {t!r} ms, the instant it fired at")
        layer.last[n] = t
        layer.times.append(t)
        layer.neurons.append(n)
        layer.end[n] = t + layer.c.refractory
        layer.certify(n)
    return firing
