"""Programs as several processes under ``mpiexec``; tests that need it are skipped without it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TIMEOUT = 200

# Open MPI starts nothing as root, and no more processes than cores, unless told to; others ignore these.
ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMP_NUM_THREADS": "1",
}


def find_mpiexec() -> str | None:
    """The launcher that belongs to the MPI which mpi4py finds: in its own environment, else on the path."""
    beside = Path(sys.executable).with_name("mpiexec")
    return str(beside) if beside.exists() else shutil.which("mpiexec")


def reason() -> str | None:
    """Why nothing can be launched here; None if it can."""
    if importlib.util.find_spec("mpi4py") is None:
        return "mpi4py is not installed: pip install 'eventsnn[mpi]'"
    return None if find_mpiexec() else "there is no mpiexec: pip install 'eventsnn[mpi]', or load an MPI"


needs_mpi = pytest.mark.skipif(reason() is not None, reason=str(reason()))


def start(n: int, *arguments: object) -> subprocess.Popen[str]:
    """``python ARGUMENTS`` as `n` processes."""
    return subprocess.Popen(
        [str(find_mpiexec()), "-n", str(n), sys.executable, *map(str, arguments)],
        env={**os.environ, **ENVIRONMENT},
        cwd=Path(__file__).parents[1],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def launch(n: int, *arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of ``python ARGUMENTS`` as `n` processes.

    A run that hangs fails.
    """
    with start(n, *arguments) as process:
        try:
            out, err = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return process.returncode, out, err
