"""The page on PyTorch: its blocks run, and it names all that there is."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import eventsnn.torch
from tests.docs.world import PRELUDE, ROOT, make_world
from tests.torch.examples import has_lightning

sys.path.insert(0, str(ROOT / "docs" / "_ext"))

from blocks import find_blocks, run_page

TEXT = (ROOT / "docs" / "torch.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_every_block_runs(tmp_path: Path) -> None:
    make_world(tmp_path)
    found = [
        replace(block, comment="")
        for block in find_blocks(TEXT)
        if block.language == "python" and ("import lightning" not in block.text or has_lightning())
    ]
    assert len(found) >= 3
    outcomes = run_page(found, tmp_path, prelude=PRELUDE)
    for block, outcome in zip(found, outcomes, strict=False):
        assert not outcome.failure, f"docs/torch.md:{block.line}: {outcome.failure}"
    assert len(outcomes) == len(found)


@pytest.mark.parametrize("name", eventsnn.torch.__all__)
def test_the_page_names_everything(name: str) -> None:
    assert f"`{name}`" in TEXT or f"{name}(" in TEXT
    assert getattr(eventsnn.torch, name).__doc__
