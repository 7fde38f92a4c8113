"""Recordings that are too large or not ours to ship; tests that need them skip without them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def real_data(*parts: str) -> Path:
    """Return a path below the folder that EVENTSNN_DATA names, or skip the test."""
    root = os.environ.get("EVENTSNN_DATA")
    if not root:
        pytest.skip("EVENTSNN_DATA does not name a folder of recordings")
    path = Path(root, *parts)
    if not path.exists():
        pytest.skip(f"EVENTSNN_DATA holds no {'/'.join(parts)}")
    return path
