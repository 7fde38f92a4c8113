"""The public face: names, and what importing them costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import eventsnn

HEAVY = ("bokeh", "h5py", "matplotlib", "scipy", "sklearn", "tonic", "torch")


@pytest.mark.parametrize("name", eventsnn.__all__)
def test_public_name_can_be_imported(name: str) -> None:
    assert getattr(eventsnn, name) is not None


def test_public_list_is_sorted_and_without_doubles() -> None:
    assert len(set(eventsnn.__all__)) == len(eventsnn.__all__)


def test_init_imports_nothing_but_the_public_list() -> None:
    tree = ast.parse(Path(eventsnn.__file__).read_text())
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("eventsnn")
        for alias in node.names
    }
    assert imported - {"on_demand"} | {"__version__"} == set(eventsnn.__all__)


# Several public names are also names of modules; whoever imports what first must not matter.
@pytest.mark.parametrize(
    "first",
    ["eventsnn.train.trainer", "eventsnn.simulate.run", "eventsnn.trace.explain", "eventsnn.data", "math"],
)
def test_names_stand_for_the_same_after_any_import(first: str) -> None:
    code = (
        f"import {first}, eventsnn as es; import eventsnn._util.threads, eventsnn.trace.reader; "
        "from eventsnn import train, simulate, explain, data; "
        "print(*[type(f).__name__ for f in (es.train, es.simulate, es.explain, es.data, train, simulate)]); "
        "assert train is es.train and explain is es.explain and data is es.data"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["function"] * 3 + ["module"] + ["function"] * 2


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(AttributeError, match="module 'eventsnn' has no attribute 'simulat'"):
        eventsnn.simulat  # noqa: B018
    assert dir(eventsnn) == sorted(eventsnn.__all__)


@pytest.mark.parametrize("module", ["eventsnn", "eventsnn.cli"])
def test_import_is_light(module: str) -> None:
    code = f"import sys, {module}; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
