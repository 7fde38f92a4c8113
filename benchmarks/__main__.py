"""Benchmarks and studies by name: ``python benchmarks speed/nmnist --quick``; without a name it lists them.

A script imports what it shares with others from this folder, and eventsnn from where Python finds it: an
installation, or the build that PYTHONPATH names.
"""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def scripts() -> dict[str, str]:
    """Name and first sentence of every script; a script has a function `main`."""
    found = {}
    for path in sorted(FOLDER.glob("*/**/*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            first = (ast.get_docstring(tree) or "").split("\n\n")[0]
            found[path.relative_to(FOLDER).with_suffix("").as_posix()] = " ".join(first.split())
    return found


def main(arguments: list[str]) -> None:
    """List the scripts, or run the one that the first argument names with the other arguments."""
    if not arguments or arguments[0] in ("-h", "--help"):
        known = scripts()
        width = max(map(len, known))
        print("usage: python benchmarks NAME [OPTIONS]; python benchmarks NAME --help\n")
        print("\n".join(f"  {name:<{width}}  {first}" for name, first in known.items()))
        return
    name = arguments[0].removesuffix(".py")
    if not (FOLDER / f"{name}.py").is_file():
        sys.exit(f"no script {arguments[0]!r} in {FOLDER.name}/; python benchmarks lists them")
    sys.argv = [f"python {FOLDER.name} {name}", *arguments[1:]]
    runpy.run_module(name.replace("/", "."), run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
