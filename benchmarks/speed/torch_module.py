"""`eventsnn.torch.SpikingNetwork` trained with PyTorch's Adam against `eventsnn.train`: N-MNIST, 2312-800-10.

The settings of datasets/nmnist/dense.toml for both: loss, optimiser, rate, augmentation, batch size, order of
the recordings, weights at first. Both read ahead. They train in turns; an epoch's seconds are wall time, with
reading, without what `train` writes to its folder. With ``--folds`` accuracy instead, on recordings that
training never saw.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # PyTorch reads it as it is imported; see docs/torch.md
import torch
from common import EXPERIMENT, comparison, emit, find_nmnist, options, row

import eventsnn as es
from eventsnn.data import NMNIST, k_fold
from eventsnn.torch import CountLoss, EventDataset, SpikingNetwork, collate
from eventsnn.train.batches import cut, shuffled

SLOWER, LESS = 1.3, 0.01
"""Bars: epoch time against that of `train`, accuracy below that of `train`."""


def train_ours(
    experiment: es.Experiment, data: Any, epochs: int, threads: int
) -> tuple[es.Network, list[float]]:
    """With `eventsnn.train`; the network, and the seconds of each epoch."""
    with tempfile.TemporaryDirectory() as folder:
        done = experiment.run(
            data, out=folder, overwrite=True, epochs=epochs, valid_fraction=0.0, threads=threads
        )
    return done.network, [line["train_seconds"] for line in done.history]


def train_module(
    experiment: es.Experiment, data: Any, epochs: int, threads: int
) -> tuple[es.Network, list[float]]:
    """With PyTorch, on the same mini-batches."""
    options, rule, optimiser = experiment.training, experiment.rule, experiment.optimiser or es.Optimiser()
    network = experiment.make_network()
    dataset = EventDataset(data, network, augmentation=experiment.augmentation, seed=options.seed)
    module = SpikingNetwork(network, threads=threads)
    loss = CountLoss(rule.desired, rule.undesired, rule.margin)
    adam, seconds = torch.optim.Adam(module.parameters(), fused=True), []
    for epoch in range(epochs):
        start = time.perf_counter()
        dataset.set_epoch(epoch)
        adam.param_groups[0]["lr"] = optimiser.rate(epoch)
        order = cut(shuffled(np.arange(len(dataset)), options.seed, epoch), options.batch_size)
        batches = [numbers.tolist() for numbers in order]
        loader = torch.utils.data.DataLoader(dataset, batch_sampler=batches, collate_fn=collate)
        for spikes, labels in module.read_ahead(loader):
            counts = module(spikes, labels)
            adam.zero_grad()
            loss(counts, labels).backward()
            adam.step()
        seconds.append(time.perf_counter() - start)
    return module.to_network().with_classes(dataset.classes), seconds


CONTENDERS = {"eventsnn.train": train_ours, "SpikingNetwork, Adam": train_module}


def measure_speed(experiment: es.Experiment, data: Any, given: Any) -> dict[str, Any]:
    """Rows and comparisons of seconds per epoch."""
    found: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    epochs = 1 if given.quick else 2
    for turn in range(given.repeats + 1):
        for name, contender in CONTENDERS.items():
            seconds = contender(experiment, data, epochs, given.threads)[1]
            found[name] += seconds if turn else []  # the first warms up
    batch, unit = experiment.training.batch_size, "s per epoch"
    rows = [row(name, "training", unit, seconds, batch=batch) for name, seconds in found.items()]
    ours, module = (np.array(seconds) for seconds in found.values())
    median = comparison(
        "module / train, median of pairs", float(np.median(module / ours)), SLOWER, at_least=False
    )
    best = comparison("module / train, best", float(module.min() / ours.min()), SLOWER, at_least=False)
    return {"rows": rows, "comparisons": [median, best]}


def measure_accuracy(experiment: es.Experiment, data: Any, given: Any) -> dict[str, Any]:
    """Rows and a comparison of accuracies on unseen recordings."""
    rows, means = [], []
    folds = list(k_fold(data.labels, 5, seed=1))[: given.folds]
    for name, contender in CONTENDERS.items():
        found = []
        for training, test in folds:
            network, _ = contender(experiment, data.subset(training), given.epochs, given.threads)
            found.append(es.evaluate(network, data.subset(test), threads=given.threads).accuracy)
        rows.append(row(name, f"{given.epochs} epochs", "accuracy", found))
        means.append(float(np.mean(found)))
    less = comparison("accuracy of train less that of the module", means[0] - means[1], LESS, at_least=False)
    return {"rows": rows, "comparisons": [less]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON object."""
    numbers = {"batch": 0, "threads": 1, "folds": 0, "epochs": 10}
    helps = {
        "batch": "recordings of a mini-batch; that of the experiment file by default",
        "threads": "of both, and of PyTorch",
        "folds": "accuracy on so many of five folds instead",
        "epochs": "of a fold",
    }
    more = {name: {"type": int, "default": n, "help": helps[name]} for name, n in numbers.items()}
    given = options(__doc__, arguments, **more)
    torch.set_num_threads(given.threads)
    experiment = es.Experiment.load(EXPERIMENT)
    if given.batch:
        experiment = replace(experiment, training=replace(experiment.training, batch_size=given.batch))
    data = NMNIST(find_nmnist(), split="Train")
    if given.quick:
        data = data.subset(np.arange(0, len(data), 50))
    measure = measure_accuracy if given.folds else measure_speed
    emit("torch_module", **measure(experiment, data, given))


if __name__ == "__main__":
    main()
