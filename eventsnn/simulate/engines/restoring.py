"""Checks of saved states of layers that several engines share."""

from __future__ import annotations

import math

import numpy as np

from eventsnn._util.saved import StateReader


def read_layer_arrays(state: StateReader, places: np.ndarray, real: np.dtype) -> dict[str, np.ndarray]:
    """Potentials, synaptic currents and ends of refractory periods (-inf: never fired) of a layer.

    `places` is true where there is a neuron. The others fill up the last block: their synapses have the
    weight 0, so that they never get above 0, and what the kernels return has no room for a spike of theirs.
    """
    greatest = float(np.finfo(np.float64).max)
    read = {name: state.numbers(name, places.shape, real) for name in ("u", "i")}
    read["end"] = state.numbers("end", places.shape, np.float64, highest=greatest, infinite=True)
    for name, array in () if state.trusted else read.items():
        if (array[~places] > (-math.inf if name == "end" else 0.0)).any():
            raise state.error(name, "holds values of neurons that do not exist")
    return read


def check_cursors(
    state: StateReader, cursors: np.ndarray, ways: list[tuple[np.ndarray, float, float]]
) -> None:
    """Whether each projection continues where its pending spikes begin.

    `ways` holds, for each, the times of its source's spikes, the time of its target's state and its delay,
    all in ms: what is still under way arrives at a state that is of an earlier time.

    Raises
    ------
    StateError
    """
    for cursor, (times, now, delay) in zip(cursors.tolist(), ways, strict=True):
        if cursor > len(times) or (cursor < len(times) and times[cursor] + delay < now):
            raise state.error("cursors", f"holds {cursor}, which is not where the spikes under way begin")
