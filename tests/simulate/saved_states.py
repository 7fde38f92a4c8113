"""Saved states, changed in ways that files are damaged or forged, with a checksum that fits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

import eventsnn as es
from eventsnn.model import Connection, Conv, Dense, Input, Network, Pool
from eventsnn.simulate.state import checksum


def looped(hidden: int, delay: float, bias_interval: float = 0.0) -> Network:
    """A hidden layer, and a connection from the output back to it after `delay` ms."""
    return Network(
        Input(4, 4, 2, bias_interval=bias_interval),
        Dense(hidden, threshold=1.0, delay=1.0),
        Dense(3, threshold=1.0),
        connections=[Connection("output", "hidden", delay=delay)],
        seed=1,
    )


NETWORKS = {
    "sweep": Network(
        Input(4, 4, 2), Dense(40, threshold=1.0, lateral_inhibition=0.5), Dense(3, threshold=1.0), seed=1
    ),
    "sweep with a layer in the queue": Network(
        Input(4, 4, 2), Dense(200, threshold=1.0, lateral_inhibition=0.5, delay=1.5), Dense(3), seed=1
    ),
    "sweep of images": Network(
        Input(6, 6, 2), Conv(4, 3, threshold=0.5), Pool(2, threshold=0.5), Dense(3, threshold=1.0), seed=1
    ),
    "sweep of images with biases": Network(
        Input(6, 6, 2, bias_interval=3.0),
        Conv(4, 3, threshold=0.5, delay=2.5),
        Pool(2, threshold=0.5),
        Dense(3, threshold=1.0, bias=False),
        seed=1,
    ),
    "sweep with biases": Network(
        Input(4, 4, 2, bias_interval=3.0), Dense(20, threshold=1.0, delay=2.5), Dense(3), seed=1
    ),
    "queue": looped(40, 2.0),
    "queue with biases": looped(20, 2.0, bias_interval=3.0),
    "queue of windows": looped(40, 2.0),
    "clocked": Network(
        Input(4, 4, 2),
        Conv(4, 3, threshold=0.5, delay=2.0),
        Dense(20, threshold=1.0, resting=0.4),
        Dense(3, threshold=1.0),
        seed=1,
    ),
    "clocked with loops": looped(20, 3.0, bias_interval=3.0),
    "twin": Network(
        Input(4, 4, 2, bias_interval=3.0), Dense(6, threshold=1.0, delay=1.0), Dense(3, threshold=1.0), seed=1
    ),
}
NETWORKS["queue of windows"] = NETWORKS["queue of windows"].with_weights(
    {key: csr_array(weights) for key, weights in NETWORKS["queue of windows"].weights.items()}
)


def branched(bias_interval: float = 0.0) -> Network:
    """Synapses and source neurons with delays of their own."""
    rng = np.random.default_rng(2)
    return Network(
        Input(4, 4, 2, bias_interval=bias_interval),
        Dense(20, threshold=1.0, probability=0.8, initial_delays=(0.0, 5.0)),
        Dense(3, threshold=1.0, delay=rng.uniform(0.5, 4.0, 20 + (bias_interval > 0.0))),
        connections=[Connection("output", "hidden", probability=0.9, initial_delays=(2.0, 6.0))],
        seed=1,
    )


NETWORKS["queue with branches"] = branched(3.0)
NETWORKS["queue of windows with branches"] = branched()
NETWORKS["twin with branches"] = branched(3.0)
T_STOP = 60.0


def events(network: Network, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """Input spikes number first, ..., last - 1; two fall on every instant."""
    numbers = np.arange(first, last)
    return (numbers // 2) * 0.2, numbers * 7 % network.input.neurons


def save_one(name: str, path: Path, dtype: str = "float64") -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Simulate half of the events; returns the head and the arrays of the saved state at `path`."""
    run = es.Simulation(NETWORKS[name], engine=name.split()[0], dtype=dtype, t_stop=T_STOP)
    run.feed(events(run.network, 0, 201))
    run.save(path)
    with np.load(path) as archive:
        arrays = {key: archive[key] for key in archive.files}
    head = json.loads(arrays.pop("head").tobytes())
    del head["checksum"]
    return head, arrays


def write(path: Path, head: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """A saved state with a checksum that fits."""
    told = json.dumps({**head, "checksum": checksum(head, arrays)}).encode()
    np.savez(path, head=np.frombuffer(told, np.uint8), **arrays)


def go_on(name: str, path: Path) -> dict[str, tuple[bytes, bytes]]:
    """The rest of the run, from the state: spikes of every layer."""
    network = NETWORKS[name]
    run = es.Simulation.resume(path, network, t_stop=T_STOP)
    run.feed(events(network, 201, 400))
    end = run.finish()
    for layer in network.names:
        assert np.isfinite(end[layer].times).all()
        assert (np.diff(end[layer].times) >= 0.0).all()
        assert ((end[layer].neurons >= 0) & (end[layer].neurons < end[layer].size)).all()
    return {layer: (end[layer].times.tobytes(), end[layer].neurons.tobytes()) for layer in network.names}


SHAPES = {
    "empty": lambda v: v.ravel()[:0],
    "short": lambda v: v[: max(0, len(v) - 1)] if v.ndim else v.reshape(1),
    "one": lambda v: v.reshape(-1)[:1],
    "double": lambda v: np.concatenate([np.atleast_1d(v)] * 2),
    "longer axis": lambda v: v.reshape(1, *v.shape),
    "scalar": lambda v: np.array(1).astype(v.dtype),
    "float32": lambda v: v.astype("f4"),
    "int64": lambda v: np.clip(np.nan_to_num(v), -100, 100).astype("i8"),
    "int8": lambda v: np.clip(np.nan_to_num(v), -100, 100).astype("i1"),
    "text": lambda v: v.astype("S8"),
    "complex": lambda v: v.astype(complex),
    "big-endian": lambda v: v.astype(v.dtype.newbyteorder(">")),
}
VALUES = (np.nan, np.inf, -np.inf, -1.0, -5.0, 0.0, 1.0, 3.0, 1e6, 1e15, 1e300, -1e300)


def changed_arrays(array: np.ndarray, draws: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Changes of an array: of its shape, its dtype, all of its values, one of them, their order."""
    for name, change in SHAPES.items():
        yield name, change(array)
    if not array.size:
        return
    for value in VALUES:
        with np.errstate(all="ignore"):
            new = np.array(value).astype(array.dtype)
        yield f"all {value}", np.full_like(array, new)
        one = array.copy()
        one.reshape(-1)[draws.integers(array.size)] = new
        yield f"one {value}", one
    yield "reversed", array.reshape(-1)[::-1].reshape(array.shape).copy()
    yield "shuffled", draws.permutation(array.reshape(-1)).reshape(array.shape)
    for _ in range(4):
        raw = bytearray(array.tobytes())
        bit = int(draws.integers(8 * len(raw)))
        raw[bit // 8] ^= 1 << bit % 8
        yield f"bit {bit}", np.frombuffer(bytes(raw), array.dtype).reshape(array.shape)


HEADS = {
    "engine": ("twin", "sweep", "queue", "windows", "", 3, None, ["queue"]),
    "dtype": ("float32", "float64", "int8", "", None, 8),
    "t_complete": (-1e9, float("nan"), float("inf"), 1e300, 0, 1.0, "x", None, True, [1.0]),
    "events": (-5, 0, 1, 1.5, 10**30, "x", None, True),
    "notes": (None, [1], "x"),
    "layout": (1, 2, 4, None, "3", True),
    "network": (None, "", "0" * 64, 3),
}


def changed_states(
    head: dict[str, Any], arrays: dict[str, np.ndarray], draws: np.random.Generator
) -> Iterator[tuple[str, dict[str, Any], dict[str, np.ndarray]]]:
    """(what was changed, head, arrays) for every array and every field of the head."""
    for key, array in arrays.items():
        yield f"{key} missing", head, {k: v for k, v in arrays.items() if k != key}
        for name, new in changed_arrays(array, draws):
            yield f"{key} {name}", head, {**arrays, key: new}
    for key, values in HEADS.items():
        yield f"head without {key}", {k: v for k, v in head.items() if k != key}, arrays
        for value in values:
            yield f"head {key} {value!r}", {**head, key: value}, arrays
    for key in ("times/7", "foo", "state/foo", "state/", "counts/none"):
        yield f"{key} added", head, {**arrays, key: np.zeros(3)}
