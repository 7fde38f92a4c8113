"""What the benchmarks share: data, the machine, clocks, options, the shape of a part's result."""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
EXPERIMENT = ROOT / "datasets" / "nmnist" / "dense.toml"
LIBRARIES = (
    *("numpy", "scipy", "torch", "snntorch", "spikingjelly", "norse"),
    *("nest-simulator", "brian2"),
)


def find_data(name: str) -> Path:
    """A folder of data sets by name, or the end of the program with a reason."""
    folder = Path(os.environ.get("EVENTSNN_DATA", "")) / name
    if not os.environ.get("EVENTSNN_DATA") or not folder.is_dir():
        sys.exit(f"set EVENTSNN_DATA to the folder that holds {name}")
    return folder


def find_nmnist() -> Path:
    """The 1000 real N-MNIST recordings, nmnist-1k/Train/<label>/*.bin."""
    return find_data("nmnist-1k")


def describe_machine() -> dict[str, Any]:
    """Processor, cores, instruction set in use, and the load (1 minute) when asked."""
    from eventsnn._ext.block import selected

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "instruction_set": selected,
        "load_1_min": load,
        "python": platform.python_version(),
    }


def command(name: str, *arguments: str) -> list[str]:
    """The command line of a script of this folder, such as "speed/nmnist", in a process of its own."""
    return [sys.executable, str(FOLDER), name, *arguments]


def versions() -> dict[str, str]:
    """Versions of the libraries compared; "not installed" where there is none."""
    import eventsnn

    # Run from a checkout it is not installed, but there.
    found = {"eventsnn": eventsnn.__version__}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


@dataclass(frozen=True)
class Clock:
    """Seconds of wall time, and of processor time of all threads of this process."""

    wall: float
    cpu: float


@contextlib.contextmanager
def stopwatch() -> Iterator[list[Clock]]:
    """Time the block; the list holds one `Clock` after it."""
    found: list[Clock] = []
    wall, cpu = time.perf_counter(), time.process_time()
    yield found
    found.append(Clock(time.perf_counter() - wall, time.process_time() - cpu))


def use_cores(n: int) -> list[int]:
    """Pin this process and its children to `n` of the cores it may use, the last ones; return which.

    Libraries of parallel loops read their environment when they are imported, so it is set here too.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(n)
    if not hasattr(os, "sched_setaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))[-n:]
    os.sched_setaffinity(0, cores)
    return cores


def spread(n: int, of: int) -> np.ndarray:
    """`n` (at most `of`) indices spread evenly over `of` recordings, which are sorted by label."""
    return np.linspace(0, of - 1, min(n, of)).astype(int)


def options(doc: str | None, arguments: Sequence[str] | None, **more: dict[str, Any]) -> argparse.Namespace:
    """Options that every part takes, and those of `more` (name: keywords of add_argument)."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few recordings: does it run, not how fast")
    parser.add_argument("--repeats", type=int, default=3)
    for name, keywords in more.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **keywords)
    given = parser.parse_args(arguments)
    note_build()
    return given


def note_build() -> None:
    """Say on standard error which eventsnn is measured: the installed one, or what PYTHONPATH names."""
    found = importlib.util.find_spec("eventsnn")
    if found is None or found.origin is None:
        sys.exit("no eventsnn is installed; PYTHONPATH can name a build")
    print(f"measuring eventsnn in {Path(found.origin).parents[1]}", file=sys.stderr)


def row(contender: str, workload: str, unit: str, repeats: Sequence[float], **more: Any) -> dict[str, Any]:
    """One measured quantity: median, smallest and largest of the repeats, and what else is known of it."""
    return {
        "contender": contender,
        "workload": workload,
        "unit": unit,
        "median": statistics.median(repeats),
        "min": min(repeats),
        "max": max(repeats),
        "repeats": list(repeats),
        **more,
    }


def missing_row(contender: str, reason: str, status: str = "not installed") -> dict[str, str]:
    """A contender that could not run, and why."""
    return {"contender": contender, "status": status, "reason": reason}


def comparison(
    name: str, value: float, bar: float | None, *, at_least: bool = True, note: str = ""
) -> dict[str, Any]:
    """A ratio or a quantity beside the bar set for it; `met` is None without a bar."""
    met = None if bar is None else bool(value >= bar if at_least else value <= bar)
    return {"name": name, "value": value, "bar": bar, "at_least": at_least, "met": met, "note": note}


def emit(part: str, **result: Any) -> None:
    """Print the result of a part, one JSON object on one line, the last of standard output."""
    whole = {"part": part, "rows": [], "missing": [], "comparisons": [], "notes": [], **result}
    print(json.dumps({**whole, "machine": describe_machine()}), flush=True)
