"""Accuracies of training runs, read from their folders and written into a page between two marks.

    python benchmarks studies/results --page docs/results.md --name mnist RUN [RUN ...]

A run is a folder that `eventsnn train` made. The figure of the test is that of its ``test.json``, if any:

    eventsnn evaluate RUN/model.h5 --data mnist --split test --json > RUN/test.json

The tables replace what stands between ``<!-- runs: NAME -->`` and ``<!-- end of runs -->``; without --page
they are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eventsnn.model import Network
from eventsnn.model.file import read_attribute

END = "<!-- end of runs -->"


def read_run(folder: Path) -> dict[str, Any]:
    """What a run's files say; `SystemExit`, naming the file, if one is missing or unreadable."""
    try:
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        command = folder / "command.txt"
        test = folder / "test.json"
        return {
            "lines": lines,
            "network": Network.load(folder / "model.h5"),
            "training": json.loads(read_attribute(folder / "model.h5", "training") or "{}"),
            "command": command.read_text().strip() if command.exists() else "",
            "test": json.loads(test.read_text()) if test.exists() else None,
        }
    except (OSError, ValueError) as error:
        sys.exit(f"{folder}: no folder of a training run, or a damaged one ({error})")


def make_tables(runs: Sequence[dict[str, Any]]) -> str:
    """Two tables: a line for each run, and its course epoch by epoch."""
    head = (
        "| run | network | weights | settings | seed | samples | epochs | best | validation, % | test, % | "
    )
    out = [head + "wall time, min | processor time, min |", "|---" * 12 + "|"]
    out += [_line(number, run) for number, run in enumerate(runs, 1)]
    if any(run["command"] for run in runs):
        out += ["", "| run | command |", "|---|---|"]
        out += [f"| {number} | `{run['command']}` |" for number, run in enumerate(runs, 1) if run["command"]]
    longest = max(len(run["lines"]) for run in runs)
    epochs = [
        epoch
        for epoch in range(1, longest + 1)
        if longest <= 12 or epoch % 5 == 0 or epoch in (1, 2, longest)
    ]
    out += ["", "| run, epoch | " + " | ".join(map(str, epochs)) + " |", "|---" * (len(epochs) + 1) + "|"]
    for number, run in enumerate(runs, 1):
        for what, key in (("training", "accuracy"), ("validation", "valid_accuracy")):
            cells = [_percent(run["lines"][e - 1][key]) if e <= len(run["lines"]) else "" for e in epochs]
            out.append(f"| {number}, {what}, % | " + " | ".join(cells) + " |")
    return "\n".join(out)


def _line(number: int, run: dict[str, Any]) -> str:
    lines, config = run["lines"], run["training"].get("config", {})
    sizes = (run["network"].input.neurons, *(layer.neurons for layer in run["network"].layers))
    test = run["test"]
    cells = [
        number,
        "-".join(map(str, sizes)),
        f"{sum(array.size for array in run['network'].weights.values()):,}",
        _settings(config),
        config.get("seed", ""),
        f"{lines[-1]['samples']:,}",
        len(lines),
        run["training"].get("best", {}).get("epoch", ""),
        _percent(run["training"].get("best", {}).get("valid_accuracy")),
        f"**{_percent(test['accuracy'], 2)}** of {test['n']:,}" if test else "not tested",
        _minutes(lines, "seconds"),
        _minutes(lines, "cpu_seconds"),
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def _settings(config: dict[str, Any]) -> str:
    """What was chosen for a run: rate, batch, and what becomes of the training samples."""
    optimiser = config.get("optimiser", {})
    schedule = optimiser.get("schedule", "")
    if schedule == "exponential":
        schedule = f"times {optimiser.get('decay', 0.9)} an epoch"
    parts = [f"rate {optimiser.get('learning_rate')} {schedule}", f"batch {config.get('batch_size')}"]
    for table in ("distortion", "augmentation"):
        changes = config.get(table) or {}
        own = [f"{name} {value:g}" for name, value in changes.items() if value and name != "smoothing"]
        parts += [f"{table} {' '.join(own)}"] if own else []
    return ", ".join(parts)


def _percent(fraction: float | None, digits: int = 2) -> str:
    return "" if fraction is None else f"{100 * fraction:.{digits}f}"


def _minutes(lines: list[dict[str, Any]], clock: str) -> str:
    """Sum of a clock over the epochs; nothing where an epoch was not measured."""
    return f"{sum(line[clock] for line in lines) / 60:.1f}" if all(clock in line for line in lines) else ""


def replace_between(page: Path, name: str, tables: str) -> None:
    """Put the tables between the marks of a page; `SystemExit` if it has none."""
    begin = f"<!-- runs: {name} -->"
    text = page.read_text(encoding="utf-8")
    before, mark, rest = text.partition(begin)
    _, end, after = rest.partition(END)
    if not mark or not end:
        sys.exit(f"{page}: the marks {begin} and {END} are missing")
    part = page.with_name(page.name + ".part")
    part.write_text(f"{before}{begin}\n{tables}\n{END}{after}", encoding="utf-8")
    os.replace(part, page)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the runs; print their tables or put them into a page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--page", type=Path)
    parser.add_argument("--name", help="of the marks in the page")
    given = parser.parse_args(arguments)
    if (given.page is None) != (given.name is None):
        parser.error("--page and --name go together")
    tables = make_tables([read_run(folder) for folder in given.runs])
    if given.page is None:
        print(tables)
    else:
        replace_between(given.page, given.name, tables)


if __name__ == "__main__":
    main()
