"""Convolutions in exact time, on one core: training and evaluation, ms of processor time a recording.

MNIST with the network of HM2-BP's authors, 15C5-P2-40C5-P2-300-10, with random weights and with those that
they published, 400 ms, Bernoulli coding as in speed/mnist; N-MNIST with that of datasets/nmnist/cnn.toml.
``--against PATH`` measures another build in turns with this one, each time in a process of its own.
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

BATCH = 4
# Images a second on two cores, on which a second thread makes work 1.8 times as fast.
BARS = {
    "random": {"training": 400.0, "evaluation": 700.0},
    "published": {"training": 120.0, "evaluation": 170.0},
}
TWO_CORES = 1.8


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
    return network, es.data.ListDataset([code(images[i], rng) for i in which], labels[which])


def measure(workload: str, n: int) -> dict[str, float]:
    """Seconds of processor time for each kind of work, and spikes a neuron; the fastest of three."""
    network, data = load(workload, n)
    warnings.simplefilter("ignore", es.SilentOutputWarning)  # with random weights
    seconds: dict[str, list[float]] = {"training": [], "evaluation": []}
    for turn in range(4):
        start = time.process_time()
        es.evaluate(network, data, threads=1)
        middle = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            es.train(
                network,
                data,
                epochs=1,
                batch_size=BATCH,
                valid_fraction=0.0,
                threads=1,
                out=Path(folder) / "run",
            )
        end = time.process_time()
        if turn:  # the first fills tables that are kept
            seconds["evaluation"].append(middle - start)
            seconds["training"].append(end - middle)
    few = [es.simulate(network, data.stream(i)) for i in range(min(n, 8))]
    spikes = sum(len(spikes) for record in few for spikes in record.layers.values())
    neurons = sum(layer.neurons for layer in network.layers)
    return {kind: min(found) for kind, found in seconds.items()} | {"spikes": spikes / len(few) / neurons}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON object."""
    given = options(
        __doc__,
        arguments,
        against={"help": "folder of another build"},
        only={"help": "measure one workload here"},
    )
    use_cores(1)
    n = 8 if given.quick else 64
    if given.only:
        print(json.dumps(measure(given.only, n)))
        return
    builds = {"eventsnn": str(Path(es.__file__).parent.parent)}
    if given.against:
        builds["the other build"] = given.against
    rows, comparisons = [], []
    for workload in ("random", "published", "nmnist"):
        found: dict[str, list[dict[str, float]]] = {build: [] for build in builds}
        for _ in range(1 if given.quick else given.repeats):
            for build, path in builds.items():
                program = command(
                    "speed/convolution", "--only", workload, *(["--quick"] if given.quick else [])
                )
                answer = subprocess.run(
                    program, check=True, env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE
                )
                found[build].append(json.loads(answer.stdout))
        for kind in ("training", "evaluation"):
            spent = {build: [1000 * each[kind] / n for each in of] for build, of in found.items()}
            spikes = found["eventsnn"][0]["spikes"]
            rows += [
                row(build, f"{workload}, {kind}", "ms", of, spikes_a_neuron=spikes)
                for build, of in spent.items()
            ]
            if given.against:
                ratio = statistics.median(np.divide(spent["the other build"], spent["eventsnn"]))
                comparisons.append(comparison(f"{workload}, {kind}: the other build / eventsnn", ratio, None))
            bar = BARS.get(workload, {}).get(kind)
            if bar is not None:
                rate = TWO_CORES * 1000 / statistics.median(spent["eventsnn"])
                comparisons.append(
                    comparison(f"{workload}, {kind}: images/s on two cores, by {TWO_CORES:g}", rate, bar)
                )
    emit("convolution", rows=rows, comparisons=comparisons)


if __name__ == "__main__":
    sys.exit(main())
