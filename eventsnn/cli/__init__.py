"""The command line: thin commands over the public interface.

Each command imports the libraries that it needs, so that ``eventsnn --help`` starts fast.
"""

from __future__ import annotations

from eventsnn.cli.app import main

__all__ = ["main"]
