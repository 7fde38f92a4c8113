"""What exporting a trace costs: seconds, file size and peak memory, for a trace of 1 M spikes and one of 4 M.

Random spikes in the layers of 2312-800-10, 5000 in each recording. Every format runs in a process of its own;
its memory is the highest resident set less what the process holds with all libraries imported and the trace
open.
The file is read back and compared with the trace, spike for spike. Needs the extras table and nwb.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from common import command, comparison, emit, options, row

import eventsnn as es
from eventsnn.interop import export_spikes, read_spikes
from eventsnn.trace.record import make_record

PER_SAMPLE = {"input": 3800, "hidden": 1000, "output": 200}
ENDINGS = ("parquet", "csv", "npz", "nwb")
MOST_MB = 150.0


def write_trace(path: Path, samples: int) -> None:
    """Random spikes on a grid of a microsecond, as the input's are, or at any time."""
    network = es.Network(es.Input(34, 34, 2), es.Dense(800, name="hidden"), es.Dense(10))
    rng = np.random.default_rng(1)
    with es.trace.TraceWriter(path, network, config={"engine": "sweep"}) as writer:
        for number in range(samples):
            trains = []
            for name, n in PER_SAMPLE.items():
                size = network.source_size(network.index(name))
                trains.append(
                    (np.sort(rng.uniform(0.0, 300.0, n)), rng.integers(0, size, n).astype(np.int32))
                )
            record = make_record(network, trains[1:], trains[0], 300.0, "sweep", "float32")
            writer.append(record, source=f"random {number}", label=number % 10)


def peak_mb() -> float:
    """Highest resident set so far, MB; that of `resource` counts what the parent held, too."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1000.0


def measure(path: str, ending: str) -> None:
    """Export in this process, and print what it took as JSON."""
    for library in {"parquet": ["pyarrow.parquet"], "nwb": ["pynwb"]}.get(ending, []):
        __import__(library)
    out = Path(path).with_suffix(f".{ending}")
    with es.Trace(path) as trace:
        trace.spikes("hidden", 0), trace.samples
        before, start = peak_mb(), time.perf_counter()
        export_spikes(trace, out)
        seconds, memory = time.perf_counter() - start, peak_mb() - before
        start = time.perf_counter()
        back = read_spikes(out)
        reading, equal = time.perf_counter() - start, True
        for sample in trace.samples:
            for layer in PER_SAMPLE:
                ours, theirs = trace.spikes(layer, sample.index), back.spikes(layer, sample.index)
                equal &= np.array_equal(ours.times, theirs.times)
                equal &= np.array_equal(ours.neurons, theirs.neurons)
    size = out.stat().st_size / 1e6
    found = {"seconds": seconds, "memory": memory, "reading": reading, "size": size, "equal": bool(equal)}
    print(json.dumps(found))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON object."""
    trace = {"metavar": "TRACE", "help": "export this trace in this process, and print what that took"}
    given = options(__doc__, arguments, measure=trace, ending={"choices": ENDINGS, "default": "parquet"})
    if given.measure:
        measure(given.measure, given.ending)
        return
    counts = (20, 40) if given.quick else (200, 800)
    found: dict[tuple[str, int], dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for samples in counts:
            path = Path(folder) / f"t{samples}.h5"
            write_trace(path, samples)
            for ending in ENDINGS:
                call = command("speed/export", "--measure", str(path), "--ending", ending)
                done = subprocess.run(call, capture_output=True, text=True)
                if done.returncode:
                    sys.exit(done.stderr)
                found[ending, samples] = json.loads(done.stdout.splitlines()[-1])
    each = sum(PER_SAMPLE.values())
    rows = [
        row(ending, f"{samples * each:,} spikes, {what}", unit, [values[key]])
        for (ending, samples), values in found.items()
        for key, what, unit in (
            ("seconds", "written", "s"),
            ("reading", "read", "s"),
            ("memory", "peak of writing", "MB"),
            ("size", "file", "MB"),
        )
    ]
    compared = []
    for (ending, samples), values in found.items():
        what = f"{ending}: peak of writing {samples * each:,} spikes, MB"
        compared += [
            comparison(what, values["memory"], MOST_MB, at_least=False),
            comparison(f"{ending}: {samples * each:,} spikes read back equal", float(values["equal"]), 1.0),
        ]
    emit("export", rows=rows, comparisons=compared)


if __name__ == "__main__":
    main()
