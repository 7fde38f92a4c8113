"""Everybody who runs a `Job`, behind one interface; each in its own process (`workers.Worker`).

`infer` and `train` return the samples done and the seconds they took. Libraries are imported in `setup`, so
that one that is not installed is a reason, not a crash.
"""

from __future__ import annotations

import importlib
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from common import stopwatch

import eventsnn as es
from speed.rivals.jobs import Job, binned


class Contender(Protocol):
    """What a worker can do. `batches` lists the batch sizes worth trying, the best one known first."""

    batches: dict[str, list[int]]

    def setup(self, job: Job) -> dict[str, Any]: ...
    def infer(self, batch: int) -> dict[str, Any]: ...
    def train(self, batch: int) -> dict[str, Any]: ...


class Eventsnn:
    """This project, through its public interface. `files`: reading the recordings is part of the time."""

    # evaluate() has one batch size of its own.
    batches: ClassVar[dict[str, list[int]]] = {"infer": [16], "train": [16]}

    def __init__(self, *, files: bool) -> None:
        self.files = files

    def setup(self, job: Job) -> dict[str, Any]:
        self.job, self.network = job, job.network()
        with stopwatch() as took:
            memory = job.recordings()
        self.data = job.source() if self.files else memory
        return {"prepare_s": 0.0 if self.files else took[0].cpu / len(memory)}

    def infer(self, batch: int) -> dict[str, Any]:
        with stopwatch() as took:
            score = es.evaluate(self.network, self.data, threads=self.job.threads)
        return {
            "samples": score.n,
            "wall": score.seconds,
            "cpu": took[0].cpu,
            "accuracy": score.accuracy,
        }

    def train(self, batch: int) -> dict[str, Any]:
        """One epoch. Processor time of the call, less the share of its wall time that was no training."""
        fit, took = self._fit(batch, 1)
        line = fit.history[-1]
        share = min(1.0, line["train_seconds"] / took.wall)
        return {"samples": line["samples"], "wall": line["train_seconds"], "cpu": took.cpu * share}

    def learn(self, path: str, epochs: int) -> dict[str, Any]:
        """Train, and save the weights for everybody."""
        fit, _ = self._fit(16, epochs, es.Optimiser(learning_rate=0.01, schedule="inverse_sqrt"))
        np.savez(path, **fit.network.weights)
        return {"accuracy": fit.history[-1]["accuracy"], "epochs": epochs}

    def _fit(self, batch: int, epochs: int, optimiser: es.Optimiser | None = None) -> Any:
        with tempfile.TemporaryDirectory() as folder, stopwatch() as took:
            fit = es.train(
                self.network,
                self.data,
                epochs=epochs,
                batch_size=batch,
                valid_fraction=0.0,
                optimiser=optimiser,
                threads=self.job.threads,
                out=Path(folder) / "run",
            )
        return fit, took[0]


class EventLoop:
    """event_torch.py on batches already binned and sorted in memory."""

    batches: ClassVar[dict[str, list[int]]] = {"infer": [32, 16, 64], "train": [64, 32, 16]}

    def setup(self, job: Job) -> dict[str, Any]:
        self.module = importlib.import_module("speed.rivals.event_torch")
        self.job, network = job, job.network()
        _set_threads(job.threads)
        rate = {} if job.learning_rate is None else {"learning_rate": job.learning_rate}
        self.net = self.module.EventTorch(
            [network.weights[name] for name in network.names],
            job.thresholds,
            tau_m=job.tau_m,
            tau_s=job.tau_s,
            **rate,
        )
        data = job.recordings()
        start = time.process_time()
        self.events = binned([data.stream(i) for i in range(len(data))], job.bins)
        self.labels, self.n_inputs = data.labels, network.input.neurons
        self.ready: dict[int, list[Any]] = {}
        self._batches(16)
        return {"prepare_s": (time.process_time() - start) / len(data)}

    def _batches(self, size: int) -> list[Any]:
        if size not in self.ready:
            self.ready = {
                size: [
                    self.module.make_batch(
                        self.events[k : k + size], self.labels[k : k + size], self.job.bins, self.n_inputs
                    )
                    for k in range(0, len(self.events), size)
                ]
            }
        return self.ready[size]

    def infer(self, batch: int) -> dict[str, Any]:
        batches = self._batches(batch)
        with stopwatch() as took:
            counts = [self.net.infer(one) for one in batches]
        decisions = np.concatenate([c.numpy().argmax(1) for c in counts])
        return _measure(len(self.events), took, np.mean(decisions == self.labels))

    def train(self, batch: int) -> dict[str, Any]:
        batches = self._batches(batch)
        with stopwatch() as took:
            for one in batches:
                self.net.train_step(one)
        return _measure(len(self.events), took)


class Library:
    """A library's neuron in its own loop over time, the first linear map over all steps at once, dense input.

    At most two dense batches are held: one of 64 is 187 MB.
    """

    batches: ClassVar[dict[str, list[int]]] = {"infer": [64, 16], "train": [64, 16]}

    def __init__(self, name: str) -> None:
        self.name = name

    def setup(self, job: Job) -> dict[str, Any]:
        module = importlib.import_module("speed.rivals.libraries")
        self.job, network = job, job.network()
        _set_threads(job.threads)
        self.net = module.make(self.name, network, job)
        data = job.recordings()
        self.events = binned([data.stream(i) for i in range(len(data))], job.bins)
        self.labels, self.n_inputs = data.labels, network.input.neurons
        self.module = module
        start = time.process_time()
        self._dense(0, 1)
        self.ready: dict[int, list[Any]] = {}
        return {"prepare_s": time.process_time() - start}

    def _dense(self, first: int, size: int) -> tuple[Any, Any]:
        return self.module.make_batch(
            self.events[first : first + size], self.labels[first : first + size], self.job.bins, self.n_inputs
        )

    def _batches(self, size: int) -> list[Any]:
        size = min(size, len(self.events))
        if size not in self.ready:
            firsts = range(0, len(self.events) - size + 1, size)
            self.ready = {size: [self._dense(first, size) for first in firsts[: 2 if size < 64 else 1]]}
        return self.ready[size]

    def infer(self, batch: int) -> dict[str, Any]:
        batches = self._batches(batch)
        with stopwatch() as took:
            counts = [self.module.infer(self.net, x) for x, _ in batches]
        right = [c.argmax(1) == y for c, (_, y) in zip(counts, batches, strict=True)]
        return _measure(sum(len(r) for r in right), took, np.mean(np.concatenate(right)))

    def train(self, batch: int) -> dict[str, Any]:
        batches = self._batches(batch)
        with stopwatch() as took:
            for x, y in batches:
                self.module.train_step(self.net, x, y)
        return _measure(sum(len(y) for _, y in batches), took)


def _set_threads(n: int) -> None:
    import torch

    torch.set_num_threads(n)


def _measure(samples: int, took: list[Any], accuracy: float | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"samples": samples, "wall": took[0].wall, "cpu": took[0].cpu}
    if accuracy is not None:
        found["accuracy"] = float(accuracy)
    return found


OURS = ("eventsnn", "eventsnn, from files")
EVENT_LOOP = "PyTorch, event-sparse loop"
LIBRARY_NAMES = ("snnTorch", "SpikingJelly", "Norse")
CONTENDERS = {
    OURS[0]: lambda: Eventsnn(files=False),
    OURS[1]: lambda: Eventsnn(files=True),
    EVENT_LOOP: EventLoop,
    **{name: (lambda name=name: Library(name)) for name in LIBRARY_NAMES},
}
