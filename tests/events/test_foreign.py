"""Files that stand in the place of recordings but are none: the error says what they are."""

from __future__ import annotations

import bz2
import io
import lzma
import tarfile
from pathlib import Path

import numpy as np
import pytest

import eventsnn as es
from eventsnn.errors import EventFileError

ENDINGS = ("bin", "val", "bs1", "dat", "raw", "aedat", "aedat4", "es", "mat", "h5", "bag", "csv", "npy")
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
PAGE = b"\xef\xbb\xbf\n<!DOCTYPE html>\n<html><head><title>Quota exceeded</title></head></html>\n"


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.bin"))
    return out.getvalue()


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    ("data", "text"),
    [
        (POINTER, "is a pointer of Git LFS, not the file: run git lfs pull"),
        (b"/annex/objects/MD5E-s12345--abc.raw\n", "run git annex get"),
        (PAGE, "a web page or its like, not a recording: the download has failed"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "the download has failed"),
        (tar(), "is a tar archive, not a recording"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(90), "7-Zip"),
        (lzma.compress(b"events"), r"compressed with xz: .* the ending \.xz"),
    ],
)
def test_named_by_what_they_are(tmp_path: Path, ending: str, data: bytes, text: str) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_bytes(data)
    with pytest.raises(EventFileError, match=text):
        es.read(path)
    with pytest.raises(EventFileError, match=text):
        es.data.Folder(_folder(tmp_path, path))[0]


def _folder(root: Path, path: Path) -> Path:
    target = root / "set" / "0"
    target.mkdir(parents=True)
    path.rename(target / path.name)
    return root / "set"


def test_short_marks_count_where_no_format_takes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.es"
    path.write_bytes(bz2.compress(b"events"))
    with pytest.raises(EventFileError, match="compressed with bzip2"):
        es.read(path)
    # x = 66, y = 90, OFF at 6,832,689 us: a recording of N-Caltech101 may begin with the mark of bzip2.
    record = tmp_path / "a.bin"
    record.write_bytes(b"BZh" + bytes([0x42, 0x31]))
    events = es.read(record, sensor=(240, 180, 2)).events
    assert events.tolist() == np.array([(66, 90, 0x684231, 0)], events.dtype).tolist()


@pytest.mark.parametrize("kind", ["model", "trace"])
def test_files_of_eventsnn(tmp_path: Path, kind: str) -> None:
    network = es.Network(es.Input(3, 2, 2), es.Dense(2))
    stream = es.EventStream.from_arrays([1], [0], [0], [0], sensor_size=(3, 2, 2))
    if kind == "model":
        network.save(tmp_path / "f.h5")
    else:
        es.simulate(network, stream, trace=tmp_path / "f.h5")
    with pytest.raises(EventFileError, match=f"is a {kind} of eventsnn, not a recording"):
        es.read(tmp_path / "f.h5")


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for name, text in (
        ("no.bin", "no such file$"),
        ("~/no.bin", "no such file; ~ is not expanded here"),
        ("https://example.org/a.raw", "it is an address: download the file first"),
    ):
        with pytest.raises(EventFileError, match=text):
            es.read(name)
    link = tmp_path / "a.bin"
    for target, text in (("../b.bin", "$"), (".git/annex/objects/x", "run git annex get")):
        link.symlink_to(target)
        with pytest.raises(
            EventFileError, match=rf"a\.bin: is a link to {target}, which does not exist.*{text}"
        ):
            es.read(link)
        link.unlink()
