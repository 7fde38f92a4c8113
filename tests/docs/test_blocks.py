"""Every code block of every page runs; those of the site's own pages run when it is built (``docs/_ext``)."""

from __future__ import annotations

import doctest
import inspect
import re
import shlex
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest

from eventsnn.cli.app import COMMANDS, commands
from eventsnn.train.experiment import Experiment
from tests.docs.world import PRELUDE, ROOT, make_world

sys.path.insert(0, str(ROOT / "docs" / "_ext"))

import names
from blocks import SHELL, Block, find_blocks, run_page

SITE = ("tutorials", "howto", "theory", "reference")
"""Folders whose pages run when the site is built; ``docs/_ext/executed.py`` has the same."""
PAGES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/**/*.md"),
    *ROOT.glob("datasets/*/*.md"),
    *ROOT.glob("benchmarks/*.md"),
]
PAGES = sorted(page for page in PAGES if "_build" not in page.parts)
LANGUAGES = {"python", "toml", "text", *SHELL}


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks_of(page: Path) -> list[Block]:
    found = find_blocks(page.read_text(encoding="utf-8"))
    return [block for block in found if not block.language.startswith("{")]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_says_its_language(page: Path) -> None:
    for block in blocks_of(page):
        assert block.language in LANGUAGES, f"{name(page)}:{block.line}"


TO_RUN = [
    page
    for page in PAGES
    if page.relative_to(ROOT).parts[:2] not in {("docs", folder) for folder in SITE}
    and any(block.is_run for block in blocks_of(page))
]


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    make_world(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", TO_RUN, ids=name)
def test_every_block_runs(page: Path, world: Path, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    shutil.copytree(world, folder, symlinks=True)
    for made in re.findall(r"--out (runs/\w+)", page.read_text(encoding="utf-8")):
        shutil.rmtree(folder / made, ignore_errors=True)  # what a page makes is not there before
    found = blocks_of(page)
    # One epoch: what a block leaves is the same, but for the accuracy.
    outcomes = run_page(found, folder, prelude=PRELUDE, arguments={"train": "--epochs 1"})
    for block, outcome in zip(found, outcomes, strict=False):
        assert not outcome.failure, f"{name(page)}:{block.line}: {outcome.failure}"
    assert len(outcomes) == len(found)


EXAMPLES = [
    pytest.param(value, id=public)
    for public, value in names.public_names().items()
    if ">>> " in (inspect.getdoc(value) or "")
]


@pytest.mark.slow
@pytest.mark.parametrize("value", EXAMPLES)
def test_examples_in_docstrings_run(value: Any, world: Path, tmp_path: Path) -> None:
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(value) or "")
    code = "".join(example.source for example in examples)
    folder = tmp_path / "here"
    shutil.copytree(world, folder, symlinks=True)
    block = Block("python", code, 1, 0, "")
    (outcome,) = run_page([block], folder, prelude=f"{PRELUDE}from eventsnn import *\n")
    assert not outcome.failure, outcome.failure


def test_blocks_of_the_site_run_when_it_is_built() -> None:
    executed = (ROOT / "docs" / "_ext" / "executed.py").read_text(encoding="utf-8")
    for folder in SITE:
        assert f'"docs/{folder}/"' in executed
    assert "make -C docs html" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


NOT_RUN = [
    pytest.param(block, id=f"{name(page)}:{block.line}")
    for page in PAGES
    for block in blocks_of(page)
    if block.language in SHELL and block.comment.startswith("not run:")
]


def eventsnn_commands(text: str) -> list[list[str]]:
    """The words of every call of the program in a text of shell."""
    calls = []
    for line in re.split(r"\n|&&|\||;", text.replace("\\\n", " ")):
        words = shlex.split(line, comments=True)
        if words and words[0].removeprefix(".venv/bin/") == "eventsnn":
            calls.append(words[1:])
    return calls


@pytest.mark.parametrize("block", NOT_RUN)
def test_blocks_that_do_not_run_have_a_reason_and_options_that_exist(block: Block) -> None:
    assert len(block.comment.removeprefix("not run:").strip()) > 10
    for call in eventsnn_commands(block.commands):
        assert call[0] in COMMANDS
        context = click.Context(commands)
        command = commands.get_command(context, call[0])
        assert command is not None
        command.make_parser(click.Context(command)).parse_args([*call[1:]])


def test_options_that_do_not_exist_are_found() -> None:
    (call,) = eventsnn_commands("cd x && eventsnn train a.toml --no-such-option # text\n")
    command = commands.get_command(click.Context(commands), call[0])
    assert command is not None
    with pytest.raises(click.NoSuchOption):
        command.make_parser(click.Context(command)).parse_args(call[1:])


EXPERIMENT = "[network]\ninput = { width = 34, height = 34, polarities = 2 }\n"
DENSE = (
    '[[network.layers]]\nname = "hidden"\nneurons = 10\n[[network.layers]]\nname = "output"\nneurons = 10\n'
)
TABLES = [
    pytest.param(block, id=f"{name(page)}:{block.line}")
    for page in PAGES
    for block in blocks_of(page)
    if block.language == "toml"
]


@pytest.mark.parametrize("block", TABLES)
def test_tables_of_experiments_are_accepted(block: Block, tmp_path: Path) -> None:
    """A part of an experiment file is put where it belongs in a whole one."""
    table = tomllib.loads(block.text)
    if "network" not in table and "project" in table:
        return  # a package's own file
    text = block.text
    if "input" not in table.get("network", {}):
        layers = table.get("network", {}).get("layers", [])
        last = layers and layers[-1].get("type") == "readout"
        text = EXPERIMENT + ((text if last else text + DENSE) if layers else DENSE + text)
    path = tmp_path / "experiment.toml"
    path.write_text(text)
    Experiment.load(path).make_network()
