"""What a trace of an evaluation costs: processor time, and bytes a spike; N-MNIST through 2312-800-10.

Every spike of all recordings and layers is written (level spikes); the network has random weights, with
about as many spikes as one that was trained. Runs with and without a trace take turns in one process;
processor time of all threads, which other programs hardly lengthen. With --rounds 10 each recording comes ten
times, as many as N-MNIST's test set has: what a file costs once (its weights, its data sets, the disk) then
counts for less. What the operating system takes is told apart: on a virtual machine, memory for the pages of
a file may cost ten times as much when it is used for the first time.
"""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from common import comparison, emit, find_nmnist, options, row

import eventsnn as es

MOST, BYTES = 0.15, 16.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON object."""
    given = options(__doc__, arguments, rounds={"type": int, "default": 1, "help": "of all recordings"})
    data = es.data.NMNIST(find_nmnist())
    data = data.subset(list(range(40 if given.quick else len(data))) * given.rounds)
    rng = np.random.default_rng(1)
    weights = {"hidden": rng.normal(0.0, 0.3, (800, 2312)), "output": rng.normal(0.06, 0.3, (10, 800))}
    network = es.Network(es.Input(34, 34, 2), es.Dense(800, name="hidden"), es.Dense(10), weights=weights)
    spent: dict[bool, list[np.ndarray]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.h5"
        for repeat in range(given.repeats + 1):
            for traced in (False, True):
                start = _times()
                es.evaluate(network, data, trace=path if traced else None, threads=2)
                if repeat:
                    spent[traced].append(np.subtract(_times(), start))
        with es.Trace(path) as trace:
            spikes = {name: trace.n_spikes(name) for name in ("input", *network.names)}
            held = sum(array.nbytes for array in network.weights.values())
            per_spike = (path.stat().st_size - held) / sum(spikes.values())
    plain, traced_times = (np.array(spent[traced]) for traced in (False, True))
    more = (traced_times - plain) / plain.sum(axis=1, keepdims=True)
    user, system = np.median(more, axis=0).tolist()
    workload = f"{len(data)} recordings, {sum(spikes.values()):,} spikes with the input's"
    rows = [
        row("eventsnn", f"{workload}{name}", "s, processor", times.sum(axis=1).tolist())
        for name, times in (("", plain), (", with a trace", traced_times))
    ]
    compared = [
        comparison(
            "writing the trace, share of the evaluation",
            float(np.median(more.sum(axis=1))),
            MOST,
            at_least=False,
            note=f"of it the program {user:.1%}, the operating system {system:.1%}",
        ),
        comparison("bytes a spike, without the weights", per_spike, BYTES, at_least=False),
    ]
    emit("trace", rows=rows, comparisons=compared)


def _times() -> list[float]:
    """Processor time so far, in the program and in the operating system, s."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return [usage.ru_utime, usage.ru_stime]


if __name__ == "__main__":
    main()
