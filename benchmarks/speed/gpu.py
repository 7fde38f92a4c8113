"""eventsnn on a graphics card beside PyTorch libraries on the same card: rates, memory and accuracy.

    python benchmarks speed/gpu --out gpu.json                 everything; at most 8 minutes
    python benchmarks speed/gpu --emulate                      a tiny form without a card: does it work

First a check of some seconds: spikes on the card against the CPU's. If it fails, eventsnn is not measured.
Then the parts in order of weight; one that is not installed, fails or no longer fits into --limit is a line
with the reason. Every contender is a process of its own and only one works at a time. --out is written anew
after every part, so that an interrupted run leaves what it has; the same object is the last line of output.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from common import comparison, describe_machine, find_nmnist, missing_row, options, row, versions

from speed.gpu_sets import simulated_set
from speed.rivals.gpu_contenders import FASTEST_JELLY, FUSED, LIBRARY_FORMS, OURS
from speed.rivals.jobs import Job
from speed.rivals.workers import Missing, Worker
from speed.track import commit

BATCHES = (16, 64, 256, 1024, 4096)
BARS = {
    ("training", OURS[0]): dict(zip(BATCHES, (11e3, 37e3, 68e3, 95e3, 115e3), strict=True)),
    ("inference", OURS[0]): dict(zip(BATCHES, (25e3, 80e3, 165e3, 235e3, 300e3), strict=True)),
    ("inference", OURS[1]): dict(zip(BATCHES, (16e3, 50e3, 95e3, 115e3, 125e3), strict=True)),
}
METHODS = {
    "inference": "infer",
    "training": "train",
    "training, exact gradients": "train_exactly",
    "training, convolutions": "train_convolutions",
}
"""What is measured, and the method of a contender that measures it."""
AGAINST_JELLY = {"inference": 1.1, "training": 1.5}
SET_BAR_S, TARGET = 30.0, 0.95
START_S = 25.0
"""A process with a library in it takes up to this long before it measures anything."""
MODULE = "speed.rivals.gpu_contenders"


@dataclass
class Bench:
    """What was measured so far, and how long there is."""

    given: Namespace
    job: Job
    end: float
    rows: list[dict[str, Any]] = field(default_factory=list)
    missing: list[dict[str, str]] = field(default_factory=list)
    comparisons: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def left(self) -> float:
        """Seconds until the limit."""
        return self.end - time.monotonic()

    def leave_out(self, name: str, reason: object, status: str = "failed") -> None:
        """Note, and say, that something was not measured; PyTorch's reasons have many lines."""
        text = " ".join(str(reason).split())[:300]
        self.missing.append(missing_row(name, text, status))
        say(f"{name}: {status}: {text}")

    def result(self) -> dict[str, Any]:
        """Everything, as the script prints it."""
        parts = ("rows", "missing", "comparisons", "notes", "facts")
        return {
            "part": "gpu",
            **{name: getattr(self, name) for name in parts},
            "commit": self.given.commit or commit(),
            "seconds": self.given.limit - self.left,
            "versions": versions(),
            "machine": describe_machine(),
        }

    def save(self) -> None:
        """Write the result to --out, whole or not at all."""
        if self.given.out is not None:
            part = self.given.out.with_suffix(".part")
            part.write_text(json.dumps(self.result(), indent=1) + "\n")
            os.replace(part, self.given.out)


def say(text: str) -> None:
    """A line about progress."""
    print(text, file=sys.stderr, flush=True)


def hire(bench: Bench, stack: ExitStack, name: str) -> Worker | None:
    """A contender that is set up; None, noted, if it cannot be had or there is no time for it."""
    if bench.left < bench.given.start:
        bench.leave_out(name, f"{bench.left:.0f} s left", "no time")
        return None
    worker = stack.enter_context(Worker(name, MODULE))
    try:
        bench.facts[name] = worker.ask("setup", limit=bench.left, **bench.job.to_dict())
    except Missing as reason:
        bench.leave_out(name, reason, "not installed")
    except RuntimeError as reason:
        bench.leave_out(name, reason)
    else:
        return worker
    return None


def find_driver() -> str | None:
    """The driver's version, from nvidia-smi."""
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def check(bench: Bench) -> bool:
    """Whether the card computes what the CPU does."""
    with ExitStack() as stack:
        worker = hire(bench, stack, OURS[0])
        if worker is None:
            return False
        try:
            found = worker.ask("check", limit=min(120.0, bench.left))
        except (Missing, RuntimeError) as reason:
            bench.leave_out("check", reason)
            return False
    bench.facts["check"] = found
    say(f"check: {json.dumps(found)}")
    if not found["right"]:
        bench.leave_out("check", json.dumps(found), "wrong")
    return bool(found["right"])


def race(bench: Bench, worker: Worker, what: str) -> None:
    """Rows of inference or training of one contender, batch size by batch size, until one fails."""
    for batch in bench.given.batches:
        workload = f"{what}, batch {batch}"
        seconds = min(bench.given.seconds, bench.left / 10)
        if bench.left < 5 * seconds + 1:
            bench.leave_out(worker.name, f"{workload}: {bench.left:.0f} s left", "no time")
            return
        method = METHODS[what]
        try:
            found = worker.ask(method, batch=batch, seconds=seconds, limit=min(bench.left, 60.0))
        except (Missing, RuntimeError) as reason:
            # Larger batches need more memory still.
            bench.leave_out(worker.name, f"{workload}: {reason}")
            return
        rates = found.pop("rates")
        bench.rows.append(row(worker.name, workload, "samples/s", rates, batch=batch, what=what, **found))
        median, peak = bench.rows[-1]["median"], found.get("peak_mib")
        memory = "" if peak is None else f", {peak:,.0f} MiB"
        say(f"  {worker.name}, {workload}: {median:,.0f} samples/s{memory}")


def run_ours(bench: Bench) -> None:
    """Rates of eventsnn, both precisions."""
    for name in OURS:
        with ExitStack() as stack:
            worker = hire(bench, stack, name) if name in bench.given.only else None
            if worker is not None:
                race(bench, worker, "inference")
                for what in list(METHODS)[1:] if name == OURS[0] else ():
                    race(bench, worker, what)
        bench.save()


def run_rivals(bench: Bench, names: Sequence[str], weights: str | None) -> None:
    """Rates of rivals, and their accuracy with the weights that eventsnn learned."""
    for name in names:
        if name not in bench.given.only:
            continue
        with ExitStack() as stack:
            worker = hire(bench, stack, name)
            if worker is not None:
                race(bench, worker, "inference")
                race(bench, worker, "training")
                score(bench, worker, weights)
        bench.save()


def score(bench: Bench, worker: Worker, weights: str | None) -> None:
    """The accuracy with learned weights, into the rows of a contender."""
    if weights is None or bench.left < 10:
        return
    try:
        worker.ask("setup", limit=bench.left, **replace(bench.job, weights=weights).to_dict())
        found = worker.ask("score", batch=min(256, max(bench.given.batches)), limit=bench.left)
    except (Missing, RuntimeError) as reason:
        bench.leave_out(worker.name, f"accuracy: {reason}")
        return
    for each in bench.rows:
        if each["contender"] == worker.name:
            each["accuracy"] = found["accuracy"]
    if "per_s" in found:
        bench.facts["evaluate(), recordings/s"] = found["per_s"]
    say(f"  {worker.name}: {100 * found['accuracy']:.2f} % of {found['samples']} recordings")


def learn(bench: Bench, folder: Path) -> str | None:
    """N-MNIST-1k: seconds until 95 % of the held-out recordings are right; where the weights are."""
    weights = str(folder / "trained.npz")
    with ExitStack() as stack:
        worker = hire(bench, stack, OURS[0])
        if worker is None:
            return None
        try:
            found = worker.ask("learn", path=weights, target=TARGET, limit=min(bench.left, 180.0))
        except (Missing, RuntimeError) as reason:
            bench.leave_out("N-MNIST-1k", reason)
            return None
        bench.facts["N-MNIST-1k"] = found
        say(f"N-MNIST-1k: {json.dumps(found)}")
        score(bench, worker, weights)
    bench.save()
    return weights


def train_set(bench: Bench, folder: Path) -> None:
    """Ten epochs on a packed set of simulated recordings, from the file to the model."""
    given = bench.given
    packed = given.packed
    if packed is None:
        need = given.recordings / (150.0 * len(os.sched_getaffinity(0))) + 20
        if bench.left < need:
            bench.leave_out(
                "simulated recordings", f"{need:.0f} s to make them, {bench.left:.0f} s left", "no time"
            )
            return
        try:
            packed = simulated_set(folder, given.recordings, bench.left)
        except (OSError, RuntimeError, subprocess.SubprocessError, SystemExit) as reason:  # exit: no MNIST
            bench.leave_out("simulated recordings", reason)
            return
    with ExitStack() as stack:
        worker = hire(bench, stack, OURS[0])
        if worker is None:
            return
        try:
            found = worker.ask("train_set", packed=str(packed), epochs=given.epochs, limit=bench.left)
        except (Missing, RuntimeError) as reason:
            bench.leave_out("simulated recordings", reason)
            return
    bench.facts["simulated recordings"] = found
    if found["recordings"] >= 50_000 and found["epochs"] == 10:
        what = f"{found['recordings']} simulated recordings, 10 epochs: seconds"
        bench.comparisons.append(comparison(what, found["seconds"], SET_BAR_S, at_least=False))
    say(f"simulated recordings: {json.dumps(found)}")
    bench.save()


def compare(bench: Bench) -> None:
    """Medians beside their bars, and ours over SpikingJelly's fastest form."""
    medians = {(r["contender"], r["what"], r["batch"]): r["median"] for r in bench.rows}
    for (what, name), bars in BARS.items():
        for batch, bar in bars.items():
            if (name, what, batch) in medians:
                value = medians[name, what, batch]
                bench.comparisons.append(comparison(f"{name}, {what}, batch {batch}", value, bar))
    for what, bar in AGAINST_JELLY.items():
        pair = [medians.get((name, what, 1024)) for name in (OURS[0], FASTEST_JELLY)]
        if None not in pair:
            ratio = pair[0] / pair[1]
            bench.comparisons.append(comparison(f"{what}, batch 1024: eventsnn / SpikingJelly", ratio, bar))


def table(bench: Bench) -> str:
    """Thousand samples per second, contenders down, batch sizes across."""
    lines = []
    for what in METHODS:
        found = {(r["contender"], r["batch"]): r for r in bench.rows if r["what"] == what}
        names = list(dict.fromkeys(name for name, _ in found))
        lines += ["", f"{what}, thousand samples/s (peak GiB)"]
        lines.append("| contender | " + " | ".join(map(str, bench.given.batches)) + " | accuracy |")
        lines.append("|---|" + "---|" * (len(bench.given.batches) + 1))
        for name in names:
            cells, accuracy = [], ""
            for batch in bench.given.batches:
                r = found.get((name, batch))
                peak = "" if r is None or r.get("peak_mib") is None else f" ({r['peak_mib'] / 1024:.1f})"
                cells.append("" if r is None else f"{r['median'] / 1000:.1f}{peak}")
                if r is not None and r.get("accuracy") is not None:
                    accuracy = f"{100 * r['accuracy']:.1f} %"
            lines.append(f"| {name} | {' | '.join(cells)} | {accuracy} |")
    for each in bench.comparisons:
        sign, met = (">=" if each["at_least"] else "<="), ("met" if each["met"] else "missed")
        lines.append(f"{each['name']}: {each['value']:,.4g}, bar {sign} {each['bar']:,g}: {met}")
    return "\n".join(lines)


def read_options(arguments: Sequence[str] | None) -> Namespace:
    """The options; with --emulate, values that end within seconds."""
    everybody = [*OURS, FUSED, *LIBRARY_FORMS]
    given = options(
        __doc__,
        arguments,
        emulate={"action": "store_true", "help": "the kernels on the CPU, rivals too, a few recordings"},
        limit={"type": float, "default": 480.0, "help": "seconds after which nothing more is begun"},
        batches={"type": int, "nargs": "+", "default": None, "help": f"batch sizes, by default {BATCHES}"},
        seconds={"type": float, "default": 1.0, "help": "of each measurement"},
        only={"nargs": "+", "default": everybody, "help": "contenders: " + "; ".join(everybody)},
        data={"type": Path, "help": "a folder like nmnist-1k; $EVENTSNN_DATA/nmnist-1k by default"},
        packed={"type": Path, "help": "a packed set of simulated recordings; made from MNIST by default"},
        recordings={"type": int, "default": None, "help": "simulated recordings to make, 59000"},
        epochs={"type": int, "default": 10, "help": "on the simulated recordings"},
        hidden={"type": int, "default": None, "help": "hidden neurons, 800"},
        out={"type": Path, "help": "a file for the result, JSON"},
        commit={"help": "which commit this is, where git cannot tell"},
    )
    given.start = 1.0 if given.emulate else START_S
    given.batches = given.batches or ([2, 4] if given.emulate else list(BATCHES))
    given.recordings = given.recordings or (20 if given.emulate else 59_000)
    given.hidden = given.hidden or (16 if given.emulate else 800)
    given.seconds = 0.0 if given.emulate else given.seconds
    return given


def main(arguments: Sequence[str] | None = None) -> None:
    """Check, measure, print a table and one JSON object."""
    given = read_options(arguments)
    if given.emulate:
        os.environ["EVENTSNN_GPU"] = "emulate"
    data = given.data or find_nmnist()
    device, samples = ("cpu", 4) if given.emulate else ("cuda", 1000)
    job = Job(str(data), hidden=given.hidden, samples=samples, device=device, threads=2)
    bench = Bench(given, job, time.monotonic() + given.limit)
    bench.facts["driver"] = find_driver()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        right = check(bench)
        bench.save()
        if right:
            run_ours(bench)
            weights = learn(bench, folder)
            run_rivals(bench, (FUSED, FASTEST_JELLY), weights)
            train_set(bench, folder)
            run_rivals(bench, LIBRARY_FORMS[1:], weights)
        else:
            run_rivals(bench, (FUSED, *LIBRARY_FORMS), None)
        compare(bench)
        bench.save()
    say(table(bench))
    print(json.dumps(bench.result()), flush=True)
    if not right:
        sys.exit(1)


if __name__ == "__main__":
    main()
