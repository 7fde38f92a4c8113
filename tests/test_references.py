"""What pages, docstrings and comments name exists: paths, commands, options, names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import references
from tests.references import ROOT, dead, modules, pages


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", pages(), ids=name)
def test_pages_name_what_exists(page: Path) -> None:
    assert dead(page) == []


@pytest.mark.parametrize("room", sorted({path.parent for path in modules()}), ids=name)
def test_docstrings_name_what_exists(room: Path) -> None:
    found = {path.name: dead(path) for path in modules() if path.parent == room}
    assert {module: texts for module, texts in found.items() if texts} == {}


@pytest.mark.parametrize(
    ("span", "page"),
    [
        ("eventsnn.simulate.streaming", "a.md"),
        ("es.simulates(network)", "a.md"),
        ("eventsnn teach", "a.md"),
        ("--no-such-option-at-all", "a.md"),
        ("cython_ext/decode.pxd", "a.md"),
        ("no_such_script.py", "a.md"),
        ("Network.no_such_method", "a.md"),
        ("no_such_function(x)", "a.md"),
        ("no_such_name", "eventsnn/a.py"),
        ("Network.no_such_method", "eventsnn/a.py"),
    ],
)
def test_dead_references_are_found(span: str, page: str) -> None:
    assert references.problem(span, ROOT / page) is not None


@pytest.mark.parametrize(
    ("span", "page"),
    [
        ("eventsnn.simulate.engines.ENGINES", "a.md"),
        ("es.Network.from_table", "a.md"),
        ("eventsnn train a.toml --train b", "a.md"),
        ("--crop", "a.md"),
        ("reference/lif.py", "a.md"),
        ("benchmarks/speed/track.py", "a.md"),
        ("es.SpikeRecord.origin_us", "a.md"),
        ("threshold", "eventsnn/a.py"),
        ("Network.with_weights", "eventsnn/a.py"),
    ],
)
def test_living_references_are_not(span: str, page: str) -> None:
    assert references.problem(span, ROOT / page) is None
