"""One writer at a time, whatever became of those before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from eventsnn._util.lock import Lock
from tests.devices import null_device

HOLDER = """
import sys, time
from eventsnn._util.lock import Lock
lock = Lock(sys.argv[1], RuntimeError)
print("locked", flush=True)
time.sleep(60)
"""


class Busy(Exception):
    pass


@pytest.mark.parametrize("kind", ["file", "folder", "nothing yet"])
def test_the_second_is_kept_out(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    if kind == "file":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    with Lock(path, Busy):
        with pytest.raises(Busy, match=rf"another run is writing it \(process {os.getpid()}\); wait"):
            Lock(path, Busy)
        Lock(tmp_path / "b", Busy).release()
    with Lock(path, Busy):
        pass
    assert [p.name for p in tmp_path.rglob("*")] == ([] if kind == "nothing yet" else ["a"])


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_two_names_of_one_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with Lock(tmp_path / "a", Busy), pytest.raises(Busy):
        Lock(tmp_path / "link", Busy)


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_killed_holder_keeps_nobody_out(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "locked\n"
        with pytest.raises(Busy, match=rf"\(process {child.pid}\)"):
            Lock(tmp_path, Busy)
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert (tmp_path / ".lock").exists()
    with Lock(tmp_path, Busy):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_is_dropped_is_released(tmp_path: Path) -> None:
    lock = Lock(tmp_path, Busy)
    del lock
    Lock(tmp_path, Busy).release()


def test_where_no_lock_can_be_made_nobody_is_kept_out(tmp_path: Path) -> None:
    with Lock(tmp_path / "no folder" / "a", Busy), Lock(tmp_path / "no folder" / "a", Busy):
        pass


@pytest.mark.skipif(os.name != "posix", reason="needs a device")
def test_devices_are_not_locked(tmp_path: Path) -> None:
    device = null_device(tmp_path)
    before = os.stat(device)
    with Lock(device, Busy), Lock(device, Busy):
        assert not (device.parent / f".{device.name}.lock").exists()
    assert os.stat(device).st_rdev == before.st_rdev
