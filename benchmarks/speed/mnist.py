"""Training of 784-800-10 on MNIST images, Bernoulli coding, 400 ms, on 2 cores: images per second of wall
time.

A pixel spikes in each millisecond with probability pixel / (255 * 5.5), as the authors of HM2-BP have it. The
spikes are drawn beforehand, for everybody.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from common import comparison, emit, find_data, options, spread, use_cores

import eventsnn as es
from speed.nmnist import add_peaks, hire, race
from speed.rivals.contenders import EVENT_LOOP, OURS
from speed.rivals.jobs import Job, write_trains

DURATION = 400  # ms
RATE = 1 / (255 * 5.5)  # per ms and unit of grey


def code(image: np.ndarray, rng: np.random.Generator) -> es.EventStream:
    """One image as spikes at whole milliseconds, 1 .. DURATION - 1."""
    height, width = image.shape
    chance = (image.ravel() * RATE).astype(np.float32)
    step, pixel = np.nonzero(rng.random((DURATION - 1, chance.size), dtype=np.float32) < chance)
    return es.EventStream.from_arrays(
        (step + 1) * 1000, pixel % width, pixel // width, sensor_size=(width, height, 1)
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON object."""
    given = options(__doc__, arguments)
    use_cores(2)
    images, labels = es.data.load_idx(find_data("mnist"), "train")
    samples = 64 if given.quick else 500
    which = spread(samples, len(images))
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        file = Path(folder) / "mnist.npz"
        write_trains(file, [code(images[i], rng) for i in which], labels[which])
        job = Job(
            str(file),
            sensor=(28, 28, 1),
            thresholds=(20.0, 8.0),
            samples=samples,
            bins=DURATION,
            threads=2,
        )
        workers, facts, missing = hire(stack, [OURS[0], EVENT_LOOP], job)
        how = (given.repeats, given.quick, missing)
        rows = race(workers, facts, "train", "MNIST training, 2 cores", *how, clock="wall")
        add_peaks(rows, workers, "MNIST training, 2 cores")
    rates = {r["contender"]: r["median"] for r in rows}
    found = []
    if EVENT_LOOP in rates:
        name = "MNIST training, 2 cores: eventsnn / event loop"
        found.append(comparison(name, rates[OURS[0]] / rates[EVENT_LOOP], None))
    emit("mnist", rows=rows, missing=missing, comparisons=found)


if __name__ == "__main__":
    main()
