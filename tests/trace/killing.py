"""Programs that write a trace and are killed meanwhile: at some time, or between the strokes of a stage."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eventsnn.trace.columns import GrowingColumns

needs_kill = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")


def die_at_stroke(last: int) -> None:
    """End this process before stroke `last` (from 1) of what its traces write: data, pointers, seal."""
    strokes, write = 0, GrowingColumns._write_stage

    def write_or_die(*arguments: object) -> None:
        nonlocal strokes
        strokes += 1
        if strokes == last:
            os.kill(os.getpid(), signal.SIGKILL)
        write(*arguments)

    GrowingColumns._write_stage = write_or_die


def run_until_killed(script: str, *arguments: object, wait: float | None = None) -> list[str]:
    """Run a Python program until it is killed; return the whole lines that it printed.

    It kills itself, or is killed `wait` seconds after its first line.
    """
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", script, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = []
        if wait is not None:
            printed = [process.stdout.readline()]
            time.sleep(wait)
            process.send_signal(signal.SIGKILL)
        printed += process.stdout.readlines()
    assert process.returncode == -signal.SIGKILL
    return [line for line in printed if line.endswith("\n")]
