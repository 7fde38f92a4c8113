"""The public names: which there are, and the pages that list them or have an example of them.

A page lists names in a block ``{names} PACKAGE``, one a line; `api.py` shows their docstrings there. The
tests check that every public name is listed and has an example.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from blocks import find_blocks

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "eventsnn",
    "eventsnn.events",
    "eventsnn.events.formats",
    "eventsnn.data",
    "eventsnn.encode",
    "eventsnn.model",
    "eventsnn.simulate",
    "eventsnn.simulate.engines",
    "eventsnn.trace",
    "eventsnn.learn",
    "eventsnn.learn.heads",
    "eventsnn.learn.optimisers",
    "eventsnn.plots",
    "eventsnn.view",
    "eventsnn.interop",
    "eventsnn.sklearn",
)
NOT_DOCUMENTED = {"eventsnn.__version__", "eventsnn.data", "eventsnn.plots"}  # a string, packages
LIST = re.compile(r"^```\{names\} ([\w.]+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_DOCTEST = re.compile(r"^ *>>> ", re.MULTILINE)


def public_names() -> dict[str, Any]:
    """Every public object under the shortest of its names."""
    found: dict[str, Any] = {}
    seen: list[Any] = []
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            value = getattr(module, name)
            if f"{package}.{name}" not in NOT_DOCUMENTED and not any(value is other for other in seen):
                found[f"{package}.{name}"] = value
                seen.append(value)
    return found


@cache
def pages() -> dict[str, str]:
    """The text of each page, by its name on the site."""
    paths = [*ROOT.glob("docs/*.md"), *ROOT.glob("docs/*/*.md"), *ROOT.glob("datasets/*/*.md")]
    return {
        str(path.relative_to(ROOT).with_suffix("")): path.read_text(encoding="utf-8")
        for path in sorted(paths)
    }


@cache
def names_used(page: str) -> frozenset[str]:
    """Names that the Python blocks of a page take from eventsnn, or that their comments give to a result."""
    found: set[str] = set()
    for block in find_blocks(pages()[page]):
        if block.language == "python":
            found.update(_names_in(ast.parse(block.text)))
            found.update(re.findall(r"# (?:an?|the) `?([A-Z]\w+)\b", block.text))
    return frozenset(found)


def _names_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), names=names) if module.startswith("eventsnn"):
                yield from (alias.name for alias in names)
            case ast.Attribute(attr=name) if ast.unparse(node).startswith(("es.", "eventsnn.")):
                yield name


def examples(name: str) -> list[str]:
    """Pages with an example of a public name, those that are not the reference first."""
    last = name.split(".")[-1]
    found = [page for page in pages() if last in names_used(page)]
    return sorted(found, key=lambda page: (page.startswith("docs/reference/"), page))


def has_doctest(value: Any) -> bool:
    """Whether the docstring of an object, or of a method of it, shows an example."""
    texts = [inspect.getdoc(value) or ""]
    if inspect.isclass(value):
        texts += [inspect.getdoc(member) or "" for member in vars(value).values()]
    return any(_DOCTEST.search(text) for text in texts)


def listed_names(page: str) -> Iterator[str]:
    """Names that a page lists, with their packages."""
    for package, names in LIST.findall(page):
        yield from (f"{package}.{name}" for name in names.split())


@cache
def constants(package: str) -> dict[str, str]:
    """The strings that follow the assignments of a package's modules."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / package.replace(".", "/")).rglob("*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for first, second in pairwise(body):
            match first, second:
                case (
                    ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    found.setdefault(name, text)
    return found
