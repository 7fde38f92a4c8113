"""README, continuous integration and the reference of experiment files say what is so."""

from __future__ import annotations

import re
import subprocess
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

import eventsnn as es
from eventsnn.cli.app import COMMANDS
from eventsnn.encode import Bernoulli
from eventsnn.train.experiment import TABLES, TrainingOptions

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def marked(mark: str) -> str:
    """Contents of the fenced block of the README that follows a mark."""
    found = re.findall(rf"<!-- {re.escape(mark)} -->\n```\w+\n(.*?)```", README, flags=re.DOTALL)
    assert len(found) == 1, f"{len(found)} blocks marked {mark!r}"
    return found[0]


@pytest.mark.parametrize(
    ("mark", "install", "run"),
    [
        ("command: demo", 'pip install ".[demo]"', ".venv/bin/eventsnn demo"),
        ("command: test", 'pip install -e ".[test]"', ".venv/bin/python -m pytest"),
    ],
)
def test_two_commands(mark: str, install: str, run: str) -> None:
    text = marked(mark)
    assert text.count("\n") == 1, "one line"
    steps = text.strip().split(" && ")
    assert steps == ["python3 -m venv .venv", f".venv/bin/{install}", run]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra in re.findall(r"\.\[(\w+)\]", text):
        assert extra in extras


def test_integration_runs_the_readmes_command() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    (extraction,) = [line for line in script.splitlines() if line.startswith("command=")]
    program = f'{extraction}\nprintf "%s" "$command"'
    done = subprocess.run(["bash", "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == marked("command: test").strip()


def test_tours_name_commands_that_exist() -> None:
    for line in marked("commands: tour").splitlines():
        assert line.split()[:1] == ["eventsnn"]
        assert line.split()[1] in COMMANDS
    for mark in ("code: tour", "code: train"):
        code = marked(mark)
        compile(code, mark, "exec")
        for name in re.findall(r"\bes\.(\w+)", code):
            assert name in es.__all__


PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(ROOT.glob("datasets/*/*.md")),
]


def anchors(page: str) -> set[str]:
    """Anchors of the headings of a page, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith("http"):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{page.name}: {link}"


def test_pictures_are_small() -> None:
    for picture in (ROOT / "docs" / "images").iterdir():
        assert picture.stat().st_size < 300_000, picture


@pytest.mark.parametrize("path", sorted(ROOT.glob("datasets/**/*.toml")), ids=lambda path: path.name)
def test_experiment_files_load(path: Path) -> None:
    es.Experiment.load(path)


IMAGES = (es.data.Distortion, Bernoulli)


def test_reference_of_experiment_files_is_complete() -> None:
    page = (ROOT / "docs" / "experiment.md").read_text(encoding="utf-8")
    for table in TABLES:
        assert f"## [{table}]" in page
    for cls in (
        es.Input,
        es.Dense,
        es.Connection,
        es.HM2BP,
        es.EventProp,
        es.Optimiser,
        TrainingOptions,
        es.Augmentation,
        *IMAGES,
    ):
        for field in (one for one in fields(cls) if not one.metadata.get("derived")):
            assert re.search(rf"[`{{, ]{field.name}\b", page), f"{cls.__name__}.{field.name} is not described"
