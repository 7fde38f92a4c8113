"""What a file format is, and the file handling that all formats share."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Protocol

from eventsnn.errors import EventFileError
from eventsnn.events.stream import EventStream


class EventFormat(Protocol):
    """One file format of event recordings; instances are frozen and hold no state."""

    @property
    def name(self) -> str:
        """Short name, as given to ``format=``."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """File name endings, lower case, with the dot."""

    def sniff(self, head: bytes, path: str) -> bool:
        """Tell from the first 64 bytes and the path whether a file is in this format."""

    def read(self, path: str | os.PathLike[str], sensor: tuple[int, ...] | None = None) -> EventStream:
        """Read a recording; raise EventFileError with the byte offset of what is wrong."""

    def write(self, path: str | os.PathLike[str], stream: EventStream) -> None:
        """Write a recording whole or not at all; raise EventFileError if the format cannot hold it."""


def read_bytes(path: str | os.PathLike[str], size: int = -1) -> bytes:
    """Return the contents (or the first `size` bytes) of a file; raise EventFileError if that fails."""
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except FileNotFoundError:
        raise EventFileError(path, "no such file") from None
    except IsADirectoryError:
        raise EventFileError(path, "is a folder; a recording is a file") from None
    except OSError as error:
        raise EventFileError(path, f"cannot be read: {error.strerror or error}") from error


def write_bytes(path: str | os.PathLike[str], data: bytes | memoryview) -> None:
    """Write a file under a temporary name and rename it, so that no half-written file is ever seen."""
    target = Path(path)
    # The process and thread in the name keep two writers of one path apart.
    part = target.with_name(f"{target.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        part.write_bytes(data)
        os.replace(part, target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise EventFileError(path, f"cannot be written: {error.strerror or error}") from error
