"""Training on two ranks that a limited network lies between, beside the model of `speed/scaling`.

Two network namespaces of Linux stand for two machines: what goes between them goes through TCP and is held to
a rate (a token bucket of 20 kB); nothing adds to the delay, which is that of the system's own network code,
some 10 microseconds. The model says that a step takes received/bandwidth longer than without a network. Needs
root, `ip` and `tc`, and the MPICH of the extra ``mpi``.

    python benchmarks speed/limited_network --batches 16 64
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common import comparison, emit, options, row

from speed.scaling import Measured, ask

HOSTS = {"10.9.0.1": "eventsnn-a", "10.9.0.2": "eventsnn-b"}
# What mpiexec calls instead of ssh: [options] HOST COMMAND...
LAUNCHER = """#!/bin/bash
while [[ $1 == -* ]]; do shift; done
case $1 in {cases} esac
shift
exec ip netns exec $space bash -c "$*"
"""


def run(*line: str) -> None:
    subprocess.run(line, check=True, capture_output=True)


@contextmanager
def two_hosts() -> Iterator[None]:
    """Two namespaces with a cable between."""
    try:
        for space in HOSTS.values():
            run("ip", "netns", "add", space)
        first, second = HOSTS.values()
        run("ip", "-n", first, "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", second)
        for host, space in HOSTS.items():
            run("ip", "-n", space, "addr", "add", f"{host}/24", "dev", "wire")
            for device in ("wire", "lo"):
                run("ip", "-n", space, "link", "set", device, "up")
        yield
    finally:
        for space in HOSTS.values():
            subprocess.run(["ip", "netns", "del", space], capture_output=True)


def limit(gigabits: float) -> None:
    """Hold what each host sends to a rate."""
    how = ("dev", "wire", "root", "tbf", "rate", f"{gigabits}gbit", "burst", "20kb", "latency", "20ms")
    for space in HOSTS.values():
        run("ip", "netns", "exec", space, "tc", "qdisc", "replace", *how)


def ask_across(batch: int, quick: bool, launcher: Path) -> Measured:
    """`speed.scaling.measure` by a rank on each host."""
    first, *_ = HOSTS
    mpiexec = Path(sys.executable).with_name("mpiexec")
    passed = ",".join(name for name in ("PYTHONPATH", "EVENTSNN_DATA", "UCX_TLS") if name in ENVIRONMENT)
    told = [
        "-launcher",
        "ssh",
        "-launcher-exec",
        str(launcher),
        "-localhost",
        first,
        "-hosts",
        ",".join(HOSTS),
    ]
    child = [sys.executable, str(Path(__file__).parents[1]), "speed/scaling", "--child", str(batch)]
    line = [
        "ip",
        "netns",
        "exec",
        HOSTS[first],
        str(mpiexec),
        *told,
        "-n",
        "2",
        "-ppn",
        "1",
        "-genvlist",
        passed,
    ]
    line += [*child, *(["--quick"] if quick else [])]
    done = subprocess.run(line, check=True, capture_output=True, text=True, timeout=600, env=ENVIRONMENT)
    return Measured(**json.loads(done.stdout.strip().splitlines()[-1]))


# Both hosts are one machine, whose memory UCX would find.
ENVIRONMENT = {**os.environ, "UCX_TLS": "tcp,self"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON object."""
    given = options(
        __doc__,
        arguments,
        batches={"type": int, "nargs": "+", "default": [16]},
        gigabits={"type": float, "nargs": "+", "default": [1.0, 10.0]},
    )
    rows: list[dict[str, Any]] = []
    checks: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, two_hosts():
        launcher = Path(folder) / "launcher"
        launcher.write_text(LAUNCHER.format(cases=" ".join(f"{h}) space={s};;" for h, s in HOSTS.items())))
        launcher.chmod(0o755)
        for batch in given.batches:
            turns: dict[str, list[float]] = {}
            for _ in range(given.repeats):
                local = ask(batch, 2, given.quick)
                assert local is not None
                turns.setdefault("memory", []).append(local.step)
                for gigabits in given.gigabits:
                    limit(gigabits)
                    across = ask_across(batch, given.quick, launcher)
                    turns.setdefault(f"{gigabits:g} Gb/s", []).append(across.step)
            here = min(turns["memory"])
            for name, steps in turns.items():
                rows.append(row(name, f"batch {batch}", "s", steps, received=local.received))
            for gigabits in given.gigabits:
                longer = min(turns[f"{gigabits:g} Gb/s"]) - here
                expected = local.received * 8.0 / (gigabits * 1e9)
                name = (
                    f"batch {batch}, {gigabits:g} Gb/s: how much longer a step takes, of what the model says"
                )
                checks.append(comparison(name, longer / expected, None))
    emit("limited_network", rows=rows, comparisons=checks)


if __name__ == "__main__":
    main()
