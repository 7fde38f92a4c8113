"""Simulated recordings of MNIST's digits in one packed file, made by as many processes as there are cores."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from common import find_data


def simulated_set(folder: Path, recordings: int, limit: float) -> Path:
    """A packed set of the first `recordings` images that are not among those of nmnist-1k.

    Raises
    ------
    RuntimeError
        A process failed.
    subprocess.TimeoutExpired
        It takes longer than `limit` seconds.
    """
    images, real = find_data("mnist"), find_data("nmnist-1k")
    end = time.monotonic() + limit
    program, out = [sys.executable, "-m", "eventsnn"], folder / "simulated"
    cores = min(len(os.sched_getaffinity(0)), recordings)
    make = ["synth", str(out), "--images", str(images), "--split", "train", "--limit", str(recordings)]
    make += ["--leave-out", str(real / "Train"), "--seed", "1", "--threads", "1"]
    running = [
        subprocess.Popen([*program, *make, "--shard", f"{k + 1}/{cores}"], stdout=subprocess.DEVNULL)
        for k in range(cores)
    ]
    try:
        for process in running:
            if process.wait(end - time.monotonic()):
                raise RuntimeError(f"eventsnn synth ended with status {process.returncode}")
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
                process.wait()
    packed = folder / "simulated.esp"
    pack = [*program, "pack", str(out / "Train"), str(packed)]
    subprocess.run(pack, stdout=subprocess.DEVNULL, check=True, timeout=max(end - time.monotonic(), 1.0))
    return packed
