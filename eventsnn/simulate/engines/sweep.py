"""The sweep engine: chains of layers, whole input trains at once.

On dense layers it gives the queue engine's bits; convolutions are summed in another order than there, where
they are sparse weights, and agree to 1e-9 ms.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np

from eventsnn._util.saved import StateError, StateReader
from eventsnn.errors import SimulationError
from eventsnn.model import Network
from eventsnn.model.bias import NOTHING, Certain
from eventsnn.simulate.engines import queue
from eventsnn.simulate.engines.arguments import in_order
from eventsnn.simulate.engines.arrivals import Arrivals, Carried
from eventsnn.simulate.engines.blocks import WIDTH
from eventsnn.simulate.engines.engine import (
    SILENCE,
    BrokenOff,
    Counter,
    Engine,
    Recorder,
    Run,
    Settings,
    State,
    Train,
    without,
)
from eventsnn.simulate.engines.layer_run import merge, needs_queue, prepare, sweep_all
from eventsnn.simulate.engines.packed import PackedNetwork, pack_once
from eventsnn.simulate.engines.restoring import read_layer_arrays

if TYPE_CHECKING:
    from eventsnn.simulate.engines.redo import Undisturbed

# A kernel call runs one block through all input spikes at the least; more would keep Ctrl-C waiting too long.
MAX_EVENTS = 8_000_000


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
    return None


class SweepEngine(Engine):
    """See `Engine`."""

    name = "sweep"

    def refusal(self, network: Network, settings: Settings) -> str | None:
        """See `Engine`."""
        # Networks with loops are cut off without being asked to: they come first.
        reason = refusal(network)
        if reason is not None:
            return f"engine 'sweep' cannot run this network: {reason}; use engine='queue'"
        if settings.cut:
            return "engine 'sweep' takes no t_stop for data sets; use engine='queue'"
        return _too_many(settings.events) if settings.events > MAX_EVENTS else None

    def start(self, network: Network, settings: Settings) -> Run:
        """See `Engine`."""
        return SweepRun(pack_once(network, settings.real), settings.silent)

    def silences(self, network: Network, layers: Collection[int]) -> bool:
        """See `Engine`: where the others of a layer do not hear them."""
        return all(network.layers[n].fires and not network.layers[n].lateral_inhibition for n in layers)

    def redo(
        self, network: Network, settings: Settings, before: Undisturbed, given: Train, since: float
    ) -> list[Train]:
        """See `Engine`: only what something else reaches."""
        from eventsnn.simulate.engines.sweep_redo import redo_chain

        if network.firing is None:
            return before.trains
        return redo_chain(pack_once(network.firing, settings.real), before, given, since, settings.silent)

    def counter(self, network: Network, settings: Settings, t_stop: float | None) -> Counter:
        """See `Engine`: layer after layer, many samples side by side."""
        from eventsnn.simulate.engines.batch import run_batch  # which is made of this engine's layers

        packed = pack_once(network, settings.real)
        return lambda samples, ends, pool: run_batch(packed, samples, ends, pool).votes(network)

    def prepare(self, network: Network, settings: Settings, samples: Arrivals) -> Arrivals:
        """See `Engine`: tables of what arrives at the first layer."""
        from eventsnn.simulate.engines.batch import prepare_ahead

        return prepare_ahead(pack_once(network, settings.real), samples)

    def recorder(self, network: Network, settings: Settings, t_stop: float | None) -> Recorder:
        """See `Engine`: as `counter`."""
        from eventsnn.simulate.engines.batch import run_batch

        packed, dtype = pack_once(network, settings.real), str(settings.dtype)
        return lambda samples, ends, pool: run_batch(packed, samples, ends, pool).records(
            network, self.name, dtype
        )


def _too_many(events: int) -> str:
    return f"engine 'sweep' takes up to {MAX_EVENTS} events at once, got {events}; use engine='queue'"


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
            layer, lif = self._layer, self._packed.constants[self._number, 0]
            self._carried = Carried.rest(layer.channels, layer.positions, lif["reset"], self._packed.real)
        return self._carried

    def advance(
        self, input_spikes: Train, horizon: float, stop: float, bias: Certain = NOTHING
    ) -> list[Train]:
        """See `Run`; the bias neuron is part of the input."""
        layer, packed, number = self._layer, self._packed, self._number
        carried = self._carry() if horizon < math.inf else self._carried
        since = None if carried is None else carried.now[0].copy()
        if since is not None and len(input_spikes[0]) and input_spikes[0][0] < since.max():
            # The kernel's tables begin there: it would write before them.
            raise StateError(
                f"layer {layer.name!r} would be reached at {input_spikes[0][0]:g} ms, which is past"
            )
        ready = prepare(packed, number, Arrivals.single(*input_spikes), since=since)
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

    def __init__(self, packed: PackedNetwork, silent: Mapping[int, np.ndarray] | None = None) -> None:
        self._packed, self._silent = packed, silent or {}
        self._layers: list[Run] = [_start_layer(packed, n) for n in range(len(packed.network.layers))]
        self._held: list[Train] = [SILENCE] * len(self._layers)

    def advance(
        self, input_spikes: Train, horizon: float, stop: float, bias: Certain = NOTHING
    ) -> list[Train]:
        """See `Run`."""
        if horizon == math.inf and len(input_spikes[0]) > MAX_EVENTS:
            raise SimulationError(_too_many(len(input_spikes[0])))
        trains: list[Train] = []
        try:
            self._advance_layers(trains, input_spikes, horizon, stop, bias)
        except KeyboardInterrupt:
            raise BrokenOff(trains + [SILENCE] * (len(self._layers) - len(trains)), 0.0) from None
        return trains

    def _advance_layers(
        self, trains: list[Train], spikes: Train, horizon: float, stop: float, bias: Certain
    ) -> None:
        """Append the spikes of each layer to `trains`."""
        size = self._packed.network.input.neurons
        for number, (layer, stream) in enumerate(zip(self._packed.network.layers, self._layers, strict=True)):
            arriving = [Arrivals.single(*spikes).delayed(layer.delay).sample(0) if layer.delay else spikes]
            if layer.has_bias:
                if len(bias.times):
                    arriving.append((bias.times + layer.bias_delay, np.full(len(bias.times), size, np.int32)))
                # All that comes from the layer below is known up to its horizon, the biases up to the next.
                horizon = min(horizon, bias.following)
            horizon += layer.least_delay
            times, neurons = self._hold(number, arriving, horizon)
            if stop < math.inf:
                keep = int(np.searchsorted(times, stop, side="right"))
                times, neurons = times[:keep], neurons[:keep]
            spikes = stream.advance((times, neurons), horizon, stop)[0]
            if number in self._silent:
                spikes = without(spikes, self._silent[number])
            trains.append(spikes)
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
            layer_state = state.within(f"{number}/")
            # As in `advance`.
            horizon = (min(horizon, following) if layer.has_bias else horizon) + layer.least_delay
            sources = size + layer.has_bias
            self._held[number] = layer_state.train("held_times", "held_neurons", sources, lowest=horizon)
            stream.restore(layer_state, horizon)
            size = layer.neurons
        state.close()


def _start_layer(packed: PackedNetwork, number: int) -> Run:
    if needs_queue(packed.network.layers[number]):
        return queue.QueueRun(packed, number)
    return _SweptLayer(packed, number)


ENGINE = SweepEngine()
run = ENGINE.run
