"""Edits of a simulation: which events, neurons and weights are to be others."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eventsnn._util.numbers import describe
from eventsnn.errors import SimulationError
from eventsnn.model import Network
from eventsnn.model.sparse import is_sparse
from eventsnn.simulate.engines.arguments import in_order
from eventsnn.trace.record import LayerSpikes


@dataclass(frozen=True, eq=False)
class Edits:
    """Checked edits.

    Attributes
    ----------
    times : float64 array (n,), indices : int32 array (n,)
        The input spikes that are left, by (time, input neuron), ms.
    first_ms : float
        Time of the first edit, ms; infinite if there is none, 0 where the network changes.
    network : Network
        The one to run.
    silent : dict of int to bool array (neurons,)
        By number of a layer, neurons that are not to fire, which the network does not know of.
    """

    times: np.ndarray
    indices: np.ndarray
    first_ms: float
    network: Network = field(repr=False)
    silent: dict[int, np.ndarray] = field(default_factory=dict, repr=False)


def make_edits(
    network: Network,
    given: LayerSpikes,
    remove: Any,
    move: Any,
    silence: Any,
    weights: Any,
    silences: Callable[[Network, Collection[int]], bool],
) -> Edits:
    """See `eventsnn.what_if` for the arguments; `silences` says whether the engine itself can silence neurons
    (`Engine.silences`), else other weights do.

    Raises
    ------
    SimulationError, NetworkError
        Naming the argument and what is wrong with it.
    """
    removed = _event_numbers("remove", remove, len(given))
    moved = {} if move is None else _check_moves(move, len(given))
    both = sorted(set(removed.tolist()) & set(moved))
    if both:
        raise SimulationError(f"move: event {both[0]} is removed; leave it out of one of the two")
    times = given.times.copy()
    times[list(moved)] = list(moved.values())
    left = np.ones(len(times), bool)
    left[removed] = False
    touched = np.concatenate([removed, np.array(list(moved), np.int64)])
    first = float(min(given.times[touched].min(initial=math.inf), times[touched].min(initial=math.inf)))
    edited, silent = network, dict[int, np.ndarray]()
    if weights is not None:
        edited = _with_weights(edited, weights)
    if silence is not None:
        chosen = {network.index(name): neurons for name, neurons in _check_silence(network, silence).items()}
        if silences(edited, chosen):
            silent = {number: np.zeros(network.layers[number].neurons, bool) for number in chosen}
            for number, neurons in chosen.items():
                silent[number][neurons] = True
        else:
            edited = silenced(edited, silence)
    times, indices = times[left], given.neurons[left]
    if moved:
        times, indices = in_order(times, indices)
    if network.input.has_bias and touched.size:  # the bias neuron fires until the last event
        ends = [float(train.max(initial=0.0)) for train in (given.times, times)]
        if ends[0] != ends[1]:
            first = min(first, *ends)
    return Edits(times, indices, first if edited is network else 0.0, edited, silent)


def _event_numbers(name: str, events: Any, count: int) -> np.ndarray:
    """Numbers of events, from numbers, a mask, a slice or None."""
    if events is None:
        return np.empty(0, np.int64)
    if isinstance(events, slice):
        return np.arange(count)[events]
    found = np.atleast_1d(np.asarray(events))
    if found.dtype == bool and found.shape == (count,):
        return np.flatnonzero(found)
    if found.size == 0 and found.ndim == 1:
        return np.empty(0, np.int64)
    if found.dtype.kind not in "iu" or found.ndim != 1:
        raise SimulationError(
            f"{name}: give numbers of input events (rows of the sample's input), a mask of {count}, or a "
            f"slice, got {describe(events)}"
        )
    bad = found[(found < 0) | (found >= count)]
    if bad.size:
        there = f"has the events 0..{count - 1}" if count else "has no events"
        raise SimulationError(f"{name}: no event {bad[0]}; the sample {there}")
    return np.unique(found.astype(np.int64))


def _check_moves(move: Any, count: int) -> dict[int, float]:
    if not isinstance(move, Mapping):
        raise SimulationError(
            f"move: give a mapping of event to its new time in ms, such as {{17: 20.5}}, got {describe(move)}"
        )
    moved: dict[int, float] = {}
    for event, time in move.items():
        number = int(_event_numbers("move", [event], count)[0])
        good = isinstance(time, int | float | np.integer | np.floating) and not isinstance(time, bool)
        if not good or not (math.isfinite(time) and time >= 0.0):
            raise SimulationError(
                f"move: the new time of event {event} must be a finite number of ms >= 0, got "
                f"{describe(time)}"
            )
        moved[number] = float(time)
    return moved


def _with_weights(network: Network, weights: Any) -> Network:
    """Whole arrays by key, or single weights: ``{"output": {(3, 17): 0.0}}``."""
    if not isinstance(weights, Mapping):
        raise SimulationError(
            "weights: give a mapping of key to an array, or to a mapping of place to value, such as "
            f"{{'output': {{(3, 17): 0.0}}}}, got {describe(weights)}"
        )
    changed = dict(network.weights)
    for key, value in weights.items():
        if key not in changed:
            raise SimulationError(f"weights: no weights {key!r}; there are {', '.join(changed)}")
        changed[key] = _change_places(key, changed[key], value) if isinstance(value, Mapping) else value
    return network.with_weights(changed)


def _change_places(key: str, weights: Any, places: Mapping[Any, Any]) -> Any:
    shape = weights.shape
    changed = weights.copy()
    for place, value in places.items():
        numbers = place if isinstance(place, tuple) else (place,)
        if len(numbers) != len(shape) or not all(
            isinstance(n, int | np.integer) and 0 <= n < most for n, most in zip(numbers, shape, strict=False)
        ):
            raise SimulationError(f"weights: {key!r} has the shape {shape}, and no place {describe(place)}")
        if is_sparse(changed) and not _has_synapse(changed, *numbers):
            changed = changed.tolil()  # a new synapse is cheap to add there
        try:
            changed[numbers] = value
        except (TypeError, ValueError):
            raise SimulationError(
                f"weights: {key!r} at {numbers} must be a number, got {describe(value)}"
            ) from None
    return changed.tocsr() if is_sparse(weights) else changed


def _has_synapse(weights: Any, post: int, pre: int) -> bool:
    """Whether sparse weights have it, of weight 0 too: a delay of its own may belong to it."""
    if weights.format != "csr":
        return True
    return bool(pre in weights.indices[weights.indptr[post] : weights.indptr[post + 1]])


def silenced(network: Network, silence: Any) -> Network:
    """The network with neurons that nothing excites: they never fire, since they rest below the threshold.

    `silence` as of `eventsnn.what_if`, also for the errors.
    """
    chosen = _check_silence(network, silence)
    if any(network[name].shares_weights for name in chosen):
        # Shared weights cannot be cut for one neuron; written out they can.
        network = network.lowered
    weights = dict(network.weights)
    for name, neurons in chosen.items():
        number = network.index(name)
        for key in {p.key for p in network.projections if p.target == number} & set(weights):
            weights[key] = _without_rows(weights[key], neurons)
    return network.with_weights(weights)


def _without_rows(weights: Any, rows: list[int]) -> Any:
    if not is_sparse(weights):
        cut = weights.copy()
        cut[rows] = 0.0
        return cut
    cut = weights.copy()
    cut.data = cut.data.copy()
    for row in rows:
        cut.data[cut.indptr[row] : cut.indptr[row + 1]] = 0.0
    return cut


def _check_silence(network: Network, silence: Any) -> dict[str, list[int]]:
    """Neurons by layer, from ``{"hidden": [3, 4]}`` or pairs (layer, neuron)."""
    chosen: dict[str, list[int]] = {}
    pairs: Iterable[Any] = silence.items() if isinstance(silence, Mapping) else silence
    try:
        listed = [(name, np.atleast_1d(np.asarray(neurons))) for name, neurons in pairs]
    except (TypeError, ValueError):
        raise SimulationError(
            "silence: give a mapping of layer to neurons, such as {'hidden': [3, 4]}, or pairs "
            f"(layer, neuron), got {describe(silence)}"
        ) from None
    for name, neurons in listed:
        if name not in network.names:
            raise SimulationError(f"silence: no layer {name!r}; there are {', '.join(network.names)}")
        size = network[name].neurons
        if neurons.dtype.kind not in "iu" or ((neurons < 0) | (neurons >= size)).any():
            raise SimulationError(
                f"silence: layer {name!r} has the neurons 0..{size - 1}, got {describe(neurons)}"
            )
        chosen.setdefault(name, []).extend(neurons.tolist())
    return chosen
