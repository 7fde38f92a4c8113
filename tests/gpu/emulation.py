"""Whether the emulation of a graphics card was built."""

from __future__ import annotations

import importlib.util

import pytest

needs_emulation = pytest.mark.skipif(
    importlib.util.find_spec("eventsnn._ext.gpu_emulation") is None,
    reason="the emulation of a graphics card was not built: no C++ compiler",
)
