"""What docs/camera.md shows runs, and makes the recordings that it says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

import eventsnn as es

PAGE = Path(__file__).resolve().parents[2] / "docs" / "camera.md"


def test_examples_run(tmp_path, monkeypatch):
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)  # the third is of gestures
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(blocks[0], names)
    bar = es.read(Path("bar.bin"), sensor=(64, 48, 2))
    assert len(bar) > 1000
    exec(blocks[1], names)
    frames = names["recording"]
    assert isinstance(frames, es.EventStream)
    # The bar ends 25 pixels further to the right than it began.
    late = frames.events[frames.events["t"] > 90_000]
    early = frames.events[frames.events["t"] < 10_000]
    signal = [part[part["y"] > 5] for part in (early, late)]
    assert np.median(signal[1]["x"]) - np.median(signal[0]["x"]) > 15
