"""Driver of the windowed schedule: the queue engine for sparse networks whose loops all take time."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

from eventsnn._ext.engine_windows import DONE, run_windows
from eventsnn._ext.windows_state import WindowsState
from eventsnn._util.ranks import ALONE, Ranks
from eventsnn._util.saved import StateReader
from eventsnn.errors import SimulationError
from eventsnn.model import Network, Projection
from eventsnn.model.bias import NOTHING, Certain
from eventsnn.model.layers.branches import Branches
from eventsnn.model.sparse import is_sparse
from eventsnn.reference.lif import record
from eventsnn.reference.windows import window_length
from eventsnn.simulate.engines.engine import SILENCE, BrokenOff, Engine, Settings, State, Train, join
from eventsnn.simulate.engines.precision import check_network, overflow
from eventsnn.simulate.engines.restoring import check_cursors, read_layer_arrays

_Array: TypeAlias = np.ndarray
Tables: TypeAlias = tuple[
    _Array, _Array, _Array, _Array, _Array, _Array, _Array, _Array, _Array, _Array, _Array
]

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
    """A network that `refusal` does not object to, in the middle of a simulation, in float64; see `Run`.

    Windows are run when all of their arrivals are known. Up to a horizon within the next window its spikes
    are found ahead, from a copy of the state; the window is run again with what comes later.
    """

    def __init__(self, network: Network, ranks: Ranks = ALONE) -> None:
        self._length = window_length(network)
        self._state = make_state(network, self._length, ranks)
        self._sizes = [network.input.neurons, *(layer.neurons for layer in network.layers)]
        self._waiting: Train = SILENCE  # spikes still under way
        self._horizon = 0.0

    def advance(
        self, input_spikes: Train, horizon: float, stop: float, bias: Certain = NOTHING
    ) -> list[Train]:
        """See `Run`."""
        input_spikes = join([self._waiting, input_spikes])
        times, inputs = input_spikes
        self._check_resolution(times, horizon, stop)
        try:
            self._run(input_spikes, horizon, stop)
        except KeyboardInterrupt:
            raise BrokenOff(self._trains(), self._state.complete) from None
        trains = [self._state.take(layer) for layer in range(len(self._sizes) - 1)]
        if horizon < math.inf:
            early = self._look_ahead(input_spikes, horizon, stop)
            trains = [self._fresh(*pair) for pair in zip(trains, early, strict=True)]
        elif self._horizon > 0.0:
            trains = [self._fresh(train, SILENCE) for train in trains]
        self._horizon = horizon
        done = self._state.drop_input(len(times))
        self._waiting = (times[done:].copy(), inputs[done:].copy()) if done < len(times) else SILENCE
        return trains

    def _check_resolution(self, times: np.ndarray, horizon: float, stop: float) -> None:
        ends = [t for t in (0.0, stop, horizon) if t < math.inf]
        last = max(ends + times[-1:].tolist())
        if last + self._length == last:
            raise SimulationError(
                f"t_stop or events: at {last:g} ms a time of {self._length:g} ms, the shortest of the "
                "network, is below the resolution of float64; let time begin at 0"
            )

    def _run(self, spikes: Train, known: float, stop: float) -> None:
        """All windows whose arrivals are known, which are those before `known`."""
        while run_windows(self._state, *spikes, known, stop, CHUNK) != DONE:
            self._check_finite()
        self._check_finite()

    def _check_finite(self) -> None:
        if not self._state.is_finite():
            raise overflow(np.float64)

    def _look_ahead(self, spikes: Train, horizon: float, stop: float) -> list[Train]:
        """Spikes before `horizon` of the next window, which ends later; the state stays unchanged."""
        arrays = self._state.arrays()
        before, now, cursors = [a.copy() for a in arrays], self._state.now, self._state.ways()[2]
        stop = min(stop, float(np.nextafter(horizon, -math.inf)))
        self._run(spikes, now + self._length, stop)
        trains = self._trains()
        self._state.go_back(now, cursors)
        for array, old in zip(arrays, before, strict=True):
            array[...] = old
        return trains

    def _fresh(self, train: Train, early: Train) -> Train:
        """Spikes of complete windows and of one looked into, without those returned before."""
        times, neurons = join([train, early])
        first = int(np.searchsorted(times, self._horizon))
        return times[first:], neurons[first:]

    def _trains(self) -> list[Train]:
        return [self._state.spikes(layer) for layer in range(len(self._sizes) - 1)]

    def save(self) -> State:
        """See `Run`."""
        u, i, end = self._join_ranks(*self._state.arrays())
        state: State = {"u": u, "i": i, "end": end}
        state |= {"now": np.array(self._state.now), "cursors": self._state.ways()[2]}
        for number, (times, neurons) in enumerate([self._waiting, *self._state.under_way()]):
            state[f"times{number}"], state[f"neurons{number}"] = times, neurons
        return state

    def restore(self, state: StateReader, horizon: float, following: float = math.inf) -> None:
        """See `Run`."""
        arrays = self._state.arrays()
        read = read_layer_arrays(state, np.ones(sum(self._sizes[1:]), bool), np.dtype(np.float64))
        now = float(state.numbers("now", (), np.float64, lowest=0.0, highest=horizon))
        waiting, *trains = (
            state.train(f"times{n}", f"neurons{n}", size, highest=horizon)
            for n, size in enumerate(self._sizes)
        )
        sources, delays, _ = self._state.ways()
        cursors = state.numbers("cursors", delays.shape, np.int64, lowest=0)
        known = [*(times for times, _ in trains), waiting[0]]  # the input is source -1
        ways = zip(sources, delays, strict=True)
        check_cursors(state, cursors, [(known[source], now, delay) for source, delay in ways])
        state.close()
        for array, name in zip(arrays, ("u", "i", "end"), strict=True):
            array[...] = self._own(read[name])
        for number, train in enumerate(trains):
            self._state.hold(number, *train)
        self._state.go_back(now, cursors)
        self._waiting, self._horizon = waiting, horizon

    def _join_ranks(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """Arrays of all neurons, copies, from those of this rank's."""
        return [array.copy() for array in arrays]

    def _own(self, array: np.ndarray) -> np.ndarray:
        """The items of this rank's neurons."""
        return array


class WindowsEngine(Engine):
    """The schedule by itself, as tests run it; users reach it as engine 'queue', in whose name it runs."""

    name = "queue"
    dtypes = ("float64",)

    def refusal(self, network: Network, settings: Settings) -> str | None:
        """See `Engine`."""
        return refusal(network)

    def start(self, network: Network, settings: Settings) -> WindowsRun:
        """See `Engine`."""
        return WindowsRun(network)


def make_state(network: Network, length: float, ranks: Ranks = ALONE) -> WindowsState:
    """The network at rest: this rank's neurons of it."""
    return WindowsState(*_tables(network, ranks), length, ranks.rank, ranks.size)


_last: tuple[Network, tuple[int, int], Tables] | None = None


def _tables(network: Network, ranks: Ranks) -> Tables:
    """The network as ``WindowsState`` takes it; that of the last one asked for is kept.

    Making them takes as long as a short recording does, and recordings come one after the other through the
    same network, which cannot change: its arrays are read-only.
    """
    global _last
    kept, part = _last, (ranks.rank, ranks.size)
    if kept is None or kept[0] is not network or kept[1] != part:
        kept = _last = network, part, make_tables(network, ranks)
    return kept[2]


def make_tables(network: Network, ranks: Ranks = ALONE) -> Tables:
    """Constants, sizes and synapses of a network by what sends: source neurons, or their branches.

    Of several ranks each has every `size`-th neuron of a layer, and the synapses onto these: neighbours are
    often alike, so that ranks that had neighbours would have unequal work.
    """
    check_network(network, np.float64)
    graph, delays = [], []
    parts: list[tuple[np.ndarray, ...]] = []
    pointers = synapses = branch_ptr = branch_delays = reached = 0
    for p in network.deliveries:
        single, *arrays = _list_projection(network, p, ranks)
        own, place = (np.empty(0, np.int64), np.empty(0)), (-1, 0)
        some, at = np.empty(0, np.uint8), -1
        longest = p.delay
        if p.branches is not None:
            own, place = _list_branches(p.branches, ranks), (branch_ptr, branch_delays)
            longest = float(p.branches.delays.max(initial=0.0))
        elif ranks.size > 1:
            found = arrays[2] < _own(network, p, ranks) if single else np.diff(arrays[0]) > 0
            if not found.all():
                some, at = found.astype(np.uint8), reached
        graph.append((p.source, p.target, int(single), pointers, synapses, *place, at))
        delays.append((p.delay, longest))
        parts.append((*own, *arrays, some))
        branch_ptr, branch_delays = branch_ptr + len(own[0]), branch_delays + len(own[1])
        pointers, synapses = pointers + len(arrays[0]), synapses + len(arrays[2])
        reached += len(some)
    # One item more: a place to point to for a projection without synapses.
    one = tuple(np.zeros(1, kind) for kind in ("i8", "f8", "i8", "i8", "i4", "f8", "u1"))
    ptr, each_delay, *lists = (np.concatenate(arrays) for arrays in zip(*parts, one, strict=True))
    pointers_to, split, targets, weights, some = lists
    sizes = [len(range(ranks.rank, layer.neurons, ranks.size)) for layer in network.layers]
    return (
        np.concatenate([record(layer.lif) for layer in network.layers]),
        np.array(sizes, dtype=np.int32),
        np.array(graph, dtype=np.int64),
        np.array(delays, dtype=np.float64),
        ptr,
        each_delay,
        pointers_to,
        split,
        targets,
        weights,
        some,
    )


def _own(network: Network, p: Projection, ranks: Ranks) -> int:
    """How many of a projection's target neurons are this rank's."""
    return len(range(ranks.rank, network.layers[p.target].neurons, ranks.size))


def _list_branches(branches: Branches, ranks: Ranks) -> tuple[np.ndarray, np.ndarray]:
    """(ptr, delays) of the branches that reach this rank's neurons."""
    if branches.post is None or ranks.size == 1:
        return branches.ptr.astype(np.int64), branches.delays
    kept = branches.post % ranks.size == ranks.rank
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])
    return ends[branches.ptr], branches.delays[kept]


def _list_projection(
    network: Network, p: Projection, ranks: Ranks
) -> tuple[bool, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(single, ptr, split, targets, weights) of a projection, as ``WindowsState`` takes them."""
    if p.branches is None or p.branches.post is None:
        weights = network.weights[p.key]
        return _list_synapses(
            weights if ranks.size == 1 else weights[ranks.rank :: ranks.size], _own(network, p, ranks)
        )
    nothing, post, each = np.empty(0, np.int64), p.branches.post, network.sender_weights(p)
    if ranks.size > 1:
        kept = post % ranks.size == ranks.rank
        post, each = post[kept] // ranks.size, each[kept]
    return True, nothing, nothing, post, each.astype(np.float64)


def _list_synapses(weights: Any, neurons: int) -> tuple[bool, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The same of weights (post, pre) whose senders are the source neurons."""
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
