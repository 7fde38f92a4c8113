"""A null device that may get lost: with a fault in the code a test run as root would replace the system's."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest


def null_device(folder: Path) -> Path:
    """``/dev/null`` where this user cannot replace it, else one in `folder`; skips if that cannot be made."""
    if not os.access("/dev", os.W_OK):
        return Path("/dev/null")
    path = folder / "null"
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        path.write_bytes(b"")
    except OSError as error:
        pytest.skip(f"root must make a null device of its own here, and cannot: {error}")
    return path
