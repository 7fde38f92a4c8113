"""Compiled kernels. They trust their callers: use the Python drivers, which check."""

from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

if not any((Path(__file__).parent / f"records{suffix}").exists() for suffix in EXTENSION_SUFFIXES):
    from eventsnn.errors import NotBuiltError

    raise NotBuiltError(Path(__file__).parents[2])
