"""One writer at a time: locks that end with their process, however it ends."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)

LOCK = ".lock"
"""Name of the lock file in a folder."""


class Lock:
    """The right to write a file or a folder, until `release` or the end of the process.

    The lock is the operating system's, on a hidden file: ``.<name>.lock`` beside a file, ``.lock`` in a
    folder. A lock file that a killed process left behind locks nothing. Where the system has no locks (some
    network file systems), or the lock file cannot be made, nobody is kept out.

    Parameters
    ----------
    path : path
        What is to be written; a folder must exist.
    failure : callable
        Makes the exception that is raised if another writer has the lock, from a text.
    """

    def __init__(self, path: str | os.PathLike[str], failure: Callable[[str], Exception]) -> None:
        target = Path(os.path.realpath(path))
        self.path = target / LOCK if target.is_dir() else target.with_name(f".{target.name}.lock")
        descriptor = -1
        if target.is_dir() or target.is_file() or not target.exists():  # not devices, not FIFOs
            descriptor = _take(self.path, failure)
        self._end = weakref.finalize(self, _release, self.path, descriptor, os.getpid())

    def release(self) -> None:
        """Release the lock; may be called again."""
        self._end()

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _take(path: Path, failure: Callable[[str], Exception]) -> int:
    """Open and lock the lock file; returns its descriptor, or -1 on systems without locks."""
    while True:
        try:
            descriptor = os.open(path, _FLAGS, 0o666)
        except OSError:  # the writer will raise the reason
            return -1
        try:
            busy = not _lock(descriptor)
            if not busy and os.path.samestat(os.fstat(descriptor), path.stat()):
                with suppress(OSError):  # only for people who look
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, f"{os.getpid()}\n".encode())
                return descriptor
        except FileNotFoundError:  # its owner has just removed it: this descriptor is no longer the lock
            busy = False
        owner = b""
        if busy:
            with suppress(OSError):  # Windows lets nobody read a locked file
                owner = os.read(descriptor, 20).strip()
        os.close(descriptor)
        if busy:
            process = f" (process {owner.decode()})" if owner.isdigit() else ""
            raise failure(
                f"another run is writing it{process}; wait until that has ended, or choose another name"
            )


def _release(path: Path, descriptor: int, process: int) -> None:
    if descriptor < 0:
        return
    if process == os.getpid():  # not in a forked child
        with suppress(OSError):
            path.unlink()
    with suppress(OSError):
        os.close(descriptor)


try:
    import fcntl
except ImportError:  # Windows
    import msvcrt

    def _lock(descriptor: int) -> bool:
        """Whether the lock is ours now."""
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True

else:

    def _lock(descriptor: int) -> bool:
        """Whether the lock is ours now; also where the file system knows no locks."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True
