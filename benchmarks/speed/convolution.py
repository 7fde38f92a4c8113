"""Convolutions in exact time: training and evaluation, on one thread and on two, and spikes of each layer.

MNIST with the network of HM2-BP's authors, 15C5-P2-40C5-P2-300-10, 400 ms, Bernoulli coding as in
speed/mnist: with random weights, those of the convolutions scaled so that the spatial layers fire about 0.55
spikes a neuron (*random*), and with the weights that the authors published (*published*); N-MNIST with the
network of datasets/nmnist/cnn.toml. One thread: ms of processor time a recording, on one core. Two threads:
ms of wall time, on two cores; nothing else should run. ``--against PATH`` measures another build in turns
with this one, each time in a process of its own.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from common import ROOT, command, comparison, emit, find_data, find_nmnist, options, row, spread, use_cores

import eventsnn as es
from speed.mnist import code

BATCH = 16
SCALE = {"conv": 0.46, "conv2": 2.8, "hidden": 3.0, "output": 3.0}
"""Of the random weights: the spatial layers fire 0.55 spikes a neuron, and some reach the output."""
BARS = {
    "random": {"training": 400.0, "evaluation": 700.0},
    "published": {"training": 120.0, "evaluation": 170.0},
}
"""Images a second on two threads."""


def load(workload: str, n: int) -> tuple[es.Network, es.data.ListDataset]:
    """Network and recordings of a workload."""
    if workload == "nmnist":
        from eventsnn.train.experiment import Experiment

        folder = es.data.Folder(find_nmnist() / "Train", sensor=(34, 34, 2))
        which = spread(n, len(folder))
        network = es.Network.from_table(Experiment.load(ROOT / "datasets" / "nmnist" / "cnn.toml").network)
        return network, es.data.ListDataset([folder.stream(i) for i in which], folder.labels[which])
    from eventsnn.model.authors import import_weights, published_cnn

    images, labels = es.data.load_idx(find_data("mnist"), "train")
    which, rng = spread(n, len(images)), np.random.default_rng(1)
    network = published_cnn()
    if workload == "published":
        network = import_weights(find_data("published") / "hm2bp_cnn_mnist_checkpoint.txt.gz", network)
    else:
        network = network.with_weights({key: SCALE[key] * w for key, w in network.weights.items()})
    return network, es.data.ListDataset([code(images[i], rng) for i in which], labels[which])


def measure(workload: str, n: int, threads: int) -> dict[str, list[float]]:
    """Seconds of processor time (one thread) or of wall time of each kind of work, pass by pass."""
    network, data = load(workload, n)
    warnings.simplefilter("ignore", es.SilentOutputWarning)  # with random weights
    clock = time.process_time if threads == 1 else time.perf_counter
    seconds: dict[str, list[float]] = {"training": [], "evaluation": []}
    for turn in range(4):
        start = clock()
        es.evaluate(network, data, threads=threads)
        middle = clock()
        with tempfile.TemporaryDirectory() as folder:
            es.train(
                network,
                data,
                epochs=1,
                batch_size=BATCH,
                valid_fraction=0.0,
                threads=threads,
                out=Path(folder) / "run",
            )
        end = clock()
        if turn:  # the first fills tables that are kept
            seconds["evaluation"].append(middle - start)
            seconds["training"].append(end - middle)
    return seconds


def spikes_a_neuron(workload: str, n: int) -> dict[str, float]:
    """Spikes a neuron of each layer, and of all spatial layers together (or, without any, of all)."""
    network, data = load(workload, n)
    records = [es.simulate(network, data.stream(i)) for i in range(len(data))]
    fired = {name: sum(len(record[name]) for record in records) / len(records) for name in network.names}
    spatial = [layer for layer in network.layers if layer.positions > 1]
    together = sum(fired[str(layer.name)] for layer in spatial) / sum(layer.neurons for layer in spatial)
    by_layer = {str(layer.name): fired[str(layer.name)] / layer.neurons for layer in network.layers}
    return {name: round(value, 3) for name, value in {"spatial layers": together, **by_layer}.items()}


def run_apart(build: str, workload: str, threads: int, n: int) -> dict[str, list[float]]:
    """`measure` of another build, in a process of its own."""
    program = command("speed/convolution", "--only", workload, "--threads", str(threads), "--images", str(n))
    answer = subprocess.run(
        program,
        check=True,
        env=os.environ | {"PYTHONPATH": build},
        stdout=subprocess.PIPE,
    )
    return dict(json.loads(answer.stdout))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON object."""
    given = options(
        __doc__,
        arguments,
        against={"help": "folder of another build"},
        only={"help": "measure one workload here"},
        threads={"type": int, "default": 1, "help": "with --only: 1 or 2"},
        images={"type": int, "default": 64, "help": "recordings; an epoch's fixed cost is shared by so many"},
    )
    n = 8 if given.quick else given.images
    if given.only:
        use_cores(given.threads)
        print(json.dumps(measure(given.only, n, given.threads)))
        return
    builds = {"eventsnn": str(Path(es.__file__).parent.parent)}
    if given.against:
        builds["the other build"] = given.against
    rows, comparisons = [], []
    for workload in ("random", "published", "nmnist"):
        spikes = spikes_a_neuron(workload, min(n, 32))
        for threads in (1, 2):
            found: dict[str, dict[str, list[float]]] = {
                build: {"training": [], "evaluation": []} for build in builds
            }
            for _ in range(1 if given.quick else given.repeats):
                for build, path in builds.items():
                    for kind, seconds in run_apart(path, workload, threads, n).items():
                        found[build][kind].append(min(seconds) / n)
            for kind in ("training", "evaluation"):
                name = f"{workload}, {kind}, {threads} thread{'s' * (threads > 1)}"
                ms = {build: [1000 * each for each in of[kind]] for build, of in found.items()}
                unit = "ms of processor time" if threads == 1 else "ms of wall time"
                rows += [
                    row(
                        build,
                        name,
                        unit,
                        values,
                        images_a_second=1000 / statistics.median(values),
                        spikes_a_neuron=spikes,
                    )
                    for build, values in ms.items()
                ]
                if given.against:
                    ratio = statistics.median(np.divide(ms["the other build"], ms["eventsnn"]))
                    comparisons.append(comparison(f"{name}: the other build / eventsnn", ratio, None))
                bar = BARS.get(workload, {}).get(kind)
                if threads == 2 and bar is not None:
                    rate = 1000 / statistics.median(ms["eventsnn"])
                    comparisons.append(comparison(f"{name}: images/s", rate, bar))
    emit("convolution", rows=rows, comparisons=comparisons)


if __name__ == "__main__":
    sys.exit(main())
