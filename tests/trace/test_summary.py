from __future__ import annotations

import json
from pathlib import Path

import pytest

from eventsnn.model import Dense, Input, Network
from eventsnn.trace import TraceWriter, format_summary, summarise
from eventsnn.trace.record import SpikeRecord


def test_numbers(trace_path: Path, run: SpikeRecord, run2: SpikeRecord) -> None:
    summary = json.loads(json.dumps(summarise(trace_path)))
    assert (summary["samples"], summary["duration_ms"], summary["seed"], summary["complete"]) == (
        2,
        150.0,
        5,
        True,
    )
    assert summary["network"] == [60, 8, 5, 3]
    assert summary["recorded"] == ["spikes", "potential", "spsp"]
    assert summary["file_mb"] == pytest.approx(trace_path.stat().st_size / 1e6, abs=1e-3)
    assert summary["events"] == 370
    hidden = len(run["hidden"]) + len(run2["hidden"])
    # What fires in the last 2 ms does not reach the hidden layer again before the end.
    back = sum(int((one["output"].times + 2.0 <= one.t_end).sum()) for one in (run, run2))
    silent = int(((run["hidden"].counts + run2["hidden"].counts) == 0).sum())
    assert summary["layers"]["hidden"] == {
        "neurons": 8,
        "spikes": hidden,
        "spikes_per_sample": hidden / 2,
        "rate_hz": pytest.approx(hidden / 8 / 0.150),
        "silent_fraction": silent / 8,
        # From the input to all 8, from each of them to 7 others, and back from the output.
        "additions_per_sample": (370 * 8 + hidden * 7 + back * 8) / 2,
        "effective_per_sample": (370 * 8 + hidden * 7 + back * 8) / 2,
    }
    decisions = [0, 0, 0]
    for record in (run, run2):
        if record.decision is not None:
            decisions[record.decision] += 1
    assert summary["decisions"] == decisions
    assert (summary["labelled"], summary["accuracy"]) == (1, float(run2.decision == 2))


def test_text(trace_path: Path, run: SpikeRecord, run2: SpikeRecord) -> None:
    text = format_summary(summarise(trace_path))
    assert "recorded: spikes, potential, spsp" in text
    assert "network 60-8-5-3, 2 samples, 0.150 s in all, 370 input events" in text
    row = next(line for line in text.splitlines() if line.startswith("middle"))
    assert row.split()[1:3] == ["5", str(len(run["middle"]) + len(run2["middle"]))]
    assert "of 1 labelled samples" in text


def test_unfinished_and_empty(tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "t.h5", Network(Input(2), Dense(2))) as writer:
        summary = summarise(writer.part)
    assert (summary["samples"], summary["accuracy"], summary["complete"]) == (0, None, False)
    assert summary["layers"]["output"]["rate_hz"] is None
    text = format_summary(summary)
    assert "not finished: the run was killed or is still going on" in text
    assert "accuracy" not in text
