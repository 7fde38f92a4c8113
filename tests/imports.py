"""Finds imports that point up the house: a room may use only the rooms below it, inside functions too."""

from __future__ import annotations

import ast
from pathlib import Path

# From the top of the house to its cellar. Within one row no room uses another.
ROOMS = (
    ("cli",),
    ("view", "interop"),
    ("plots",),
    ("torch", "sklearn"),
    ("train",),
    ("learn",),
    ("simulate",),
    ("gpu",),
    ("trace",),
    ("reference",),
    ("_ext",),
)

# What the rooms beside the staircase may use, besides errors, helpers and compiled kernels.
SIDE = {
    "model": (),
    "events": (),
    "encode": ("events",),
    "data": ("encode", "events"),
    "errors": (),
    "_util": (),
}

ANYBODY = ("errors", "_util", "_ext")


def allowed(room: str) -> set[str]:
    """Rooms that `room` may import."""
    if room in SIDE:
        return {room, *SIDE[room], *ANYBODY}
    level = next(n for n, row in enumerate(ROOMS) if room in row)
    below = {name for row in ROOMS[level + 1 :] for name in row}
    return {room, *below, *SIDE}


def find_imports(source: str) -> list[tuple[int, str]]:
    """(line, dotted name) of every import of eventsnn in a module, wherever it stands in it."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                found.append((node.lineno, "." * node.level + (node.module or "")))
            else:
                # "from eventsnn import data" names a room in its second half.
                found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return [(line, name) for line, name in found if name.startswith((".", "eventsnn"))]


def list_problems(module: str, source: str) -> list[str]:
    """Imports of a module (a dotted name such as ``eventsnn.trace.reader``) that it must not have."""
    room = module.split(".")[1]
    problems = []
    for line, name in find_imports(source):
        if name == "eventsnn.__version__":
            continue
        parts = name.split(".")
        if name.startswith("."):
            problems.append(f"{module}:{line}: write out the relative import {name!r}")
        elif len(parts) == 1:
            problems.append(f"{module}:{line}: imports the whole package; name the room")
        elif parts[1] not in allowed(room):
            problems.append(f"{module}:{line}: {room} imports {parts[1]}, which stands above it or beside it")
    return problems


def walk_package(package: Path) -> list[str]:
    """All problems of a package folder; its own ``__init__`` and ``__main__`` may use everything."""
    problems = []
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        if len(parts) == 2 and parts[1] in ("__init__", "__main__"):
            continue
        problems += list_problems(".".join(parts), path.read_text(encoding="utf-8"))
    return problems
