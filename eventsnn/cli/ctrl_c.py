"""Ctrl-C that no import and no callback swallows.

Python turns Ctrl-C into an exception wherever the program happens to be, and in two kinds of places it drops
it: the command would go on as if nobody had pressed it.

- In callbacks (`__del__`, those of h5py, those of weak references, of which every import has one) it is
  printed and dropped. `sys.unraisablehook` gets it then, and raises it again a moment later.
- Modules catch everything while they are imported: those of Cython with memoryviews, ours included, register
  their types in a ``try`` with a bare ``except``. Ctrl-C therefore waits until no module is being imported.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from types import FrameType
from typing import Any

_PAUSE = 0.05  # s, until Ctrl-C is tried again


@contextmanager
def insistent() -> Iterator[list[int]]:
    """Have Ctrl-C end the block, wherever it falls; KeyboardInterrupt comes out of it.

    The list is empty until Ctrl-C has been raised: NumPy, say, turns it into an error of its own in places.
    Outside the main thread, which alone gets signals, and where Ctrl-C is ignored, this does nothing.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield []
        return
    ended, waiting, hook = threading.Event(), threading.Lock(), sys.unraisablehook
    outside, raised = frozenset(_stack(sys._getframe())), list[int]()

    def insist() -> None:
        if waiting.acquire(blocking=False):  # however often it is pressed meanwhile
            _thread.start_new_thread(press_again, ())

    def press_again() -> None:
        over = ended.wait(_PAUSE)
        waiting.release()
        if not over:
            if hasattr(signal, "pthread_kill"):  # ends a wait in a system call as well
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            else:
                _thread.interrupt_main()

    def meet(number: int, frame: FrameType | None) -> None:
        inside = takewhile(lambda one: one not in outside, _stack(frame))
        if any(one.f_code.co_filename == "<frozen importlib._bootstrap>" for one in inside):
            insist()
        else:
            raised.append(number)
            signal.default_int_handler(number, frame)

    def hear(dropped: Any) -> None:
        if issubclass(dropped.exc_type, KeyboardInterrupt):
            insist()  # not at once: the hook is a callback as well
        else:
            hook(dropped)

    signal.signal(signal.SIGINT, meet)
    sys.unraisablehook = hear
    try:
        yield raised
    finally:
        ended.set()
        sys.unraisablehook = hook
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
