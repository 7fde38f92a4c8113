"""Ctrl-C that waits until a file is written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Held:
    """Ctrl-C that waits; true if there is any."""

    def __init__(self, handler: Callable[[int, FrameType | None], Any] | None) -> None:
        self._handler, self._waiting = handler, list[tuple[int, FrameType | None]]()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def hold(self, number: int, frame: FrameType | None) -> None:
        """The handler of signals within the block."""
        self._waiting.append((number, frame))
        if len(self._waiting) > 1:
            self.deliver()

    def deliver(self) -> None:
        """Do now what Ctrl-C does: raise KeyboardInterrupt, unless a block around this one holds it too."""
        if self._waiting and self._handler is not None:
            first, self._waiting = self._waiting[0], []
            self._handler(*first)


@contextmanager
def hold_interrupts() -> Iterator[Held]:
    """Let Ctrl-C wait until the block has ended, or delivers it; a second one does not wait.

    For blocks that write HDF5 files: h5py runs Python callbacks in which an exception is printed and dropped,
    so an interrupt that falls into one would be lost. Outside the main thread, which alone gets signals, this
    does nothing.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield Held(None)
        return
    held = Held(handler)
    signal.signal(signal.SIGINT, held.hold)
    try:
        yield held
    finally:
        signal.signal(signal.SIGINT, handler)
    held.deliver()
