"""Who else works on a run: what launchers tell, and the stand-in of a run of one process."""

from __future__ import annotations

import numpy as np
import pytest

from eventsnn._util import threads
from eventsnn._util.ranks import ALONE, OFF, Ranks, launched, launched_here
from tests.ranks import launch, needs_mpi


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (0, 1)),
        ({"PMI_RANK": "2", "PMI_SIZE": "4"}, (2, 4)),  # MPICH, Intel MPI; srun --mpi=pmi2
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "PMIX_RANK": "1"}, (1, 2)),
        ({"PMIX_RANK": "3", "SLURM_STEP_NUM_TASKS": "8"}, (3, 8)),  # srun --mpi=pmix
        ({"PMI_RANK": "0", "PMI_SIZE": "1"}, (0, 1)),
        # A job's script, or a task of srun without MPI, is a run of its own.
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "8"}, (0, 1)),
        ({"PMI_RANK": "2", "PMI_SIZE": "4", OFF: "0"}, (0, 1)),
    ],
)
def test_what_launchers_tell(environment: dict[str, str], expected: tuple[int, int]) -> None:
    assert launched(environment) == expected


def test_ranks_on_one_machine_share_its_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"PMI_RANK": "2", "PMI_SIZE": "8", "MPI_LOCALNRANKS": "4"}
    assert launched_here(here) == 4
    assert launched_here({**here, OFF: "0"}) == launched_here({"MPI_LOCALNRANKS": "4"}) == 1
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    for name, value in here.items():
        monkeypatch.setenv(name, value)
    for allowed, expected in ((range(16), 4), (range(2), 2)):  # the launcher has bound the second one
        monkeypatch.setattr("os.sched_getaffinity", lambda _, cores=allowed: set(cores), raising=False)
        assert threads.default_threads() == expected


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("n", [0, 1, 5, 25])
def test_parts_are_neighbours_and_together_the_whole(n: int, size: int) -> None:
    ranks = Ranks()
    ranks.size = size
    parts = [ranks.part(n, rank) for rank in range(size)]
    assert [item for part in parts for item in part] == list(range(n))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert all(item in parts[ranks.owner(n, item)] for item in range(n))


@needs_mpi
@pytest.mark.parametrize("size", [2, 3])
def test_what_processes_tell_each_other_arrives(size: int) -> None:
    code, _, err = launch(size, "-m", "tests._util.exchanged")
    assert code == 0, err


def test_one_process_has_everything() -> None:
    array = np.arange(5)
    (joined,) = ALONE.join(array)
    assert joined is array
    assert ALONE.first
    assert ALONE.swap([array])[0] is array
    relay = ALONE.relay(array, lambda: array.__iadd__(1))
    relay.advance()
    relay.complete()
    assert array[0] == 1
    assert ALONE.part(5) == range(5)
    assert ALONE.collect("x") == ["x"]
    assert ALONE.of_first(lambda: 3) == 3
