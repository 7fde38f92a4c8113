"""What a pool asks of the C library."""

from __future__ import annotations

import platform

from eventsnn._ext.memory import keep_freed


def test_freed_memory_is_kept_where_the_library_can() -> None:
    assert keep_freed() == (platform.libc_ver()[0] == "glibc")
