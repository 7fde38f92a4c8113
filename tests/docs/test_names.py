"""A newcomer finds every public name on a page of the reference, with what it is and an example."""

from __future__ import annotations

import inspect
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "_ext"))

import blocks
import names

PUBLIC = names.public_names()


def test_every_public_name_is_listed_once() -> None:
    listed = Counter(name for page in names.pages().values() for name in names.listed_names(page))
    assert set(listed) == set(PUBLIC)
    assert set(listed.values()) == {1}


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_says_what_it_is(name: str) -> None:
    value = PUBLIC[name]
    package, _, last = name.rpartition(".")
    if inspect.isclass(value) or inspect.isroutine(value):
        text = inspect.getdoc(value) or ""
        # A dataclass without a docstring has its signature as one.
        assert text
        assert not text.startswith(f"{last}(")
    else:
        assert names.constants(package).get(last), f"no string after the assignment of {name}"


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_an_example(name: str) -> None:
    assert names.examples(name) or names.has_doctest(PUBLIC[name]), f"{name} is in no example"


def test_names_without_an_example_are_found(monkeypatch) -> None:
    code = "import eventsnn as es\nfrom eventsnn.model import LAYERS\n\nes.read(LAYERS)  # a Trace\n"
    page = f"```python\n{code}```\n"
    monkeypatch.setattr(names, "pages", lambda: {"a": page})
    names.names_used.cache_clear()
    try:
        found = [name for name in PUBLIC if names.examples(name)]
    finally:
        names.names_used.cache_clear()
    assert sorted(found) == ["eventsnn.Trace", "eventsnn.model.LAYERS", "eventsnn.read"]


def test_blocks_are_found_with_their_comments() -> None:
    page = (
        "Text\n\n<!-- not run: why -->\n```bash\nls\n```\n\n````text\n```\n````\n```console\n$ ls\na\n```\n"
    )
    first, second, third = blocks.find_blocks(page)
    assert (first.language, first.text, first.line, first.is_run) == ("bash", "ls\n", 4, False)
    assert (second.language, second.text, second.is_run) == ("text", "```\n", False)
    assert (third.commands, third.is_run) == ("ls\n", True)


def test_blocks_that_fail_say_so(tmp_path) -> None:
    page = "```python\nx = 1\nx + 1\n```\n```bash\necho $((1 + 2)); false\n```\n```python\nx\n```\n"
    first, second = blocks.run_page(blocks.find_blocks(page), tmp_path)
    assert (first.printed, first.failure) == ("2\n", "")
    assert "exit code 1" in second.failure
    (broken,) = blocks.run_page(blocks.find_blocks("```python\n1 / 0\n```\n"), tmp_path)
    assert "ZeroDivisionError" in broken.failure
