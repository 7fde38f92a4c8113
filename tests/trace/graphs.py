"""Random networks of every kind, with an input that makes them fire, for tests of derivatives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.sparse import random_array

from eventsnn.model import Connection, Conv, Dense, Input, Network, Pool, Reservoir

T_STOP = 60.0
KINDS = (
    "chain",
    "recurrent",
    "sparse",
    "spatial",
    "reservoir",
    "lateral",
    "biases",
    "everything",
    "synaptic",
    "sources",
)
"""The last two have delays of single synapses, and of source neurons."""


def make_graph(kind: str, seed: int) -> tuple[Network, tuple[np.ndarray, np.ndarray]]:
    """A network of this kind and its input: (times in ms, input neurons)."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])

    def lif(**more: Any) -> dict[str, Any]:
        taus = {"tau_m": rng.uniform(8, 30), "tau_s": rng.uniform(2, 7), "refractory": rng.uniform(0.5, 3)}
        return {"threshold": 1.0, **taus, "delay": rng.choice([0.0, rng.uniform(0.2, 2)]), **more}

    biases = kind in ("biases", "synaptic", "sources")
    sensor, connections = Input(5, 4, 2, bias_interval=7.3 if biases else 0.0), []
    layers: list[Any] = [Dense(7, name="first", **lif()), Dense(5, name="second", **lif()), Dense(3, **lif())]
    if kind in ("recurrent", "everything", "synaptic", "sources"):
        connections = [
            Connection("first", "first", delay=0.7),
            Connection("output", "first", delay=0.0),
            Connection("input", "output", delay=1.1),
            Connection("second", "second", name="loop", delay=2.0),
        ]
    if kind in ("lateral", "everything"):
        layers[1:] = [
            Dense(5, name="second", lateral_inhibition=0.15, resting=-0.3, **lif()),
            Dense(3, lateral_inhibition=0.3, resting=0.2, **lif(tau_m=5.0, tau_s=5.0)),
        ]
    if kind == "reservoir":
        layers[0] = Reservoir(name="first", grid=(2, 2, 3), recurrent_weight=0.3, **lif())
    if kind in ("spatial", "everything"):
        layers[:1] = [Conv(3, 2, padding=1, name="first", **lif()), Pool(2, stride=1, name="pool", **lif())]
    if kind == "sources":
        for n, size in enumerate((sensor.neurons, 7, 5)):
            layers[n] = replace(layers[n], delay=rng.uniform(0.2, 3.0, size + 1))
    network = Network(sensor, *layers, connections=connections, seed=seed)
    weights: dict[str, Any] = {}
    for key, shape in network.weight_shapes().items():
        fan_in = np.prod(shape[1:])
        mean = 0.1 if key in network.names else -0.02
        weights[key] = rng.normal(mean * 12, 1.2 if key in network.names else 0.5, shape) / np.sqrt(fan_in)
    sparse = {"synaptic": ("first", "second", "loop", "input->output", "first->first")}
    if kind in ("sparse", "everything", "synaptic"):
        for key in sparse.get(kind, ("second", "loop")):
            if key in weights:
                there = random_array(weights[key].shape, density=0.7, rng=rng, format="csr")
                there.data[:] = weights[key][there.nonzero()]
                weights[key] = there
    network = network.with_weights(weights)
    if kind == "synaptic":
        each = {key: rng.uniform(0.2, 3.0, weights[key].nnz) for key in sparse[kind] if key != "first->first"}
        network = network.with_delays(each)
    n = 150
    times = np.sort(rng.uniform(0.0, 40.0, n))
    return network, (times, rng.integers(0, sensor.neurons, n).astype(np.int32))
