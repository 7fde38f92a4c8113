"""Write a file on a disk that is full from a size on: ``python -m tests._util.disk KIND FOLDER SIZE ...``.

Each size (in a folder of its own) is the system's limit on the length of a file (RLIMIT_FSIZE): a write
beyond it fails as on a full disk; Python ignores the signal that comes with it. ``SIZE~`` lifts the limit
after 0.2 s: a disk that was full for a while. Exit code 1 and one line on standard error for each file that
cannot be written.
"""

from __future__ import annotations

import resource
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

import eventsnn as es
from eventsnn.errors import EventSNNError
from eventsnn.trace import TraceWriter
from eventsnn.trace.record import SpikeRecord
from eventsnn.trace.spike_text import SpikeText
from eventsnn.train.checkpoint import Checkpoint, save_checkpoint
from tests.events.helpers import random_stream

SENSOR = (12, 10, 2)


def make_network() -> es.Network:
    return es.Network(es.Input(*SENSOR), es.Dense(30, threshold=0.5), es.Dense(4, threshold=0.3), seed=2)


def make_run(number: int) -> SpikeRecord:
    return es.simulate(make_network(), random_stream(600, seed=number, sensor_size=SENSOR), t_stop=300.0)


def write_trace(folder: Path) -> None:
    runs = [make_run(number) for number in range(3)]
    with TraceWriter(folder / "t.h5", make_network()) as writer:
        for number in range(34):
            writer.append(runs[number % 3], source=str(number))


def write_spikes(folder: Path) -> None:
    text = SpikeText(folder / "s.csv")
    try:
        for number in range(3):
            text.append(make_run(number))
    finally:
        text.close()


def write_state(folder: Path) -> None:
    run = es.Simulation(make_network())
    run.feed(random_stream(3000, sensor_size=SENSOR))
    run.save(folder / "s.npz")


def write_pack(folder: Path) -> None:
    streams = [random_stream(900, seed=k, sensor_size=SENSOR) for k in range(5)]
    es.data.pack(es.data.ListDataset(streams, np.arange(5) % 2), folder / "p.esp")


def write_checkpoint(folder: Path) -> None:
    arrays = {f"weights/{k}": np.arange(3000.0) + k for k in range(4)}
    save_checkpoint(folder / "c.h5", Checkpoint(1, 2, arrays, [{"epoch": 1}], {"epoch": 1}, {"seed": 1}))


def convert(folder: Path, name: str) -> None:
    es.write(folder / name, random_stream(9000, sensor_size=SENSOR))


KINDS: dict[str, Callable[[Path], None]] = {
    "trace": write_trace,
    "spikes": write_spikes,
    "state": write_state,
    "pack": write_pack,
    "checkpoint": write_checkpoint,
    "model": lambda folder: make_network().save(folder / "m.h5"),
    "packed-h5": lambda folder: convert(folder, "r.h5"),
    "npz": lambda folder: convert(folder, "r.npz"),
    "csv": lambda folder: convert(folder, "r.csv"),
}


def main(kind: str, folder: str, *sizes: str) -> int:
    """Command line."""
    unlimited, code = resource.getrlimit(resource.RLIMIT_FSIZE), 0
    for size in sizes:
        path = Path(folder, size)
        path.mkdir()
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(size.rstrip("~")), unlimited[1]))
        if size.endswith("~"):
            threading.Timer(0.2, resource.setrlimit, (resource.RLIMIT_FSIZE, unlimited)).start()
        try:
            KINDS[kind](path)
        except EventSNNError as error:
            print(error, file=sys.stderr)
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
