"""Arrivals at a layer, and a layer's state between two parts of a run, for the sweep."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from eventsnn._ext.arrivals import AHEAD, EVENT, TABLE_COLUMNS, deliver_spikes, fill_tables, list_rows
from eventsnn._ext.layer_events import LayerEvents
from eventsnn._ext.patches import Patches, Ready
from eventsnn._ext.store import ForcedSpikes, SpikeStore
from eventsnn._ext.team import Stage
from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.threads import Share, call
from eventsnn.model import Input, bias
from eventsnn.model.layers.geometry import Geometry
from eventsnn.simulate.engines.blocks import WIDTH, block_count

# Neurons that are not dropped, by number of the layer, the input being 0: bool arrays (samples, neurons).
Kept: TypeAlias = Mapping[int, np.ndarray]
EVERYONE: Kept = MappingProxyType({})

# rows, n_rows, ends, when, last, n_times of ``list_rows``.
Sources: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
# Times, neurons, ptr, after: see ``LayerRun.by_block``.
Spikes: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Arrivals:
    """Spikes arriving at a layer, sample after sample, each sorted by (time, neuron).

    Attributes
    ----------
    times : float64 array (n,), ms
    neurons : int32 array (n,)
        Source neuron of each.
    ptr : int64 array (samples + 1,)
        Sample s is [ptr[s], ptr[s + 1]).
    duration : float, optional
        How long every sample lasts, ms, where that is stated; None: until its last spike.
    prepared : LayerInput, optional
        Of a mini-batch: what arrives at the first layer, made ahead; see ``batch.prepare_ahead``.
    """

    times: np.ndarray
    neurons: np.ndarray
    ptr: np.ndarray
    duration: float | None = None
    prepared: LayerInput | None = None

    @classmethod
    def join(cls, samples: list[tuple[np.ndarray, np.ndarray]]) -> Arrivals:
        """From (times, neurons) of each sample."""
        ptr = np.cumsum([0, *(len(times) for times, _ in samples)], dtype=np.int64)
        return cls(np.concatenate([t for t, _ in samples]), np.concatenate([n for _, n in samples]), ptr)

    @classmethod
    def single(cls, times: np.ndarray, neurons: np.ndarray) -> Arrivals:
        """One sample."""
        return cls(times, neurons, np.array([0, len(times)], np.int64))

    def __len__(self) -> int:
        return len(self.ptr) - 1

    @property
    def most_events(self) -> int:
        """How many spikes there are at most."""
        return len(self.times)

    @property
    def last_times(self) -> np.ndarray:
        """Time of each sample's last spike, ms, 0 for none; float64 array (samples,)."""
        ends = self.ptr[1:]
        if not len(self.times):
            return np.zeros(len(ends))
        return np.where(self.ptr[:-1] == ends, 0.0, self.times[ends - 1])

    @property
    def ends(self) -> np.ndarray:
        """When each sample ends, ms: at its stated duration, else with its last spike; float64."""
        return self.last_times if self.duration is None else np.full(len(self), self.duration)

    def sample(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """(times, neurons) of one sample, views."""
        part = slice(self.ptr[number], self.ptr[number + 1])
        return self.times[part], self.neurons[part]

    def part(self, part: slice) -> Arrivals:
        """Some consecutive samples, views."""
        ptr = self.ptr[part.start : part.stop + 1]
        places = slice(int(ptr[0]), int(ptr[-1]))
        return Arrivals(self.times[places], self.neurons[places], ptr - ptr[0], self.duration)

    def where(self, kept: np.ndarray) -> Arrivals:
        """The spikes of the neurons that are `kept`, bool array (samples, neurons)."""
        sample = np.repeat(np.arange(len(self)), np.diff(self.ptr))
        left = kept[sample, self.neurons]
        ptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(left)])[self.ptr]
        return Arrivals(self.times[left], self.neurons[left], ptr, self.duration)

    def with_bias(self, sensor: Input, neurons: int, last_events: np.ndarray, delay: float) -> Arrivals:
        """The arrivals with the spikes of the bias neuron, as source neuron `neurons`; see `bias.insert`."""
        if not sensor.has_bias:
            return self
        trains = [bias.spike_times(sensor, last) + delay for last in last_events.tolist()]
        return Arrivals(*bias.insert(self.times, self.neurons, self.ptr, trains, neurons))

    def delivered(self, delay: float, trains: list[np.ndarray], number: int) -> tuple[Arrivals, Stage]:
        """The spikes `delay` ms later, with those of the bias neuron among them, as `bias.insert` takes
        them; but with empty arrays, and the stage that fills these, sample by sample.

        Of the spikes only `ptr` is read before that.
        """
        added = np.cumsum([0, *(len(train) for train in trains)], dtype=np.int64)
        n = len(self.times) + int(added[-1])
        to = Arrivals(np.empty(n), np.empty(n, np.int32), self.ptr + added)
        of_bias = np.concatenate([*trains, np.empty(0)]), added, number
        out = to.times, to.neurons
        return to, deliver_spikes(self.times, self.neurons, self.ptr, delay, *of_bias, *out)

    def delayed(self, delay: float | Sequence[float]) -> Arrivals:
        """The same spikes `delay` ms later, or each by that of its neuron."""
        if not isinstance(delay, Sequence):
            return Arrivals(self.times + delay, self.neurons, self.ptr) if delay else self
        order = self.delayed_order(delay)
        return Arrivals((self.times + np.array(delay)[self.neurons])[order], self.neurons[order], self.ptr)

    def delayed_order(self, delay: Sequence[float]) -> np.ndarray:
        """Numbers of the spikes in the order in which `delayed` has them, int64 (n,)."""
        times = self.times + np.array(delay)[self.neurons]
        parts = [slice(*ends) for ends in pairwise(self.ptr.tolist())]
        order = np.concatenate([part.start + np.argsort(times[part], kind="stable") for part in parts])
        if (
            np.diff(times[order]) == 0.0
        ).any():  # neurons that arrive at one instant stand in their own order
            sample = np.repeat(np.arange(len(self)), np.diff(self.ptr))
            order = np.lexsort((self.neurons, times, sample))
        return order


@dataclass(frozen=True)
class LayerInput:
    """The arrivals at a layer and the tables about them that all its blocks share; see ``fill_tables``.

    Attributes
    ----------
    arrivals : Arrivals
    events : EVENT array (n + AHEAD,)
    table : real array (n, TABLE_COLUMNS)
    grid : int32 array (n + samples,)
    scale : float64 array (samples,)
    sources : tuple of arrays, optional
        See `list_sources`, where they were made ahead.
    """

    arrivals: Arrivals
    events: np.ndarray
    table: np.ndarray
    grid: np.ndarray
    scale: np.ndarray
    sources: Sources | None = None

    @classmethod
    def of(
        cls,
        arrivals: Arrivals,
        constants: np.ndarray,
        real: type[np.floating],
        share: Share = call,
        since: np.ndarray | None = None,
    ) -> LayerInput:
        """For a layer whose neurons have these `constants`, in the precision `real`.

        `since` is, for samples that go on, the time of the state that each begins in: float64 (samples,), ms.
        """
        layer_input, tables = cls.begin(arrivals, constants, real, since)
        share(tables, items=len(arrivals.times))
        return layer_input

    @classmethod
    def begin(
        cls,
        arrivals: Arrivals,
        constants: np.ndarray,
        real: type[np.floating],
        since: np.ndarray | None = None,
    ) -> tuple[LayerInput, Stage]:
        """The same with empty tables, and the stage that fills them, sample by sample.

        Of the arrivals only `ptr` is read before that.
        """
        n, samples = len(arrivals.times), len(arrivals)
        table = np.empty((n, TABLE_COLUMNS), dtype=real)
        grid, scale = np.empty(n + samples, np.int32), np.empty(samples)
        events = np.empty(n + AHEAD, EVENT)
        events[n:] = 0
        a = arrivals
        tables = fill_tables(a.times, a.neurons, a.ptr, constants, events, table, grid, scale, since)
        return cls(arrivals, events, table, grid, scale), tables

    def layer_events(self, constants: np.ndarray, spikes: Spikes) -> LayerEvents:
        """What arrived and was fired, as kernels that go back in time take it; see `LayerRun.by_block`."""
        a, table = self.arrivals, self.table.view(np.uint8)
        return LayerEvents(constants, a.times, a.neurons, a.ptr, self.grid, self.scale, table, *spikes)

    def coming_events(self, constants: np.ndarray, store: SpikeStore, forced: ForcedSpikes) -> LayerEvents:
        """The same before the layer has fired; see ``LayerEvents.coming``."""
        a, table = self.arrivals, self.table.view(np.uint8)
        tables = self.grid, self.scale, table
        return LayerEvents.coming(constants, a.times, a.neurons, a.ptr, *tables, store, forced)


@dataclass(frozen=True)
class PatchInput:
    """The same of a layer with many positions in one sample: each sees its patch of what arrives.

    What each position sees is no part of it. That is many times as much as what arrives: it is made again for
    the way back, in memory that the cache holds, which takes no more time than fetching it from elsewhere.

    Attributes
    ----------
    geometry : Geometry
    given : Arrivals
        The sample.
    constants : structured array (1,)
        Of the layer's neurons.
    real : type
        Precision.
    positions : int array, optional
        The positions that there are; all by default.
    """

    geometry: Geometry
    given: Arrivals
    constants: np.ndarray
    real: type[np.floating]
    positions: np.ndarray | None = None

    def ready(self) -> Ready:
        """What each position sees, with tables that are made for one position at a time."""
        patches = cut(self.geometry, self.given, self.positions)
        return Ready(patches, self.constants, self.real is np.float32)

    @cached_property
    def arrivals(self) -> Arrivals:
        """All arrivals, position by position; sources are inputs of a position."""
        return Arrivals(*cut(self.geometry, self.given, self.positions).expand())

    def layer_events(self, constants: np.ndarray, spikes: Spikes) -> LayerEvents:
        """See `LayerInput`."""
        none = np.empty(0), np.empty(0, np.int32), np.empty(0, np.int64)
        table = np.empty((0, 0), np.uint8)
        return LayerEvents(constants, *none, none[1], none[0], table, *spikes, self.ready())


def list_sources(arrivals: Arrivals, inputs: int, share: Share = call) -> Sources:
    """Data about the source neurons of the arrivals for ``reverse_blocks``; see ``list_rows``."""
    n, units = len(arrivals.times), len(arrivals)
    rows, ends, when, last = (np.empty(n, np.int32) for _ in range(4))
    sources = rows, np.empty(units, np.int64), ends, when, last, np.empty(units, np.int64)
    counter = WorkCounter(units)
    share(
        lambda: list_rows(arrivals.times, arrivals.neurons, arrivals.ptr, inputs, *sources, counter),
        counter,
        n,
    )
    return sources


def cut(geometry: Geometry, arrivals: Arrivals, positions: np.ndarray | None = None) -> Patches:
    """The spikes of one sample as the positions of a layer, all or these, see them."""
    table = geometry.places if positions is None else geometry.places_of(geometry.cells[positions])
    units = geometry.patches if positions is None else len(positions)
    return Patches(arrivals.times, arrivals.neurons, geometry.source[0], *table, geometry.area, units)


def expand(geometry: Geometry, arrivals: Arrivals) -> Arrivals:
    """The spikes that each unit sees: those in the patch of its position; sources are inputs of a position.

    Its twin stands in the tests: a loop over events and patches.
    """
    if geometry.whole:
        return arrivals
    units = [
        Arrivals(*cut(geometry, Arrivals.single(*arrivals.sample(n))).expand()) for n in range(len(arrivals))
    ]
    if len(units) == 1:
        return units[0]
    return Arrivals.join([each.sample(n) for each in units for n in range(len(each))])


@dataclass(frozen=True)
class Carried:
    """The state of a layer between two parts of a run; the kernel changes the arrays.

    Attributes
    ----------
    u, i : real (blocks, samples, WIDTH)
        Membrane potentials and synaptic currents at `now`; potentials in a refractory period mean nothing.
    end : float64 (blocks, samples, WIDTH)
        Ends of the last refractory periods, ms.
    now : float64 (blocks, samples)
        Time of the state, ms: that of the last arrival, or of a later spike that inhibits.
    """

    u: np.ndarray
    i: np.ndarray
    end: np.ndarray
    now: np.ndarray

    @classmethod
    def rest(cls, neurons: int, samples: int, reset: float, real: type[np.floating]) -> Carried:
        """A layer that has its reset potential at time 0."""
        blocks = block_count(neurons)
        shape = (blocks, samples, WIDTH)
        there = (np.arange(blocks * WIDTH) < neurons).reshape(blocks, 1, WIDTH)
        return cls(
            np.full(shape, np.where(there, reset, 0.0), real),
            np.zeros(shape, real),
            np.full(shape, -math.inf),
            np.zeros((blocks, samples)),
        )
