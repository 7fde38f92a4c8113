"""A table of the last commits whose figures `speed/track --save` has stored, written into a page.

    python benchmarks speed/history                                     print it
    python benchmarks speed/history --page docs/results.md              write it between its marks

Processor time in ms, for one kind of processor: that of the latest entry, unless --processor names another.
Figures of two commits that were not measured in turns (``speed/track --against``) also differ by the load of
the machine: the column `plain_numpy`, which does not use eventsnn, shows by how much. The table replaces what
stands between ``<!-- tracked: speed -->`` and ``<!-- end of tracked -->``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speed.figures import FIGURES
from speed.track import STORE, is_same, load

BEGIN, END = "<!-- tracked: speed -->", "<!-- end of tracked -->"


def make_table(entries: Sequence[dict[str, Any]]) -> str:
    """Markdown: a row for each workload, a column for each entry, oldest first."""
    heads = [f"{entry['commit']} ({entry['date']})" for entry in entries]
    lines = [
        "| processor time, ms | " + " | ".join(heads) + " | last / first |",
        "|---" + "|--:" * (len(heads) + 1) + "|",
    ]
    for name in FIGURES:
        seconds = [entry["figures"].get(name, {}).get("cpu") for entry in entries]
        known = [value for value in seconds if value is not None]
        if not known:
            continue
        cells = ["" if value is None else f"{1000.0 * value:.1f}" for value in seconds]
        ratio = f"{known[-1] / known[0]:.2f}" if len(known) > 1 else ""
        lines.append(f"| `{name}` | {' | '.join(cells)} | {ratio} |")
    machine = entries[-1]["machine"]
    return "\n".join([*lines, "", f"{machine['processor']}, {machine['instruction_set']}."])


def write_into(page: Path, table: str) -> None:
    """Replace what stands between the marks of a page; `SystemExit` if they are not there."""
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{page}: no lines {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--page", type=Path, metavar="FILE", help="page to write the table into")
    parser.add_argument("--last", type=int, default=5, metavar="N", help="commits to show, 5 by default")
    parser.add_argument("--processor", metavar="NAME", help="processor whose figures to show")
    parser.add_argument("--store", type=Path, default=STORE, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    entries = load(given.store)
    if given.processor is not None:
        entries = [entry for entry in entries if entry["machine"]["processor"] == given.processor]
    if not entries or given.last < 1:
        parser.error("no figures are stored for it: python benchmarks speed/track --save")
    table = make_table([entry for entry in entries if is_same(entry, entries[-1])][-given.last :])
    if given.page is None:
        print(table)
    else:
        write_into(given.page, table)


if __name__ == "__main__":
    main()
