"""Driver of the windowed schedule: the queue engine for sparse networks whose loops all take time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from eventsnn._ext.engine_windows import run_windows
from eventsnn._ext.windows_state import WindowsState
from eventsnn.errors import SimulationError
from eventsnn.model import Network
from eventsnn.model.sparse import is_sparse
from eventsnn.reference.windows import Frame, window_length
from eventsnn.simulate.engines.arguments import check_input, constants_row, endless
from eventsnn.simulate.engines.precision import check_network, overflow
from eventsnn.trace.record import SimulationInterrupted, SpikeRecord, make_record

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


def run(
    network: Network, times_ms: np.ndarray, indices: np.ndarray, *, t_stop: float | None = None
) -> SpikeRecord:
    """Simulate a network that `refusal` does not object to, exactly and in float64.

    Arguments, result and errors as `eventsnn.simulate.engines.queue.run`, in whose name the record is made.
    """
    times, inputs, stop = check_input(network, times_ms, indices, t_stop)
    length = window_length(network)
    last = max(float(times[-1]) if times.size else 0.0, stop if stop < math.inf else 0.0)
    if last + length == last:
        raise SimulationError(
            f"t_stop or events: at {last:g} ms a time of {length:g} ms, the shortest of the network, "
            "is below the resolution of float64; let time begin at 0"
        )
    state = make_state(network, length)

    def record(t_end: float, interrupted: bool = False) -> SpikeRecord:
        trains = [state.spikes(n) for n in range(len(network.layers))]
        return make_record(
            network, trains, (times, inputs), t_end, "queue", "float64", interrupted=interrupted
        )

    try:
        done = False
        while not done:
            done = run_windows(state, times, inputs, stop, CHUNK)
            if not state.is_finite():
                raise overflow(np.float64)
    except KeyboardInterrupt:
        raise SimulationInterrupted(record(state.now, interrupted=True)) from None
    except OverflowError as error:
        raise endless(error) from None
    return record(stop)


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
