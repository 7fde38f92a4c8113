"""Everything against the rivals, in one command.

    python benchmarks speed/compare --out results             all parts; hours, mostly the accuracy curves
    python benchmarks speed/compare --quick                   every part in a small form: minutes
    python benchmarks speed/compare --only nmnist,roofline     some parts; what the folder has of others stays

Each part is a script of its own, with --quick and --repeats, that prints one JSON object; it runs as a
child of this process and its contenders as children of it, one at a time. Writes results.json, results.md
and pictures to --out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import FOLDER, command, describe_machine, versions

from speed import report

PARTS = {
    "nmnist": "training and inference of 2312-800-10, one core",
    "threads": "2 threads against 1",
    "mnist": "784-800-10 on MNIST images, 2 cores",
    "exact_nest": "exact simulation against NEST",
    "recurrent": "a recurrent network against NEST and Brian2",
    "startup": "import, and from file to trace",
    "linear_cost": "cost against events, neurons, samples",
    "roofline": "limits of the core, and the share reached",
    "accuracy": "accuracy against core seconds",
}


def run_part(name: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Result of a part: the last line it prints; a status and a reason if there is none."""
    script = f"{'studies' if name == 'accuracy' else 'speed'}/{name}"
    if not (FOLDER / f"{script}.py").exists():
        return {"part": name, "status": "not there", "reason": f"no {script}.py in benchmarks/"}
    # Parts import one another's helpers, and must not be held to the cores of an earlier one.
    done = subprocess.run(command(script, *arguments), stdout=subprocess.PIPE, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        reason = f"ended with status {done.returncode}; see standard error"
        return {"part": name, "status": "failed", "reason": reason}
    try:
        result: dict[str, Any] = json.loads(lines[-1])
    except json.JSONDecodeError as error:
        return {"part": name, "status": "failed", "reason": f"its last line is no JSON: {error}"}
    return as_rows(result)


def extra_arguments(name: str, given: argparse.Namespace) -> list[str]:
    """What some parts take besides --repeats and --quick."""
    quick = ["--quick"] if given.quick else []
    if name == "accuracy":
        lines = given.out / f"accuracy{'-quick' if given.quick else ''}.jsonl"
        budget = ["--budget", str(given.budget)] if given.budget else []
        return [*quick, "--lines", str(lines), *budget]
    if name == "recurrent":
        brian2 = ["--brian2-python", sys.executable] if importlib.util.find_spec("brian2") else []
        return ["--nest", *brian2, *(["--duration", "50", "--neurons", "500"] if given.quick else [])]
    return quick


def as_rows(result: dict[str, Any]) -> dict[str, Any]:
    """The result of a part in the common shape; recurrent.py has one object per simulator."""
    if "rows" in result:
        return result
    rows, missing = [], []
    for name, found in result.items():
        if isinstance(found, dict) and "recurrent_events_per_s" in found:
            rate, best = found["recurrent_events_per_s"], found["best_recurrent_events_per_s"]
            unit = "recurrent synaptic events/s of processor time"
            row = {"contender": name, "workload": "recurrent network", "unit": unit}
            rows.append({**row, "median": rate, "min": None, "max": best, "repeats": []})
        elif isinstance(found, dict) and "error" in found:
            missing.append({"contender": name, "status": "failed", "reason": found["error"]})
        elif found == "not installed":
            missing.append({"contender": name, "status": found, "reason": "see docs/dependencies.md"})
    if not any(entry["contender"].startswith("brian2") for entry in [*rows, *missing]):
        reason = "brian2 cannot be imported"
        missing.append({"contender": "brian2", "status": "not installed", "reason": reason})
    return {**result, "rows": rows, "missing": missing}


def choose(text: str | None) -> list[str]:
    """Names of parts from a comma-separated list; all of them without one."""
    if text is None:
        return list(PARTS)
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        sys.exit(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return names


def earlier_parts(file: Path, quick: bool) -> dict[str, Any]:
    """Parts measured before into the same folder, in the same form: --only adds to them."""
    if not file.exists():
        return {}
    earlier = json.loads(file.read_text())
    return dict(earlier["parts"]) if earlier["quick"] == quick else {}


def save(results: dict[str, Any], folder: Path) -> None:
    """results.json, results.md and, with matplotlib, pictures."""
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / "results.md").write_text(report.markdown(results))
    try:
        report.draw(results, folder)
    except ImportError as error:
        print(f"no pictures: {error}; install the extra plot", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the parts and write everything down after each of them."""
    described = "\n".join(f"  {name:<12} {what}" for name, what in PARTS.items())
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"parts:\n{described}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", metavar="PART,PART", help="these parts instead of all")
    parser.add_argument("--out", type=Path, default=Path("benchmark-results"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--budget", type=float, help="core seconds of each run of the accuracy curves")
    given = parser.parse_args(arguments)
    names = choose(given.only)
    given.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {
        "quick": given.quick,
        "repeats": given.repeats,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "machine": describe_machine(),
        "versions": versions(),
        "parts": earlier_parts(given.out / "results.json", given.quick),
    }
    for name in names:
        print(f"{name}: {PARTS[name]}", file=sys.stderr, flush=True)
        start = time.perf_counter()
        results["parts"][name] = run_part(
            name, ["--repeats", str(given.repeats), *extra_arguments(name, given)]
        )
        results["parts"][name]["seconds"] = time.perf_counter() - start
        save(results, given.out)
    print((given.out / "results.md").read_text())
    if any(results["parts"][name].get("status") == "failed" for name in names):
        sys.exit(1)


if __name__ == "__main__":
    main()
