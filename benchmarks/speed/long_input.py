"""Simulation of long input: time and peak memory against the number of events, which are made as they are
taken.

Events at 14 a millisecond (N-MNIST's rate), uniform over a 34 x 34 region of a 640 x 480 sensor, decoded
ahead in a thread and cropped as ``eventsnn simulate --crop`` does, through 2312-800-10 with random weights
and thresholds at which a hidden neuron fires some four times a second. Every size is a process of its own. A
block of 2^18 events is repeated with later times. Seconds are of processor time, both threads; peak memory is
the process's. Exponent: slope of log(seconds) over log(events); 1 is linear.
"""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from common import command, comparison, emit, options, row, stopwatch

import eventsnn as es
from eventsnn._util.threads import Prefetch
from eventsnn.events.region import Region

SENSOR = (640, 480, 2)
REGION = Region(crop=(300, 200, 334, 234))
BLOCK, PART, PER_MS = 1 << 18, 1 << 15, 14
MEMORY_BAR_MB = 300.0


def make_network(hidden: int) -> es.Network:
    """2312-`hidden`-10; weights drawn from a fixed seed."""
    return es.Network(
        es.Input(34, 34, 2), es.Dense(hidden, threshold=15.0), es.Dense(10, threshold=5.0), seed=1
    )


def synthesise(n: int) -> Iterator[es.EventStream]:
    """`n` events in parts, the times going on from block to block."""
    rng = np.random.default_rng(2)
    block_us = BLOCK * 1000 // PER_MS
    events = np.empty(BLOCK, es.events.EVENT_DTYPE)
    events["t"] = np.sort(rng.integers(0, block_us, BLOCK))
    for name, (low, high) in {"x": (300, 334), "y": (200, 234), "p": (0, 2)}.items():
        events[name] = rng.integers(low, high, BLOCK)
    block = es.EventStream(events, SENSOR)
    made = 0
    while made < n:
        for part in block.chunks(PART):
            if made < n:
                moved = part.events[: n - made].copy()
                moved["t"] += made // BLOCK * block_us
                yield es.EventStream(moved, SENSOR)
                made += len(moved)


def measure(n: int, hidden: int, dtype: str) -> dict[str, Any]:
    """One run in this process."""
    run = es.Simulation(make_network(hidden), dtype=dtype)
    with stopwatch() as found, Prefetch(synthesise(n)) as parts:
        for part in parts:
            run.feed(REGION.cut(part))
        run.finish()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 2**20)
    spikes = {name: int(counts.sum()) for name, counts in run.counts.items()}
    return {
        "events": run.events,
        "cpu": found[0].cpu,
        "wall": found[0].wall,
        "peak_mb": peak,
        "spikes": spikes,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON object."""
    given = options(
        __doc__,
        arguments,
        events={"type": float, "nargs": "+", "default": [1e7, 1e8]},
        hidden={"type": int, "default": 800},
        dtype={"choices": ("float32", "float64"), "default": "float64"},
        one={"type": int, "help": "one size, in this process"},
    )
    if given.one:
        print(json.dumps(measure(given.one, given.hidden, given.dtype)))
        return
    rows, found = [], []
    for n in [20_000, 40_000] if given.quick else [int(n) for n in given.events]:
        size = ["--one", str(n), "--hidden", str(given.hidden), "--dtype", given.dtype]
        done = subprocess.run(command("speed/long_input", *size), check=True, capture_output=True, text=True)
        found.append(json.loads(done.stdout))
        print(found[-1], file=sys.stderr, flush=True)
        more = {"peak_mb": found[-1]["peak_mb"], "spikes": found[-1]["spikes"], "wall": found[-1]["wall"]}
        rows.append(row("eventsnn", f"{n} events", "s of processor time", [found[-1]["cpu"]], **more))
    compared = [
        comparison("peak memory, MB", max(f["peak_mb"] for f in found), MEMORY_BAR_MB, at_least=False)
    ]
    if len(found) > 1:
        logs = [[math.log(f[key]) for f in found] for key in ("events", "cpu")]
        compared.append(comparison("exponent of events", float(np.polyfit(*logs, 1)[0]), 1.1, at_least=False))
    emit("long_input", rows=rows, comparisons=compared)


if __name__ == "__main__":
    main()
