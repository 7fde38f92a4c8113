"""A disk that fills up: an error, no crash, and nothing wrong under a final name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import eventsnn as es
from tests.trace.conftest import assert_same_record

if sys.platform == "win32":
    pytest.skip("needs limits on the size of files", allow_module_level=True)

from tests._util import disk

ROOT = Path(__file__).parents[2]
FINAL = {
    "trace": "t.h5",
    "spikes": "s.csv",
    "state": "s.npz",
    "pack": "p.esp",
    "checkpoint": "c.h5",
    "model": "m.h5",
    "packed-h5": "r.h5",
    "npz": "r.npz",
    "csv": "r.csv",
}


def write(kind: str, folder: Path, *sizes: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests._util.disk", kind, str(folder), *sizes]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Every kind of file, written with room."""
    folder = tmp_path_factory.mktemp("whole")
    for write_kind in disk.KINDS.values():
        write_kind(folder)
    return {kind: (folder / name).read_bytes() for kind, name in FINAL.items()}


@pytest.mark.parametrize("kind", [kind for kind in FINAL if kind not in ("trace", "spikes")])
def test_a_file_is_there_complete_or_not_at_all(tmp_path: Path, whole: dict[str, bytes], kind: str) -> None:
    size, name = len(whole[kind]), FINAL[kind]
    sizes = [0, *(size * part // 8 + 1 for part in range(1, 8)), size - 1]
    done = write(kind, tmp_path, *map(str, sizes), str(4 * size))
    assert done.returncode == 1, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == len(sizes), done.stderr
    assert all("cannot be written" in line and "File too large" in line for line in lines), lines
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*.*")] == [Path(str(4 * size), name)]
    assert (tmp_path / str(4 * size) / name).read_bytes() == whole[kind]


def test_a_table_of_spikes_has_no_cut_line(tmp_path: Path, whole: dict[str, bytes]) -> None:
    size = len(whole["spikes"])
    sizes = [0, 5, *(size * part // 8 + part for part in range(1, 8)), size - 1]
    done = write("spikes", tmp_path, *map(str, sizes), f"{size // 2}~", str(size))
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("s.csv: cannot be written (File too large)") >= len(sizes), done.stderr
    assert not (tmp_path / "0" / "s.csv").exists()
    assert not (tmp_path / "5" / "s.csv").exists()
    kept = [path.read_bytes() for path in tmp_path.glob("*/s.csv")]
    assert len(kept) == len(sizes)
    assert all(data.endswith(b"\n") and whole["spikes"].startswith(data) for data in kept)
    assert whole["spikes"] in kept


def check_trace(folder: Path, done: subprocess.CompletedProcess[str]) -> int:
    """Number of samples that are called complete, after a look at all of them; -1 if there is no file."""
    assert done.returncode in (0, 1), done.stderr
    files = list(folder.iterdir())
    if done.returncode == 1:
        assert done.stderr.count("\n") == 1, done.stderr
        assert "t.h5: cannot be written (File too large)" in done.stderr
        assert all(path.name.endswith(".part") for path in files)
    if not files:
        return -1
    (path,) = files
    right = [disk.make_run(number) for number in range(3)]
    with es.Trace(path) as trace:
        for sample in trace.samples:
            assert sample.source == str(sample.index)
            assert_same_record(trace.record(sample.index), right[sample.index % 3])
        if done.returncode == 1:
            assert f"{path} holds the first {len(trace)} samples, complete" in done.stderr
        return len(trace)


def test_a_trace_calls_nothing_complete_that_is_not(tmp_path: Path, whole: dict[str, bytes]) -> None:
    size, held = len(whole["trace"]), []
    for limit in (0, 1000, *(size * part // 5 for part in range(1, 5)), size - 1):
        held.append(check_trace(tmp_path / str(limit), write("trace", tmp_path, str(limit))))
    assert held[0] == held[1] == -1
    assert set(held[2:]) <= {-1, 10, 20, 30, 34}
    assert max(held) >= 20
    assert check_trace(tmp_path / str(4 * size), write("trace", tmp_path, str(4 * size))) == 34


@pytest.mark.parametrize("part", [1, 3])
def test_a_disk_that_was_full_for_a_while(tmp_path: Path, whole: dict[str, bytes], part: int) -> None:
    """What was lost meanwhile must not be in a file that looks whole later."""
    limit = f"{len(whole['trace']) * part // 4}~"
    check_trace(tmp_path / limit, write("trace", tmp_path, limit))
    limit = f"{len(whole['model']) * part // 4}~"
    done = write("model", tmp_path, limit)
    assert done.returncode in (0, 1)
    for path in (tmp_path / limit).iterdir():
        assert path.read_bytes() == whole["model"]
