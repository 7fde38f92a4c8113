"""Training in processes of their own, to be killed: what they run, and how to wait for them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.train.toy import toy_train

INTERRUPTED = 130


def start(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Start a process from a server that has imported everything already: 20 ms instead of a second."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=target, args=arguments)
    process.start()
    return process


def train_on(folder: Path, epochs: int) -> None:
    """Train, from the checkpoint if there is one; Ctrl-C ends the process with `INTERRUPTED`."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        toy_train(folder, epochs=epochs, resume=True)
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)


def die_at_replace(folder: Path, epochs: int, number: int, after: bool) -> None:
    """Train until the `number`-th file (from 1) is about to take its name, or just took it; then vanish."""
    replace, calls = os.replace, 0

    def counted(source: Any, target: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == number and not after:
            os._exit(9)
        replace(source, target)
        if calls == number:
            os._exit(9)

    os.replace = counted
    toy_train(folder, epochs=epochs, resume=True)


def epochs_done(folder: Path) -> int:
    """Lines of the metrics, 0 before there are any."""
    try:
        return len((folder / "metrics.jsonl").read_text().splitlines())
    except FileNotFoundError:
        return 0


def wait_for_epochs(process: BaseProcess, folder: Path, epochs: int, patience_s: float = 60.0) -> None:
    """Wait until `epochs` epochs are written down, or the process has ended."""
    deadline = time.monotonic() + patience_s
    while process.is_alive() and epochs_done(folder) < epochs:
        assert time.monotonic() < deadline, f"no {epochs} epochs within {patience_s} s"
        time.sleep(0.002)
