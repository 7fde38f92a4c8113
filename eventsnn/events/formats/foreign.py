"""Files that are not recordings but stand in their place, told by their first bytes.

A download that failed leaves a web page under the recording's name, a clone without Git LFS leaves a pointer,
and archives are not always unpacked. Formats without a mark of their own (N-MNIST, ATIS, SLAYER, raw files)
would decode such bytes, or blame the sensor's size.
"""

from __future__ import annotations

import os

from eventsnn._util.hdf5 import MAGIC as HDF5
from eventsnn._util.hdf5 import read_marks

_LEAST_MARK = 6
"""Bytes of a mark that no recording begins with by chance. Shorter ones count if no format takes the file."""
_UNPACK = "is {}: unpack it first, or give its name the ending {}"
_ARCHIVE = "is {}, not a recording: unpack it first"
_ROS2 = "is {}, perhaps a bag of ROS 2: convert it to one of ROS 1 (rosbags-convert)"
_MARKS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs.github.com/spec/", "is a pointer of Git LFS, not the file: run git lfs pull"),
    (b"/annex/objects/", "is a pointer of git-annex, not the file: run git annex get"),
    (b"\xfd7zXZ\x00", _UNPACK.format("compressed with xz", ".xz")),
    (b"7z\xbc\xaf\x27\x1c", _ARCHIVE.format("an archive of 7-Zip")),
    (b"Rar!\x1a\x07", _ARCHIVE.format("an archive of RAR")),
    (b"\x89PNG\r\n\x1a\n", "is a picture (PNG), not a recording"),
    (b"\x1f\x8b\x08", _UNPACK.format("compressed with gzip", ".gz")),
    (b"BZh", _UNPACK.format("compressed with bzip2", ".bz2")),
    (b"\x28\xb5\x2f\xfd", _UNPACK.format("compressed with Zstandard", ".zst")),
    (b"\x04\x22\x4d\x18", _UNPACK.format("compressed with LZ4", ".lz4")),
    (b"PK\x03\x04", _UNPACK.format("a zip archive", ".zip")),
    (b"%PDF-", "is a document (PDF), not a recording"),
    (b"\x80\x04\x95", "is a pickle of Python, which eventsnn does not run: save it as .npz or .npy"),
    (
        b"SQLite format 3\x00",
        _ROS2.format("a database of SQLite"),
    ),
    (b"\x89MCAP0\r\n", _ROS2.format("an MCAP file")),
)
_TAR = (257, b"ustar")
_WEB = (b"<!doctype html", b"<html", b"<?xml")
_OWN = {
    "eventsnn_network": "is a model of eventsnn, not a recording",
    "eventsnn_trace": "is a trace of eventsnn, not a recording",
    "eventsnn_checkpoint": "is a checkpoint of a training run, not a recording",
}


def describe_foreign(head: bytes, path: str | os.PathLike[str], *, chance: bool) -> str | None:
    """What a file is that is not a recording, and what to do; None if its first bytes do not show it.

    Parameters
    ----------
    head : bytes
        The first bytes of the file.
    path : path
        Opened for its attributes, if it is an HDF5 file.
    chance : bool
        Whether marks count that a recording may begin with by chance.
    """
    for mark, text in _MARKS:
        if head.startswith(mark) and (chance or len(mark) >= _LEAST_MARK):
            return text
    if head[_TAR[0] :].startswith(_TAR[1]):
        return _ARCHIVE.format("a tar archive")
    text_start = head[:256].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text_start.startswith(_WEB):
        return "is a web page or its like, not a recording: the download has failed, fetch the file again"
    if chance and head.startswith(HDF5):
        return next((text for mark, text in _OWN.items() if mark in (read_marks(path) or ())), None)
    return None
