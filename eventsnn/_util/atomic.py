"""Files that appear under their name complete and on the disk, or not at all.

`replace_file` is for files that are written in one go (`eventsnn._util.hdf5.replace_hdf5` for HDF5),
`replace_path` for those that a library opens by name; `Replacement` is for files that stay open for long
(traces). What all of them promise:

- The bytes go to a new file beside the target, of a name that nobody can foresee, opened exclusively and
  never through a symbolic link. Two writers of one target do not touch each other's file; the last to end
  wins.
- The new file takes the target's name by one renaming, after its bytes have reached the disk (fsync). After a
  crash at any moment the target is what it was before, or complete.
- After an error (a full disk, among others) or Ctrl-C the new file is removed.
- A symbolic link stays a link: what it points to is replaced. The new file has the old one's permissions.
- A target that is no regular file (device, FIFO, standard output) is never replaced: the bytes are copied
  into it when they are complete.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

Failure = Callable[[str], Exception]
"""Makes the error of a file that cannot be written from the reason, such as "No space left on device"."""

PART = ".part"
"""Ending of the names of files that are being written."""

_FLAGS = (
    os.O_RDWR
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_LONGEST_NAME = 255  # bytes of a file name, on all common file systems
_MOST_LINKS = 40
_RANDOM_BYTES = 5


class Replacement:
    """A new file that will replace the file of a name, or be copied into it if it is not a regular file.

    Parameters
    ----------
    path : path
        The target. A symbolic link is followed.

    Attributes
    ----------
    path : Path
        As given.
    part : Path
        Where the new file is until `commit`.
    descriptor : int
        The new file, open for reading and writing.

    Raises
    ------
    OSError
        The new file cannot be made, or the target is a folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        target, self._open_descriptor = resolve_target(self.path)
        self._target = target
        self._special = self._open_descriptor is not None or _is_special(target)
        if self._special:
            self.descriptor, name = tempfile.mkstemp(suffix=PART)
            self.part = Path(name)
        else:
            self.descriptor, self.part = _create_beside(target, _folder(self.path, target))

    def commit(self) -> None:
        """Wait until the bytes are on the disk, and give the file its name; closes it.

        Raises
        ------
        OSError
            Any of it failed; the new file is still there (`discard` removes it), the target is untouched.
        """
        os.fsync(self.descriptor)
        if self._special:
            self._copy_through()
            self.discard()
            return
        self._close()
        os.replace(self.part, self._target)
        _sync_folder(self._target.parent)

    def discard(self) -> None:
        """Close and remove the new file."""
        self._close()
        with suppress(OSError):
            self.part.unlink(missing_ok=True)

    def keep(self) -> None:
        """Close the new file and leave it under its temporary name."""
        self._close()

    def _close(self) -> None:
        if self.descriptor >= 0:
            descriptor, self.descriptor = self.descriptor, -1
            os.close(descriptor)

    def _copy_through(self) -> None:
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        if self._open_descriptor is not None:
            out = os.dup(self._open_descriptor)
        else:
            out = os.open(self._target, os.O_WRONLY | getattr(os, "O_BINARY", 0))
        with open(self.descriptor, "rb", closefd=False) as source, open(out, "wb") as into:
            shutil.copyfileobj(source, into, 1 << 20)


@contextmanager
def replace_file(path: str | os.PathLike[str], failure: Failure) -> Iterator[BinaryIO]:
    """A file to write (and read back) that takes the name `path` when the block ends without an error.

    Parameters
    ----------
    path : path
    failure : callable
        Makes the exception that is raised where the file cannot be written, from the reason. Errors of other
        things in the block pass as they are; so does BrokenPipeError.
    """
    with replace_guarded(path, failure, pretend=False) as raw, io.BufferedRandom(raw, 1 << 17) as file:
        yield file


@contextmanager
def replace_path(path: str | os.PathLike[str], failure: Failure) -> Iterator[Path]:
    """Name of a new file, for a library that opens files by name; it becomes `path` when the block ends.

    An OSError of the block means that the file cannot be written: `failure` makes the error.
    """
    new = None
    try:
        new = Replacement(path)
        yield new.part
        new.commit()
    except OSError as error:
        if new is not None:
            new.discard()
        raise failure(reason(error)) from None
    except BaseException:
        if new is not None:
            new.discard()
        raise


def find_parts(path: str | os.PathLike[str]) -> list[Path]:
    """Files that were to become `path`: of a writer at work, or of one that was killed; the oldest first."""
    target, _ = resolve_target(Path(path))
    beginning, ending = target.name + ".", re.compile(rf"[0-9a-f]{{{2 * _RANDOM_BYTES}}}{re.escape(PART)}")
    try:
        names = [name for name in os.listdir(target.parent) if name.startswith(beginning)]
    except OSError:
        return []
    parts = [_folder(Path(path), target) / name for name in names if ending.fullmatch(name[len(beginning) :])]
    return sorted(parts, key=lambda part: (part.stat().st_mtime_ns, part.name))


def remove_parts(folder: Path, names: Iterable[str]) -> None:
    """Remove the part files of killed writers from a folder; the caller holds the folder's lock."""
    for name in names:
        for part in find_parts(folder / name):
            with suppress(OSError):
                part.unlink()


def replace_text(path: str | os.PathLike[str], text: str, failure: Failure) -> None:
    """Write a text file in UTF-8."""
    with replace_file(path, failure) as file:
        file.write(text.encode())


def reason(error: OSError) -> str:
    """Why something failed, without the number and the file name that Python adds."""
    return error.strerror or str(error)


@contextmanager
def replace_guarded(
    path: str | os.PathLike[str], failure: Failure, *, pretend: bool
) -> Iterator[GuardedFile]:
    """The unbuffered file under `replace_file`; see `GuardedFile` for `pretend`."""
    try:
        new = Replacement(path)
    except OSError as error:
        raise failure(reason(error)) from None
    raw = GuardedFile(new.descriptor, failure, pretend=pretend)
    try:
        yield raw
        try:
            new.commit()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise failure(reason(error)) from None
    except BaseException:
        raw.disconnect()
        new.discard()
        raise


class GuardedFile(io.RawIOBase):
    """An open file whose errors are `failure`; or, if told to `pretend`, are kept until `check` is called.

    It does not tell its descriptor: whoever writes into it writes through it. With `owns`, closing it closes
    the descriptor.
    """

    def __init__(self, descriptor: int, failure: Failure, *, pretend: bool, owns: bool = False) -> None:
        self._descriptor, self._failure, self._pretend, self._owns = descriptor, failure, pretend, owns
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise what has gone wrong so far."""
        if self._error is not None:
            raise self._failure(reason(self._error))

    def disconnect(self) -> None:
        """Accept all that buffers above may still be emptied into, and drop it: the descriptor goes back."""
        self._descriptor, self._pretend = -1, True

    def close(self) -> None:
        if self._owns and self._descriptor >= 0:
            os.close(self._descriptor)
        self.disconnect()
        super().close()

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if hasattr(os, "readv"):
            return os.readv(self._descriptor, [buffer])
        data = os.read(self._descriptor, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        size, done = len(view), 0
        try:
            while done < size and self._error is None:
                done += os.write(self._descriptor, view[done:])
        except OSError as error:
            self._note(error)
        if done < size:
            self._skip(size - done)
        return size

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return os.lseek(self._descriptor, offset, whence)
        except OSError as error:
            self._note(error)
            return 0

    def truncate(self, size: int | None = None) -> int:
        size = self.tell() if size is None else size
        try:
            if self._error is None:
                os.ftruncate(self._descriptor, size)
        except OSError as error:
            self._note(error)
        return size

    def _skip(self, size: int) -> None:
        with suppress(OSError):
            os.lseek(self._descriptor, size, os.SEEK_CUR)

    def _note(self, error: OSError) -> None:
        self._error = self._error or error
        if not self._pretend:
            raise self._failure(reason(error)) from None


def resolve_target(path: Path) -> tuple[Path, int | None]:
    """The file that a path names, links followed; and the number, if it is a descriptor of this process.

    ``/dev/stdout`` is one, and so is what the shell makes of ``>(command)``. Opening such a path anew would
    begin at the start of the file that the shell has opened; replacing it would take the file from the shell.
    """
    for _ in range(_MOST_LINKS):
        parent = os.path.realpath(path.parent)
        path = Path(parent, path.name)
        if parent in ("/dev/fd", f"/proc/{os.getpid()}/fd") and re.fullmatch("[0-9]+", path.name):
            return path, int(path.name)
        try:
            path = Path(parent, os.readlink(path))
        except OSError:  # no link, or not there yet
            break
    return path, None


def scratch_file(path: str | os.PathLike[str], failure: Failure) -> BinaryIO:
    """A nameless file for what goes into `path` later: beside it, or where temporary files are."""
    try:
        target, descriptor = resolve_target(Path(path))
        special = descriptor is not None or _is_special(target)
        return tempfile.TemporaryFile(dir=None if special else target.parent)
    except OSError as error:
        raise failure(reason(error)) from error


def _is_special(target: Path) -> bool:
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(21, "is a folder", os.fspath(target))
    return not stat.S_ISREG(mode)


def _folder(path: Path, target: Path) -> Path:
    """The folder of `target`, as the caller wrote it unless `path` is a link to another folder."""
    return path.parent if os.path.realpath(path.parent) == os.fspath(target.parent) else target.parent


def _create_beside(target: Path, folder: Path) -> tuple[int, Path]:
    """Make and open a new file in the folder of `target`, with its permissions if it exists."""
    while True:
        ending = f".{os.urandom(_RANDOM_BYTES).hex()}{PART}"
        name = os.fsencode(target.name)[: _LONGEST_NAME - len(ending)] + ending.encode()
        part = folder / os.fsdecode(name)
        try:
            descriptor = os.open(part, _FLAGS, 0o666)
        except FileExistsError:
            continue
        with suppress(OSError, AttributeError):
            os.fchmod(descriptor, stat.S_IMODE(target.stat().st_mode))
        return descriptor, part


def _sync_folder(folder: Path) -> None:
    """Make a renaming durable; some file systems, and Windows, cannot."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
