"""Driver of the windowed schedule: the queue engine for sparse networks whose loops all take time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from eventsnn._ext.engine_windows import run_windows
from eventsnn._ext.windows_state import WindowsState
from eventsnn._util.saved import StateReader
from eventsnn.errors import SimulationError
from eventsnn.model import Network
from eventsnn.model.bias import NOTHING, Certain
from eventsnn.model.sparse import is_sparse
from eventsnn.reference.windows import Frame, window_length
from eventsnn.simulate.engines.arguments import constants_row
from eventsnn.simulate.engines.engine import BrokenOff, Engine, Settings, State, Train
from eventsnn.simulate.engines.precision import check_network, overflow

# Deliveries between two looks at the signals: some 10 ms.
CHUNK = 2_000_000
# Windows shorter than this fraction of a time constant are not worth their overhead.
SHORTEST = 0.01


def refusal(network: Network) -> str | None:
    """Why the windowed schedule cannot run a network; None if it can."""
    for layer in network.layers:
        if layer.lateral_inhibition:
            return f"layer {layer.name!r} has lateral inhibition, which takes no time"
    if network.input.has_bias:
        return "the network has biases"
    shortest = SHORTEST * min(tau for layer in network.layers for tau in (layer.tau_m, layer.tau_s))
    for p in network.projections:
        if p.source >= p.target and p.delay < shortest:
            return (
                f"connection {p.key!r} leads back within {p.delay:g} ms, "
                f"less than {SHORTEST:g} of a time constant ({shortest:g} ms)"
            )
    return None


class WindowsRun:
    """A network that `refusal` does not object to, from rest to the end, in float64; see `Run`."""

    def __init__(self, network: Network) -> None:
        self._length = window_length(network)
        self._state, self._layers = make_state(network, self._length), len(network.layers)

    def advance(self, given: Train, horizon: float, stop: float, bias: Certain = NOTHING) -> list[Train]:
        """See `Run`; once, to infinity."""
        (times, inputs), state, length = given, self._state, self._length
        last = max(float(times[-1]) if times.size else 0.0, stop if stop < math.inf else 0.0)
        if last + length == last:
            raise SimulationError(
                f"t_stop or events: at {last:g} ms a time of {length:g} ms, the shortest of the network, "
                "is below the resolution of float64; let time begin at 0"
            )
        try:
            done = False
            while not done:
                done = run_windows(state, times, inputs, stop, CHUNK)
                if not state.is_finite():
                    raise overflow(np.float64)
        except KeyboardInterrupt:
            raise BrokenOff(self._trains(), state.now) from None
        return self._trains()

    def _trains(self) -> list[Train]:
        return [self._state.spikes(layer) for layer in range(self._layers)]

    def save(self) -> State:
        """The schedule takes its input at once: engine 'queue' refuses such a network in parts."""
        raise NotImplementedError

    def restore(self, state: StateReader, horizon: float, following: float = math.inf) -> None:
        """See `save`."""
        raise NotImplementedError


class WindowsEngine(Engine):
    """The schedule by itself, as tests run it; users reach it as engine 'queue', in whose name it runs."""

    name = "queue"
    dtypes = ("float64",)
    in_parts = False

    def refusal(self, network: Network, settings: Settings) -> str | None:
        """See `Engine`."""
        return refusal(network)

    def start(self, network: Network, settings: Settings) -> WindowsRun:
        """See `Engine`."""
        return WindowsRun(network)


def make_state(network: Network, length: float) -> WindowsState:
    """The whole network at rest, its synapses by source neuron."""
    check_network(network, np.float64)
    graph, delays = [], []
    parts: list[tuple[np.ndarray, ...]] = []
    pointers = synapses = 0
    for p in network.deliveries:
        single, *arrays = _list_synapses(network.weights[p.key], network.layers[p.target].neurons)
        graph.append((p.source, p.target, int(single), pointers, synapses))
        delays.append(p.delay)
        parts.append(tuple(arrays))
        pointers += len(arrays[0])
        synapses += len(arrays[2])
    # One item more: a place to point to for a projection without synapses.
    one = (np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1, np.int32), np.zeros(1))
    ptr, split, targets, weights = (np.concatenate(arrays) for arrays in zip(*parts, one, strict=True))
    return WindowsState(
        np.array([constants_row(layer.lif) for layer in network.layers]),
        np.array([Frame.of(layer.lif) for layer in network.layers]),
        np.array([-float(layer.resting) for layer in network.layers]),
        np.array([layer.neurons for layer in network.layers], dtype=np.int32),
        np.array(graph, dtype=np.int64),
        np.array(delays, dtype=np.float64),
        ptr,
        split,
        targets,
        weights,
        length,
    )


def _list_synapses(weights: Any, neurons: int) -> tuple[bool, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(single, ptr, split, targets, weights) of a projection, as ``WindowsState`` takes them."""
    if is_sparse(weights):
        columns = weights.tocsc()
        columns.eliminate_zeros()
        post, values, ptr = columns.indices, columns.data, columns.indptr
    else:
        pre, post = np.nonzero(weights.T)
        values, ptr = weights[post, pre], np.searchsorted(pre, np.arange(weights.shape[1] + 1))
    post, values = post.astype(np.int32), values.astype(np.float64)
    counts, n_pre = np.diff(ptr), weights.shape[1]
    pre = np.repeat(np.arange(n_pre), counts)
    if counts.max(initial=0) <= 1:
        targets, flat = np.full(n_pre, neurons, np.int32), np.zeros(n_pre)
        targets[pre], flat[pre] = post, values
        nothing = np.empty(0, np.int64)
        return True, nothing, nothing, targets, flat
    below = values < 0.0
    # Where every source neuron is excitatory or inhibitory, this is so already.
    if (below[:-1] & ~below[1:] & (pre[:-1] == pre[1:])).any():
        order = np.lexsort((below, pre))
        post, values = post[order], values[order]
    split = np.append(ptr[1:] - np.bincount(pre[below], minlength=n_pre), 0)
    return False, ptr.astype(np.int64), split.astype(np.int64), post, values


ENGINE = WindowsEngine()
run = ENGINE.run
