"""Names of a package that are imported at their first use (PEP 562)."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def on_demand(
    package: str, homes: Mapping[str, str], moved: Mapping[str, str] | None = None
) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package.

    Parameters
    ----------
    package : str
        Its ``__name__``.
    homes : mapping of str to str
        Public name -> module that holds it; a module that is itself public stands for itself.
    moved : mapping of str to str, optional
        Names that live in another package now -> that package. They are still found, with a
        DeprecationWarning that says where they are.
    """

    def find(name: str) -> Any:
        if moved and name in moved:
            text = f"{package}.{name} is {moved[name]}.{name} now; the old name goes with the next release"
            warnings.warn(text, DeprecationWarning, stacklevel=2)
            return getattr(import_module(moved[name]), name)
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(homes[name])
        value = module if homes[name] == f"{package}.{name}" else getattr(module, name)
        setattr(sys.modules[package], name, value)  # the next time it is simply there
        return value

    return find
