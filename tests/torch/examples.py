"""Networks, recordings and padded input for the tests of the module."""

from __future__ import annotations

import importlib.util

import numpy as np
import torch

from eventsnn.events.stream import EventStream
from eventsnn.model import Connection, Conv, Dense, Input, Network, Pool, Readout, RunSettings
from tests.train.toy import toy_data

A = {"tau_m": 20.0, "tau_s": 5.0, "refractory": 2.0}
B = {"tau_m": 12.0, "tau_s": 12.0, "refractory": 1.0}
LEARN = ("delay", "tau_m", "tau_s", "threshold")
LAYERS = {
    "dense": [Dense(9, threshold=1.5, **A)],
    "conv, pool": [Conv(2, 2, padding=1, threshold=0.5, **A), Pool(2, threshold=0.3, **B)],
    "learned constants": [Dense(9, threshold=1.5, delay=0.7, learn=LEARN, **A)],
    "learned delays": [Dense(9, threshold=1.5, delay=0.5, learn=("delays",), **A)],
}


def has_lightning() -> bool:
    """Whether Lightning is there, and can be imported."""
    if importlib.util.find_spec("lightning") is None:
        return False
    try:
        import lightning  # noqa: F401
    except (ImportError, RuntimeError):  # its libraries do not go together here
        return False
    return True


def make_network(kind: str, *last: Readout, seed: int = 0) -> Network:
    """A small network on a sensor of 3 x 4, three outputs; in "recurrent" more than a chain."""
    connections = []
    if kind == "recurrent":
        layers = [Dense(9, threshold=1.5, **A)]
        loop = Connection("hidden", "hidden", delay=1.5, learn=("delay",))
        connections = [loop, Connection("input", "output", delay=0.5)]
    else:
        layers = LAYERS[kind]
    output = last or (Dense(3, threshold=1.2, **B),)
    # A stated end: that of the last event would move with it.
    settings = RunSettings(duration_ms=62.0)
    network = Network(Input(3, 4, 1), *layers, *output, connections=connections, settings=settings)
    rng = np.random.default_rng(seed)
    weights = {key: rng.normal(0.4, 0.5, shape) for key, shape in network.weight_shapes().items()}
    return network.with_weights({key: w * (0.2 if "->" in key else 1.0) for key, w in weights.items()})


def recordings(n: int = 6) -> tuple[list[EventStream], torch.Tensor]:
    """Recordings for `toy_network`, and their labels."""
    data = toy_data(n)
    return [data.stream(k) for k in range(n)], torch.from_numpy(data.labels)


def make_padded(inputs: int = 12, most: int = 25, seed: int = 1) -> tuple[torch.Tensor, ...]:
    """Padded spikes of two recordings of different lengths, in no order."""
    rng = np.random.default_rng(seed)
    times = torch.from_numpy(rng.uniform(0.0, 60.0, (2, most)))
    neurons = torch.from_numpy(rng.integers(0, inputs, (2, most)))
    return times, neurons, torch.tensor([most, most - 7])
