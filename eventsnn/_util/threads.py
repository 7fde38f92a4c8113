"""The only file that knows about threads. Work is cut by what it works on, never by who works: no result
depends on their number."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from eventsnn._ext.memory import keep_freed
from eventsnn.errors import TrainingError

T = TypeVar("T")
R = TypeVar("R")


def default_threads() -> int:
    """``OMP_NUM_THREADS`` if it is set, else the processors this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Pool:
    """A few threads; kernels release the interpreter's lock, so they run side by side.

    Parameters
    ----------
    threads : int, optional
        Number of threads, >= 1; `default_threads` when None.

    Raises
    ------
    TrainingError
        If `threads` is not a whole number >= 1.
    """

    def __init__(self, threads: int | None = None) -> None:
        if threads is None:
            threads = default_threads()
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise TrainingError(f"threads must be a whole number >= 1, got {threads!r}")
        self.threads = threads
        keep_freed()
        self._workers = ThreadPoolExecutor(threads - 1) if threads > 1 else None
        # Reading ahead has a thread of its own: it must not wait behind the kernels.
        self._reader = ThreadPoolExecutor(1)

    def share(self, work: Callable[[], None]) -> None:
        """Call `work` once on every thread, the calling one included, and wait for all of them.

        What is to be done is taken from a `WorkCounter` by whoever is free.
        """
        others = [self._workers.submit(work) for _ in range(self.threads - 1)] if self._workers else []
        try:
            work()
        finally:
            wait(others)
        for other in others:
            other.result()

    def ahead(self, function: Callable[[T], R], items: Iterable[T]) -> Iterable[R]:
        """The same lazily and in order, one item read ahead in the background while the caller works."""
        waiting: Future[R] | None = None
        for item in items:
            coming = self._reader.submit(function, item)
            if waiting is not None:
                yield waiting.result()
            waiting = coming
        if waiting is not None:
            yield waiting.result()

    def close(self) -> None:
        """End the threads."""
        if self._workers is not None:
            self._workers.shutdown(cancel_futures=True)
        self._reader.shutdown(cancel_futures=True)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
