"""How far from the machine's limits: rates of this core, and the share of them that the sweeps reach.

Measured here, by a small C file compiled at run time for the instruction set in use: float32 multiply-adds
per second (fused, and as separate operations, which is what bit-equal results allow), and reading from each
cache and from memory. Counted: what one event costs one neuron.

    forward sweep    3 multiplications, 2 additions, 1 comparison, 4 bytes of weight
    reverse sweep    3 multiplications, 2 additions, 8 bytes (gradient read and written)

The limit is the slower of arithmetic and traffic, per recording; the share is the limit over the measured
time. Needs a C compiler that knows vector types (GCC, Clang).
"""

from __future__ import annotations

import ctypes
import os
import shlex
import statistics
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import comparison, describe_machine, emit, find_nmnist, options, row, use_cores

from speed.rivals.contenders import OURS
from speed.rivals.jobs import Job
from speed.rivals.workers import Worker

CHAINS = 12
# Of the C file, by the name eventsnn gives the instruction set in use.
FLAGS = {
    "avx512": (["-mavx512f", "-mfma", "-mprefer-vector-width=512"], 64),
    "avx2": (["-mavx2", "-mfma"], 32),
}
SWEEPS = {
    "forward": {"multiplications": 3, "additions": 2, "comparisons": 1, "bytes": 4},
    "reverse": {"multiplications": 3, "additions": 2, "comparisons": 0, "bytes": 8},
}
LEVELS = {"L1": 24 << 10, "L2": 256 << 10, "L3": 12 << 20, "DRAM": 256 << 20}  # bytes read over and over


@dataclass
class Rates:
    """What the core can do."""

    fused_gflops: float
    separate_gflops: float
    read_gb_s: dict[str, float]


def compile_c(folder: Path, instruction_set: str, contract: str) -> tuple[ctypes.CDLL, int]:
    """The C file as a library, and the bytes of a vector. `contract`: "fast" fuses, "off" does not."""
    flags, width = FLAGS.get(instruction_set, ([], 16))
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    source, target = Path(__file__).with_suffix(".c"), folder / f"roofline_{contract}.so"
    common_flags = ["-O3", "-shared", "-fPIC", f"-ffp-contract={contract}", f"-DVECTOR_BYTES={width}"]
    subprocess.run([compiler, *common_flags, *flags, str(source), "-o", str(target)], check=True)
    library = ctypes.CDLL(str(target))
    library.multiply_add.argtypes = [ctypes.c_long, ctypes.c_float, ctypes.c_float]
    library.read_floats.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long]
    return library, width


def rate(work: Callable[[], Any], amount: float, repeats: int) -> list[float]:
    """Amount per second of processor time, 1e9; one run first to warm up."""
    work()
    found = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        found.append(amount / (time.process_time() - start) / 1e9)
    return found


def measure_core(repeats: int, seconds: float) -> tuple[Rates, list[dict[str, Any]]]:
    """Rates of the core, and rows; every figure takes about `seconds`."""
    with tempfile.TemporaryDirectory() as folder:
        instruction_set = describe_machine()["instruction_set"]
        library, width = compile_c(Path(folder), instruction_set, "fast")
        unfused, _ = compile_c(Path(folder), instruction_set, "off")
    rounds, lanes = int(seconds * 2e8), width // 4
    a, b = 0.999, 0.001
    flops = 2 * rounds * CHAINS * lanes
    fused = rate(lambda: library.multiply_add(rounds, a, b), flops, repeats)
    separate = rate(lambda: unfused.multiply_add(rounds, a, b), flops, repeats)
    rows = [
        row("this core", f"multiply-add, float32, {8 * width} bits", "GFLOP/s", fused),
        row("this core", "multiplications and additions apart", "GFLOP/s", separate),
    ]
    reads = {}
    for level, size in LEVELS.items():
        data = np.ones(size // 4, np.float32)  # zeros would all be one page
        times = max(1, int(seconds * 2e10 / size))

        def read(data: np.ndarray = data, times: int = times) -> None:
            library.read_floats(data.ctypes.data, data.size, times)

        found = rate(read, size * times, repeats)
        reads[level] = statistics.median(found)
        rows.append(row("this core", f"read, {size >> 10} KiB ({level})", "GB/s", found))
    return Rates(statistics.median(fused), statistics.median(separate), reads), rows


def limits(rates: Rates, synaptic_events: float) -> dict[str, dict[str, float]]:
    """Milliseconds per recording of each sweep at the very least: arithmetic, and weights out of L2 or L3."""
    found = {}
    for sweep, cost in SWEEPS.items():
        flops = cost["multiplications"] + cost["additions"] + cost["comparisons"]
        times = {
            "flops_per_event": flops,
            "bytes_per_event": cost["bytes"],
            "arithmetic_ms": 1e3 * synaptic_events * flops / rates.separate_gflops / 1e9,
            "l2_ms": 1e3 * synaptic_events * cost["bytes"] / rates.read_gb_s["L2"] / 1e9,
            "l3_ms": 1e3 * synaptic_events * cost["bytes"] / rates.read_gb_s["L3"] / 1e9,
        }
        found[sweep] = {**times, "limit_ms": max(times["arithmetic_ms"], times["l2_ms"])}
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON object."""
    given = options(__doc__, arguments)
    use_cores(1)
    rates, rows = measure_core(given.repeats, 0.05 if given.quick else 0.3)
    job = Job(str(find_nmnist()), samples=32 if given.quick else 256)
    data = job.recordings()
    events = float(np.mean([len(data.stream(i)) for i in range(len(data))]))
    limit = limits(rates, events * job.hidden)
    least = {"infer": limit["forward"]["limit_ms"], "train": sum(s["limit_ms"] for s in limit.values())}
    compared = []
    with Worker(OURS[0]) as worker:
        worker.ask("setup", **job.to_dict())
        for what, milliseconds in least.items():
            worker.ask(what, batch=16)
            answers = [worker.ask(what, batch=16) for _ in range(given.repeats)]
            took = [1e3 * a["cpu"] / a["samples"] for a in answers]
            rows.append(row(OURS[0], what, "ms of processor time per recording", took, limit_ms=milliseconds))
            share = milliseconds / rows[-1]["median"]
            note = (
                f"{milliseconds:.3f} ms of {rows[-1]['median']:.3f} ms, everything around the sweeps included"
            )
            compared.append(comparison(f"share of the roofline, {what}", share, None, note=note))
    notes = [
        f"{events:.0f} events a recording, {job.hidden} neurons; output layer and Adam are not in the limit"
    ]
    emit("roofline", rows=rows, comparisons=compared, limits=limit, notes=notes)


if __name__ == "__main__":
    main()
