"""The sweep again with another input: only layers, and positions of them, that something else reaches.

Layer after layer, the arrivals are compared with those of the undisturbed run. A layer goes on from its last
state before the first that differs; of a layer of many positions only those are simulated whose patches hold
one that does. All other spikes are the ones known already, and below the first layer that nothing else
reaches nothing is simulated at all. The positions of a layer do not hear each other, so the bits are those of
a fresh run. A neuron that is not to fire is one whose spikes are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from eventsnn._ext.spike_trains import find_changed
from eventsnn._util.saved import OwnState
from eventsnn.simulate.engines import queue
from eventsnn.simulate.engines.arguments import in_order
from eventsnn.simulate.engines.arrivals import Arrivals, Carried
from eventsnn.simulate.engines.engine import Train, join, without
from eventsnn.simulate.engines.layer_run import merge, needs_queue, prepare, sweep_all
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.simulate.engines.redo import Kept, Undisturbed

MARGIN_MS = 1e-3
"""A spike earlier than a time by this and its delay has arrived before it, however sums are rounded."""


def redo_chain(
    packed: PackedNetwork, before: Undisturbed, given: Train, since: float, silent: Mapping[int, np.ndarray]
) -> list[Train]:
    """See `Engine.redo`, and `Settings.silent`."""
    network, trains = packed.network, list[Train]()
    old, new = before.given, given
    size, known = network.input.neurons, int(np.searchsorted(given[0], since))
    for number, layer in enumerate(network.layers):
        changed = np.zeros(size, np.uint8)
        first = find_changed(*_part(old, slice(known, None)), *_part(new, slice(known, None)), changed)
        if first == math.inf and number > max(silent, default=-1):
            break
        source, old = new, before.trains[number]
        new, known = old, len(old[0])
        if first < math.inf:
            again = _Again(packed, number, before, first)
            new, known = again.run(source, changed), again.known
        if number in silent:
            lost = silent[number][old[1][:known]]
            known = int(lost.argmax()) if lost.any() else known
            new = without(new, silent[number])
        trains.append(new)
        size = layer.neurons
    return trains + before.trains[len(trains) :]


class _Again:
    """One layer again, from its last state before the time of the first spike that reaches it otherwise."""

    def __init__(self, packed: PackedNetwork, number: int, before: Undisturbed, first: float) -> None:
        self._packed, self._number, self._stop = packed, number, before.stop
        self._layer = packed.network.layers[number]
        self._own = before.trains[number]
        self._state, self._sent, self._horizon = self._latest(before.states, first)
        self.known = self._state.fired[number]

    def _latest(self, states: list[Kept], first: float) -> tuple[Kept, float, float]:
        """The state, and up to when the source's spikes and the arrivals are in it, ms."""
        below = [layer.least_delay for layer in self._packed.network.layers[: self._number]]
        for state in reversed(states):
            sent = state.time
            for delay in below:  # as `SweepRun.advance` adds them
                sent += delay
            if state.arrays and sent <= first:
                return state, sent, sent + self._layer.least_delay
        return states[0], -math.inf, -math.inf

    def run(self, sent: Train, changed: np.ndarray) -> Train:
        """All spikes of the layer, from those that its source sends now, and which neurons send others."""
        positions = self._reached(changed)
        fresh = self._simulate(self._arriving(sent), positions)
        before, own = _part(self._own, slice(None, self.known)), _part(self._own, slice(self.known, None))
        if positions is not None:
            elsewhere = np.ones(self._layer.positions, bool)
            elsewhere[positions] = False
            fresh = _mixed(_part(own, elsewhere[own[1] % self._layer.positions]), fresh)
        return join([before, fresh])

    def _arriving(self, spikes: Train) -> Train:
        """What arrives after the state, of the source's spikes."""
        layer = self._layer
        spread = MARGIN_MS + max(layer.each_delay or (layer.least_delay,)) - layer.least_delay
        spikes = _part(spikes, slice(int(np.searchsorted(spikes[0], self._sent - spread)), None))
        times, neurons = Arrivals.single(*spikes).delayed(layer.delay).sample(0)
        ends = np.searchsorted(times, self._horizon), np.searchsorted(times, self._stop, side="right")
        return _part((times, neurons), slice(*ends))

    def _reached(self, changed: np.ndarray) -> np.ndarray | None:
        """The positions that other spikes reach, where they are less than half of all; else None, for all."""
        geometry = self._layer.geometry
        if geometry.patches == 1:
            return None
        cells = np.append(changed.reshape(geometry.source[0], -1).any(axis=0), False)  # and beyond the edge
        positions = np.flatnonzero(cells[geometry.cells].any(axis=1))
        return positions if 2 * len(positions) < geometry.patches else None

    def _simulate(self, arriving: Train, positions: np.ndarray | None) -> Train:
        """Spikes from the state on, of some positions or of all."""
        layer, packed, number = self._layer, self._packed, self._number
        if needs_queue(layer):
            run = queue.QueueRun(packed, number)
            if self._state.arrays:
                run.restore(OwnState(self._state.arrays, f"{number}/"), self._horizon)
            return run.advance(arriving, math.inf, self._stop)[0]
        carried = self._carried(positions)
        since = carried.now[0].copy()
        ready = prepare(packed, number, Arrivals.single(*arriving), since=since, positions=positions)
        store = sweep_all(packed, number, ready, self._stop, carried=carried)
        return merge(layer, ready, store, units=positions).spikes.sample(0)

    def _carried(self, positions: np.ndarray | None) -> Carried:
        """The state of some positions, or of all, for the kernel to change."""
        layer, packed, number = self._layer, self._packed, self._number
        count = layer.positions if positions is None else len(positions)
        arrays = self._state.arrays
        if not arrays:
            return Carried.rest(layer.channels, count, packed.constants[number, 0]["reset"], packed.real)
        every = np.arange(count) if positions is None else positions
        return Carried(*(arrays[f"{number}/{name}"].take(every, axis=1) for name in ("u", "i", "end", "now")))


def _part(spikes: Train, which: slice | np.ndarray) -> Train:
    return spikes[0][which], spikes[1][which]


def _mixed(one: Train, other: Train) -> Train:
    """The spikes of two trains in order."""
    times, neurons = np.concatenate([one[0], other[0]]), np.concatenate([one[1], other[1]])
    order = np.argsort(times, kind="stable")  # quick, as each is in order
    return in_order(times[order], neurons[order])
