"""The page of a trace of 10,000 samples (2312-800-10, 30 million spikes): first view, click, server's memory.

Twenty runs of random events through random weights, 3000 spikes each with the input's, are written over and
over; --trace takes a trace that exists instead. Seconds of opening the trace, of reading a random sample, of
the server's answer to the page's address, of its work for a click on an output spike of another sample; and
with Chromium as a user sees it, from the address to a page that is drawn, and from the click to its text.
Rows named "processor" are processor time of the server, which other programs do not lengthen; those named
"browser, processor" are that of all of the browser's processes. Memory is the most that the server, a
process of its own, ever took: after the views and clicks in the browser, and after windows that were opened,
used for a click, a sensitivity and a what-if, and closed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from urllib.request import urlopen

import numpy as np
from common import FOLDER, comparison, emit, missing_row, options, row

import eventsnn as es
from eventsnn.trace import TraceWriter

SAMPLES, KINDS, ABANDONED = 10_000, 20, 30
OPENS_S, READS_S, FIRST_VIEW_S, CLICK_S, MEMORY_MB = 0.3, 0.005, 2.0, 0.5, 300.0


def write_trace(path: Path, samples: int) -> None:
    """A trace of so many samples."""
    rng = np.random.default_rng(1)
    network = es.Network(es.Input(34, 34, 2), es.Dense(800, name="hidden"), es.Dense(10), seed=1)
    weights = {"hidden": rng.normal(0.036, 0.3, (800, 2312)), "output": rng.normal(0.06, 0.3, (10, 800))}
    network = network.with_weights(weights)
    runs = []
    for _ in range(min(KINDS, samples)):
        events = np.sort(rng.integers(0, 300_000, 2000)) / 1000.0, rng.integers(0, 2312, 2000)
        runs.append(es.simulate(network, events, t_stop=300.0))
    with TraceWriter(path, network) as writer:
        for number in range(samples):
            writer.append(runs[number % len(runs)], source=f"{number:05d}.bin", label=number % 10)


def seconds(work: Callable[[], Any], calls: int) -> list[float]:
    """Wall time of each call."""
    found = []
    for _ in range(calls):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return found


@contextmanager
def served(path: Path) -> Iterator[tuple[str, int]]:
    """Address and process of a server of the page."""
    command = [sys.executable, "-m", "eventsnn", "view", str(path), "--no-browser"]
    paths = os.pathsep.join([str(Path(es.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": paths}
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip(), process.pid
        finally:
            process.send_signal(signal.SIGINT)


def server_state(process: int) -> tuple[float, float]:
    """Processor seconds of a process so far, and its resident memory, 10^6 bytes; NaN where none tells."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
        times = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    except OSError:
        return float("nan"), float("nan")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK"), int(line.split()[1]) * 1024 / 1e6


def ask(address: str, process: int, calls: int) -> tuple[list[float], list[float]]:
    """Seconds of wall time and of the server's processor time of each answer to the page's address."""
    wall, processor = [], []
    for _ in range(calls):
        before = server_state(process)[0]
        wall += seconds(lambda: urlopen(address).read(), 1)
        processor.append(server_state(process)[0] - before)
    return wall, processor


def start_browser_or_none() -> Any:
    """The tests' browser, if there is one here."""
    sys.path.insert(0, str(FOLDER.parent))
    from tests.view.browser import find_browser, start_browser

    return None if find_browser() is None else start_browser()


def family_seconds(process: int) -> float:
    """Processor seconds so far of a process and of all that it started; NaN where none tells."""
    parents, seconds = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            words = (folder / "stat").read_text().rpartition(")")[2].split()
            number = int(folder.name)
            parents[number], seconds[number] = int(words[1]), sum(map(int, words[11:13]))
    family, grown = set(), {process}
    while grown:
        family |= grown
        grown = {child for child, parent in parents.items() if parent in grown}
    ticks = sum(seconds.get(member, 0) for member in family)
    return ticks / os.sysconf("SC_CLK_TCK") if seconds else float("nan")


def abandon(address: str, windows: int) -> None:
    """Open windows, use them and close them, one after the other."""
    from bokeh.client import pull_session

    place = urlsplit(address)
    for number in range(windows):
        asked = dict(parse_qsl(place.query)) | {"sample": str(number)}
        window = pull_session(url=f"{place.scheme}://{place.netloc}/", arguments=asked)
        command = window.document.get_model_by_name("command")
        for key in ("next-spike", "mode", "silence"):
            command.value = f"{key} {number}"
        window.force_roundtrip()
        window.close()


def use_browser(browser: Any, address: str, path: Path, calls: int) -> dict[str, list[float]]:
    """Seconds of first views and of clicks as a user sees them; ends the browser."""
    from tests.view.browser import OpenPage

    program = browser.service.process.pid
    views, clicks, view_work, click_work = [], [], [], []
    try:
        with es.Trace(path) as trace:
            for sample in range(1, calls + 1):
                output = trace.record(sample).output
                before, start = family_seconds(program), time.perf_counter()
                page = OpenPage(browser, f"{address}&sample={sample}")
                views.append(time.perf_counter() - start)
                view_work.append(family_seconds(program) - before)
                middle = len(output) // 2
                before, start = family_seconds(program), time.perf_counter()
                page.click("raster-output", float(output.times[middle]), int(output.neurons[middle]))
                page.wait_for("facts", f"at {output.times[middle]:.4f} ms")
                clicks.append(time.perf_counter() - start)
                click_work.append(family_seconds(program) - before)
    finally:
        browser.quit()
    return {
        "first view, browser": views,
        "first view, browser, processor": view_work,
        "click, browser": clicks,
        "click, browser, processor": click_work,
    }


def click(path: Path, samples: Sequence[int]) -> list[float]:
    """Processor seconds of the server's work for a click on a spike in the middle of each sample."""
    from bokeh.document import Document

    from eventsnn.view.trace_document import TraceDocument

    found = []
    with es.Trace(path) as trace:
        shown = TraceDocument(Document(), trace, {})
        for sample in samples:
            shown.page.select_sample(sample)
            shown.show_sample()
            output = shown.page.record.output
            middle = len(output) // 2
            start = time.process_time()
            shown._click("output", float(output.times[middle]), float(output.neurons[middle]), (0.1, 0.1))
            found.append(time.process_time() - start)
            assert shown.page.view.spike is not None
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON object."""
    given = options(__doc__, arguments, trace={"type": Path, "help": "a trace that exists"})
    calls = 2 if given.quick else 10
    rng = np.random.default_rng(3)
    with tempfile.TemporaryDirectory() as folder:
        path = given.trace or Path(folder) / "t.h5"
        rows, missing = [], []
        if given.trace is None:
            rows.append(
                row(
                    "write",
                    "trace",
                    "s",
                    seconds(lambda: write_trace(path, 40 if given.quick else SAMPLES), 1),
                )
            )
        rows.append(row("open", "trace", "s", seconds(lambda: es.Trace(path).close(), calls)))
        with es.Trace(path) as trace:
            count = len(trace)
            spikes = sum(trace.n_spikes(name) for name in ("input", *trace.network.names))
            picks = rng.integers(0, count, 5 * calls).tolist()
            trace.record(0)  # the first one reads the table of samples, too
            reads = [seconds(lambda k=k: trace.record(k), 1)[0] for k in picks]
            rows.append(row("read a random sample", "trace", "s", reads))
        rows.append(row("click, processor", "page", "s", click(path, picks[:calls])))
        with served(path) as (address, process):
            browser = start_browser_or_none()
            if browser is None:
                missing.append(missing_row("browser", "no Selenium, or no Chromium with its driver"))
                urlopen(address).read()
            else:
                times = use_browser(browser, address, path, calls)
                rows += [row(name, "page", "s", found) for name, found in times.items()]
            rows.append(row("server", "page", "MB", [server_state(process)[1]]))
            wall, processor = ask(address, process, calls)
            rows += [
                row("first view, server", "page", "s", wall),
                row("first view, processor", "page", "s", processor),
            ]
            windows = 2 if given.quick else ABANDONED
            abandon(address, windows)
            rows.append(row("server, windows closed", "page", "MB", [server_state(process)[1]]))
        size = path.stat().st_size
    found = {each["contender"]: each["median"] for each in rows}
    bars = {
        "open": OPENS_S,
        "read a random sample": READS_S,
        "first view, server": FIRST_VIEW_S,
        "first view, browser": FIRST_VIEW_S,
        "first view, processor": FIRST_VIEW_S,
        "click, processor": CLICK_S,
        "click, browser": CLICK_S,
        "server": MEMORY_MB,
        "server, windows closed": MEMORY_MB,
    }
    emit(
        "view",
        rows=rows,
        missing=missing,
        comparisons=[
            comparison(name, found[name], bar, at_least=False) for name, bar in bars.items() if name in found
        ],
        notes=[f"{count:,} samples, {spikes:,} spikes, {size / 1e6:,.0f} MB"],
    )


if __name__ == "__main__":
    main()
