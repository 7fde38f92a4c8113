"""Progress bars on standard error, silent unless it is a terminal."""

from __future__ import annotations

import sys
from typing import Any


class _NoBar:
    """Replaces a bar that nobody would see; tqdm is then not imported."""

    def __enter__(self) -> _NoBar:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, n: int) -> None:
        pass

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        pass


def progress_bar(total: int, text: str, show: bool) -> Any:
    """A tqdm bar used as a context manager, with ``update(n)`` and ``set_postfix_str(text)``."""
    if not (show and sys.stderr.isatty()):
        return _NoBar()
    from tqdm import tqdm

    return tqdm(total=total, desc=text, unit="rec", leave=False)
