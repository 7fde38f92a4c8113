"""The only module that uses MPI: the processes of one run, on one machine or on many.

A launcher (``mpiexec``, ``srun``) starts the same command several times; each process is a *rank*. All ranks
do the same in the same order, and divide the work where it is large: each takes its `part` of some items, and
`join` puts the results of all together, in the order of the ranks, which is that of the items. So what a run
computes does not depend on how many ranks there are. A process that nobody launched is the one rank of its
run, `ALONE`, for which the part is everything and joining changes nothing; it never imports MPI.

Ranks wait for each other by asking again and again, not within MPI: so Ctrl-C is heard while they wait.
"""

from __future__ import annotations

import math
import os
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from eventsnn._util.arguments import check_flag
from eventsnn.errors import EventSNNError, MissingExtraError, SimulationError

T = TypeVar("T")

OFF = "EVENTSNN_MPI"
"""Environment variable: 0 makes every process a run of its own, whatever has launched it."""

# Number of processes, as launchers tell it: Hydra (MPICH, Intel MPI) and SLURM's PMI-2, Open MPI, MVAPICH.
_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
_RANKS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK", "PMIX_RANK")
_SIZES_HERE = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE")
# PMIx tells the rank alone; how many there are is in the variables of SLURM's step.
_PMIX_SIZE = "SLURM_STEP_NUM_TASKS"

# Seconds that a rank which failed waits for the first one to say what is wrong: where all fail alike, one
# message is enough.
PATIENCE = 1.0
# The same after an interrupt: the first may be writing files on a busy machine, and has to say what was kept.
PATIENCE_INTERRUPTED = 10.0
_yield = getattr(os, "sched_yield", lambda: time.sleep(0.0))
AXES = 4  # the most that an array has which is joined
SMALL = 1 << 20  # bytes of an array that is copied once more, to save an exchange
_KINDS: dict[int, np.dtype[Any]] = {int(np.dtype(code).num): np.dtype(code) for code in "?bBhHiIlLqQfd"}


class RanksError(EventSNNError, RuntimeError):
    """The processes that a launcher started cannot work together; says why."""


class Ranks:
    """The processes of one run, as one of them sees it; this class is that of a run of one process.

    Attributes
    ----------
    rank : int
        Number of this process, from 0.
    size : int
        How many there are.
    received : int
        Bytes that the others have sent so far.
    """

    rank: int = 0
    size: int = 1
    received: int = 0

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes files and messages."""
        return self.rank == 0

    def part(self, n: int, rank: int | None = None) -> range:
        """Which of `n` items are those of this rank, or of another; parts differ by one item at most."""
        rank = self.rank if rank is None else rank
        return range(n * rank // self.size, n * (rank + 1) // self.size)

    def owner(self, n: int, item: int) -> int:
        """The rank whose part of `n` items holds this one."""
        return next(rank for rank in range(self.size) if item in self.part(n, rank))

    def join(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """Each array with those of all ranks, one after the other along the first axis.

        Ranks may give different numbers of rows. The other axes and the dtype must be the same, unless a rank
        has no rows. All ranks are given equal arrays.
        """
        return list(arrays)

    def complete(self, *arrays: np.ndarray) -> None:
        """Fill in, in place, what the other ranks have computed: of each array every rank has its `part`."""

    def gather(self, own: np.ndarray, whole: np.ndarray) -> None:
        """Fill in `whole`, contiguous, rank by rank, from every rank's `own`, of the same shape on all."""
        whole[0] = own

    def spread(self, array: np.ndarray, rank: int) -> None:
        """Give all ranks, in place, the contiguous array of one of them."""

    def collect(self, value: T) -> list[T]:
        """The value of every rank; for small ones, which are pickled."""
        return [value]

    def of_first(self, make: Callable[[], T]) -> T:
        """What the first rank makes, for all ranks."""
        return make()

    def abort(self, code: int) -> None:
        """End the other ranks at once, and this one."""


ALONE = Ranks()
"""A run of one process."""


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
        for array in arrays:
            rows = np.array([len(self.part(len(array), rank)) for rank in range(self.size)])
            own = self.part(len(array))
            self._gather(array[own.start : own.stop].copy(), array, rows)

    def gather(self, own: np.ndarray, whole: np.ndarray) -> None:
        self.received += whole.nbytes - own.nbytes
        self._wait(self._world.Iallgather(own, whole))

    def spread(self, array: np.ndarray, rank: int) -> None:
        with self._rows(array) as row:
            self._wait(self._world.Ibcast([array, len(array), row], rank))

    def _gather(self, own: np.ndarray, whole: np.ndarray, rows: np.ndarray) -> None:
        starts = np.cumsum(rows) - rows
        self.received += whole.nbytes - own.nbytes
        with self._rows(whole) as row:
            self._wait(self._world.Iallgatherv([own, len(own), row], [whole, (rows, starts), row]))

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
        """Wait for an exchange; signals are heard. A rank that waits long leaves the processor to others."""
        start = time.monotonic()
        while not request.Test():
            waited = time.monotonic() - start
            if waited > 2e-3:
                time.sleep(5e-5)
            elif waited > 1e-4:
                _yield()

    def abort(self, code: int) -> None:
        """End all ranks at once."""
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        self._world.Abort(code)


def _describe(array: np.ndarray) -> list[int]:
    """An array's type and shape, as many numbers for any."""
    return [array.dtype.num, *array.shape, *[-1] * (AXES - array.ndim)]


def _size(described: Sequence[int]) -> int:
    """Bytes of an array that `_describe` has described."""
    return _KINDS[described[0]].itemsize * math.prod(n for n in described[1:] if n >= 0)


def _room(described: Sequence[int]) -> int:
    """The same, up to where the next array may begin."""
    return -(-_size(described) // 8) * 8


def _to_bytes(arrays: Sequence[np.ndarray]) -> np.ndarray:
    room = np.zeros(sum(_room(_describe(array)) for array in arrays), np.uint8)
    start = 0
    for array in arrays:
        room[start : start + array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        start += _room(_describe(array))
    return room


def _abort_uncaught(ranks: MPIRanks) -> None:
    """An exception that ends the Python program of one rank ends the others, who would wait for it."""
    show = sys.excepthook

    def end(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
        show(kind, value, trace)
        ranks.abort(1)

    sys.excepthook = end


def launched(environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """(rank, size) that a launcher gave this process; (0, 1) without one."""
    size = _number(environment, _SIZES)
    if size is None and "PMIX_RANK" in environment:
        size = _number(environment, (_PMIX_SIZE,))
    rank = _number(environment, _RANKS)
    if size is None or size < 2 or rank is None or environment.get(OFF) == "0":
        return 0, 1
    return rank, size


def launched_here(environment: Mapping[str, str] = os.environ) -> int:
    """How many of the processes that a launcher has started are on this machine; 1 where it does not tell."""
    return (_number(environment, _SIZES_HERE) or 1) if launched(environment)[1] > 1 else 1


def _number(environment: Mapping[str, str], names: Sequence[str]) -> int | None:
    found = [environment[name] for name in names if environment.get(name, "").isdecimal()]
    return int(found[0]) if found else None


_found: Ranks | None = None


def find_ranks() -> Ranks:
    """The ranks of this run: those that a launcher has started, else this process alone.

    Raises
    ------
    MissingExtraError, RanksError
        See `MPIRanks`.
    """
    global _found
    if _found is None:
        _, size = launched()
        _found = MPIRanks(size) if size > 1 else ALONE
    return _found


def as_ranks(ranks: bool | Ranks) -> Ranks:
    """The ranks that an argument means: true for those of this run.

    Raises SimulationError for anything else, such as the number of ranks, which the launcher says.
    """
    if isinstance(ranks, Ranks):
        return ranks
    check_flag("ranks", ranks, _how_many)
    return find_ranks() if ranks else ALONE


def _how_many(text: str) -> SimulationError:
    return SimulationError(f"{text}; how many there are is said to the launcher: mpiexec -n 4 python ...")
