"""Packages over a library of others, without it; these tests need none."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(code: str) -> str:
    """What a new interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("name", "public", "library"),
    [
        ("torch", "SpikingNetwork", "PyTorch"),
        ("sklearn", "SpikingClassifier", "scikit-learn 1.6 or newer"),
    ],
)
def test_the_error_names_the_extra(name: str, public: str, library: str) -> None:
    code = (
        f"import sys; sys.modules['{name}'] = None\n"
        f"import eventsnn.{name}\n"
        f"try:\n    from eventsnn.{name} import {public}\n"
        "except ImportError as error:\n    print(type(error).__name__, error)"
    )
    needs = f"eventsnn.{name} needs {library}, which is not installed: pip install 'eventsnn[{name}]'"
    assert run(code) == f"MissingExtraError {needs}\n"


@pytest.mark.parametrize("name", ["torch", "sklearn"])
def test_importing_the_package_loads_no_library(name: str) -> None:
    code = f"import sys, eventsnn.{name}; print('{name}' in sys.modules, 'numpy' in sys.modules)"
    assert run(code) == "False False\n"
