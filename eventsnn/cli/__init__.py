"""The command line: thin commands over the public interface.

Libraries are imported by the command that needs them, so that ``eventsnn --help`` answers at once.
"""

from __future__ import annotations

from eventsnn.cli.app import main

__all__ = ["main"]
