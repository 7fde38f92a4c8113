"""Ranks that are threads of one process: for many small cases, without a launcher."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from eventsnn._util.ranks import Ranks, Relay, SharedMemory

T = TypeVar("T")
TIMEOUT = 60.0


class ThreadRanks(Ranks):
    """One of several threads; what all have put down lies in `table`."""

    shares = False  # whether they have memory that all see, as the processes of one machine do
    _memory: SharedMemory | None = None

    def __init__(self, rank: int, table: list[Any], barrier: threading.Barrier) -> None:
        self.rank, self.size, self._table, self._barrier = rank, len(table), table, barrier

    def until(self, test: Callable[[], T]) -> T:
        def test_or_end() -> T:
            if self._barrier.broken:
                raise threading.BrokenBarrierError
            return test()

        return super().until(test_or_end)

    def memory(self, words: int) -> SharedMemory | None:
        if not self.shares:
            return None
        if self._memory is None or self._memory.words.shape[2] < words:
            self._table[self.rank] = np.zeros((2, self.size, words), np.int64)
            self._barrier.wait(TIMEOUT)
            self._memory = SharedMemory(self._table[0], np.zeros(1, np.int64))
            self._barrier.wait(TIMEOUT)
        return self._memory

    def collect(self, value: T) -> list[T]:
        self._table[self.rank] = pickle.dumps(value)
        self._barrier.wait(TIMEOUT)
        found = [pickle.loads(each) for each in self._table]
        self._barrier.wait(TIMEOUT)
        return found

    def of_first(self, make: Callable[[], T]) -> T:
        return self.collect(make() if self.first else None)[0]  # type: ignore[return-value]

    def join(self, *arrays: np.ndarray) -> list[np.ndarray]:
        every = self.collect(arrays)
        return [np.concatenate(parts) for parts in zip(*every, strict=True)]

    def complete(self, *arrays: np.ndarray) -> None:
        every = self.collect(arrays)
        for n, array in enumerate(arrays):
            for rank, given in enumerate(every):
                part = self.part(len(array), rank)
                array[part.start : part.stop] = given[n][part.start : part.stop]

    def swap(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [given[self.rank] for given in self.collect(list(arrays))]

    def relay(self, total: np.ndarray, add: Callable[[], None]) -> Relay:
        return ThreadRelay(self, total, add)

    def gather(self, own: np.ndarray, whole: np.ndarray) -> None:
        whole[...] = self.collect(own)

    def spread(self, array: np.ndarray, rank: int) -> None:
        array[...] = self.collect(array)[rank]


class ThreadRelay(Relay):
    def __init__(self, ranks: ThreadRanks, total: np.ndarray, add: Callable[[], None]) -> None:
        self._ranks, self._total, self._add = ranks, total, add

    def complete(self) -> None:
        for rank in range(self._ranks.size):
            if rank == self._ranks.rank:
                self._add()
            self._ranks.spread(self._total, rank)


def run_ranks(size: int, call: Callable[[Ranks], T]) -> list[T]:
    """What `call` returns on each rank; the first error of a rank is raised."""
    barrier, table = threading.Barrier(size), [None] * size
    found: list[Any] = [None] * size
    errors: dict[int, BaseException] = {}

    def work(rank: int) -> None:
        try:
            found[rank] = call(ThreadRanks(rank, table, barrier))
        except BaseException as error:
            errors[rank] = error
            barrier.abort()

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    own = [error for error in errors.values() if not isinstance(error, threading.BrokenBarrierError)]
    for error in own or errors.values():
        raise error
    return found
