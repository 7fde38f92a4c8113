"""Reading at a place of an open file, from any number of threads."""

from __future__ import annotations

import os
import threading

_LOCK = threading.Lock()


def _seek_and_read(descriptor: int, size: int, offset: int) -> bytes:
    """`os.pread` where the system has none (Windows): nobody else may use the descriptor otherwise."""
    with _LOCK:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, size)


read_at = getattr(os, "pread", _seek_and_read)
"""``read_at(descriptor, size, offset)``: at most `size` bytes from `offset` on."""

READ_ONLY = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
"""Flags of `os.open` for reading bytes as they are; Windows would change ends of lines without."""
