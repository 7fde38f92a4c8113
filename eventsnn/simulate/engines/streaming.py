"""Engines whose input comes in parts: the same spikes as in one run, to the last bit, however the input is
cut.

Twin: `eventsnn.reference.queue.TwinStream`. A part of a run goes up to a *horizon*, a time before which all
input is known. Up to there a layer's spikes are certain; a spike time is computed from the state at the last
arrival, which the horizon leaves as it is, so that where a part ends changes no bit.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from eventsnn._ext.engine_queue import QueueState, search_queue
from eventsnn._util.saved import StateReader
from eventsnn.errors import SimulationError
from eventsnn.model import Conv, Network, Pool
from eventsnn.model.bias import NOTHING, Certain
from eventsnn.simulate.engines import queue, sweep, windows
from eventsnn.simulate.engines.arguments import in_order
from eventsnn.simulate.engines.arrivals import Arrivals, Carried, LayerInput, call
from eventsnn.simulate.engines.blocks import WIDTH, block_count
from eventsnn.simulate.engines.packed import PackedNetwork

Train = tuple[np.ndarray, np.ndarray]
"""(times float64 ms, neurons int32), sorted by (time, neuron)."""
State = dict[str, np.ndarray]


class Stream(Protocol):
    """A network in the middle of a simulation."""

    def advance(self, given: Train, horizon: float, stop: float, bias: Certain = NOTHING) -> list[Train]:
        """Take input spikes and go on to `horizon`; return what every layer is now known to have fired.

        Parameters
        ----------
        given : (times, neurons)
            Input spikes from the horizon before up to this one, which is later than all of them.
        horizon : float
            ms; no input spike before it will come any more. Infinite: on until the network is quiet.
        stop : float
            Last time to simulate, ms, included.
        bias : Certain
            Spikes of the bias neuron, those before the horizon that were not given before.

        Raises
        ------
        OverflowError
            A neuron fires for ever at one instant.
        """

    def save(self) -> State:
        """The state, as arrays."""

    def restore(self, state: StateReader, horizon: float, following: float = math.inf) -> None:
        """Take over a state that `save` returned for the same network.

        Parameters
        ----------
        state : StateReader
            What came from a file: all of it is checked before any of it is used.
        horizon : float
            ms; that of the last `advance`.
        following : float
            ms; the bias neuron's next spike then, see `Certain`.

        Raises
        ------
        StateError
            The state cannot be one of this network at that time.
        """


class QueueStream:
    """The queue engine, part by part.

    Parameters
    ----------
    state : QueueState
        At rest; of a whole network or of one layer.
    weights : real array
        The packed network's.
    layers : int
        How many the state has.
    """

    def __init__(self, state: QueueState, weights: np.ndarray, layers: int) -> None:
        self._state, self._layers = state, layers
        self._chunks = queue.Chunks(state, weights)
        self._given: Train = (np.empty(0), np.empty(0, np.int32))

    def advance(self, given: Train, horizon: float, stop: float, bias: Certain = NOTHING) -> list[Train]:
        """See `Stream`; of a whole network without biases, which a layer takes as input."""
        times, inputs = (np.concatenate(pair) for pair in zip(self._given, given, strict=True))
        # What happens at the horizon itself is left to the next part: more may arrive at that instant.
        stop = min(stop, float(np.nextafter(horizon, -math.inf)) if horizon < math.inf else math.inf)
        search_queue(self._state, times, inputs, *self._chunks.arrays, stop)
        while not self._chunks.advance(times, inputs, stop):
            pass
        done = self._state.drop_input()
        self._given = times[done:].copy(), inputs[done:].copy()
        return [self._state.take(layer) for layer in range(self._layers)]

    def save(self) -> State:
        """See `Stream`."""
        now, n_refractory, cursors, spikes = self._state.save()
        u, i, end, _, refractory, _ = self._chunks.arrays
        parts = {"u": u, "i": i, "end": end, "refractory": refractory, "now": now, "cursors": cursors}
        state = {name: array.copy() for name, array in parts.items()} | {"n_refractory": n_refractory}
        for number, (times, neurons) in enumerate([self._given, *spikes]):
            state[f"times{number}"], state[f"neurons{number}"] = times, neurons
        return state

    def restore(self, state: StateReader, horizon: float, following: float = math.inf) -> None:
        """See `Stream`."""
        sizes, graph, delays = self._state.graph()
        inputs = int(graph[graph[:, 0] < 0, 2].min())
        places = np.concatenate([np.arange(block_count(size) * WIDTH) < size for size in sizes.tolist()])
        read = _read_layer_arrays(state, places, self._chunks.weights.dtype)
        now = state.numbers("now", sizes.shape, np.float64, lowest=0.0, highest=horizon)
        trains = [
            state.train(f"times{n}", f"neurons{n}", int(size), highest=horizon)
            for n, size in enumerate([inputs, *sizes])
        ]
        refractory = state.numbers("refractory", read["end"].shape, np.int32, lowest=0)
        n_refractory = state.numbers("n_refractory", sizes.shape, np.int32, lowest=0)
        _check_refractory(state, sizes, refractory, n_refractory, read["end"], now)
        cursors = state.numbers("cursors", delays.shape, np.int64, lowest=0)
        for (source, target, _), delay, cursor in zip(graph, delays, cursors, strict=True):
            times = trains[source + 1][0]
            # What is still under way arrives at a layer whose state is that of an earlier arrival.
            if cursor > len(times) or (cursor < len(times) and times[cursor] + delay < now[target]):
                raise state.error("cursors", f"holds {cursor}, which is not where the spikes under way begin")
        state.close()
        u, i, end, _, listed, _ = self._chunks.arrays
        u[...], i[...], end[...], listed[...] = read["u"], read["i"], read["end"], refractory
        self._given = trains[0]
        self._state.restore(now, n_refractory, cursors, trains[1:])


class _SweptLayer:
    """A layer that the sweep takes from part to part: one sample, or one for each position if spatial."""

    def __init__(self, packed: PackedNetwork, number: int) -> None:
        self._packed, self._number = packed, number
        self._layer = packed.network.layers[number]
        if isinstance(self._layer, Conv | Pool):
            samples, self._neurons = self._layer.geometry.patches, self._layer.shape[0]
        else:
            samples, self._neurons = 1, self._layer.neurons
        self._carried = Carried.rest(len(packed.blocks[str(self._layer.name)]), samples, packed.real)

    def advance(self, given: Train, horizon: float, stop: float, bias: Certain = NOTHING) -> list[Train]:
        """See `Stream`; the bias neuron is part of the input."""
        layer, packed, number = self._layer, self._packed, self._number
        if isinstance(layer, Conv | Pool):
            arrivals = sweep.expand(layer.geometry, *given)
        else:
            arrivals = Arrivals.join([given])
        since = self._carried.now[0].copy()
        ready = LayerInput.of(arrivals, packed.constants[number], packed.real, since=since)
        store = sweep.sweep_all(packed, number, ready, stop, carried=self._carried, until=horizon)
        if isinstance(layer, Conv | Pool):
            fired = sweep.merge_patches(layer, ready, store.collect())
            return [(fired.times, fired.neurons)]
        return [sweep.merge(store, layer.neurons, call).spikes.sample(0)]

    def save(self) -> State:
        """See `Stream`."""
        c = self._carried
        return {"u": c.u.copy(), "i": c.i.copy(), "end": c.end.copy(), "now": c.now.copy()}

    def restore(self, state: StateReader, horizon: float, following: float = math.inf) -> None:
        """See `Stream`."""
        carried = self._carried
        blocks, samples, _ = carried.u.shape
        places = (np.arange(blocks * WIDTH) < self._neurons).reshape(blocks, 1, WIDTH).repeat(samples, axis=1)
        read = _read_layer_arrays(state, places, carried.u.dtype)
        read["now"] = state.numbers("now", carried.now.shape, np.float64, lowest=0.0, highest=horizon)
        state.close()
        for name, array in read.items():
            getattr(carried, name)[...] = array


class SweepStream:
    """The sweep engine, part by part: layer after layer, each up to its own horizon."""

    def __init__(self, packed: PackedNetwork) -> None:
        self._packed = packed
        self._layers: list[Stream] = [_layer_stream(packed, n) for n in range(len(packed.network.layers))]
        self._held: list[Train] = [(np.empty(0), np.empty(0, np.int32)) for _ in self._layers]

    def advance(self, given: Train, horizon: float, stop: float, bias: Certain = NOTHING) -> list[Train]:
        """See `Stream`."""
        trains, size = [], self._packed.network.input.neurons
        for number, (layer, stream) in enumerate(zip(self._packed.network.layers, self._layers, strict=True)):
            biases = bias.times + layer.delay, np.full(len(bias.times), size, np.int32)
            arriving = given[0] + layer.delay if layer.delay else given[0], given[1]
            # All that comes from the layer below is known up to its horizon, the biases up to the next.
            horizon = min(horizon, bias.following) + layer.delay
            given = self._hold(number, (arriving, biases), horizon)
            keep = int(np.searchsorted(given[0], stop, side="right"))
            given = stream.advance((given[0][:keep], given[1][:keep]), horizon, stop)[0]
            trains.append(given)
            size = layer.neurons
        return trains

    def _hold(self, number: int, arriving: tuple[Train, Train], horizon: float) -> Train:
        """Keep back what comes at the horizon or after it: more may arrive at that instant."""
        parts = [self._held[number], *arriving]
        times, neurons = np.concatenate([t for t, _ in parts]), np.concatenate([n for _, n in parts])
        if sum(len(t) > 0 for t, _ in parts) > 1:
            times, neurons = in_order(times, neurons)
        ready = int(np.searchsorted(times, horizon)) if horizon < math.inf else len(times)
        self._held[number] = times[ready:].copy(), neurons[ready:].copy()
        return times[:ready], neurons[:ready]

    def save(self) -> State:
        """See `Stream`."""
        state: State = {}
        for number, (stream, held) in enumerate(zip(self._layers, self._held, strict=True)):
            parts = stream.save() | {"held_times": held[0], "held_neurons": held[1]}
            state |= {f"{number}/{name}": array for name, array in parts.items()}
        return state

    def restore(self, state: StateReader, horizon: float, following: float = math.inf) -> None:
        """See `Stream`."""
        network = self._packed.network
        size = network.input.neurons
        for number, (layer, stream) in enumerate(zip(network.layers, self._layers, strict=True)):
            own = state.within(f"{number}/")
            horizon = min(horizon, following) + layer.delay  # as in `advance`
            sources = size + network.input.has_bias
            self._held[number] = own.train("held_times", "held_neurons", sources, lowest=horizon)
            stream.restore(own, horizon)
            size = layer.neurons
        state.close()


def _read_layer_arrays(state: StateReader, places: np.ndarray, real: np.dtype) -> dict[str, np.ndarray]:
    """Potentials, synaptic currents and ends of refractory periods (-inf: never fired) of a layer.

    `places` is true where there is a neuron. The others fill up the last block: their synapses have the
    weight 0, so that they never get above 0, and what the kernels return has no room for a spike of theirs.
    """
    greatest = float(np.finfo(np.float64).max)
    read = {name: state.numbers(name, places.shape, real) for name in ("u", "i")}
    read["end"] = state.numbers("end", places.shape, np.float64, highest=greatest, infinite=True)
    for name, array in read.items():
        if (array[~places] > (-math.inf if name == "end" else 0.0)).any():
            raise state.error(name, "holds values of neurons that do not exist")
    return read


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


def _layer_stream(packed: PackedNetwork, number: int) -> Stream:
    layer = packed.network.layers[number]
    if layer.lateral_inhibition and layer.neurons > WIDTH:
        return QueueStream(packed.layer_state(number), packed.flat, 1)
    return _SweptLayer(packed, number)


def refusal(network: Network) -> str | None:
    """Why the queue engine cannot take a network's input in parts; None if it can."""
    if network.input.has_bias:
        return "it has biases; simulate the recording whole"
    if network.sparse_keys and windows.refusal(network) is None:
        return (
            f"the weights of {network.sparse_keys[0]!r} are sparse, and the schedule for sparse weights "
            "takes its input at once; make the weights dense (.toarray()) to stream, or simulate the "
            "recording whole"
        )
    return None


def choose(network: Network, engine: str) -> str:
    """The engine to stream with, ``sweep`` or ``queue``, where `engine` may be ``auto``.

    Raises
    ------
    SimulationError
        If there is none that can.
    """
    if engine == "sweep" or engine == "auto":
        reason = sweep.refusal(network)
        if reason is None:
            return "sweep"
        if engine == "sweep":
            raise SimulationError(f"engine 'sweep' cannot run this network: {reason}; use engine='queue'")
    reason = refusal(network.lowered)
    if reason is not None:
        raise SimulationError(f"engine 'queue' cannot run this network in parts: {reason}")
    return "queue"


def make_stream(network: Network, engine: str, real: type[np.floating]) -> Stream:
    """A network at rest, for an engine that `choose` returned."""
    if engine == "sweep":
        return SweepStream(PackedNetwork(network, real))
    network = network.lowered
    if network.sparse_keys:
        queue.check_dense_size(network, real, windows.refusal(network) or "")
    packed = PackedNetwork(network, real)
    return QueueStream(packed.state(), packed.flat, len(network.layers))
