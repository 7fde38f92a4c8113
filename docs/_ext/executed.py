"""Runs the code blocks of tutorials and of other pages in folders, and shows below each what it printed.

A page reads well without it: the file in the repository holds the code, the site its output besides. The
pictures that a block wrote are shown where the line above it says what they show: ``<!-- shows: TEXT -->``.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from blocks import Block, Outcome, find_blocks, run_page
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

FOLDERS = ("docs/tutorials/", "docs/howto/", "docs/theory/", "docs/reference/")
PICTURES = "docs/_build/executed"
LINES = 40  # of output, at most


def run_source(app: Sphinx, name: str, source: list[str]) -> None:
    """Replace the source of a page by one with the outputs of its blocks."""
    if name.startswith(FOLDERS) and app.config.run_blocks:
        source[0] = with_outputs(source[0], name, Path(app.srcdir))


def with_outputs(page: str, name: str, root: Path) -> str:
    """The page with a block of output, and the pictures that were written, after each block that ran."""
    blocks = find_blocks(page)
    if not any(block.is_run for block in blocks):
        return page
    kept = root / PICTURES / name.replace("/", "-")
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    pieces, begin = [], 0
    with tempfile.TemporaryDirectory() as folder:
        # Experiment files are named as from the repository.
        (Path(folder) / "datasets").symlink_to(root / "datasets")
        for block, outcome in zip(blocks, run_page(blocks, Path(folder)), strict=False):
            if outcome.failure:
                raise ExtensionError(f"{name}.md, line {block.line}: this block failed:\n{outcome.failure}")
            pieces += [page[begin : block.end], _shown(block, outcome, Path(folder), kept, root)]
            begin = block.end
    return "".join([*pieces, page[begin:]])


def _shown(block: Block, outcome: Outcome, folder: Path, kept: Path, root: Path) -> str:
    """Output and pictures of a block, in Markdown."""
    text = ""
    lines = re.sub(re.escape(str(folder)) + "/?", "", outcome.printed).rstrip().splitlines()
    if lines:
        short = [*lines[: LINES - 1], f"... and {len(lines) - LINES + 1} more lines"]
        body = "\n".join(lines if len(lines) <= LINES else short)
        text += f"\n\n````{{code-block}} text\n:class: output\n{body}\n````"
    if block.comment.startswith("shows: "):
        for number, picture in enumerate(outcome.pictures):
            copy = kept / f"{block.line}-{number}-{Path(picture).name}"
            shutil.copyfile(folder / picture, copy)
            text += f"\n\n![{block.comment.removeprefix('shows: ')}](/{copy.relative_to(root)})"
    return text


def setup(app: Sphinx) -> dict[str, Any]:
    """Run blocks when pages are read."""
    app.add_config_value("run_blocks", True, "env", bool)
    app.connect("source-read", run_source)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
