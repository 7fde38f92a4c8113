"""Cost against size: events, hidden neurons and samples, each doubled twice; it should grow no faster than
they.

Synthetic recordings: events uniform over a 34 x 34 x 2 sensor and 300 ms. Seconds of processor time of
`evaluate` and of one epoch of `train`, one thread. Exponent: slope of log(seconds) over log(size) by least
squares; 1 is linear.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from common import comparison, emit, options, row, use_cores

import eventsnn as es
from speed.rivals.contenders import OURS
from speed.rivals.jobs import Job, write_trains
from speed.rivals.workers import Worker


@dataclass(frozen=True)
class Size:
    """One workload."""

    events: int = 2000
    hidden: int = 400
    samples: int = 128


def make(size: Size, path: Path) -> None:
    """Recordings of one size, into a file."""
    rng = np.random.default_rng(1)
    streams = []
    for _ in range(size.samples):
        x, y = rng.integers(0, 34, (2, size.events))
        t = np.sort(rng.integers(0, 300_000, size.events))
        p = rng.integers(0, 2, size.events)
        streams.append(es.EventStream.from_arrays(t, x, y, p, sensor_size=(34, 34, 2)))
    write_trains(path, streams, np.arange(size.samples) % 10)


def measure(size: Size, repeats: int, folder: Path) -> dict[str, list[float]]:
    """Seconds of processor time of inference and training."""
    file = folder / "trains.npz"
    make(size, file)
    found: dict[str, list[float]] = {"infer": [], "train": []}
    # Fewer events, less input: the threshold follows, so that activity stays and only the size changes.
    threshold = 15.0 * (size.events / 4000) ** 0.5
    job = Job(str(file), hidden=size.hidden, samples=size.samples, thresholds=(threshold, 15.0))
    with Worker(OURS[0]) as worker:
        worker.ask("setup", **job.to_dict())
        for repeat in range(repeats + 1):
            for what, seconds in found.items():
                answer = worker.ask(what, batch=16)
                if repeat:
                    seconds.append(answer["cpu"])
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON object."""
    given = options(__doc__, arguments)
    use_cores(1)
    base = Size(1000, 100, 16) if given.quick else Size()
    rows, compared, curves = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("events", "hidden", "samples"):
            sizes = [getattr(base, name) * factor for factor in (1, 2, 4)]
            found = [measure(replace(base, **{name: n}), given.repeats, Path(folder)) for n in sizes]
            for what in ("infer", "train"):
                curve: dict[str, Any] = {"axis": name, "what": what, "sizes": sizes, "seconds": []}
                for n, seconds in zip(sizes, found, strict=True):
                    rows.append(row(OURS[0], f"{what}, {name} = {n}", "s of processor time", seconds[what]))
                    curve["seconds"].append(rows[-1]["median"])
                slope = float(np.polyfit(np.log(sizes), np.log(curve["seconds"]), 1)[0])
                curves.append({**curve, "exponent": slope})
                compared.append(comparison(f"exponent of {name}, {what}", slope, 1.1, at_least=False))
    emit(
        "linear_cost", rows=rows, comparisons=compared, curves=curves, base=json.loads(json.dumps(vars(base)))
    )


if __name__ == "__main__":
    main()
