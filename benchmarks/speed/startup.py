"""Seconds of wall time that a user waits: importing eventsnn, and `eventsnn simulate` from file to trace."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from common import comparison, emit, find_nmnist, options, row

import eventsnn as es

PYTHON = (sys.executable, "-P")
"""Not from the working folder: PYTHONPATH says which build is measured."""
IMPORT = "import eventsnn"
BARS = {"import": 0.25, "simulate": 0.5}


def seconds(command: list[str]) -> tuple[float, float]:
    """Wall time and processor time of a command that must succeed."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON object."""
    given = options(__doc__, arguments)
    data = es.data.NMNIST(find_nmnist())
    network = es.Network(es.Input(34, 34, 2), es.Dense(800), es.Dense(10), seed=1)
    with tempfile.TemporaryDirectory() as folder:
        model, trace = Path(folder) / "model.h5", Path(folder) / "trace.h5"
        network.save(model)
        commands = {
            "python alone": [*PYTHON, "-c", "pass"],
            "import": [*PYTHON, "-c", IMPORT],
            "simulate": [
                *(*PYTHON, "-m", "eventsnn", "simulate"),
                *(str(model), data.paths[0], "--trace", str(trace)),
            ],
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for repeat in range(given.repeats + 1):
            for name, command in commands.items():
                took = seconds(command)
                if repeat:  # the first one fills the caches
                    found[name].append(took)
    rows = [
        row("eventsnn", name, f"s of {clock} time", [took[k] for took in repeats])
        for name, repeats in found.items()
        for k, clock in enumerate(("wall", "processor"))
    ]
    medians = {r["workload"]: r["median"] for r in rows if "wall" in r["unit"]}
    compared = [
        comparison(f"{name}, seconds with the interpreter's start", medians[name], bar, at_least=False)
        for name, bar in BARS.items()
    ]
    emit("startup", rows=rows, comparisons=compared)


if __name__ == "__main__":
    main()
