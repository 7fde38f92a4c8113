"""2 threads on 2 cores against 1 on 1 core, and two programs of 2 threads at once; wall time, in turns.

Reading is part of the time: the thread that reads ahead shares the cores. Nothing else should run.
"""

from __future__ import annotations

import os
import statistics
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from common import comparison, emit, find_nmnist, options, row

from speed.rivals.contenders import OURS
from speed.rivals.jobs import Job
from speed.rivals.workers import Worker

# What is asked, the mini-batch, and the bar for 2 threads against 1.
WORKLOADS = [("train", 5, 1.8), ("train", 16, 1.8), ("infer", 16, None)]


def rate(worker: Worker, what: str, batch: int) -> float:
    """Samples per second of wall time."""
    answer = worker.ask(what, batch=batch)
    return float(answer["samples"] / answer["wall"])


def rates_at_once(workers: Sequence[Worker], what: str, batch: int) -> list[float]:
    """The same of several workers that run side by side."""
    found = [0.0] * len(workers)

    def ask(number: int) -> None:
        found[number] = rate(workers[number], what, batch)

    asking = [threading.Thread(target=ask, args=(number,)) for number in range(len(workers))]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON object."""
    given = options(__doc__, arguments)
    job = Job(str(find_nmnist()), samples=64 if given.quick else 512)
    rows, gains = [], []
    with ExitStack() as stack:
        one, two, beside = (stack.enter_context(Worker(OURS[0])) for _ in range(3))
        for worker, threads in ((one, 1), (two, 2), (beside, 2)):
            if hasattr(os, "sched_setaffinity"):
                cores = sorted(os.sched_getaffinity(0))[-threads:]
                os.sched_setaffinity(worker.process.pid, cores)
            worker.ask("setup", **replace(job, threads=threads).to_dict())
        for what, batch, bar in WORKLOADS:
            title = f"{what}, batch {batch}" if what == "train" else what
            rates: dict[str, list[float]] = {"1 thread": [], "2 threads": [], "2 programs of 2 threads": []}
            for turn in range(given.repeats + 1):
                found = rate(one, what, batch), rate(two, what, batch)
                together = sum(rates_at_once([two, beside], what, batch))
                if turn:  # the first fills tables that are kept
                    for name, value in zip(rates, (*found, together), strict=True):
                        rates[name].append(value)
            rows += [
                row(f"{OURS[0]}, {name}", title, "samples/s of wall time", values, batch=batch)
                for name, values in rates.items()
            ]
            single, double, programs = rates.values()
            ratio = statistics.median(b / a for a, b in zip(single, double, strict=True))
            gains.append(comparison(f"{title}: 2 threads / 1 thread", ratio, bar))
            ratio = statistics.median(b / a for a, b in zip(double, programs, strict=True))
            gains.append(comparison(f"{title}: 2 programs of 2 threads / 1 program", ratio, None))
    load = os.getloadavg()[0]
    emit("threads", rows=rows, comparisons=gains, notes=[f"load of the machine at the end: {load:.1f}"])


if __name__ == "__main__":
    main()
