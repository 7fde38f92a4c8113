"""Tiny labelled recordings that can be told apart, and a tiny network that learns them in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from eventsnn.data import ListDataset
from eventsnn.events import EventStream, write
from eventsnn.learn.hm2bp import HM2BP
from eventsnn.learn.optimisers import Optimiser
from eventsnn.model import Dense, Input, Network
from eventsnn.train.trainer import TrainResult, train

SENSOR = (6, 5, 2)
CLASSES = 3
RULE = HM2BP(desired=8, undesired=1, margin=1.0)
OPTIMISER = Optimiser(learning_rate=0.02)

# What may differ between two runs with the same bits: how long they took.
CLOCKS = ("train_seconds", "seconds", "cpu_seconds")


def toy_stream(label: int, seed: int) -> EventStream:
    """40-100 events within 60 ms; four of five lie in the two columns of pixels that belong to the class."""
    rng = np.random.default_rng([label, seed])
    n = int(rng.integers(40, 101))
    width, height, polarities = SENSOR
    own = rng.random(n) < 0.8
    x = np.where(own, 2 * label + rng.integers(2, size=n), rng.integers(width, size=n))
    return EventStream.from_arrays(
        np.sort(rng.integers(60_000, size=n)),
        x,
        rng.integers(height, size=n),
        rng.integers(polarities, size=n),
        sensor_size=SENSOR,
    )


def toy_data(n: int = 36, seed: int = 0) -> ListDataset:
    """`n` recordings, the classes in turn."""
    labels = np.arange(n) % CLASSES
    return ListDataset([toy_stream(int(label), seed + k) for k, label in enumerate(labels)], labels)


def write_toy_folder(root: Path, n: int = 36, seed: int = 0) -> Path:
    """The recordings of `toy_data` as ``<root>/<label>/<number>.bin``."""
    data = toy_data(n, seed)
    for k, label in enumerate(data.labels.tolist()):
        path = root / str(label) / f"{k:05}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, data.stream(k))
    return root


def toy_network(seed: int = 3, **output: Any) -> Network:
    """60-40-3: more than one block of neurons, lateral inhibition at the output."""
    settings = {"threshold": 2.0, "tau_m": 30.0, "tau_s": 6.0, "lateral_inhibition": 0.5} | output
    return Network(
        Input(*SENSOR), Dense(40, threshold=2.0, tau_m=30.0, tau_s=6.0), Dense(CLASSES, **settings), seed=seed
    )


def toy_train(out: Path, **changes: Any) -> TrainResult:
    """A short training run on the toy data, `changes` made to its arguments."""
    arguments: dict[str, Any] = {
        "network": toy_network(),
        "data": toy_data(),
        "rule": RULE,
        "optimiser": OPTIMISER,
        "epochs": 3,
        "batch_size": 4,
        "seed": 7,
        "valid_fraction": 0.25,
        "threads": 1,
    }
    arguments |= changes
    return train(arguments.pop("network"), arguments.pop("data"), out=out, **arguments)


def timeless(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Metrics without what depends on the clock."""
    return [{key: value for key, value in line.items() if key not in CLOCKS} for line in history]


def assert_same_weights(a: Network, b: Network) -> None:
    """Two networks agree in every bit of every weight."""
    assert a.weights.keys() == b.weights.keys()
    for key in a.weights:
        assert a.weights[key].dtype == b.weights[key].dtype
        assert a.weights[key].tobytes() == b.weights[key].tobytes(), f"weights of {key!r} differ"
