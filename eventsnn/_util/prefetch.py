"""Prefetching: a separate thread decodes events a few parts ahead of their use."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

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
