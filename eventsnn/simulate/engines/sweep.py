"""The sweep engine: chains of layers, whole input trains at once.

On dense layers it gives the queue engine's bits; convolutions are summed in another order than there, where
they are sparse weights, and agree to 1e-9 ms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from eventsnn._ext.engine_sweep import sweep_blocks
from eventsnn._ext.patches import count_patches, fill_patches
from eventsnn._ext.store import SpikeStore, merge_trains
from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.saved import StateError, StateReader
from eventsnn.errors import SimulationError
from eventsnn.model import Layer, Network
from eventsnn.model.bias import NOTHING, Certain
from eventsnn.model.layers.geometry import Geometry
from eventsnn.simulate.engines import queue
from eventsnn.simulate.engines.arguments import in_order
from eventsnn.simulate.engines.arrivals import Arrivals, Carried, LayerInput, Share, call
from eventsnn.simulate.engines.blocks import WIDTH, block_count
from eventsnn.simulate.engines.engine import SILENCE, BrokenOff, Counter, Engine, Run, Settings, State, Train
from eventsnn.simulate.engines.packed import PackedNetwork, pack_once
from eventsnn.simulate.engines.precision import overflow
from eventsnn.simulate.engines.restoring import read_layer_arrays

# A kernel call runs one block through all input spikes at the least; more would keep Ctrl-C waiting too long.
MAX_EVENTS = 8_000_000
# Neuron updates per kernel call: about 10 ms.
CHUNK = 10_000_000


def refusal(network: Network) -> str | None:
    """Why the sweep engine cannot run a network; None if it can."""
    if network.connections:
        return f"connection {network.connections[0].key!r} makes the network more than a chain of layers"
    for layer in network.layers:
        if layer.recurrent_projections(0):
            return f"layer {layer.name!r} is a reservoir"
        if layer.lateral_inhibition and layer.positions > 1:
            return f"layer {layer.name!r} has lateral inhibition between its positions"
    for key in network.sparse_keys:
        return f"the weights of {key!r} are sparse"
    for layer in network.layers:
        if layer.resting:
            return f"layer {layer.name!r} has a resting potential"
    return None


class SweepEngine(Engine):
    """See `Engine`."""

    name = "sweep"

    def refusal(self, network: Network, settings: Settings) -> str | None:
        """See `Engine`."""
        if settings.cut:
            return "engine 'sweep' takes no t_stop here; use engine='queue'"
        reason = refusal(network)
        if reason is not None:
            return f"engine 'sweep' cannot run this network: {reason}; use engine='queue'"
        return _too_many(settings.events) if settings.events > MAX_EVENTS else None

    def start(self, network: Network, settings: Settings) -> Run:
        """See `Engine`."""
        return SweepRun(pack_once(network, settings.real))

    def counter(self, network: Network, settings: Settings, t_stop: float | None) -> Counter:
        """See `Engine`: layer after layer, many samples side by side."""
        from eventsnn.simulate.engines.batch import run_batch  # which is made of this engine's layers

        packed = pack_once(network, settings.real)
        return lambda samples, ends, pool: run_batch(packed, samples, ends, pool).counts


def _too_many(events: int) -> str:
    return f"engine 'sweep' takes up to {MAX_EVENTS} events at once, got {events}; use engine='queue'"


@dataclass(frozen=True)
class LayerRun:
    """Arrivals at a layer in some samples, and the spikes that it fired.

    Every position of every sample is a *unit*, number ``sample * positions + position``: a small dense layer
    of its own, whose neurons are the channels. Units of a dense layer are samples.

    Attributes
    ----------
    given : LayerInput
        What arrived, unit by unit; sources are numbered as the inputs of a position.
    by_block : (times, channels, ptr)
        Spikes in the order block, unit, time; see ``SpikeStore.collect``.
    unit_counts : int64 array (units, channels)
        Spikes of each neuron.
    spikes : Arrivals
        The layer's spikes, sorted by (time, neuron) within each sample.
    counts : int64 array (samples, neurons)
        `unit_counts`, sample by sample.
    """

    given: LayerInput
    by_block: tuple[np.ndarray, np.ndarray, np.ndarray]
    unit_counts: np.ndarray
    spikes: Arrivals
    counts: np.ndarray


def run_layer(
    packed: PackedNetwork, number: int, arrivals: Arrivals, stop: float, share: Share = call, threads: int = 1
) -> list[LayerRun]:
    """Run one layer on every sample of a batch, in runs of consecutive samples.

    A layer that does not share weights takes all samples at once, and the threads share out its blocks; where
    there are many positions, the threads share out the samples, each a run, which keeps memory and caches
    small.

    Parameters
    ----------
    arrivals : Arrivals
        What arrives in each sample: source neurons, the bias neuron as the one after the last.
    share : callable
        Calls the work it is given once on each of `threads` threads.
    """
    layer = packed.network.layers[number]
    if not layer.shares_weights:
        return [_run_samples(packed, number, arrivals, stop, share, threads)]
    runs: list[Any] = [None] * len(arrivals)
    turns = WorkCounter(len(arrivals))

    def work() -> None:
        while (sample := turns.take()) >= 0:
            runs[sample] = _run_samples(packed, number, Arrivals.single(*arrivals.sample(sample)), stop)

    share(work)
    return runs


def _run_samples(
    packed: PackedNetwork, number: int, arrivals: Arrivals, stop: float, share: Share = call, threads: int = 1
) -> LayerRun:
    layer = packed.network.layers[number]
    given = LayerInput.of(expand(layer.geometry, arrivals), packed.constants[number], packed.real, share)
    if layer.lateral_inhibition and layer.neurons > WIDTH:
        # Spikes inhibit other blocks at once: only the queue can tell what comes next.
        return order_by_block(
            given, Arrivals.join(_queue_trains(packed, number, arrivals, stop, share)), layer
        )
    # A few units of work for each thread, so that none waits long; a block's weights stay in its cache.
    blocks = len(packed.blocks[str(layer.name)])
    parts = 1 if threads == 1 else -(-4 * threads // blocks)
    return merge(layer, given, sweep_all(packed, number, given, stop, share, parts), share)


def sweep_all(
    packed: PackedNetwork,
    number: int,
    given: LayerInput,
    stop: float,
    share: Share = call,
    parts: int = 1,
    carried: Carried | None = None,
    until: float = math.inf,
) -> SpikeStore:
    """All blocks of a layer through all samples, from rest or from the state `carried` on.

    `until` is, for the latter, the time up to which spikes can be known: none at it or later.
    """
    layer, arrivals = packed.network.layers[number], given.arrivals
    weights = packed.blocks[str(layer.name)]
    blocks = len(weights)
    store = SpikeStore(blocks, len(arrivals), parts)
    lateral = packed.blocks.get(f"{layer.name}:lateral", np.empty((0, 0, 0), packed.real))
    turns = WorkCounter(blocks * store.parts)
    # A call ends after about `CHUNK` neuron updates, so that Ctrl-C is heard.
    most = max(1, CHUNK // max(1, len(arrivals.times) * WIDTH // store.parts))
    state = {} if carried is None else {name: getattr(carried, name) for name in ("u", "i", "end", "now")}

    def work() -> None:
        while turns.left:
            sweep_blocks(
                weights,
                lateral,
                packed.constants[number],
                given.events,
                arrivals.ptr,
                given.table,
                stop,
                store,
                turns,
                most,
                **state,
                until=until,
            )

    try:
        share(work)
    except FloatingPointError:
        raise overflow(packed.real, str(layer.name)) from None
    return store


def expand(geometry: Geometry, arrivals: Arrivals) -> Arrivals:
    """The spikes that each unit sees: those in the patch of its position; sources are inputs of a position.

    Its twin stands in the tests: a loop over events and patches.
    """
    if geometry.whole:
        return arrivals
    if len(arrivals) > 1:
        units = [expand(geometry, Arrivals.single(*arrivals.sample(n))) for n in range(len(arrivals))]
        return Arrivals.join([each.sample(n) for each in units for n in range(len(each))])
    cell_ptr, patch, offset = geometry.table
    times, neurons = arrivals.times, arrivals.neurons
    ptr = np.empty(geometry.patches + 1, np.int64)
    count_patches(neurons, geometry.source[0], cell_ptr, patch, ptr)
    found = Arrivals(np.empty(ptr[-1]), np.empty(ptr[-1], np.int32), ptr)
    cursor = ptr[:-1].copy()
    fill_patches(
        times,
        neurons,
        geometry.source[0],
        cell_ptr,
        patch,
        offset,
        geometry.area,
        cursor,
        found.times,
        found.neurons,
    )
    return found


def _queue_trains(
    packed: PackedNetwork, number: int, arrivals: Arrivals, stop: float, share: Share
) -> list[tuple[np.ndarray, np.ndarray]]:
    trains: list[tuple[np.ndarray, np.ndarray]] = [(np.empty(0), np.empty(0, np.int32))] * len(arrivals)
    turns = WorkCounter(len(arrivals))

    def work() -> None:
        while (sample := turns.take()) >= 0:
            trains[sample] = queue.run_layer(packed, number, *arrivals.sample(sample), stop)

    share(work)
    return trains


def merge(layer: Layer, given: LayerInput, store: SpikeStore, share: Share = call) -> LayerRun:
    """A layer's run from the spikes of its units: of one position in many samples, or of one sample."""
    fired, channels, ptr = store.collect()
    positions, neurons = layer.positions, channels
    samples = store.samples // positions
    if positions > 1:
        assert samples == 1
        position = np.repeat(np.arange(len(ptr) - 1) % positions, np.diff(ptr))
        neurons = (channels * positions + position).astype(np.int32)
    totals = np.diff(ptr).reshape(-1, samples).sum(axis=0)
    ends = np.concatenate([[0], np.cumsum(totals)]).astype(np.int64)
    spikes = Arrivals(np.empty(ends[-1]), np.empty(ends[-1], np.int32), ends)
    counts = np.empty((samples, layer.neurons), np.int64)
    turns = WorkCounter(samples)
    share(lambda: merge_trains(fired, neurons, ptr, ends, spikes.times, spikes.neurons, counts, turns))
    if positions > 1 and (np.diff(spikes.times) == 0.0).any():
        # Trains were merged by position; neurons that fire at one instant are to stand in their own order.
        order = np.lexsort((spikes.neurons, spikes.times))
        spikes = Arrivals(spikes.times[order], spikes.neurons[order], ends)
    by_position = counts if positions == 1 else np.ascontiguousarray(counts.reshape(-1, positions).T)
    return LayerRun(given, (fired, channels, ptr), by_position, spikes, counts)


def order_by_block(given: LayerInput, spikes: Arrivals, layer: Layer) -> LayerRun:
    """A run of a layer of one position from its spikes, sorted by (time, neuron) within each sample."""
    neurons, samples = layer.neurons, len(spikes)
    sample = np.repeat(np.arange(samples), np.diff(spikes.ptr))
    key = (spikes.neurons // WIDTH).astype(np.int64) * samples + sample
    order = np.argsort(key, kind="stable")
    sizes = np.bincount(key, minlength=block_count(neurons) * samples)
    by_block = spikes.times[order], spikes.neurons[order], np.concatenate([[0], np.cumsum(sizes)])
    counts = np.bincount(sample * neurons + spikes.neurons, minlength=samples * neurons)
    counts = counts.reshape(samples, neurons)
    return LayerRun(given, by_block, counts, spikes, counts)


class _SweptLayer:
    """A layer that the sweep takes from part to part: one sample, a unit for each of its positions.

    It carries a state from the first part on that is not the last.
    """

    def __init__(self, packed: PackedNetwork, number: int) -> None:
        self._packed, self._number = packed, number
        self._layer = packed.network.layers[number]
        self._carried: Carried | None = None

    def _carry(self) -> Carried:
        """The state that is carried, that of rest at first."""
        if self._carried is None:
            packed, blocks = self._packed, self._packed.blocks[str(self._layer.name)]
            self._carried = Carried.rest(len(blocks), self._layer.positions, packed.real)
        return self._carried

    def advance(self, given: Train, horizon: float, stop: float, bias: Certain = NOTHING) -> list[Train]:
        """See `Run`; the bias neuron is part of the input."""
        layer, packed, number = self._layer, self._packed, self._number
        arrivals = expand(layer.geometry, Arrivals.single(*given))
        carried = self._carry() if horizon < math.inf else self._carried
        since = None if carried is None else carried.now[0].copy()
        if since is not None and len(given[0]) and given[0][0] < since.max():
            # The kernel's tables begin there: it would write before them.
            raise StateError(f"layer {layer.name!r} would be reached at {given[0][0]:g} ms, which is past")
        ready = LayerInput.of(arrivals, packed.constants[number], packed.real, since=since)
        store = sweep_all(packed, number, ready, stop, carried=carried, until=horizon)
        return [merge(layer, ready, store).spikes.sample(0)]

    def save(self) -> State:
        """See `Run`."""
        c = self._carry()
        return {"u": c.u.copy(), "i": c.i.copy(), "end": c.end.copy(), "now": c.now.copy()}

    def restore(self, state: StateReader, horizon: float, following: float = math.inf) -> None:
        """See `Run`."""
        carried = self._carry()
        blocks, samples, _ = carried.u.shape
        places = (
            (np.arange(blocks * WIDTH) < self._layer.channels)
            .reshape(blocks, 1, WIDTH)
            .repeat(samples, axis=1)
        )
        read = read_layer_arrays(state, places, carried.u.dtype)
        read["now"] = state.numbers("now", carried.now.shape, np.float64, lowest=0.0, highest=horizon)
        if (read["now"] != read["now"][0]).any():
            raise state.error("now", "is not the same for all blocks of neurons")
        state.close()
        for name, array in read.items():
            getattr(carried, name)[...] = array


class SweepRun:
    """The sweep engine, part by part: layer after layer, each up to its own horizon."""

    def __init__(self, packed: PackedNetwork) -> None:
        self._packed = packed
        self._layers: list[Run] = [_start_layer(packed, n) for n in range(len(packed.network.layers))]
        self._held: list[Train] = [SILENCE] * len(self._layers)

    def advance(self, given: Train, horizon: float, stop: float, bias: Certain = NOTHING) -> list[Train]:
        """See `Run`."""
        if horizon == math.inf and len(given[0]) > MAX_EVENTS:
            raise SimulationError(_too_many(len(given[0])))
        trains: list[Train] = []
        try:
            self._advance_layers(trains, given, horizon, stop, bias)
        except KeyboardInterrupt:
            raise BrokenOff(trains + [SILENCE] * (len(self._layers) - len(trains)), 0.0) from None
        return trains

    def _advance_layers(
        self, trains: list[Train], given: Train, horizon: float, stop: float, bias: Certain
    ) -> None:
        """Append the spikes of each layer to `trains`."""
        size = self._packed.network.input.neurons
        for number, (layer, stream) in enumerate(zip(self._packed.network.layers, self._layers, strict=True)):
            arriving = [(given[0] + layer.delay if layer.delay else given[0], given[1])]
            if layer.has_bias:
                if len(bias.times):
                    arriving.append((bias.times + layer.delay, np.full(len(bias.times), size, np.int32)))
                # All that comes from the layer below is known up to its horizon, the biases up to the next.
                horizon = min(horizon, bias.following)
            horizon += layer.delay
            times, neurons = self._hold(number, arriving, horizon)
            if stop < math.inf:
                keep = int(np.searchsorted(times, stop, side="right"))
                times, neurons = times[:keep], neurons[:keep]
            given = stream.advance((times, neurons), horizon, stop)[0]
            trains.append(given)
            size = layer.neurons

    def _hold(self, number: int, arriving: list[Train], horizon: float) -> Train:
        """Hold back arrivals at or after the horizon: more may arrive at that instant."""
        parts = [part for part in (self._held[number], *arriving) if len(part[0])]
        times, neurons = parts[0] if parts else SILENCE
        if len(parts) > 1:
            times, neurons = in_order(
                np.concatenate([t for t, _ in parts]), np.concatenate([n for _, n in parts])
            )
        ready = int(np.searchsorted(times, horizon)) if horizon < math.inf else len(times)
        self._held[number] = (times[ready:].copy(), neurons[ready:].copy()) if ready < len(times) else SILENCE
        return times[:ready], neurons[:ready]

    def save(self) -> State:
        """See `Run`."""
        state: State = {}
        for number, (stream, held) in enumerate(zip(self._layers, self._held, strict=True)):
            parts = stream.save() | {"held_times": held[0], "held_neurons": held[1]}
            state |= {f"{number}/{name}": array for name, array in parts.items()}
        return state

    def restore(self, state: StateReader, horizon: float, following: float = math.inf) -> None:
        """See `Run`."""
        network = self._packed.network
        size = network.input.neurons
        for number, (layer, stream) in enumerate(zip(network.layers, self._layers, strict=True)):
            own = state.within(f"{number}/")
            # As in `advance`.
            horizon = (min(horizon, following) if layer.has_bias else horizon) + layer.delay
            sources = size + layer.has_bias
            self._held[number] = own.train("held_times", "held_neurons", sources, lowest=horizon)
            stream.restore(own, horizon)
            size = layer.neurons
        state.close()


def _start_layer(packed: PackedNetwork, number: int) -> Run:
    layer = packed.network.layers[number]
    if layer.lateral_inhibition and layer.neurons > WIDTH:
        return queue.QueueRun(packed, number)
    return _SweptLayer(packed, number)


ENGINE = SweepEngine()
run = ENGINE.run
