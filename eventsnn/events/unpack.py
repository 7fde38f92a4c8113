"""Recordings that are compressed (``.gz``, ``.bz2``, ``.xz``, ``.zst``, ``.lz4``), in a zip archive
(``.zip``), or read from a pipe.

Readers seek in their files, and some belong to libraries that need a path. So a packed recording is unpacked
block by block to a temporary folder and read from there; the bytes of a pipe are copied there, too.
"""

from __future__ import annotations

import bz2
import lzma
import os
import shutil
import stat
import tempfile
import warnings
import weakref
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from eventsnn.errors import EventFileError, EventFileWarning, EventSNNError, MissingExtraError
from eventsnn.events.formats.base import Options, read_bytes
from eventsnn.events.formats.streams import StreamInfo, choose_stream

_BLOCK = 1 << 20
_GZIP = 16 + zlib.MAX_WBITS
_PACKED_BLOCK = 1 << 12
"""Bytes that are unpacked at a time. Zstandard, the densest, makes at most 128 MiB of them."""
_DAMAGE = (
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
)
"""What the decompressors and zipfile raise; that of Zstandard is looked up when it is loaded."""
_MOST_LISTED = 20


class Decompressor(Protocol):
    """What zlib, bz2, lzma, zstandard and lz4 share."""

    @property
    def eof(self) -> bool:
        """Whether the end of the compressed part was met."""

    @property
    def unused_data(self) -> bytes:
        """Bytes after that end."""

    def decompress(self, data: bytes, /) -> bytes:
        """Bytes that the next ones unpack to."""


def _zstandard() -> Any:
    try:
        import zstandard
    except ImportError:
        raise MissingExtraError("zstandard", "aedat", "reading recordings packed as .zst") from None
    return zstandard.ZstdDecompressor().decompressobj()


def _lz4() -> Any:
    try:
        import lz4.frame
    except ImportError:
        raise MissingExtraError("lz4", "aedat", "reading recordings packed as .lz4") from None
    return lz4.frame.LZ4FrameDecompressor()


@dataclass(frozen=True)
class Compression:
    """A way to compress one file: its name, the first bytes, and what unpacks it."""

    name: str
    magic: bytes
    decompressor: Callable[[], Decompressor]


COMPRESSIONS: dict[str, Compression] = {
    ".gz": Compression("gzip", b"\x1f\x8b", lambda: zlib.decompressobj(_GZIP)),
    ".bz2": Compression("bzip2", b"BZh", bz2.BZ2Decompressor),
    ".xz": Compression("xz", b"\xfd7zXZ\x00", lzma.LZMADecompressor),
    ".zst": Compression("Zstandard", b"\x28\xb5\x2f\xfd", _zstandard),
    ".lz4": Compression("LZ4", b"\x04\x22\x4d\x18", _lz4),
}
"""Compressions by the ending of the file's name."""
SUFFIXES = (*COMPRESSIONS, ".zip")


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
            elif self._shown.lower().endswith(".zip"):
                self._unzip()
            else:
                self._decompress()
        except BaseException as error:
            self.close()
            if isinstance(error, EventSNNError) or not _is_damage(error):
                raise
            reason = getattr(error, "strerror", None) or error
            raise EventFileError(path, f"cannot be unpacked: {reason}; is the file complete?") from None

    def _copy(self) -> None:
        self._name(Path(self._shown).name)
        with open(self._shown, "rb") as source, open(self.path, "wb") as out:
            shutil.copyfileobj(source, out, _BLOCK)

    def _decompress(self) -> None:
        suffix = Path(self._shown).suffix
        compression = COMPRESSIONS[suffix.lower()]
        if read_bytes(self._shown, len(compression.magic)) != compression.magic:
            text = f"ends in {suffix.lower()}, but is not packed with {compression.name}"
            raise EventFileError(self._shown, text, offset=0)
        self._name(Path(self._shown).name.removesuffix(suffix))
        with open(self._shown, "rb") as source, open(self.path, "wb") as out:
            if copy_decompressed(compression.decompressor, source, out):
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


def copy_decompressed(decompressor: Callable[[], Decompressor], source: IO[bytes], out: IO[bytes]) -> bool:
    """Copy a compressed file, unpacked; returns whether it was complete.

    The readers of files in Python's library keep nothing of a file that is cut.
    """
    unpacker = None
    while block := source.read(_PACKED_BLOCK):
        while block:
            if unpacker is None:
                if not block.strip(b"\0"):
                    break  # tapes are filled up
                unpacker = decompressor()
            out.write(unpacker.decompress(block))
            block = b""
            if unpacker.eof:  # another part may follow, as from cat a.gz b.gz
                block, unpacker = unpacker.unused_data, None
    return unpacker is None


def _is_damage(error: BaseException) -> bool:
    """Whether a library says that the packed bytes are damaged; zstandard has an exception of its own."""
    return isinstance(error, _DAMAGE) or type(error).__name__ == "ZstdError"


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
    """Unpack a recording whose name ends in one of `SUFFIXES`, or read a pipe to its end.

    Other files are left alone: None.

    Raises EventFileError if that fails, or an archive holds several files and none is chosen.
    """
    if not os.fsdecode(path).lower().endswith(SUFFIXES) and not is_pipe(path):
        return None
    return Unpacked(path, options)
