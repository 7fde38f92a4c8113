"""Files that appear complete or not at all."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest

from eventsnn._util.atomic import Replacement, find_parts, replace_file, replace_text
from eventsnn._util.hdf5 import replace_hdf5
from tests.devices import null_device

posix = pytest.mark.skipif(os.name != "posix", reason="needs links, FIFOs and permissions")


class WriteError(Exception):
    pass


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with replace_file(path, WriteError) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
        (part,) = find_parts(path)
        assert part != path
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, OSError])
@pytest.mark.parametrize("replace", [replace_file, replace_hdf5])
def test_an_error_in_the_block_leaves_everything_as_it_was(tmp_path, replace, error) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(error), replace(path, WriteError):
        raise error
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_hdf5(tmp_path: Path) -> None:
    with replace_hdf5(tmp_path / "a.h5", WriteError) as file:
        file["x"] = np.arange(100_000)
        file.attrs["text"] = "y" * 1000
    with h5py.File(tmp_path / "a.h5") as file:
        assert np.array_equal(file["x"], np.arange(100_000))
        assert file.attrs["text"] == "y" * 1000
    assert names(tmp_path) == ["a.h5"]


def test_errors_are_those_of_the_caller(tmp_path: Path) -> None:
    with (
        pytest.raises(WriteError, match=r"^No such file or directory$"),
        replace_file(tmp_path / "no" / "a", WriteError),
    ):
        pass
    with pytest.raises(WriteError, match=r"^is a folder$"), replace_file(tmp_path, WriteError):
        pass


@posix
def test_names_cannot_be_foreseen_and_links_are_not_followed(tmp_path: Path, monkeypatch) -> None:
    """Somebody has put links where the next two files would be: the third is taken."""
    draws = [b"\0" * 5, b"\1" * 5, b"\2" * 5]
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    for draw in draws[:2]:
        (tmp_path / f"a.{draw.hex()}.part").symlink_to(victim)
    monkeypatch.setattr(os, "urandom", lambda n: draws.pop(0))
    replace_text(tmp_path / "a", "text", WriteError)
    assert draws == []
    assert victim.read_text() == "untouched"
    assert (tmp_path / "a").read_text() == "text"


def test_two_writers_do_not_touch_each_other(tmp_path: Path) -> None:
    with replace_file(tmp_path / "a", WriteError) as first:
        first.write(b"first" * 100)
        with replace_file(tmp_path / "a", WriteError) as second:
            second.write(b"second")
        assert (tmp_path / "a").read_bytes() == b"second"
    assert (tmp_path / "a").read_bytes() == b"first" * 100


@posix
def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    target = tmp_path / "far" / "target"
    target.write_text("old")
    (tmp_path / "second").symlink_to(target)
    (tmp_path / "first").symlink_to("second")
    replace_text(tmp_path / "first", "new", WriteError)
    assert (tmp_path / "first").is_symlink()
    assert target.read_text() == "new"
    (tmp_path / "dangling").symlink_to(tmp_path / "far" / "made")
    replace_text(tmp_path / "dangling", "new", WriteError)
    assert (tmp_path / "far" / "made").read_text() == "new"
    assert names(tmp_path / "far") == ["made", "target"]
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(WriteError, match="symbolic links"), replace_file(tmp_path / "loop", WriteError):
        pass


@posix
def test_permissions_are_those_of_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    old = os.umask(0o022)
    try:
        replace_text(path, "new", WriteError)
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        path.chmod(0o600)
        replace_text(path, "again", WriteError)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(old)


@posix
def test_a_fifo_is_written_through(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(path.read_bytes()), daemon=True)
    reader.start()
    with replace_hdf5(path, WriteError) as file:
        file["x"] = np.arange(1000)
    reader.join(10)
    assert stat.S_ISFIFO(path.stat().st_mode)
    (tmp_path / "copy.h5").write_bytes(got[0])
    with h5py.File(tmp_path / "copy.h5") as file:
        assert np.array_equal(file["x"], np.arange(1000))
    assert names(tmp_path) == ["copy.h5", "fifo"]


@posix
def test_devices_stay_devices(tmp_path: Path) -> None:
    device = null_device(tmp_path)
    before = os.stat(device)
    replace_text(device, "text", WriteError)
    after = os.stat(device)
    assert stat.S_ISCHR(after.st_mode)
    assert after.st_ino == before.st_ino


@posix
def test_standard_output_is_not_replaced(tmp_path: Path) -> None:
    """A file that the shell has opened gets the bytes where it stands."""
    program = (
        "from eventsnn._util.atomic import replace_text\n"
        "print('before', flush=True)\n"
        "replace_text('/dev/stdout', 'text\\n', RuntimeError)\n"
        "print('after')\n"
    )
    root = str(Path(__file__).parents[2])
    with open(tmp_path / "out", "wb") as out:
        subprocess.run([sys.executable, "-c", program], stdout=out, cwd=root, check=True)
    assert (tmp_path / "out").read_text() == "before\ntext\nafter\n"
    assert names(tmp_path) == ["out"]


def test_a_replacement_can_be_kept_for_later(tmp_path: Path) -> None:
    new = Replacement(tmp_path / "t.h5")
    os.write(new.descriptor, b"half")
    new.keep()
    assert find_parts(tmp_path / "t.h5") == [new.part]
    (tmp_path / "t.h5.1.part").touch()
    (tmp_path / "u.h5.0011223344.part").touch()
    assert find_parts(tmp_path / "t.h5") == [new.part]


def test_a_name_as_long_as_can_be(tmp_path: Path) -> None:
    name = "ä" * 127
    replace_text(tmp_path / name, "text", WriteError)
    assert names(tmp_path) == [name]
