"""The only module that uses MPI: what the processes that a launcher has started tell each other.

Ranks wait for each other by asking again and again, not within MPI: so Ctrl-C is heard while they wait.
"""

from __future__ import annotations

import math
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from eventsnn._util.ranks import Ranks, RanksError, Relay, SharedMemory
from eventsnn.errors import MissingExtraError

T = TypeVar("T")

AXES = 4  # the most that an array has which is joined
FORWARDING = 0.2  # seconds for a launcher to print what was said, before it is told to end all and drops it
SMALL = 1 << 20  # bytes of an array that is copied once more, to save an exchange
_KINDS: dict[int, np.dtype[Any]] = {int(np.dtype(code).num): np.dtype(code) for code in "?bBhHiIlLqQfd"}


class MPIRanks(Ranks):
    """The processes that a launcher has started.

    Raises
    ------
    MissingExtraError
        mpi4py is not installed.
    RanksError
        MPI is another one than the launcher's.
    """

    def __init__(self, size: int) -> None:
        try:
            from mpi4py import MPI
        except ModuleNotFoundError:
            raise MissingExtraError("mpi4py", "mpi", f"a run of {size} processes") from None
        except (ImportError, RuntimeError) as error:
            raise RanksError(
                f"mpi4py finds no MPI library ({error}): pip install 'eventsnn[mpi]', or load your site's MPI"
            ) from None
        self._mpi, self._world = MPI, MPI.COMM_WORLD
        self.rank, self.size = self._world.Get_rank(), self._world.Get_size()
        if self.size != size:
            library = MPI.Get_library_version().splitlines()[0].rstrip("\0").strip()
            raise RanksError(
                f"the launcher started {size} processes, but MPI counts {self.size}: mpi4py uses "
                f"{library}, which is not the launcher's; start the run with the mpiexec of that library"
            )
        self._relays: Any = None
        self._window: Any = None
        self._shared: SharedMemory | None = None
        _abort_uncaught(self)

    def join(self, *arrays: np.ndarray) -> list[np.ndarray]:
        shapes = np.array([_describe(array) for array in arrays], np.int64)
        every = np.empty((self.size, *shapes.shape), np.int64)
        self._wait(self._world.Iallgather(shapes, every))
        # Small arrays go together, to wait once for all; large ones each to its place, to be copied once.
        together = [n for n in range(len(arrays)) if sum(map(_size, every[:, n].tolist())) <= SMALL]
        packed = self._join_packed([arrays[n] for n in together], every[:, together])
        small = dict(zip(together, packed, strict=True))
        return [
            small[n] if n in small else self._join_large(array, every[:, n]) for n, array in enumerate(arrays)
        ]

    def _join_large(self, array: np.ndarray, shapes: np.ndarray) -> np.ndarray:
        rows = shapes[:, 1]
        # A rank without rows may not know how long the other axes are, and of what.
        kind, _, *axes = shapes[int(np.argmax(rows > 0))].tolist()
        whole = np.empty((int(rows.sum()), *(n for n in axes if n >= 0)), _KINDS[kind])
        self._gather(np.ascontiguousarray(array), whole, rows)
        return whole

    def _join_packed(self, arrays: Sequence[np.ndarray], every: np.ndarray) -> list[np.ndarray]:
        """`join` in one exchange: each array begins at a multiple of 8 bytes."""
        sizes = np.array([sum(map(_room, shapes)) for shapes in every.tolist()], np.int64)
        whole, starts = np.empty(int(sizes.sum()), np.uint8), np.cumsum(sizes) - sizes
        if len(whole):
            self._gather(_to_bytes(arrays), whole, sizes)
        joined = []
        for n, array in enumerate(arrays):
            parts = []
            for rank, shape in enumerate(every[:, n].tolist()):
                kind, rows, *axes = shape
                if rows:
                    found = whole[starts[rank] : starts[rank] + _size(shape)].view(_KINDS[kind])
                    parts.append(found.reshape(rows, *(axis for axis in axes if axis >= 0)))
                starts[rank] += _room(shape)
            joined.append(np.concatenate(parts) if parts else array)
        return joined

    def complete(self, *arrays: np.ndarray) -> None:
        # As for `join`.
        small = [array for array in arrays if array.nbytes <= SMALL]
        for array in arrays:
            if array.nbytes > SMALL:
                self._gather(None, array, np.array([len(self._part_of(array, n)) for n in range(self.size)]))
        if not small:
            return
        parts = [[_flat(self._part_of(array, rank)) for array in small] for rank in range(self.size)]
        sizes = np.array([sum(map(len, each)) for each in parts])
        whole, place = np.empty(int(sizes.sum()), np.uint8), 0
        self._gather(np.concatenate(parts[self.rank]), whole, sizes)
        for rank, each in enumerate(parts):
            for part in each:
                if rank != self.rank:
                    part[...] = whole[place : place + len(part)]
                place += len(part)

    def _part_of(self, array: np.ndarray, rank: int) -> np.ndarray:
        part = self.part(len(array), rank)
        return array[part.start : part.stop]

    def gather(self, own: np.ndarray, whole: np.ndarray) -> None:
        self.received += whole.nbytes - own.nbytes
        self._wait(self._world.Iallgather(own, whole))

    def swap(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        others = [rank for rank in range(self.size) if rank != self.rank]
        # How long a message is, it says itself: nobody waits for sizes first.
        requests = [self._world.Isend(arrays[rank], rank) for rank in others]
        found, status = list(arrays), self._mpi.Status()
        for rank in others:
            probe = partial(self._world.Improbe, rank, self._mpi.ANY_TAG, status)
            message: Any = self.until(probe)
            found[rank] = np.empty(status.Get_count(self._mpi.BYTE), np.uint8)
            requests.append(message.Irecv(found[rank]))
            self.received += found[rank].nbytes
        self.until(partial(self._mpi.Request.Testall, requests))
        return found

    def relay(self, total: np.ndarray, add: Callable[[], None]) -> Relay:
        if self._relays is None:  # apart, for other exchanges come between
            self._relays = self._world.Dup()
        return MPIRelay(self, self._relays, total, add)

    def spread(self, array: np.ndarray, rank: int) -> None:
        with self._rows(array) as row:
            self._wait(self._world.Ibcast([array, len(array), row], rank))

    def _gather(self, own: np.ndarray | None, whole: np.ndarray, rows: np.ndarray) -> None:
        """Fill in `whole` from what every rank has, so many rows; None if its own are there already."""
        starts = np.cumsum(rows) - rows
        self.received += whole.nbytes - whole.nbytes // max(1, len(whole)) * int(rows[self.rank])
        with self._rows(whole) as row:
            sent = self._mpi.IN_PLACE if own is None else [own, len(own), row]
            self._wait(self._world.Iallgatherv(sent, [whole, (rows, starts), row]))

    @contextmanager
    def _rows(self, array: np.ndarray) -> Iterator[Any]:
        """MPI's type of a row: counting rows, not bytes, keeps large arrays within C's int."""
        row = self._mpi.BYTE.Create_contiguous(array.nbytes // max(1, len(array))).Commit()
        try:
            yield row
        finally:
            row.Free()

    def collect(self, value: T) -> list[T]:
        data = np.frombuffer(pickle.dumps(value), np.uint8)
        sizes = np.empty(self.size, np.int64)
        self._wait(self._world.Iallgather(np.array([len(data)], np.int64), sizes))
        whole, ends = np.empty(int(sizes.sum()), np.uint8), np.cumsum(sizes).tolist()
        self._gather(data, whole, sizes)
        parts = zip([0, *ends[:-1]], ends, strict=True)
        return [pickle.loads(whole[start:end].tobytes()) for start, end in parts]

    def of_first(self, make: Callable[[], T]) -> T:
        (value, *_) = self.collect(make() if self.first else None)
        return value  # type: ignore[return-value]

    def _wait(self, request: Any) -> None:
        """Wait for an exchange."""
        self.until(request.Test)

    def memory(self, words: int) -> SharedMemory | None:
        if self._shared is None or self._shared.words.shape[2] < words:
            self._shared = self._allocate(words)
        return self._shared

    def _allocate(self, words: int) -> SharedMemory | None:
        if self._window is None:
            node = self._world.Split_type(self._mpi.COMM_TYPE_SHARED)
            together = node.Get_size() == self.size
            node.Free()
            if not all(self.collect(together)):
                return None
        else:
            self._window.Free()
        shape, window = (2, self.size, words), None
        with suppress(self._mpi.Exception):  # such as little room in /dev/shm
            window = self._mpi.Win.Allocate_shared(8 * math.prod(shape) * self.first, 8, comm=self._world)
        if not all(self.collect(window is not None)):
            return None
        self._window = window
        found = np.frombuffer(self._window.Shared_query(0)[0], np.int64).reshape(shape)
        if self.first:
            found[...] = 0
        self.collect(None)
        return SharedMemory(found, np.zeros(1, np.int64))

    def abort(self, code: int) -> None:
        """End all ranks at once."""
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        time.sleep(FORWARDING)
        self._world.Abort(code)


class MPIRelay(Relay):
    """See `Relay`."""

    def __init__(self, ranks: MPIRanks, world: Any, total: np.ndarray, add: Callable[[], None]) -> None:
        self._ranks, self._world, self._total, self._add = ranks, world, total, add
        self._sent: Any = None
        self._given: Any = None
        if ranks.first:
            self._hand_on()
        else:
            self._given = world.Irecv(total, ranks.rank - 1)

    def _hand_on(self) -> None:
        self._add()
        self._given, last = None, self._ranks.size - 1
        if self._ranks.rank == last:  # which gives it to all
            self._sent = self._world.Ibcast(self._total, last)
        else:
            self._sent = self._world.Isend(self._total, self._ranks.rank + 1)

    def advance(self) -> None:
        if self._given is not None and self._given.Test():
            self._hand_on()

    def complete(self) -> None:
        if self._given is not None:
            self._ranks._wait(self._given)
            self._hand_on()
        self._ranks._wait(self._sent)
        if self._ranks.rank < self._ranks.size - 1:
            self._ranks._wait(self._world.Ibcast(self._total, self._ranks.size - 1))


def _describe(array: np.ndarray) -> list[int]:
    """An array's type and shape, as many numbers for any."""
    return [array.dtype.num, *array.shape, *[-1] * (AXES - array.ndim)]


def _size(described: Sequence[int]) -> int:
    """Bytes of an array that `_describe` has described."""
    return _KINDS[described[0]].itemsize * math.prod(n for n in described[1:] if n >= 0)


def _room(described: Sequence[int]) -> int:
    """The same, up to where the next array may begin."""
    return -(-_size(described) // 8) * 8


def _flat(array: np.ndarray) -> np.ndarray:
    """The bytes of a contiguous array, a view."""
    return array.reshape(-1).view(np.uint8)


def _to_bytes(arrays: Sequence[np.ndarray]) -> np.ndarray:
    room = np.zeros(sum(_room(_describe(array)) for array in arrays), np.uint8)
    start = 0
    for array in arrays:
        room[start : start + array.nbytes] = _flat(np.ascontiguousarray(array))
        start += _room(_describe(array))
    return room


def _abort_uncaught(ranks: MPIRanks) -> None:
    """An exception that ends the Python program of one rank ends the others, who would wait for it."""
    show = sys.excepthook

    def end(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
        show(kind, value, trace)
        ranks.abort(1)

    sys.excepthook = end
