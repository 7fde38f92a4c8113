"""Training and inference of 2312-800-10 on real N-MNIST recordings, everybody on the same core or two.

Repeats take turns (ours, a rival, the next rival, ours again ...), rates are medians of samples per second
of processor time, with `--cores 2` of wall time, each contender at its best batch size. Rivals get their
batches binned in memory; ours is given the recordings in memory, and, apart, their files. "trained" are the
weights that eventsnn reaches in a few epochs, given to everybody; accuracy there is on those same recordings
and says only that it is the same network.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from common import comparison, emit, find_nmnist, missing_row, options, row, spread, use_cores

import eventsnn as es
from speed.rivals.contenders import CONTENDERS, EVENT_LOOP, LIBRARY_NAMES, OURS
from speed.rivals.jobs import Job
from speed.rivals.workers import Missing, Worker

BARS = {
    1: {"train": 2.2, "infer": 1.3},
    2: {"train": 2.2, "infer": 1.6},
}
"""Of eventsnn over the event-sparse loop, by number of cores."""
LIBRARY_BARS = {"train": 12.0, "infer": 15.0}


def hire(
    stack: ExitStack, names: Sequence[str], job: Job
) -> tuple[dict[str, Worker], dict[str, Any], list[dict[str, str]]]:
    """Workers set up with the job, their answers to that, and those that are missing."""
    workers, facts, missing = {}, {}, []
    for name in names:
        worker = stack.enter_context(Worker(name))
        try:
            facts[name] = worker.ask("setup", **job.to_dict())
        except (Missing, RuntimeError) as reason:
            missing.append(missing_row(name, str(reason)))
            worker.close()
        else:
            workers[name] = worker
    return workers, facts, missing


def race(
    workers: dict[str, Worker],
    facts: dict[str, Any],
    what: str,
    workload: str,
    repeats: int,
    quick: bool,
    missing: list[dict[str, str]],
    clock: str = "cpu",
) -> list[dict[str, Any]]:
    """Rows of samples per second of `what` ("train" or "infer"), every contender at its best batch size.

    A rival that fails goes from `workers` to `missing`, with its reason.
    """
    best = {}
    for name, worker in list(workers.items()):
        rates = {}
        try:
            for batch in facts[name]["batches"][what][: 1 if quick else None]:  # also warms up
                answer = worker.ask(what, batch=batch)
                rates[batch] = answer["samples"] / answer[clock]
        except (Missing, RuntimeError) as reason:
            missing.append(missing_row(name, f"{workload}: {reason}", status="failed"))
            del workers[name]
            continue
        best[name] = max(rates, key=lambda batch: rates[batch])
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
    for _ in range(repeats):
        for name, worker in workers.items():
            answers[name].append(worker.ask(what, batch=best[name]))
    return [
        row(
            name,
            workload,
            f"samples/s of {'processor' if clock == 'cpu' else 'wall'} time",
            [a["samples"] / a[clock] for a in found],
            rate_wall=[a["samples"] / a["wall"] for a in found],
            rate_cpu=[a["samples"] / a["cpu"] for a in found],
            samples=found[0]["samples"],
            batch=best[name],
            accuracy=found[-1].get("accuracy"),
            prepare_ms_per_sample=1e3 * facts[name]["prepare_s"],
        )
        for name, found in answers.items()
    ]


def add_peaks(rows: list[dict[str, Any]], workers: dict[str, Worker], workload: str) -> None:
    """Peak memory of the processes so far, MiB, into the rows of a workload."""
    for each in rows:
        if each["workload"] == workload and each["contender"] in workers:
            each["peak_mib"] = workers[each["contender"]].ask("peak")["peak_mib"]


def ratios(rows: list[dict[str, Any]], workload: str, what: str, cores: int) -> list[dict[str, Any]]:
    """Ours in memory over the best library, and over the event-sparse loop; with the bars."""
    rates = {r["contender"]: r["median"] for r in rows if r["workload"] == workload}
    found = []
    libraries = [name for name in LIBRARY_NAMES if name in rates]
    if libraries:
        best = max(libraries, key=lambda name: rates[name])
        bar = LIBRARY_BARS[what]
        found.append(comparison(f"{workload}: eventsnn / {best}", rates[OURS[0]] / rates[best], bar))
    if EVENT_LOOP in rates:
        bar = BARS[cores][what]
        found.append(
            comparison(f"{workload}: eventsnn / event loop", rates[OURS[0]] / rates[EVENT_LOOP], bar)
        )
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON object."""
    given = options(
        __doc__,
        arguments,
        data={"type": Path, "help": "a folder like nmnist-1k; $EVENTSNN_DATA/nmnist-1k by default"},
        samples={"type": int, "default": None, "help": "recordings used: 256, with --quick 32"},
        only={"nargs": "*", "default": list(CONTENDERS), "help": "contenders"},
        hidden={"type": int, "default": 800},
        cores={"type": int, "default": 1, "choices": list(BARS), "help": "cores and threads of everybody"},
    )
    cores = use_cores(given.cores)
    data = given.data or find_nmnist()
    samples = given.samples or (32 if given.quick else 256)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        # "From files" reads every file of its folder, so that folder holds the recordings used and no others.
        subset = link_subset(data, samples, Path(folder) / "recordings")
        job = Job(str(subset), samples=samples, hidden=given.hidden, threads=given.cores)
        names = [name for name in CONTENDERS if name in given.only]
        workers, facts, missing = hire(stack, names, job)
        how = (given.repeats, given.quick, missing, "cpu" if given.cores == 1 else "wall")
        rows += race(workers, facts, "infer", "inference, random weights", *how)
        rows += race(workers, facts, "train", "training", *how)
        add_peaks(rows, workers, "training")
        weights = str(Path(folder) / "trained.npz")
        with Worker(OURS[0]) as teacher:
            teacher.ask("setup", **job.to_dict())
            learned = teacher.ask("learn", path=weights, epochs=1 if given.quick else 5)
        for name in list(workers):
            workers[name].ask("setup", **replace(job, weights=weights).to_dict())
        rows += race(workers, facts, "infer", "inference, trained", *how)
    found = []
    for workload, what in (
        ("inference, random weights", "infer"),
        ("inference, trained", "infer"),
        ("training", "train"),
    ):
        found += ratios(rows, workload, what, given.cores) if OURS[0] in workers else []
    notes = [f"trained: {learned['epochs']} epochs on the recordings used", f"pinned to core(s) {cores}"]
    emit("nmnist", rows=rows, missing=missing, comparisons=found, notes=notes)


def link_subset(data: Path, samples: int, target: Path) -> Path:
    """A folder of links to `samples` recordings, spread evenly over those of `data`."""
    source = es.data.NMNIST(data)
    for index in spread(samples, len(source)):
        file = Path(source.paths[index]).resolve()
        link = target / str(int(source.labels[index])) / file.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file)
    return target


if __name__ == "__main__":
    main()
