"""The bias neuron: one more source of every layer, which fires regularly."""

from __future__ import annotations

import numpy as np

from eventsnn.network import Input, Network


def spike_times(sensor: Input, last_event: float) -> np.ndarray:
    """Spikes of the bias neuron in a recording whose last event is at `last_event` ms (0 for none).

    These are k times the interval, k = 1, 2, ...; float64, ms. None without biases.
    """
    if not sensor.has_bias:
        return np.empty(0)
    count = int(last_event / sensor.bias_interval)
    times = np.arange(1, count + 2) * float(sensor.bias_interval)
    return times[times <= last_event]  # the division may have been rounded


def until(network: Network, times_ms: np.ndarray, stop: float) -> np.ndarray:
    """Spikes of the bias neuron until `stop`, for input that `check_input` has accepted; float64, ms."""
    times = spike_times(network.input, float(np.max(times_ms, initial=0.0)))
    return times[times <= stop]


def insert(
    times: np.ndarray, neurons: np.ndarray, ptr: np.ndarray, trains: list[np.ndarray], number: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arrivals with those from the bias neuron among them.

    Parameters
    ----------
    times, neurons, ptr
        Arrivals of some samples, see `eventsnn.engines.sweep.Arrivals`.
    trains : list of float64 arrays
        When the bias neuron's spikes arrive in each sample, ms, ascending.
    number : int
        Its number as a source neuron, the largest: at equal times it comes last.

    Returns
    -------
    times, neurons, ptr
    """
    place = np.concatenate(
        [
            start + np.searchsorted(times[start:end], train, side="right")
            for start, end, train in zip(ptr[:-1], ptr[1:], trains, strict=True)
        ]
    )
    added = np.cumsum([0, *(len(train) for train in trains)])
    return (
        np.insert(times, place, np.concatenate(trains)),
        np.insert(neurons, place, np.int32(number)),
        ptr + added,
    )
