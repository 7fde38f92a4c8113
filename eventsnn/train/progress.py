"""Progress bars on standard error, silent where that is no terminal."""

from __future__ import annotations

import sys
from typing import Any


def progress_bar(total: int, text: str, show: bool) -> Any:
    """A tqdm bar used as a context manager, with ``update(n)`` and ``set_postfix_str(text)``."""
    from tqdm import tqdm

    return tqdm(total=total, desc=text, unit="rec", leave=False, disable=not (show and sys.stderr.isatty()))
