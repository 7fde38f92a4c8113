"""Live input: from the sending of the events that make a spike to its line, over UDP on this machine.

Every millisecond a datagram of the events of that millisecond (14, N-MNIST's rate, uniform over 34 x 34 x 2)
goes to ``eventsnn simulate --live --spikes -`` with 2312-800-10 as in long_input.py. Reported, in wall time:
from the sending of the datagram of a spike's own millisecond to the reading of its line. Run it alone.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from common import comparison, emit, options, row

import eventsnn as es
from eventsnn.events.live import send_events
from speed.long_input import PER_MS, make_network

BAR_MS = 20.0


def send(target: tuple[str, int], seconds: float) -> list[float]:
    """A datagram each millisecond; returns the clock's times at which they were sent."""
    rng = np.random.default_rng(3)
    start, sent, at = time.perf_counter(), 0, []
    for ms in range(int(seconds * 1000)):
        events = np.empty(PER_MS, es.events.EVENT_DTYPE)
        events["t"] = ms * 1000 + np.sort(rng.integers(0, 1000, PER_MS))
        events["x"], events["y"] = rng.integers(0, 34, (2, PER_MS))
        events["p"] = rng.integers(0, 2, PER_MS)
        left = start + (ms + 1) / 1000.0 - time.perf_counter()
        if left > 0.0:
            time.sleep(left)
        at.append(time.perf_counter())
        sent = send_events(target, es.EventStream(events, (34, 34, 2)), sent=sent)
    return at


def measure(seconds: float, hidden: int) -> tuple[np.ndarray, str]:
    """Milliseconds from the datagram of each spike's millisecond to its line, and what was said last."""
    lines: list[tuple[float, bytes]] = []
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.h5"
        make_network(hidden).save(model)
        command = [sys.executable, "-m", "eventsnn", "simulate", str(model), "udp://127.0.0.1:0"]
        command += ["--live", "--idle", "1", "--spikes", "-", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            out = child.stdout
            port = int(child.stderr.readline().decode().rsplit(":", 1)[1])

            def read() -> None:
                for line in out:
                    lines.append((time.perf_counter(), line))

            reader = threading.Thread(target=read)
            reader.start()
            sent = send(("127.0.0.1", port), seconds)
            reader.join()
            said = child.stderr.read().decode().splitlines()[-1]
    spikes = [(at, float(line.split(b",")[0])) for at, line in lines[1:]]
    # Those after the last event wait for the end.
    late = [(at - sent[int(t)]) * 1000.0 for at, t in spikes if t < len(sent) - 1]
    return np.array(late), said


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON object."""
    given = options(
        __doc__,
        arguments,
        seconds={"type": float, "default": 10.0},
        hidden={"type": int, "default": 800},
    )
    late, said = measure(0.3 if given.quick else given.seconds, 16 if given.quick else given.hidden)
    parts = {"median": 50, "99 %": 99, "largest": 100}
    values = {name: float(np.percentile(late, q)) for name, q in parts.items()}
    rows = [
        row("eventsnn", f"{name} of {len(late)} spikes", "ms", [value], result=said)
        for name, value in values.items()
    ]
    emit(
        "live_latency",
        rows=rows,
        comparisons=[comparison("99 % of spikes, ms", values["99 %"], BAR_MS, at_least=False)],
    )


if __name__ == "__main__":
    main()
