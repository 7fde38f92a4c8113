"""Accuracy on held-out recordings against core seconds of training, one core, several seeds.

1000 real N-MNIST recordings: a stratified 200 are held out, another 200 for every seed, which also draws
the initial weights and the order. Seconds are processor time of training with everything it needs (reading,
binning, augmenting, batches); testing and writing files are not counted. At a checkpoint the last state
reached by then is tested.

A line of JSON per (contender, seed, checkpoint) goes to `--lines`; what is there already is not done again.

Learning rates: ours from datasets/nmnist/dense.toml; the rivals' were picked by training loss, see README.md.
"augmented": the rival is given our augmentation (shifts, lost events, stretched time) of dense.toml.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from common import EXPERIMENT, comparison, emit, find_nmnist, missing_row, options, row, stopwatch, use_cores
from speed.rivals.contenders import EVENT_LOOP
from speed.rivals.jobs import Job, binned
from speed.rivals.workers import Missing, Worker

import eventsnn as es
from eventsnn.data import split_validation

CHECKPOINTS = (10, 30, 60, 120, 300, 600)  # s of processor time
OURS = "eventsnn"
AUGMENTED = f"{EVENT_LOOP}, augmented"
RIVALS = (EVENT_LOOP, AUGMENTED, "SpikingJelly", "Norse")
BATCH = {EVENT_LOOP: 16, AUGMENTED: 16, "SpikingJelly": 16, "Norse": 16}


class Curve:
    """Tests at checkpoints: tell it the seconds so far; `test` is called where one has been passed."""

    def __init__(self, checkpoints: Sequence[float], test: Callable[[], float]) -> None:
        self.left, self.test = list(checkpoints), test
        self.points: list[dict[str, Any]] = []

    def pass_to(self, seconds: float, epoch: float, state_seconds: float | None = None) -> bool:
        """True while checkpoints are left. `state_seconds`: of the state tested, if not `seconds`."""
        while self.left and seconds >= self.left[0]:
            at = seconds if state_seconds is None else state_seconds
            checkpoint = self.left.pop(0)
            # Checkpoints passed in one go share the test.
            again = self.points and self.points[-1]["seconds"] == at
            accuracy = self.points[-1]["accuracy"] if again else self.test()
            point = {"checkpoint": checkpoint, "seconds": at, "epoch": epoch, "accuracy": accuracy}
            self.points.append(point)
        return bool(self.left)


class Learner:
    """What all share: the split of a seed, and `run`."""

    batches: ClassVar[dict[str, list[int]]] = {}

    def setup(self, job: Job) -> dict[str, Any]:
        self.job = job
        self.source = job.source()
        self.training, self.held_out = split_validation(self.source.labels, 0.2, job.seed)
        self.experiment = es.Experiment.load(EXPERIMENT)
        return {}

    def part(self, which: np.ndarray) -> es.data.ListDataset:
        """Recordings by index, read into memory."""
        return es.data.ListDataset(
            [self.source.stream(int(i)) for i in which], self.source.labels[which].tolist()
        )


class Ours(Learner):
    """eventsnn.train as dense.toml says, an epoch at a time."""

    def run(self, checkpoints: list[float]) -> dict[str, Any]:
        with stopwatch() as took:
            training = self.part(self.training)
        held_out, experiment = self.part(self.held_out), self.experiment
        spent, epoch = took[0].cpu, 0
        network, reached = experiment.make_network(self.job.seed), 0.0
        curve = Curve(checkpoints, lambda: es.evaluate(network, held_out, threads=1).accuracy)
        with tempfile.TemporaryDirectory() as folder:
            while True:
                with stopwatch() as took:
                    fit = experiment.run(
                        training,
                        out=Path(folder) / "run",
                        valid_fraction=0.0,
                        epochs=epoch + 1,
                        seed=self.job.seed,
                        threads=1,
                        resume=epoch > 0,
                    )
                share = min(1.0, fit.history[-1]["train_seconds"] / took[0].wall)
                spent += took[0].cpu * share
                # The state at the checkpoint is that of the epoch before: this one ended too late.
                if not curve.pass_to(spent, epoch, reached):
                    return {"points": curve.points}
                network, reached, epoch = fit.network, spent, epoch + 1


class Rival(Learner):
    """A rival's network, in random batches until the time is up."""

    def __init__(self, name: str) -> None:
        self.name, self.augmented = name.removesuffix(", augmented"), name == AUGMENTED

    def setup(self, job: Job) -> dict[str, Any]:
        import importlib

        import torch

        super().setup(job)
        torch.set_num_threads(1)
        network = job.network()
        if self.name == EVENT_LOOP:
            module: Any = importlib.import_module("speed.rivals.event_torch")
            rate = {} if job.learning_rate is None else {"learning_rate": job.learning_rate}
            weights = [network.weights[name] for name in network.names]
            self.net = module.EventTorch(weights, job.thresholds, **rate)
            self.step, self.infer = self.net.train_step, lambda batch: self.net.infer(batch).numpy()
        else:
            module = importlib.import_module("speed.rivals.libraries")
            self.net = module.make(self.name, network, job)
            self.step = lambda batch: module.train_step(self.net, *batch)
            self.infer = lambda batch: module.infer(self.net, batch[0])
        self.make_batch, self.inputs = module.make_batch, network.input.neurons
        return {}

    def batch(self, data: es.data.ListDataset, which: np.ndarray, rng: np.random.Generator | None) -> Any:
        """A batch in the form the rival takes."""
        if rng is not None and self.augmented:
            change, size = self.experiment.augmentation, data.sensor_size
            assert change is not None
            epoch = int(rng.integers(2**31))
            changed = [change.apply(data.stream(i).events, size, self.job.seed, epoch, int(i)) for i in which]
            streams = [es.EventStream.from_structured(events, size) for events in changed]
            events = binned(streams, self.job.bins)
        else:
            events = [self.binned[id(data)][i] for i in which]
        return self.make_batch(events, data.labels[which], self.job.bins, self.inputs)

    def run(self, checkpoints: list[float]) -> dict[str, Any]:
        start = time.process_time()
        training = self.part(self.training)
        self.binned = {
            id(training): binned([training.stream(i) for i in range(len(training))], self.job.bins)
        }
        spent = time.process_time() - start
        held_out = self.part(self.held_out)
        self.binned[id(held_out)] = binned([held_out.stream(i) for i in range(len(held_out))], self.job.bins)
        curve = Curve(checkpoints, lambda: self.accuracy(held_out))
        rng = np.random.default_rng(self.job.seed)
        losses: list[float] = []
        for done, which in enumerate(self.order(len(training), rng)):
            start = time.process_time()
            losses.append(self.step(self.batch(training, which, rng)))
            spent += time.process_time() - start
            if not curve.pass_to(spent, (done + 1) * len(which) / len(training)):
                break
        epoch = len(training) // BATCH[self.name]
        return {"points": curve.points, "training_loss": float(np.mean(losses[-epoch:]))}

    def order(self, n: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Batches of indices for ever, every epoch in a new order."""
        size = BATCH[self.name]
        while True:
            shuffled = rng.permutation(n)
            yield from (shuffled[k : k + size] for k in range(0, n, size))

    def accuracy(self, data: es.data.ListDataset) -> float:
        """Share decided rightly; an all-silent output counts as wrong, as it does for eventsnn."""
        right = 0
        for first in range(0, len(data), 50):
            which = np.arange(first, min(first + 50, len(data)))
            counts = np.asarray(self.infer(self.batch(data, which, None)))
            right += int(np.sum((counts.argmax(1) == data.labels[which]) & (counts.max(1) > 0)))
        return right / len(data)


CONTENDERS: dict[str, Callable[[], Learner]] = {
    OURS: Ours,
    **{name: (lambda name=name: Rival(name)) for name in RIVALS},
}


def read_lines(path: Path | None) -> list[dict[str, Any]]:
    """Points measured before."""
    if path is None or not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def best_rival_rows(points: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows (contender, checkpoint), and ours less the best rival at each checkpoint, in percentage points."""
    groups: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for point in points:
        groups.setdefault((point["contender"], point["checkpoint"]), []).append(point)
    rows = []
    for (name, checkpoint), found in sorted(groups.items(), key=lambda item: item[0][1]):
        mean = statistics.mean(100 * p["accuracy"] for p in found)
        label = f"accuracy after {checkpoint:g} core s"
        more = {"mean": mean, "checkpoint": checkpoint, "epochs": [p["epoch"] for p in found]}
        rows.append(row(name, label, "% of 200 held out", [100 * p["accuracy"] for p in found], **more))
    compared = []
    for checkpoint in sorted({r["checkpoint"] for r in rows}):
        means = {r["contender"]: r["mean"] for r in rows if r["checkpoint"] == checkpoint}
        ours = means.pop(OURS, None)
        if ours is not None and means:
            best = max(means, key=lambda name: means[name])
            name = f"accuracy after {checkpoint:g} core s, eventsnn - best rival ({best}), points"
            compared.append(comparison(name, ours - means[best], 0.0))
    return rows, compared


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing and print one JSON object."""
    given = options(
        __doc__,
        arguments,
        budget={"type": float, "default": None, "help": "core seconds per run: 600, with --quick 10"},
        seeds={"type": int, "default": None, "help": "how many: 3, with --quick 1"},
        lines={"type": Path, "default": None, "help": "JSON lines, added to and read"},
        only={"nargs": "*", "default": list(CONTENDERS), "help": "contenders"},
        learning_rate={"type": float, "default": None, "help": "of the rivals, to pick one"},
    )
    use_cores(1)
    budget = given.budget or (10.0 if given.quick else CHECKPOINTS[-1])
    checkpoints = [float(c) for c in CHECKPOINTS if c <= budget] or [budget]
    points, missing, notes = read_lines(given.lines), [], []
    for seed in range(1, (given.seeds or (1 if given.quick else 3)) + 1):
        for name in (n for n in CONTENDERS if n in given.only):
            done = {p["checkpoint"] for p in points if (p["contender"], p["seed"]) == (name, seed)}
            if done.issuperset(checkpoints):
                continue
            job = Job(str(find_nmnist()), seed=seed, learning_rate=given.learning_rate)
            with Worker(name, "studies.accuracy") as worker:
                try:
                    worker.ask("setup", **job.to_dict())
                    answer = worker.ask("run", checkpoints=checkpoints)
                except Missing as reason:
                    missing.append(missing_row(name, str(reason)))
                    continue
                except RuntimeError as reason:
                    missing.append(missing_row(name, str(reason), status="failed"))
                    continue
            new = [{"contender": name, "seed": seed, **point} for point in answer["points"]]
            new = [point for point in new if point["checkpoint"] not in done]
            if "training_loss" in answer:
                notes.append(
                    f"{name}, seed {seed}: mean training loss at the end {answer['training_loss']:.3f}"
                )
            points += new
            if given.lines is not None:
                with given.lines.open("a") as file:
                    file.writelines(json.dumps(point) + "\n" for point in new)
    rows, compared = best_rival_rows([p for p in points if p["checkpoint"] <= budget])
    emit("accuracy", rows=rows, missing=missing, comparisons=compared, notes=notes, points=points)


if __name__ == "__main__":
    main()
