"""Is this commit as fast as an earlier one? A table of ratios, of processor time and of peak memory.

    python benchmarks speed/track                    beside the figures stored for this processor
    python benchmarks speed/track --against FOLDER   beside another build, in turns: the safest comparison
    python benchmarks speed/track --save             store the figures of this commit, and those of FOLDER's

Workloads are those of `speed/figures`, each in a process of its own; a figure is the least of the repeats,
because other load only ever adds to processor time.
Stored figures hold for one processor and lie in `speed/baselines.json`, one entry per processor and commit.
The load of the machine moves them: the row `plain_numpy`, which does not use eventsnn, shows by how much.
A build is a folder with eventsnn built in place, such as another checkout.
`speed/history` makes a table of the stored commits.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import command, describe_machine

from speed.figures import FIGURES

STORE = Path(__file__).with_name("baselines.json")
SLOWER = 1.03
"""A ratio above it is marked."""

Figures = dict[str, dict[str, Any]]


def measure(name: str, build: Path | None) -> dict[str, float] | None:
    """One run of a workload, by the eventsnn of a build or the one that Python finds; None if it fails."""
    environment = dict(os.environ)
    if build is not None:
        environment["PYTHONPATH"] = str(build.resolve())
    done = subprocess.run(
        command("speed/figures", name), stdout=subprocess.PIPE, text=True, env=environment, check=False
    )
    if done.returncode:
        print(f"{name} failed with {build or 'the present build'}", file=sys.stderr)
        return None
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure_all(names: Sequence[str], builds: Sequence[Path | None], repeats: int) -> list[Figures]:
    """Figures of every build; repeats of the builds take turns."""
    found: list[Figures] = [{} for _ in builds]
    for name in names:
        runs: list[list[dict[str, float]]] = [[] for _ in builds]
        for repeat in range(repeats):
            # Back and forth, so that neither build always comes second.
            for k in range(len(builds)) if repeat % 2 == 0 else reversed(range(len(builds))):
                run = measure(name, builds[k])
                if run is not None:
                    runs[k].append(run)
        for figures, taken in zip(found, runs, strict=True):
            if taken:
                figures[name] = summarise(taken)
        seconds = [f"{figures[name]['cpu']:.4g} s" for figures in found if name in figures]
        print(f"{name}: {', '.join(seconds)}", file=sys.stderr)
    return found


def summarise(runs: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Least processor time, wall time (s) and peak memory (MiB), and the processor times of all repeats."""
    least = {key: round(min(run[key] for run in runs), 6) for key in runs[0]}
    return {**least, "cpu_repeats": [round(run["cpu"], 6) for run in runs]}


def table(now: Figures, before: Figures, title: str) -> str:
    """Markdown: processor time and peak memory of both, and their ratios."""
    lines = [
        f"| workload | {title}, s | now, s | ratio | {title}, MiB | now, MiB | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, figure in now.items():
        cells = [name]
        for key in ("cpu", "peak_mib"):
            old, new = before.get(name, {}).get(key), figure[key]
            ratio = None if old is None else new / old
            mark = " slower" if key == "cpu" and ratio is not None and ratio > SLOWER else ""
            cells += [
                "" if old is None else f"{old:.4g}",
                f"{new:.4g}",
                "" if ratio is None else f"{ratio:.3f}{mark}",
            ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def commit(build: Path | None = None) -> str:
    """Short name of the commit of a build, or of the eventsnn that Python finds, with a + if files differ."""
    if build is None:
        found = importlib.util.find_spec("eventsnn")
        if found is None or found.origin is None:
            sys.exit("eventsnn cannot be imported")
        build = Path(found.origin).parents[1]
    git = ["git", "-C", str(build)]
    name = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    if name.returncode:
        return "unknown"
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--untracked-files=no", "eventsnn", "cython_ext"],
        capture_output=True,
        text=True,
        check=False,
    )
    return name.stdout.strip() + ("+" if changed.stdout.strip() else "")


def load(store: Path) -> list[dict[str, Any]]:
    """All entries, oldest first."""
    return json.loads(store.read_text()) if store.exists() else []


def save(store: Path, entry: dict[str, Any]) -> None:
    """Store an entry. It replaces that of the same commit and processor, but for figures that it lacks."""
    entries = load(store)
    same = [old for old in entries if is_same(old, entry) and old["commit"] == entry["commit"]]
    for old in same:
        entry["figures"] = {**old["figures"], **entry["figures"]}
    entries = [old for old in entries if old not in same]
    store.write_text(json.dumps([*entries, entry], indent=1) + "\n")


def is_same(entry: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two entries are of one kind of processor."""
    return all(entry["machine"][key] == other["machine"][key] for key in ("processor", "instruction_set"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, and store the figures if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="another build, measured in turns")
    parser.add_argument("--commit", metavar="NAME", help="compare with this stored commit, not the latest")
    parser.add_argument("--only", nargs="+", choices=list(FIGURES), default=list(FIGURES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--store", type=Path, default=STORE, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.against is not None and not (given.against / "eventsnn").is_dir():
        parser.error(f"--against: no package eventsnn in {given.against}")

    entry: dict[str, Any] = {
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d"),
        "machine": describe_machine(),
        "repeats": given.repeats,
    }
    stored = [old for old in load(given.store) if is_same(old, entry)]
    if given.commit is not None:
        stored = [old for old in stored if old["commit"] == given.commit]
        if not stored:
            parser.error(f"--commit: no figures of {given.commit} for this processor in {given.store.name}")
    if given.against is not None:
        now, before = measure_all(given.only, [None, given.against], given.repeats)
        print(table(now, before, "other build"))
    else:
        (now,) = measure_all(given.only, [None], given.repeats)
        before = stored[-1]["figures"] if stored else {}
        print(table(now, before, f"commit {stored[-1]['commit']}" if stored else "nothing stored"))
    if given.save:
        if given.against is not None:
            save(given.store, {**entry, "commit": commit(given.against), "figures": before})
        save(given.store, {**entry, "figures": now})


if __name__ == "__main__":
    main()
