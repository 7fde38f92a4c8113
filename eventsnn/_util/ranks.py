"""The processes of one run, on one machine or on many; `eventsnn._util.mpi` has what MPI does for them.

A launcher (``mpiexec``, ``srun``) starts the same command several times; each process is a *rank*. All ranks
do the same in the same order, and divide the work where it is large: each takes its `part` of some items, and
`join` puts the results of all together, in the order of the ranks, which is that of the items. So what a run
computes does not depend on how many ranks there are. A process that nobody launched is the one rank of its
run, `ALONE`, for which the part is everything and joining changes nothing; it never imports MPI.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from eventsnn._util.arguments import check_flag
from eventsnn.errors import EventSNNError, SimulationError

T = TypeVar("T")

OFF = "EVENTSNN_MPI"
"""Environment variable: 0 makes every process a run of its own, whatever has launched it."""

# Number of processes, as launchers tell it: Hydra (MPICH, Intel MPI) and SLURM's PMI-2, Open MPI, MVAPICH.
_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
_RANKS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK", "PMIX_RANK")
_SIZES_HERE = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE")
# PMIx tells the rank alone; how many there are is in the variables of SLURM's step.
_PMIX_SIZE = "SLURM_STEP_NUM_TASKS"

_yield = getattr(os, "sched_yield", lambda: time.sleep(0.0))
# Seconds that a rank which failed waits for the first one to say what is wrong: where all fail alike, one
# message is enough.
PATIENCE = 1.0
# The same after an interrupt: the first may be writing files on a busy machine, and has to say what was kept.
PATIENCE_INTERRUPTED = 10.0


class RanksError(EventSNNError, RuntimeError):
    """The processes that a launcher started cannot work together; says why."""


@dataclass(frozen=True)
class SharedMemory:
    """Memory of several processes; at first all is 0.

    Attributes
    ----------
    words : int64 array (2, ranks, words)
    count : int64 array (1,)
        Of exchanges in it, which each rank counts for itself.
    """

    words: np.ndarray
    count: np.ndarray


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

    def swap(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Give each rank one of `arrays`, uint8 (bytes,); returns what each rank gives this one."""
        return list(arrays)

    def relay(self, total: np.ndarray, add: Callable[[], None]) -> Relay:
        """Begin to hand `total`, contiguous, from rank to rank, each of which adds to it.

        `add` adds what this rank has to `total`, in place; it is called when all ranks before have added.
        """
        return Relay(add)

    def memory(self, words: int) -> SharedMemory | None:
        """Memory that all see, with so many words for each or more; None if they are on several machines.

        It is the same at every call, until more words are asked for: then that of before is of no more use.
        """
        return None

    def until(self, test: Callable[[], T]) -> T:
        """Wait for others until `test` returns something, which is returned; signals are heard.

        A rank that waits long leaves the processor to others.
        """
        start = time.monotonic()
        while not (found := test()):
            waited = time.monotonic() - start
            if waited > 2e-3:
                time.sleep(5e-5)
            elif waited > 1e-4:
                _yield()
        return found

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


class Relay:
    """A sum that goes from rank to rank, as one sees it; this class is that of a run of one process."""

    def __init__(self, add: Callable[[], None]) -> None:
        add()

    def advance(self) -> None:
        """Go on as far as nobody has to be waited for."""

    def complete(self) -> None:
        """Wait until all have added; then the total is the same on all ranks."""


ALONE = Ranks()
"""A run of one process."""


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
        See `eventsnn._util.mpi.MPIRanks`.
    """
    global _found
    if _found is None:
        _, size = launched()
        _found = _start(size) if size > 1 else ALONE
    return _found


def _start(size: int) -> Ranks:
    from eventsnn._util.mpi import MPIRanks

    return MPIRanks(size)


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
