"""A verification as text for people."""

from __future__ import annotations

from eventsnn.interop.verify import Verification
from eventsnn.simulate.comparison_text import format_comparison

_HEADINGS = (
    "dt (s)", "decisions equal", "counts equal", "spikes, exact", "spikes, other", "moved by (ms)", "alone"
)  # fmt: skip


def format_verification(found: Verification, *, top: int = 10) -> str:
    """A verification as text: a row for each step, then the comparison at the shortest one.

    Parameters
    ----------
    found : Verification
    top : int
        How many of the differing decisions to list.
    """
    rows = [_HEADINGS]
    for row in found.rows():
        mean = row["moved_mean_ms"]
        rows.append(
            (
                f"{row['dt_s']:g}",
                f"{row['equal_decisions']:,} of {row['recordings']:,}",
                f"{row['equal_counts']:,}",
                f"{row['spikes']:,}",
                f"{row['spikes_other']:,}",
                "-" if mean is None else f"{mean:.3g}",
                f"{100 * row['unmatched']:.2f} %",
            )
        )
    widths = [max(len(row[n]) for row in rows) for n in range(len(_HEADINGS))]
    table = ["  ".join(f"{cell:>{width}}" for cell, width in zip(r, widths, strict=True)) for r in rows]
    shortest = min(found.comparisons)
    within = found.comparisons[shortest].within_ms
    return "\n".join(
        [
            f"exact time against {found.title}",
            *(f"note: {note}" for note in found.notes),
            "",
            *table,
            f"moved by: mean distance of spikes that have a partner within {within:g} ms; alone: share "
            "that have none.",
            "",
            f"At {shortest:g} s (A is exact time, B {found.title}):",
            "",
            format_comparison(found.comparisons[shortest], top=top),
        ]
    )
