"""What a trace of an evaluation costs: processor time, and bytes a spike; N-MNIST through 2312-800-10.

Every spike of all recordings and layers is written (level spikes); the network has random weights, with
about as many spikes as one that was trained. Runs with and without a trace take turns in one process;
processor time of all threads, which other programs do not lengthen.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from common import comparison, emit, find_nmnist, options, row

import eventsnn as es

MOST, BYTES = 0.15, 16.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON object."""
    given = options(__doc__, arguments)
    data = es.data.NMNIST(find_nmnist())
    if given.quick:
        data = data.subset(range(40))
    rng = np.random.default_rng(1)
    weights = {"hidden": rng.normal(0.0, 0.3, (800, 2312)), "output": rng.normal(0.06, 0.3, (10, 800))}
    network = es.Network(es.Input(34, 34, 2), es.Dense(800, name="hidden"), es.Dense(10), weights=weights)
    spent: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.h5"
        for repeat in range(given.repeats + 1):
            for traced in (False, True):
                start = time.process_time()
                es.evaluate(network, data, trace=path if traced else None, threads=2)
                if repeat:
                    spent[traced].append(time.process_time() - start)
        with es.Trace(path) as trace:
            spikes = {name: trace.n_spikes(name) for name in ("input", *network.names)}
            held = sum(array.nbytes for array in network.weights.values())
            per_spike = (path.stat().st_size - held) / sum(spikes.values())
    share = float(np.median(np.array(spent[True]) / np.array(spent[False]))) - 1.0
    workload = f"{len(data)} recordings, {sum(spikes.values()):,} spikes with the input's"
    rows = [
        row("eventsnn", f"{workload}, with a trace" if traced else workload, "s, processor", spent[traced])
        for traced in (False, True)
    ]
    compared = [
        comparison("writing the trace, share of the evaluation", share, MOST, at_least=False),
        comparison("bytes a spike, without the weights", per_spike, BYTES, at_least=False),
    ]
    emit("trace", rows=rows, comparisons=compared)


if __name__ == "__main__":
    main()
