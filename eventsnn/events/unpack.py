"""Recordings that are compressed with gzip (``.gz``), in a zip archive (``.zip``), or read from a pipe.

Readers seek in their files, and some belong to libraries that need a path. So a packed recording is unpacked
block by block to a temporary folder and read from there; the bytes of a pipe are copied there, too.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import warnings
import weakref
import zipfile
import zlib
from pathlib import Path
from typing import IO

from eventsnn.errors import EventFileError, EventFileWarning
from eventsnn.events.formats.base import Options, read_bytes
from eventsnn.events.formats.streams import StreamInfo, choose_stream

SUFFIXES = (".gz", ".zip")
_BLOCK = 1 << 20
_GZIP = 16 + zlib.MAX_WBITS
_DAMAGE = (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError)
"""What gzip and zipfile raise."""
_MOST_LISTED = 20


class UnpackedPath(str):
    """Where an unpacked recording is; in texts it goes by the name of the file that it was packed in."""

    shown: str

    def __format__(self, spec: str) -> str:
        return format(self.shown, spec)


class Unpacked:
    """A recording in a temporary folder, which goes away with this object, or by `close`.

    Attributes
    ----------
    path : UnpackedPath
    chosen : bool
        Whether ``stream`` has chosen a file of an archive, and is used up.
    """

    def __init__(self, path: str | os.PathLike[str], options: Options) -> None:
        self._shown, self._options = os.fsdecode(path), options
        self.chosen = False
        self._folder = Path(tempfile.mkdtemp(prefix="eventsnn-"))
        self.close = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        try:
            if is_pipe(path):
                self._copy()
            elif self._shown.lower().endswith(".gz"):
                self._gunzip()
            else:
                self._unzip()
        except _DAMAGE as error:
            self.close()
            reason = getattr(error, "strerror", None) or error
            raise EventFileError(path, f"cannot be unpacked: {reason}; is the file complete?") from None
        except BaseException:
            self.close()
            raise

    def _copy(self) -> None:
        self._name(Path(self._shown).name)
        with open(self._shown, "rb") as source, open(self.path, "wb") as out:
            shutil.copyfileobj(source, out, _BLOCK)

    def _gunzip(self) -> None:
        if read_bytes(self._shown, 2) != b"\x1f\x8b":
            raise EventFileError(self._shown, "ends in .gz, but is not packed with gzip", offset=0)
        self._name(Path(self._shown).name[: -len(".gz")])
        with open(self._shown, "rb") as source, open(self.path, "wb") as out:
            if copy_gunzipped(source, out):
                return
            if self._options.on_cut == "error":
                raise EventFileError(self._shown, "the packed file is cut; copy the file again")
        text = f"{self._shown}: the packed file is cut; what could be unpacked is read"
        warnings.warn(text, EventFileWarning, stacklevel=6)

    def _unzip(self) -> None:
        """Unpack the only file of an archive, or the one that ``stream`` chooses."""
        read_bytes(self._shown, 1)  # raises the error for a missing file
        with zipfile.ZipFile(self._shown) as archive:
            names = [entry.filename for entry in archive.infolist() if not _is_stray(entry)]
            if not names:
                raise EventFileError(self._shown, "holds no files")
            chosen = self._options.stream
            if len(names) == 1:
                name = names[0]
            elif chosen is None and len(names) > _MOST_LISTED:
                text = f"holds {len(names)} files; unpack it, or choose one by its name (stream=, --stream)"
                raise EventFileError(self._shown, text)
            else:
                streams = [StreamInfo(k, name) for k, name in enumerate(names)]
                name = choose_stream(self._shown, streams, chosen, what="files").name
                self.chosen = True
            self._name(name)
            with archive.open(name) as source, open(self.path, "wb") as out:
                shutil.copyfileobj(source, out, _BLOCK)

    def _name(self, name: str) -> None:
        """Formats are told by the name too, so it is kept, without folders."""
        name = name.replace("\\", "/").replace("\0", "").rpartition("/")[2]
        self.path = UnpackedPath(self._folder / (name or "recording"))
        self.path.shown = self._shown


def copy_gunzipped(source: IO[bytes], out: IO[bytes]) -> bool:
    """Copy a file packed with gzip, unpacked; returns whether it was complete.

    Python's own reader keeps nothing of a file that is cut.
    """
    unpacker = None
    while block := source.read(_BLOCK):
        while block:
            if unpacker is None:
                if not block.strip(b"\0"):
                    break  # tapes are filled up
                unpacker = zlib.decompressobj(_GZIP)
            out.write(unpacker.decompress(block, _BLOCK))
            block = unpacker.unconsumed_tail
            if unpacker.eof:
                block, unpacker = unpacker.unused_data, None
    if unpacker is not None:
        out.write(unpacker.flush())
    return unpacker is None


def _is_stray(entry: zipfile.ZipInfo) -> bool:
    """Whether an entry of an archive is a folder, a hidden file, or an addition of macOS."""
    parts = entry.filename.split("/")
    return entry.is_dir() or "__MACOSX" in parts or any(part.startswith(".") for part in parts)


def is_pipe(path: str | os.PathLike[str]) -> bool:
    """Whether a path names a pipe, whose bytes can be read but once."""
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def unpack(path: str | os.PathLike[str], options: Options) -> Unpacked | None:
    """Unpack a recording whose name ends in ``.gz`` or ``.zip``, or read a pipe to its end; None for other
    files.

    Raises EventFileError if that fails, or an archive holds several files and none is chosen.
    """
    if not os.fsdecode(path).lower().endswith(SUFFIXES) and not is_pipe(path):
        return None
    return Unpacked(path, options)
