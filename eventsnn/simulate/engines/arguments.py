"""Checks of arguments that all engines share."""

from __future__ import annotations

import math

import numpy as np

from eventsnn._ext.check_events import BAD, check_events
from eventsnn._util.arguments import check_time
from eventsnn._util.numbers import describe
from eventsnn.errors import SimulationError
from eventsnn.model import Network

DTYPES: dict[str, type[np.floating]] = {"float32": np.float32, "float64": np.float64}


def check_dtype(dtype: str) -> type[np.floating]:
    """The numpy type called `dtype`.

    Raises
    ------
    SimulationError
        If it is neither ``"float32"`` nor ``"float64"``.
    """
    if isinstance(dtype, str) and dtype in DTYPES:  # as a rule; numpy takes long to name a type
        return DTYPES[dtype]
    try:
        if dtype is None:  # NumPy's own default
            raise KeyError
        return DTYPES[np.dtype(dtype).name]
    except (KeyError, TypeError, ValueError, SyntaxError):  # of a text NumPy asks Python's parser
        raise SimulationError(f"dtype must be 'float32' or 'float64', got {describe(dtype)}") from None


def check_input(network: Network, times_ms: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Input spikes as the engines take them: sorted by (time, input neuron).

    Parameters
    ----------
    network : Network
    times_ms : float array (n,)
        Times of the input spikes, ms, finite, >= 0, in any order.
    indices : int array (n,)
        Input neuron of each.

    Returns
    -------
    times : float64 array, indices : int32 array

    Raises
    ------
    SimulationError
        Naming the argument and the first bad event.
    """
    times = np.ascontiguousarray(times_ms, dtype=np.float64)
    neurons = np.asarray(indices)
    if times.ndim != 1 or neurons.shape != times.shape:
        raise SimulationError(
            f"events: times {times.shape} and input neurons {neurons.shape} "
            "must be one-dimensional, equally long"
        )
    if neurons.size and neurons.dtype.kind not in "iu":
        raise SimulationError(f"events: input neurons must be whole numbers, got dtype {neurons.dtype}")
    if neurons.dtype in (np.int32, np.int64):  # as a rule; one pass over all is a fifth of what follows
        given, neurons = np.ascontiguousarray(neurons), np.empty(len(times), np.int32)
        found = check_events(times, given, network.input.neurons, neurons)
        if not found & BAD:
            return in_order(times, neurons) if found else (times, neurons)
        neurons = given
    good = np.isfinite(times) & (times >= 0.0)
    if not good.all():
        bad = np.flatnonzero(~good)
        raise SimulationError(
            f"events: event {bad[0]} has time {times[bad[0]]} ms; times must be finite and >= 0"
        )
    good = (neurons >= 0) & (neurons < network.input.neurons)
    if not good.all():
        bad = np.flatnonzero(~good)
        raise SimulationError(
            f"events: event {bad[0]} has input neuron {neurons[bad[0]]}; "
            f"the network has {network.input.neurons}"
        )
    neurons = np.ascontiguousarray(neurons, dtype=np.int32)
    return in_order(times, neurons)


def check_t_stop(network: Network, t_stop: float | None) -> float:
    """`t_stop` as a float, infinite for None; SimulationError if it is not a time, or required and
    missing.
    """
    if t_stop is None:
        if network.is_recurrent:
            raise SimulationError(
                "t_stop: a network with recurrent connections may fire for ever; give t_stop in ms"
            )
        return math.inf
    return check_time("t_stop", t_stop, SimulationError, infinite=True)


def in_order(times: np.ndarray, neurons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same spikes in the order (time, neuron)."""
    if (times[1:] < times[:-1]).any():
        order = np.lexsort((neurons, times))
        return times[order], neurons[order]
    equal = times[1:] == times[:-1]
    if not equal.any():
        return times, neurons
    tied = np.zeros(len(times) + 1, bool)
    tied[1:-1] = equal
    # Those at one instant with the spike before or after: few, as a rule.
    which = np.flatnonzero(tied[1:] | tied[:-1])
    order = np.lexsort((neurons[which], times[which]))
    if (order[1:] < order[:-1]).any():
        neurons = neurons.copy()
        neurons[which] = neurons[which[order]]
    return times, neurons


def endless(error: OverflowError) -> SimulationError:
    """The public error for a neuron that would fire without end at one instant."""
    return SimulationError(f"{error}: give its layer a refractory period, or smaller weights")
