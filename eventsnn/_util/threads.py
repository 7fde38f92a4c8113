"""The only module that uses threads. Work is divided by data, never by thread: results do not depend on
the number of threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from numbers import Integral
from typing import TypeVar

from eventsnn._ext.memory import keep_freed
from eventsnn._util.numbers import describe
from eventsnn.errors import TrainingError

T = TypeVar("T")
R = TypeVar("R")


MOST_THREADS = 1024
"""More than this is a mistake: beyond the number of processors threads only wait for one another."""


def default_threads() -> int:
    """``OMP_NUM_THREADS`` if it is set, else the processors this process may use; at most `MOST_THREADS`."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and asked.strip("0"):
        # Python refuses to convert a number of thousands of digits.
        return min(int(asked), MOST_THREADS) if len(asked) < 10 else MOST_THREADS
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_threads(threads: int | None) -> int:
    """A number of threads, `default_threads` for None.

    Raises
    ------
    TrainingError
        If it is not a whole number from 1 to `MOST_THREADS`.
    """
    if threads is None:
        return default_threads()
    if isinstance(threads, bool) or not isinstance(threads, Integral) or not 1 <= threads <= MOST_THREADS:
        raise TrainingError(
            f"threads must be a whole number from 1 to {MOST_THREADS}, got {describe(threads)}"
        )
    return int(threads)


class Pool:
    """A few threads; kernels release the interpreter's lock, so they run side by side.

    Parameters
    ----------
    threads : int, optional
        Number of threads, 1 to `MOST_THREADS`; `default_threads` when None.

    Raises
    ------
    TrainingError
        If `threads` is none of these.
    """

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads = check_threads(threads)
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
