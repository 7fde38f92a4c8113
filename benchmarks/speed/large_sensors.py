"""Sensors of 128 x 128 and 346 x 260 pixels through a convolutional network: processor time and peak memory.

32C3-64C3-P4-11 with stride 2 in both convolutions and random weights, on gestures before the simulated camera
(`eventsnn synth --images gestures`), one thread. ``parts`` is a recording of many gestures in a row, fed to
`Simulation` gesture by gesture: its memory is to be that of a short one. Every figure is a process of its
own; memory of the recordings is counted apart (``data_mib``: the peak before the work begins). ``explain``,
``sensitivity`` and ``silence`` are of each recording that has output spikes, without its simulation: the
explanation and the sensitivity of the last of them, and the simulation without the neuron of the second
convolution that fires most. ``inspect`` is of its trace, pictures included.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import command, comparison, emit, options, row, use_cores

import eventsnn as es
from eventsnn.cli.inspect import draw_pictures
from eventsnn.trace import TraceWriter
from eventsnn.trace.summary import summarise
from speed.figures import peak_mib

SENSORS = {"128x128": (128, 128), "346x260": (346, 260)}
RECORDINGS = 11
PARTS = (5, 50)
"""Gestures in a row, in the short and in the long recording."""
GROWTH = 1.1
"""Most memory of the long recording, of the short one's."""


def make_network(width: int, height: int) -> es.Network:
    """32C3-64C3-P4-11; thresholds and weights as in datasets/nmnist/cnn.toml."""
    times = {"tau_m": 38.4, "tau_s": 4.8}
    return es.Network(
        es.Input(width, height, 2),
        es.Conv(32, 3, stride=2, threshold=10.0, refractory=4.0, initial_weight=3.0, **times),
        es.Conv(64, 3, stride=2, threshold=8.0, refractory=1.2, initial_weight=2.0, **times),
        es.Pool(4, threshold=4.0, **times),
        es.Dense(11, threshold=5.0, refractory=1.2, **times),
        seed=1,
    )


def record(width: int, height: int, number: int) -> es.EventStream:
    """Gesture `number`, of class `number` modulo eleven."""
    camera = replace(es.data.GESTURES_CAMERA, width=width, height=height)
    return es.data.record_gesture(camera, number % 11, np.random.default_rng([7, number]))


def measure(sensor: str, work: str) -> dict[str, float]:
    """One kind of work in this process: ms a recording, events, spikes, memory (MiB)."""
    width, height = SENSORS[sensor]
    network = make_network(width, height)
    streams = [record(width, height, k) for k in range(RECORDINGS)]
    data = es.data.ListDataset(streams, np.arange(RECORDINGS) % 11)
    runs = [es.simulate(network, stream) for stream in streams] if work in QUESTIONS else []
    runs = [run for run in runs if len(run.output)]
    before, start = peak_mib(), time.process_time()
    events, spikes, n = sum(map(len, streams)), 0, RECORDINGS
    with tempfile.TemporaryDirectory() as folder:
        if work == "simulate":
            for stream in streams:
                spikes += sum(map(len, es.simulate(network, stream).layers.values()))
        elif work in QUESTIONS:
            n, events = len(runs), sum(len(run.input) for run in runs)
            for run in runs:
                QUESTIONS[work](network, run)
                spikes += sum(map(len, run.layers.values()))
        elif work == "train":
            out = Path(folder) / "run"
            es.train(network, data, epochs=1, batch_size=5, valid_fraction=0.0, threads=1, out=out)
        elif work == "evaluate":
            es.evaluate(network, data, threads=1)
        elif work == "trace":
            es.evaluate(network, data, threads=1, trace=Path(folder) / "t.h5")
        else:
            n = int(work.removeprefix("parts"))
            events, spikes = feed_parts(network, streams, n)
    seconds = time.process_time() - start
    found = {"ms": 1000.0 * seconds / n, "events": events / n, "spikes": spikes / n}
    return found | {"data_mib": before, "peak_mib": peak_mib()}


def last_spike(run: es.SpikeRecord) -> dict[str, Any]:
    """The last output spike of a run."""
    neuron = int(run.output.neurons[-1])
    return {"layer": run.output.name, "neuron": neuron, "spike": int(run.output.counts[neuron]) - 1}


def explain(network: es.Network, run: es.SpikeRecord) -> None:
    """Explain the last output spike of a run."""
    es.explain(run, network=network, **last_spike(run))


def differentiate(network: es.Network, run: es.SpikeRecord) -> None:
    """The sensitivity of the same spike."""
    es.sensitivity(run, network=network, **last_spike(run))


def silence(network: es.Network, run: es.SpikeRecord) -> None:
    """Simulate without a neuron of the second convolution, and find what changes."""
    layer = network.names[1]
    es.what_if(run, network=network, silence={layer: [int(run[layer].counts.argmax())]}).count()


def inspect(network: es.Network, run: es.SpikeRecord) -> None:
    """Summarise a trace of a run and draw its pictures, as `eventsnn inspect` does."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.h5"
        with TraceWriter(path, network) as writer:
            writer.append(run)
        with es.Trace(path) as trace:
            summarise(trace)
            draw_pictures(trace, 0, None, None, Path(folder))


QUESTIONS = {"explain": explain, "sensitivity": differentiate, "silence": silence, "inspect": inspect}
"""What is asked about a run."""


def feed_parts(network: es.Network, streams: Sequence[es.EventStream], n: int) -> tuple[int, int]:
    """Feed `n` recordings in a row, each as a part; events and spikes."""
    run, events, spikes = es.Simulation(network), 0, 0
    for number in range(n):
        part = streams[number % len(streams)].events.copy()
        part["t"] += number * 400_000
        record = run.feed(es.EventStream(part, streams[0].sensor_size))
        events += len(part)
        spikes += sum(map(len, record.layers.values()))
    spikes += sum(map(len, run.finish().layers.values()))
    return events, spikes


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON object."""
    given = options(__doc__, arguments, only={"nargs": 2, "help": "sensor and work, measured here"})
    use_cores(1)
    if given.only:
        print(json.dumps(measure(*given.only)))
        return
    rows: list[dict[str, Any]] = []
    compared = []
    for sensor in SENSORS:
        peaks = []
        for work in ("simulate", "evaluate", "train", "trace", *QUESTIONS, *(f"parts{n}" for n in PARTS)):
            program = command("speed/large_sensors", "--only", sensor, work)
            runs = []
            for _ in range(1 if given.quick else given.repeats):
                done = subprocess.run(program, check=True, stdout=subprocess.PIPE, env=os.environ)
                runs.append(json.loads(done.stdout))
            more = {key: runs[0][key] for key in ("events", "spikes", "data_mib", "peak_mib")}
            rows.append(row("eventsnn", f"{sensor}, {work}", "ms", [run["ms"] for run in runs], **more))
            peaks.append(runs[0]["peak_mib"])
        name = f"{sensor}: memory of {PARTS[1]} gestures in a row, of that of {PARTS[0]}"
        compared.append(comparison(name, peaks[-1] / peaks[-2], GROWTH, at_least=False))
    emit("large_sensors", rows=rows, comparisons=compared)


if __name__ == "__main__":
    sys.exit(main())
