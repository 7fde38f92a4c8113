"""Training with 2 threads on 2 cores against 1 thread on 1 core, in wall time; nothing else should run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from common import comparison, emit, find_nmnist, options, row

from speed.rivals.contenders import OURS
from speed.rivals.jobs import Job
from speed.rivals.workers import Worker


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON object."""
    given = options(__doc__, arguments)
    job = Job(str(find_nmnist()), samples=64 if given.quick else 512)
    rates: dict[int, list[float]] = {1: [], 2: []}
    with ExitStack() as stack:
        workers = {n: stack.enter_context(Worker(OURS[0])) for n in rates}
        for n, worker in workers.items():
            worker.ask("setup", **replace(job, threads=n).to_dict())
            worker.ask("train", batch=16)
        for _ in range(given.repeats):
            for n, worker in workers.items():
                answer = worker.ask("train", batch=16)
                rates[n].append(answer["samples"] / answer["wall"])
    rows = [
        row(f"{OURS[0]}, {n} thread(s)", "training", "samples/s of wall time", found, batch=16)
        for n, found in rates.items()
    ]
    gain = comparison("training, 2 threads / 1 thread", rows[1]["median"] / rows[0]["median"], None)
    load = os.getloadavg()[0]
    emit("threads", rows=rows, comparisons=[gain], notes=[f"load of the machine at the end: {load:.1f}"])


if __name__ == "__main__":
    main()
