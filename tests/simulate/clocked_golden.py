"""The authors' verification files, read into networks and spike trains."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import eventsnn as es

STEPS = 450
SHAPES = {"conv1": (5, 24, 24), "pool1": (5, 12, 12), "conv2": (3, 8, 8), "pool2": (3, 4, 4)}


def read_spikes(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(times, neurons) of a list of lines ``neuron step`` between lines ``-1 -1``."""
    table = np.loadtxt(path, dtype=np.int64, ndmin=2)
    table = table[table[:, 0] >= 0]
    return table[:, 1].astype(float), table[:, 0]


def read_dense(path: Path, pre: int, post: int) -> np.ndarray:
    """Weights (post, pre) of lines ``index pre_i post_j weight``."""
    weights = np.zeros((post, pre), np.float32)
    for line in path.read_text().splitlines():
        _, source, target, value = line.split()
        weights[int(target.rsplit("_", 1)[1]), int(source.rsplit("_", 1)[1])] = float(value)
    return weights


def read_weights(folder: Path, suffix: str) -> dict[str, np.ndarray]:
    """Weights of the convolutional network: `suffix` "" before, "_trained" after training."""

    def kernels(name: str, shape: tuple[int, ...]) -> np.ndarray:
        flat = np.loadtxt(folder / "weights" / f"{name}_info{suffix}.txt", dtype=np.float32).ravel()
        return flat[: int(np.prod(shape))].reshape(shape)

    return {
        "conv1": kernels("conv1", (5, 1, 5, 5)),
        "conv2": kernels("conv2", (3, 5, 5, 5)),
        "hidden": read_dense(folder / "weights" / f"hidden_info{suffix}.txt", 48, 100),
        "output": read_dense(folder / "weights" / f"output_info{suffix}.txt", 100, 10),
    }


def golden_network(folder: Path, suffix: str) -> es.Network:
    """Their convolutional network."""
    return es.Network(
        es.Input(28, 28),
        es.Conv(5, 5, name="conv1", threshold=5.0),
        es.Pool(2, name="pool1", threshold=2.0),
        es.Conv(3, 5, name="conv2", threshold=5.0),
        es.Pool(2, name="pool2", threshold=2.0),
        es.Dense(100, name="hidden", threshold=10.0),
        es.Dense(10, name="output", threshold=5.0, lateral_inhibition=1.0),
        weights=read_weights(folder, suffix),
    )
