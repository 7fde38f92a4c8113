"""``eventsnn export TRACE.h5 OUT``: spikes of a trace as a file of another tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eventsnn._util.words import number_of


def export_trace(
    source: Path, out: Path, *, layers: tuple[str, ...] | None = None, samples: tuple[int, ...] | None = None
) -> tuple[dict[str, Any], str]:
    """Write the spikes; returns the result for ``--json`` and the text for people."""
    from eventsnn.interop import export_spikes

    n = export_spikes(source, out, layers=layers, samples=samples)
    size = out.stat().st_size if out.is_file() else None
    facts = {"trace": str(source), "out": str(out), "spikes": n, "bytes": size}
    return facts, f"{number_of(n, 'spike')}: {out}" + ("" if size is None else f"  {size / 1e6:.2f} MB")
