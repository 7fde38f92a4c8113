"""What a contender is asked to run: recordings, a network, and how they reach a worker process."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import spread

import eventsnn as es


@dataclass(frozen=True)
class Job:
    """Recordings and a network of two layers.

    Attributes
    ----------
    data : str
        A folder of <label>/<recordings> (N-MNIST's layout), or an .npz written by `write_trains`.
    sensor : tuple of 3 int
    hidden : int
    thresholds : tuple of 2 float
    samples : int
        Recordings used, spread evenly over those of `data`.
    bins : int
        Steps of 1 ms of the clocked rivals; later events are left out.
    threads : int
    weights : str or None
        An .npz with the arrays hidden and output; random ones (`seed`) without it.
    learning_rate : float or None
        None: the contender's own.
    device : str
        Where the contenders of gpu_contenders.py run, as PyTorch calls it; "cpu" is without a card.
    """

    data: str
    sensor: tuple[int, int, int] = (34, 34, 2)
    hidden: int = 800
    thresholds: tuple[float, float] = (15.0, 15.0)
    samples: int = 256
    bins: int = 316
    threads: int = 1
    weights: str | None = None
    seed: int = 1
    learning_rate: float | None = None
    tau_m: float = 64.0
    tau_s: float = 8.0
    device: str = "cpu"

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for the pipe to the worker."""
        return asdict(self)

    def network(self) -> es.Network:
        """The network, with the weights of the file or random ones, uniform(-1, 1)."""
        times = {"tau_m": self.tau_m, "tau_s": self.tau_s}
        layers = [
            es.Dense(neurons, threshold=threshold, **times)
            for neurons, threshold in zip((self.hidden, 10), self.thresholds, strict=True)
        ]
        network = es.Network(es.Input(*self.sensor), *layers, seed=self.seed)
        if self.weights is None:
            return network
        with np.load(self.weights) as saved:
            return network.with_weights({name: saved[name] for name in network.names})

    def source(self) -> Any:
        """All recordings of `data`, as they are: read from files when asked for, or in memory."""
        if self.data.endswith(".npz"):
            return read_trains(self.data, self.sensor)
        return es.data.NMNIST(self.data, sensor=self.sensor)

    def recordings(self) -> es.data.ListDataset:
        """The recordings used, in memory."""
        source = self.source()
        which = spread(self.samples, len(source))
        return es.data.ListDataset([source.stream(int(i)) for i in which], source.labels[which])


def binned(streams: list[es.EventStream], bins: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(bin of 1 ms, input neuron) of every event of each recording; events from `bins` ms on are left out."""
    found = []
    for stream in streams:
        width, height, _ = stream.sensor_size
        events = stream.events
        step = (events["t"] // 1000).astype(np.int32)
        neuron = (events["p"].astype(np.int32) * height + events["y"]) * width + events["x"]
        keep = step < bins
        found.append((step[keep], neuron[keep].astype(np.int32)))
    return found


def write_trains(path: Path, streams: list[es.EventStream], labels: np.ndarray) -> None:
    """Recordings into one .npz, for sources that have no files of recordings."""
    np.savez(
        path,
        events=np.concatenate([stream.events for stream in streams]),
        ends=np.cumsum([len(stream) for stream in streams]),
        labels=labels,
    )


def read_trains(path: str, sensor: tuple[int, ...]) -> es.data.ListDataset:
    """The recordings of `write_trains`."""
    with np.load(path) as saved:
        parts = np.split(saved["events"], saved["ends"][:-1])
        return es.data.ListDataset(
            [es.EventStream.from_structured(part, sensor) for part in parts], saved["labels"]
        )
