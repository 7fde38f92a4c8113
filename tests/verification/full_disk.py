"""Everything that eventsnn writes, on full file systems: ``python -m tests.verification.full_disk``.

As root, on Linux: mounts tmpfs of ``--sizes`` sizes, from nothing to more than is needed, and writes each
kind of file there, in a process of its own; then file systems that are full for half a second only. Right
is: exit code 0 and the file, or exit code 1 and no file under a final name, and of a trace only samples that
are right. Exit code 1 if anything else happened, a line for each.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import ctypes
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import eventsnn as es
from eventsnn.cli.app import main as run_command_line
from eventsnn.errors import EventSNNError
from eventsnn.train.checkpoint import load_checkpoint
from tests._util import disk
from tests.events.helpers import random_stream

SLOWEST = 60  # seconds
TRAINING = """
[network]
input = { width = 12, height = 10, polarities = 2 }
layers = [{ neurons = 30, threshold = 0.5 }, { neurons = 4, threshold = 0.3 }]
[training]
epochs = 2
"""
FORMATS = ("bin", "csv", "txt", "npz", "npy", "h5")


def make_inputs(folder: Path) -> None:
    """What the commands read: recordings, a model, a trace, an experiment."""
    for number in range(12):
        (folder / "set" / str(number % 3)).mkdir(parents=True, exist_ok=True)
        stream = random_stream(400, seed=number, sensor_size=disk.SENSOR)
        es.write(folder / "set" / str(number % 3) / f"{number}.npz", stream)
    es.write(folder / "r.npz", random_stream(9000, sensor_size=disk.SENSOR))
    disk.make_network().save(folder / "m.h5")
    es.simulate(disk.make_network(), es.read(folder / "r.npz"), trace=folder / "t.h5", record=("potential",))
    (folder / "experiment.toml").write_text(TRAINING)


def commands(inputs: Path, out: Path) -> dict[str, list[object]]:
    """Command lines that write into `out`."""
    model, recording = inputs / "m.h5", inputs / "r.npz"
    found: dict[str, list[object]] = {
        "train": [
            "train",
            inputs / "experiment.toml",
            "--train",
            inputs / "set",
            "--out",
            out / "run",
            "--seed",
            1,
        ],
        "simulate --trace": ["simulate", model, *[recording] * 12, "--trace", out / "t.h5"],
        "simulate --spikes": ["simulate", model, recording, "--spikes", out / "s.csv"],
        "simulate --save-state": ["simulate", model, recording, "--save-state", out / "s.npz"],
        "evaluate --predictions": [
            "evaluate",
            model,
            "--data",
            inputs / "set",
            "--predictions",
            out / "p.csv",
        ],
        "info --plot": ["info", recording, "--plot", out / "r.png"],
        "inspect": ["inspect", inputs / "t.h5", "--layer", "hidden", "--out", out / "pictures"],
        "pack": ["pack", inputs / "set", out / "p.esp"],
        "synth": ["synth", out / "synth", "--images", "digits", "--limit", 2],
    }
    found |= {f"convert to {name}": ["convert", recording, out / f"c.{name}"] for name in FORMATS}
    return found


def check_final(path: Path, inputs: Path, right: bytes) -> str | None:
    """What is wrong with a file that has its final name."""
    name = path.name
    if name == "t.h5":
        return check_trace(path, 12, inputs)
    if name == "model.h5":
        es.Network.load(path)
    elif name == "checkpoint.h5":
        load_checkpoint(path)
    elif name == "metrics.jsonl":
        return None if path.read_text().endswith("}\n") else "a line is cut"
    elif name == "s.csv":  # grows in place: whole lines stay
        text = path.read_bytes()
        return None if text.endswith(b"\n") and right.startswith(text) else "a line is cut, or wrong"
    elif path.read_bytes() != right:
        return f"{path.stat().st_size} bytes, not those of an undisturbed run"
    return None


def check_trace(path: Path, samples: int | None, inputs: Path) -> str | None:
    """What is wrong with the samples that a trace calls complete; with their number, if it is given."""
    right = es.simulate(disk.make_network(), es.read(inputs / "r.npz"))
    with es.Trace(path) as trace:
        for sample in trace.samples:
            record = trace.record(sample.index)
            for layer in trace.network.names:
                if record[layer].times.tobytes() != right[layer].times.tobytes():
                    return f"sample {sample.index} is wrong"
        if samples is not None and len(trace) != samples:
            return f"{len(trace)} samples under the final name"
    return None


@contextlib.contextmanager
def mounted(folder: Path, size: int) -> Iterator[None]:
    """A file system of `size` bytes."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={max(1, size)}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def run(arguments: list[object], err: Path, slowly: bool) -> int:
    """Run a command in a process of its own; its exit code, negative for a signal."""
    child = os.fork()
    if child == 0:
        for number in (1, 2):
            os.dup2(os.open(err, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        signal.alarm(SLOWEST)
        if slowly:
            slow_down()
        code = run_command_line([str(argument) for argument in arguments])
        atexit._run_exitfuncs()
        ctypes.CDLL(None).exit(code)  # the end of a program: HDF5 has its last chance to crash
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def slow_down() -> None:
    """Have each write to a file take a while, so that a disk that is full for a moment is met by some."""
    from eventsnn._util.atomic import GuardedFile
    from eventsnn.trace.output import TraceFile

    for kind in (GuardedFile, TraceFile):
        write = kind.write

        def wait_and_write(*arguments: object, write: Callable[..., object] = write) -> object:
            time.sleep(0.01)
            return write(*arguments)

        kind.write = wait_and_write  # type: ignore[method-assign, assignment]


def judge(name: str, code: int, out: Path, inputs: Path, whole: dict[str, bytes], text: str) -> list[str]:
    """What is wrong after a command ended."""
    wrong = []
    if code not in (0, 1):
        wrong.append(f"exit code {code}")
    if "Traceback" in text or (code == 1 and "No space left" not in text):
        wrong.append(f"says {text[-300:]!r}")
    for path in out.rglob("*"):
        if path.is_dir() or path.name in ("ballast", ".lock"):
            continue
        part = path.name.endswith(".part")
        if part and not path.name.startswith("t.h5."):
            wrong.append(f"leaves {path.name}")
            continue
        right = whole.get(str(path.relative_to(out)), b"?")
        try:
            problem = check_trace(path, None, inputs) if part else check_final(path, inputs, right)
        except (EventSNNError, OSError) as error:
            problem = str(error)
        if problem:
            wrong.append(f"{path.name}: {problem}")
    return [f"{name}: {problem}" for problem in wrong]


def try_all(base: Path, kinds: list[str], sizes: int) -> int:
    """Number of bad ends; prints a line for each, and one for each kind."""
    inputs, out, err = base / "in", base / "out", base / "err.txt"
    for folder in (inputs, out):
        folder.mkdir()
    make_inputs(inputs)
    bad = 0
    for name, arguments in commands(inputs, out).items():
        if not any(name.startswith(kind) for kind in kinds):
            continue
        with mounted(out, 1 << 28):
            assert run(arguments, err, slowly=False) == 0, err.read_text()
            files = [path for path in out.rglob("*") if path.is_file()]
            whole = {str(path.relative_to(out)): path.read_bytes() for path in files}
            pages = sum(-(-len(data) // 4096) for data in whole.values()) + 2 * len(list(out.rglob("*"))) + 4
        ends = [0, 0]
        limits = np.unique(np.linspace(1, 2.2 * pages, sizes).astype(int)) * 4096
        for limit, pause in [(int(limit), False) for limit in limits] + [(1 << 28, True)] * 3:
            err.write_text("")
            with mounted(out, limit), full_at_first(out, limit, pages if pause else 0):
                code = run(arguments, err, slowly=pause)
                problems = judge(name, code, out, inputs, whole, err.read_text())
            ends[code != 0] += 1
            bad += len(problems)
            for problem in problems:
                print(f"  {'half a second' if pause else limit}: {problem}", flush=True)
        print(f"{name}: {ends[0]} written, {ends[1]} refused", flush=True)
    return bad


@contextlib.contextmanager
def full_at_first(folder: Path, size: int, pages: int) -> Iterator[None]:
    """Take all but some of `pages` (0: nothing is taken), until half a second after a first file appears."""
    if not pages:
        yield
        return
    ballast, over = folder / "ballast", threading.Event()
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size - 4096 * random.randrange(1, pages))

    def free() -> None:
        while len(os.listdir(folder)) < 2 and not over.wait(0.01):
            pass
        over.wait(0.5)
        ballast.unlink()

    thread = threading.Thread(target=free)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def main() -> int:
    """Command line; see the top of this module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kinds", nargs="*", default=[""], metavar="KIND", help="beginnings of commands")
    parser.add_argument("--sizes", type=int, default=81)
    arguments = parser.parse_args()
    base = tempfile.mkdtemp()  # TemporaryDirectory would be removed at the end of each child
    try:
        return int(try_all(Path(base), arguments.kinds, arguments.sizes) > 0)
    finally:
        shutil.rmtree(base)


if __name__ == "__main__":
    sys.exit(main())
