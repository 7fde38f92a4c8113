"""Training on a set of N-MNIST's full size, 60,000 recordings and 250 million events: time and peak memory.

The recordings are synthesised from the 1000 real ones: each is a real recording under a shift of up to 2
pixels and a stretch of time of up to 10 %, drawn as `eventsnn.data.Augmentation` draws. They stand for the
full set's size and statistics, not for its digits: accuracies on them mean nothing.

The packed file (2 GB for 60,000) is written to a temporary folder and deleted at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from common import EXPERIMENT, describe_machine, find_nmnist

from eventsnn.data import NMNIST, Augmentation, Packed
from eventsnn.data.packed_file import write_packed
from eventsnn.data.source import Source
from eventsnn.events.packed_events import to_packed_events
from eventsnn.train.batches import BatchLoader, cut, shuffled
from eventsnn.train.experiment import Experiment
from eventsnn.train.trainer import peak_rss_mb

CHANGES = Augmentation(shift=2, time_scale=0.1)
BYTES_PER_RECORDING = 8 * 4500


def synthesise(source: Source, n: int, seed: int) -> Iterator[tuple[str, int, np.ndarray]]:
    """Name, label and words of `n` recordings."""
    width, height, _ = source.sensor_size
    feeder = BatchLoader(source, int(np.prod(source.sensor_size)), CHANGES, seed)
    for epoch, start in enumerate(range(0, n, len(source))):
        for index in range(min(len(source), n - start)):
            batch = feeder.prepare_part(index, epoch)
            # Neuron p*W*H + y*W + x back to an event.
            events = np.zeros(len(batch.times), [("x", "i8"), ("y", "i8"), ("p", "i8"), ("t", "i8")])
            events["t"] = np.rint(batch.times * 1000)
            rest, events["x"] = np.divmod(batch.neurons, width)
            events["p"], events["y"] = np.divmod(rest, height)
            words = to_packed_events(events, source.sensor_size)
            yield f"{start + index + 1:05d}.bin", int(batch.labels[0]), words, 0


class Watch:
    """Samples the resident memory of this process, in the background."""

    def __init__(self) -> None:
        self.samples: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._stop.wait(0.5):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.samples.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)

    def __enter__(self) -> Watch:
        if Path("/proc/self/statm").exists():
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()


def feed_only(data: Packed, experiment: Experiment) -> float:
    """Milliseconds per recording of preparing every recording of an epoch, in one thread."""
    inputs = int(np.prod(data.sensor_size))
    feeder = BatchLoader(data, inputs, experiment.augmentation, experiment.training.seed)
    start = time.perf_counter()
    for part in cut(shuffled(np.arange(len(data)), 1, 0), experiment.training.batch_size):
        feeder.prepare(part, 0)
    return (time.perf_counter() - start) / len(data) * 1000


def main() -> None:
    """Synthesise, train an epoch, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", type=int, default=60_000)
    parser.add_argument("--experiment", type=Path, default=EXPERIMENT)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--feed-only", action="store_true", help="do not train, only prepare every recording")
    options = parser.parse_args()

    experiment = Experiment.load(options.experiment)
    with tempfile.TemporaryDirectory() as folder:
        needed = options.recordings * BYTES_PER_RECORDING
        if shutil.disk_usage(folder).free < 2 * needed:
            sys.exit(
                f"{folder}: {2 * needed / 1e9:.1f} GB of free space are needed; set TMPDIR to another folder"
            )
        file = Path(folder) / "set.esp"
        source = NMNIST(find_nmnist())
        start = time.perf_counter()
        recordings = synthesise(source, options.recordings, seed=0)
        events = write_packed(recordings, file, classes=source.classes, sensor_size=source.sensor_size)
        written = time.perf_counter() - start
        start = time.perf_counter()
        data = Packed(file)
        opened = time.perf_counter() - start
        result = {
            "recordings": len(data),
            "events": events,
            "file_mb": file.stat().st_size / 2**20,
            "synthesis_s": written,
            "open_s": opened,
            "rss_before_mb": peak_rss_mb(),
        }
        with Watch() as watch:
            result["feed_ms_per_recording"] = feed_only(data, experiment)
            result["rss_after_feeding_mb"] = peak_rss_mb()
            if not options.feed_only:
                fit = experiment.run(
                    data, out=Path(folder) / "run", epochs=1, valid_fraction=0.0, threads=options.threads
                )
                result["train_s"] = fit.history[0]["train_seconds"]
                result["train_recordings_per_s"] = fit.samples_per_s
        result["largest_rss_sampled_mb"] = max(watch.samples, default=None)
        result["peak_rss_mb"] = peak_rss_mb()
        print(json.dumps({**result, "threads": options.threads, **describe_machine()}))


if __name__ == "__main__":
    main()
