"""The priority-queue engine: any graph of dense layers and connections, with delays of all kinds.

Sparse networks, and spatial ones, which are sparse here, are run by the windowed schedule
(`eventsnn.simulate.engines.windows`), which knows float64 only. Where float32 is asked for, or they hold a
loop that takes (next to) no time, their weights are made dense.
"""

from __future__ import annotations

import math

import numpy as np

from eventsnn._ext.engine_queue import run_queue
from eventsnn._ext.queue_state import QueueState
from eventsnn._util.ranks import Ranks
from eventsnn._util.saved import StateReader
from eventsnn.model import Network
from eventsnn.model.bias import NOTHING, Certain
from eventsnn.model.layers import BIAS
from eventsnn.model.layers.branches import Branches
from eventsnn.simulate.engines import windows
from eventsnn.simulate.engines.blocks import WIDTH, block_count
from eventsnn.simulate.engines.engine import SILENCE, BrokenOff, Engine, Run, Settings, State, Train, join
from eventsnn.simulate.engines.packed import PackedNetwork, pack_once
from eventsnn.simulate.engines.precision import check_state
from eventsnn.simulate.engines.restoring import check_cursors, read_layer_arrays

INPUT = -1  # as a source
# Neuron updates between two looks at the signals: 5 to 80 ms.
CHUNK = 2_000_000
# Sparse weights are made dense up to this size, where the windowed schedule does not take the network.
DENSE_LIMIT = 2 << 30


class QueueEngine(Engine):
    """See `Engine`."""

    name = "queue"

    def refusal(self, network: Network, settings: Settings) -> str | None:
        """See `Engine`."""
        network = network.lowered
        sparse = bool(network.sparse_keys)
        reason = windows.refusal(network) if sparse else None
        if not sparse or _runs_in_windows(network, settings):
            return None
        return _dense_refusal(network, settings, reason or "dtype 'float32' is asked for")

    def start(self, network: Network, settings: Settings) -> Run:
        """See `Engine`."""
        network = network.lowered
        if _runs_in_windows(network, settings):
            return _start_windows(network, settings.ranks)
        return QueueRun(pack_once(network, settings.real))

    def undivided(self, network: Network, settings: Settings) -> str | None:
        """See `Engine`."""
        network = network.lowered
        if _runs_in_windows(network, settings):
            return None
        if not network.sparse_keys:
            return "no weights of the network are sparse"
        return windows.refusal(network) or "dtype 'float32' is asked for"

    def fastest_dtype(self, network: Network) -> str:
        """See `Engine`; where weights stay sparse, it is float64."""
        return "float64" if _runs_in_windows(network.lowered, Settings("float64")) else "float32"


def _runs_in_windows(network: Network, settings: Settings) -> bool:
    """Whether the windowed schedule takes a lowered network."""
    wide = settings.dtype in (None, "float64")
    return wide and bool(network.sparse_keys) and windows.refusal(network) is None


def _start_windows(network: Network, ranks: Ranks) -> Run:
    if ranks.size == 1:
        return windows.WindowsRun(network)
    from eventsnn.simulate.engines.divided import DividedRun
    from eventsnn.simulate.engines.leading import Leader, LeadingRun

    return LeadingRun(network, ranks) if isinstance(ranks, Leader) else DividedRun(network, ranks)


def _dense_refusal(network: Network, settings: Settings, reason: str) -> str | None:
    """Why sparse weights cannot be made dense, which is so for a `reason`: they need too much memory."""
    item = np.dtype(settings.dtype or "float64").itemsize
    # Those of synapses with delays of their own are kept one by one.
    sizes = [shape for key, shape in network.weight_shapes().items() if key not in network.delays]
    need = sum(post * pre for post, pre in sizes) * item
    if need <= DENSE_LIMIT:
        return None
    return (
        f"{reason}; without that the sparse weights of {', '.join(network.sparse_keys)} would do, "
        f"but with it all weights must be made dense, and {need / 2**30:.1f} GiB are more than "
        f"{DENSE_LIMIT / 2**30:g}"
    )


class Chunks:
    """State arrays of a simulation in progress, advanced in bounded chunks without the interpreter's lock."""

    def __init__(self, state: QueueState, weights: np.ndarray) -> None:
        size, real = state.neurons, weights.dtype
        self.state = state
        self.weights = weights
        self.arrays = (
            np.zeros(size, real),  # membrane potential, counted from the resting potential
            np.zeros(size, real),  # synaptic current
            np.full(size, -math.inf),  # end of the last refractory period, ms
            np.full(size, math.inf),  # next spike of each candidate, ms
            np.zeros(size, np.int32),  # neurons in their refractory period, per layer
            np.zeros(size, np.int32),  # candidates, per layer
        )
        state.begin(self.arrays[0])

    def advance(self, times: np.ndarray, inputs: np.ndarray, stop: float, known: bool = True) -> bool:
        """Run one chunk; True when nothing is left to do by `stop`. Refuses a state that is not finite."""
        done = bool(run_queue(self.state, self.weights, times, inputs, *self.arrays, stop, CHUNK, known))
        check_state(self.weights.dtype.type, *self.arrays[:2])
        return done


def run_layer(
    packed: PackedNetwork, number: int, times: np.ndarray, neurons: np.ndarray, stop: float
) -> tuple[np.ndarray, np.ndarray]:
    """Spikes (times, neurons) of one layer with the connections within it, from the arrivals at it.

    The arrivals must be sorted by (time, neuron); nothing is checked.
    """
    state = packed.layer_state(number)
    chunks = Chunks(state, packed.flat)
    while not chunks.advance(times, neurons, stop):
        pass
    return state.spikes(0)


class QueueRun:
    """A network, or one of its layers, in the middle of a simulation by this engine; see `Run`.

    Parameters
    ----------
    packed : PackedNetwork
    number : int, optional
        Of the one layer that is run, whose input is then what arrives, bias included; all by default.
    """

    def __init__(self, packed: PackedNetwork, number: int | None = None) -> None:
        network = packed.network
        self._state = packed.state() if number is None else packed.layer_state(number)
        self._chunks = Chunks(self._state, packed.flat)
        self._layers = len(network.layers) if number is None else 1
        self._inputs = network.input.neurons
        if number is not None:
            self._inputs = network.source_size(number - 1) + network.layers[number].has_bias
        self._has_bias = network.input.has_bias and number is None
        # Projections whose spikes are under way through branches.
        self._branches = {
            n: p.branches
            for n, p in enumerate(packed.projections if number is None else ())
            if p.branches is not None
        }
        # Spikes still under way, of the input and of the bias neuron.
        self._waiting, self._bias = SILENCE, SILENCE[0]
        self._at_rest = True

    def advance(
        self, input_spikes: Train, horizon: float, stop: float, bias: Certain = NOTHING
    ) -> list[Train]:
        """See `Run`."""
        input_spikes = join([self._waiting, input_spikes])
        if self._has_bias:
            self._bias = np.concatenate([self._bias, bias.times])
            self._state.take_bias(self._bias)
        times, inputs = input_spikes
        # What happens at the horizon itself is left to the next part: more may arrive at that instant.
        stop = min(stop, float(np.nextafter(horizon, -math.inf)) if horizon < math.inf else math.inf)
        known = self._at_rest  # nothing can fire before something arrives
        self._at_rest = False
        try:
            while not self._chunks.advance(times, inputs, stop, known):
                known = True
        except KeyboardInterrupt:
            trains = [self._state.spikes(layer) for layer in range(self._layers)]
            raise BrokenOff(trains, self._state.now) from None
        done = self._state.drop(INPUT, len(times))
        self._waiting = (times[done:].copy(), inputs[done:].copy()) if done < len(times) else SILENCE
        self._bias = self._bias[self._state.drop(BIAS, len(self._bias)) :]
        return [self._state.take(layer) for layer in range(self._layers)]

    def save(self) -> State:
        """See `Run`."""
        now, n_refractory, cursors, spikes = self._state.save()
        u, i, end, _, refractory, _ = self._chunks.arrays
        parts = {"u": u, "i": i, "end": end, "refractory": refractory, "now": now, "cursors": cursors}
        state = {name: array.copy() for name, array in parts.items()} | {"n_refractory": n_refractory}
        for number, (times, neurons) in enumerate([self._waiting, *spikes]):
            state[f"times{number}"], state[f"neurons{number}"] = times, neurons
        if self._has_bias:
            state["bias"] = self._bias.copy()
        for n in self._branches:
            state[f"sent{n}"], state[f"branches{n}"] = self._state.under_way(n)
        return state

    def restore(self, state: StateReader, horizon: float, following: float = math.inf) -> None:
        """See `Run`."""
        sizes, graph, delays = self._state.graph()
        places = np.concatenate([np.arange(block_count(size) * WIDTH) < size for size in sizes.tolist()])
        read = read_layer_arrays(state, places, self._chunks.weights.dtype)
        now = state.numbers("now", sizes.shape, np.float64, lowest=0.0, highest=horizon)
        waiting, *trains = (
            state.train(f"times{n}", f"neurons{n}", int(size), highest=horizon)
            for n, size in enumerate([self._inputs, *sizes])
        )
        bias = np.empty(0)
        if self._has_bias:
            bias = state.ascending("bias", lowest=0.0, highest=horizon)
        refractory = state.numbers("refractory", read["end"].shape, np.int32, lowest=0)
        n_refractory = state.numbers("n_refractory", sizes.shape, np.int32, lowest=0)
        _check_refractory(state, sizes, refractory, n_refractory, read["end"], now)
        cursors = state.numbers("cursors", delays.shape, np.int64, lowest=0)
        sources = {INPUT: waiting[0], BIAS: bias} | {n: times for n, (times, _) in enumerate(trains)}
        ways = zip(graph[:, 0], graph[:, 1], delays, strict=True)
        check_cursors(state, cursors, [(sources[s], now[t], delay) for s, t, delay in ways])
        under_way = {
            n: _read_under_way(state, n, branches, now[graph[n, 1]], horizon)
            for n, branches in self._branches.items()
        }
        state.close()
        for n, arrays in under_way.items():
            self._state.put_under_way(n, *arrays)
        u, i, end, _, listed, _ = self._chunks.arrays
        u[...], i[...], end[...], listed[...] = read["u"], read["i"], read["end"], refractory
        self._waiting, self._bias = waiting, bias
        self._at_rest = False
        self._state.restore(now, n_refractory, cursors, trains)


def _read_under_way(
    state: StateReader, number: int, branches: Branches, now: float, horizon: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What `QueueState.put_under_way` takes for a projection whose target's state is that of the time `now`.

    Raises
    ------
    StateError
    """
    sent = state.ascending(f"sent{number}", lowest=0.0, highest=horizon)
    most = len(branches.delays) - 1
    branch = state.numbers(f"branches{number}", sent.shape, np.int64, lowest=0, highest=most)
    if (sent + branches.delays[branch] < now).any():
        raise state.error(f"sent{number}", f"holds spikes that arrived before {now} ms")
    lasts = branches.ptr[np.searchsorted(branches.ptr, branch, side="right")]
    return sent, branch, lasts


def _check_refractory(
    state: StateReader,
    sizes: np.ndarray,
    refractory: np.ndarray,
    n_refractory: np.ndarray,
    end: np.ndarray,
    now: np.ndarray,
) -> None:
    """The queue engine lists the neurons of each layer whose refractory period has not ended at `now`.

    Raises
    ------
    StateError
    """
    first = 0
    for size, count, t in zip(sizes.tolist(), n_refractory.tolist(), now.tolist(), strict=True):
        ends = end[first : first + size]
        if not np.array_equal(np.sort(refractory[first : first + count]), np.flatnonzero(ends >= t)):
            raise state.error("refractory", "does not list the neurons in their refractory period")
        first += block_count(size) * WIDTH


ENGINE = QueueEngine()
run = ENGINE.run
