"""What the benchmarks share."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
EXPERIMENT = ROOT / "datasets" / "nmnist" / "dense.toml"


def find_nmnist() -> Path:
    """The 1000 real N-MNIST recordings, or the end of the program with a reason."""
    folder = Path(os.environ.get("EVENTSNN_DATA", "")) / "nmnist-1k"
    if not os.environ.get("EVENTSNN_DATA") or not folder.is_dir():
        sys.exit("set EVENTSNN_DATA to the folder that holds nmnist-1k/Train/<label>/*.bin")
    return folder


def describe_machine() -> dict[str, Any]:
    """Processor, cores and instruction set in use."""
    from eventsnn._ext.block import selected

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    return {"processor": model, "cores": os.cpu_count(), "instruction_set": selected}
