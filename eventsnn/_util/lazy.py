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
            warn_renamed(f"{package}.{name}", f"{moved[name]}.{name}")
            return getattr(import_module(moved[name]), name)
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(homes[name])
        value = module if homes[name] == f"{package}.{name}" else getattr(module, name)
        setattr(sys.modules[package], name, value)  # the next time it is simply there
        return value

    return find


def renamed(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module in which some names are others now: old -> new."""

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warn_renamed(f"{module}.{name}", names[name])
        return getattr(sys.modules[module], names[name])

    return find


def warn_renamed(old: str, new: str) -> None:
    """Give the DeprecationWarning for a name that was used two calls above."""
    warnings.warn(
        f"{old} is {new} now; the old name goes with the next release", DeprecationWarning, stacklevel=3
    )
