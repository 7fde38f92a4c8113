"""Time of ``eventsnn simulate`` from file to trace, the start of the interpreter included, and of importing.

Whole processes, median of several; the first run, which may write byte code, does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import describe_machine, find_nmnist

import eventsnn as es


def measure(command: list[str], repeats: int) -> dict[str, float]:
    """Median wall time and processor time of a command, s."""
    # An installed package has its byte code; a checkout gets it in the first run, if it may.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    walls, cpus = [], []
    for _ in range(repeats + 1):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        walls.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {"wall_s": statistics.median(walls[1:]), "cpu_s": statistics.median(cpus[1:])}


def main() -> None:
    """Simulate a real recording with a 2312-800-10 network of random weights; print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()

    recording = min((find_nmnist() / "Train" / "0").glob("*.bin"))
    network = es.Network(
        es.Input(34, 34, 2),
        es.Dense(800, threshold=15.0),
        es.Dense(10, threshold=15.0, lateral_inhibition=1.0),
        seed=1,
    )
    with tempfile.TemporaryDirectory() as folder:
        model, trace = Path(folder) / "model.h5", Path(folder) / "trace.h5"
        network.save(model)
        commands = {
            "simulate": ["-m", "eventsnn", "simulate", str(model), str(recording), "--trace", str(trace)],
            "import_eventsnn": ["-c", "import eventsnn"],
            "import_numpy": ["-c", "import numpy"],
            "interpreter": ["-c", "pass"],
        }
        result = {
            name: measure([sys.executable, *arguments], options.repeats)
            for name, arguments in commands.items()
        }
    print(json.dumps({**result, "repeats": options.repeats, **describe_machine()}))


if __name__ == "__main__":
    main()
