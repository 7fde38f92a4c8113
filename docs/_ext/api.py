"""The docstrings of public names in the place of their lists on pages, with links to examples."""

from __future__ import annotations

import importlib
import inspect
import re
from functools import cache
from typing import Any

from docutils import nodes
from docutils.parsers.rst import roles
from names import LIST, constants, examples, public_names
from sphinx.addnodes import pending_xref


def show_names(app: Any, page: str, source: list[str]) -> None:
    """Put the docstrings of listed names in the place of the list."""

    def directives(match: re.Match[str]) -> str:
        lines = [line for name in match[2].split() for line in _directive(match[1], name, page)]
        return "\n".join(["````{eval-rst}", *lines, "````"])

    source[0] = LIST.sub(directives, source[0])


def _directive(package: str, name: str, page: str) -> list[str]:
    value = getattr(importlib.import_module(package), name)
    title = f"{package}.{name}"
    links = ", ".join(f":doc:`/{other}`" for other in examples(name) if other != page)
    lines: list[str] = []
    if inspect.isclass(value):
        kind = "exception" if issubclass(value, BaseException) else "class"
        lines = [f".. auto{kind}:: {title}", "   :members:"]
    elif callable(value) and inspect.isroutine(value):
        lines = [f".. autofunction:: {title}"]
    else:  # a constant: the text is the string after its assignment
        text = inspect.cleandoc(_text_of(package, name)).splitlines()
        lines = [f".. py:data:: {title}", "", *(f"   {line}" for line in text)]
    used = ["", f"   *Examples:* {links}"] if links else []
    return [*lines, *used, ""]


def _text_of(package: str, name: str) -> str:
    """What the sources say of a constant."""
    text = constants(package).get(name)
    if text is None:
        raise LookupError(f"{package}.{name} has no string after its assignment that says what it is")
    return text


@cache
def _full_names() -> dict[str, str]:
    """Public names by their last part, and in full."""
    return {key: name for name in public_names() for key in (name, name.split(".")[-1])}


def name_role(role: str, raw: str, text: str, *rest: Any) -> tuple[list[nodes.Node], list[Any]]:
    """A name between backticks in a docstring: a link if it is public, or a member of a public class."""
    head, dot, member = text.partition(".") if not text.startswith("eventsnn.") else (text, "", "")
    full = _full_names().get(head)
    if full is None:
        return [nodes.literal(raw, text)], []
    link = pending_xref(raw, refdomain="py", reftype="obj", reftarget=f"{full}{dot}{member}")
    link += nodes.literal(raw, text)
    return [link], []


_KEPT: dict[str, list[str]] = {}


def keep_lines(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Before napoleon, which takes what stands before a colon in the first line for the type."""
    if what in ("attribute", "property", "data") and not any("----" in line for line in lines):
        _KEPT[name] = lines[:]


def restore_lines(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """After napoleon: the text as it was written."""
    lines[:] = _KEPT.pop(name, lines)


def leave_out(app: Any, what: str, name: str, value: Any, skip: bool, options: Any) -> bool | None:
    """Leave out methods that scikit-learn adds to its estimators; its own pages describe them."""
    return True if re.fullmatch(r"set_\w+_request", name) else None


def setup(app: Any) -> dict[str, Any]:
    """Expand lists of names when pages are read."""
    app.connect("autodoc-process-docstring", keep_lines, priority=400)
    app.connect("autodoc-process-docstring", restore_lines, priority=600)
    roles.register_local_role("name", name_role)
    app.connect("source-read", show_names)
    app.connect("autodoc-skip-member", leave_out)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
