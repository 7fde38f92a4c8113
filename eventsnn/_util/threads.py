"""The only module that uses threads. Work is divided by data, never by thread: results do not depend on
the number of threads.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

from eventsnn._ext.memory import keep_freed
from eventsnn._ext.team import Call, Task, Team
from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.arguments import check_whole
from eventsnn._util.interrupts import hold_interrupts
from eventsnn._util.ranks import launched_here
from eventsnn.errors import TrainingError

T = TypeVar("T")
R = TypeVar("R")


MOST_THREADS = 1024
"""More than this is a mistake: beyond the number of processors threads only wait for one another."""


def default_threads() -> int:
    """``OMP_NUM_THREADS`` if it is set, else the processors this process may use; at most `MOST_THREADS`.

    Processes that a launcher has started on one machine, and has bound to no processors, share them.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and asked.strip("0"):
        # Python refuses to convert a number of thousands of digits.
        return min(int(asked), MOST_THREADS) if len(asked) < 10 else MOST_THREADS
    every = os.cpu_count() or 1
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else every
    return mine if mine < every else max(1, every // launched_here())


def check_threads(threads: int | None) -> int:
    """A number of threads, `default_threads` for None.

    Raises
    ------
    TrainingError
        If it is not a whole number from 1 to `MOST_THREADS`.
    """
    if threads is None:
        return default_threads()
    return check_whole("threads", threads, TrainingError, 1, MOST_THREADS)


def run_all(
    function: Callable[[int], object], n: int, threads: int, progress: Callable[[int], object] | None = None
) -> None:
    """Call a function with 0 .. n - 1, on several threads; `progress` is called with 1 after each."""
    with ThreadPoolExecutor(threads) as pool:
        try:
            # Ctrl-C within `submit` can leave a lock of the pool taken for ever: it waits for its end.
            with hold_interrupts():
                results = pool.map(function, range(n))
            for _ in results:
                if progress is not None:
                    progress(1)
        except BaseException:
            # Also on Ctrl-C: drop what has not begun, or leaving the pool would wait for all of it.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class Share(Protocol):
    """Calls the work it is given once on each of some threads, and returns when all of it is done.

    Work is a kernel (`Task`), which needs no lock of the interpreter, or a Python function, a loop over the
    units that it takes from `counter`. `items` says how many spikes or arrivals it goes through in all, where
    it is known to be little for each: for few it is not worth a second thread.
    """

    def __call__(
        self, work: Callable[[], None], counter: WorkCounter | None = None, items: int | None = None
    ) -> None: ...


def call(work: Callable[[], None], counter: WorkCounter | None = None, items: int | None = None) -> None:
    """Do the work on the calling thread; `Pool.share` shares it out instead."""
    work()


FEW = 8_000
"""A thread needs about 0.1 ms to wake up, in which another goes through as many spikes."""


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
        self._team = Team()
        self._helpers = [
            threading.Thread(target=self._team.serve, name="eventsnn-team", daemon=True)
            for _ in range(threads - 1)
        ]
        for helper in self._helpers:
            helper.start()
        self._meanwhile: list[Callable[[], object]] = []
        # Reading ahead has a thread of its own: a slow disk must not hold up the kernels.
        self._reader = ThreadPoolExecutor(1)

    def share(
        self, work: Callable[[], None], counter: WorkCounter | None = None, items: int | None = None
    ) -> None:
        """See `Share`; what was begun before is finished first."""
        if isinstance(work, Task):
            counter = work.counter
        few = (items is not None and items < FEW) or (counter is not None and counter.count < 2)
        if few or self.threads == 1:
            self.finish()
            work()
            return
        self.begin(work, counter)
        self._team.finish()

    def begin(
        self, work: Callable[[], None], counter: WorkCounter | None = None, items: int | None = None
    ) -> None:
        """As `share`, but return at once: the other threads begin, and `finish` completes the work.

        What was begun before is finished first.
        """
        if self.threads == 1:  # nobody else would begin
            self.finish()
            work()
            return
        self._team.finish()
        self._team.start(work if isinstance(work, Task) else Call(work, counter))
        self._catch_up()

    def finish(self) -> None:
        """Complete what was begun, if anything was; raises the errors in it."""
        self._team.finish()
        self._catch_up()

    def meanwhile(self, function: Callable[[], object]) -> None:
        """Call a function on the calling thread when the other threads have begun with what is shared next,
        which it must not depend on; at the latest in `finish`.

        What was begun before is finished by then.
        """
        self._meanwhile.append(function)

    def _catch_up(self) -> None:
        functions, self._meanwhile = self._meanwhile, []
        try:
            for function in functions:
                function()
        except BaseException:
            self._team.abandon()
            raise

    def prefetch(self, function: Callable[[T], R], items: Iterable[T]) -> Iterable[R]:
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
        """End the threads; what was begun and not finished is abandoned."""
        self._meanwhile.clear()
        self._team.stop()
        for helper in self._helpers:
            helper.join()
        self._reader.shutdown(cancel_futures=True)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self.close()


DEPTH = 8


class Prefetch(Generic[T]):
    """Items of an iterable, made in a thread up to `depth` ahead; use it in a ``with`` statement.

    Decoders and engines release the interpreter's lock, so both work at once. What the iterable raises is
    raised here, in its turn.
    """

    def __init__(self, items: Iterable[T], depth: int = DEPTH) -> None:
        self._items = items
        # (item, error); (None, None) ends it.
        self._queue: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(depth)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="eventsnn-ahead", daemon=True)
        self._done = False

    def __enter__(self) -> Prefetch[T]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        while not self._done:
            item, error = self._queue.get()
            if error is not None:
                self._done = True
                raise error
            if item is None:
                self._done = True
            else:
                yield item

    def _work(self) -> None:
        try:
            for item in self._items:
                if not self._put((item, None)):
                    return
            self._put((None, None))
        except BaseException as error:
            self._put((None, error))

    def _put(self, entry: tuple[T | None, BaseException | None]) -> bool:
        """False if nobody wants any more."""
        while not self._stopped.is_set():
            try:
                self._queue.put(entry, timeout=0.05)
            except queue.Full:
                continue
            return True
        return False
