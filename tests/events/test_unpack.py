"""Recordings compressed with gzip, bzip2, xz, Zstandard or LZ4, or in zip archives."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import subprocess
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import pytest

from eventsnn.errors import EventFileError, EventFileWarning
from eventsnn.events import detect_format, open_events, read, write
from eventsnn.events.formats import WRITERS
from tests.events.helpers import random_stream

SENSOR = (34, 34, 2)
STREAM = random_stream(3000, sensor_size=SENSOR)


@pytest.fixture(autouse=True)
def no_folder_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


def packed(folder: Path, name: str, how: str) -> Path:
    write(folder / name, STREAM)
    path = folder / f"{name}.{how}"
    if how == "gz":
        path.write_bytes(gzip.compress((folder / name).read_bytes()))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(folder / name, f"day 1/{name}")
            archive.writestr(f"__MACOSX/day 1/._{name}", b"rubbish")
            archive.writestr(".DS_Store", b"rubbish")
    return path


@pytest.mark.parametrize("how", ["gz", "zip"])
@pytest.mark.parametrize("name", ["a.bin", "a.csv", "a.npy", "a.npz", "a.h5", "a.es", "a.dat"])
def test_any_format(tmp_path: Path, name: str, how: str) -> None:
    path = packed(tmp_path, name, how)
    assert detect_format(path) == detect_format(tmp_path / name)
    with open_events(path, sensor=SENSOR) as recording:
        assert recording.path == str(path)
        assert recording.read().events.tolist() == STREAM.events.tolist()
    assert read(path).events.tolist() == STREAM.events.tolist()  # finds the sensor first, or does not need to
    with open_events(path) as recording:
        assert sum(len(part) for part in recording) == len(STREAM)


def compressed(data: bytes, ending: str) -> bytes:
    """Data as the library of a compression packs them."""
    if ending == "zst":
        return pytest.importorskip("zstandard").ZstdCompressor().compress(data)
    if ending == "lz4":
        return pytest.importorskip("lz4.frame").compress(data)
    return {"gz": gzip, "bz2": bz2, "xz": lzma}[ending].compress(data)


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz", "zst", "lz4"])
def test_compressions(tmp_path: Path, ending: str) -> None:
    write(tmp_path / "a.bin", STREAM)
    data, path = (tmp_path / "a.bin").read_bytes(), tmp_path / f"a.bin.{ending.upper()}"
    # Two parts, one after the other, are one file; what fills up a tape is none.
    path.write_bytes(compressed(data[:5000], ending) + compressed(data[5000:], ending) + bytes(700))
    assert read(path).events.tolist() == STREAM.events.tolist()
    path.write_bytes(compressed(data, ending)[:-1])
    with pytest.raises(EventFileError, match=rf"a\.bin\.{ending.upper()}: the packed file is cut"):
        read(path, on_cut="error")
    whole = compressed(data, ending)
    path.write_bytes(whole + b"rubbish of another kind")
    with pytest.raises(EventFileError, match="cannot be unpacked"):
        read(path)
    path.write_bytes(data)
    with pytest.raises(EventFileError, match=rf"ends in \.{ending}, but is not packed with"):
        read(path)


@pytest.mark.parametrize(
    ("program", "ending"), [("bzip2", "bz2"), ("xz", "xz"), ("zstd", "zst"), ("lz4", "lz4")]
)
def test_files_of_the_programs(tmp_path: Path, program: str, ending: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"no {program}")
    if ending in ("zst", "lz4"):
        pytest.importorskip({"zst": "zstandard", "lz4": "lz4.frame"}[ending])
    write(tmp_path / "a.bin", STREAM)
    with open(tmp_path / f"a.bin.{ending}", "wb") as out:
        subprocess.run([program, "-q", "-c", str(tmp_path / "a.bin")], check=True, stdout=out)
    assert read(tmp_path / f"a.bin.{ending}").events.tolist() == STREAM.events.tolist()


@pytest.mark.parametrize(("ending", "library"), [("zst", "zstandard"), ("lz4", "lz4.frame")])
def test_the_library_is_named(tmp_path: Path, monkeypatch, ending: str, library: str) -> None:
    path = tmp_path / f"a.bin.{ending}"
    path.write_bytes({"zst": b"\x28\xb5\x2f\xfd", "lz4": b"\x04\x22\x4d\x18"}[ending] + bytes(20))
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=r"pip install 'eventsnn\[aedat\]'"):
        read(path)


def test_formats_of_one_ending(tmp_path: Path) -> None:
    assert "evt3" in WRITERS
    write(tmp_path / "a.raw", STREAM, format="evt3")
    (tmp_path / "A.RAW.GZ").write_bytes(gzip.compress((tmp_path / "a.raw").read_bytes()))
    assert read(tmp_path / "A.RAW.GZ", format="evt3").events.tolist() == STREAM.events.tolist()


def test_errors_and_warnings_name_the_packed_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"t,x,y,p\n1,2,3,1\n1,2\n"))
    with pytest.raises(EventFileError, match=r"a\.csv\.gz, byte 16: the line '1,2' is not 4") as caught:
        read(path)
    assert caught.value.path == str(path)
    path = tmp_path / "a.bin.gz"
    path.write_bytes(gzip.compress(bytes(7)))
    with pytest.warns(EventFileWarning, match=r"a\.bin\.gz, byte 5"):
        read(path)


def test_damage(tmp_path: Path) -> None:
    path = packed(tmp_path, "a.bin", "gz")
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.warns(EventFileWarning, match="a.bin.gz: the packed file is cut"):
        assert 0 < len(read(path)) < len(STREAM)
    with pytest.raises(EventFileError, match=r"a\.bin\.gz: the packed file is cut; copy"):
        read(path, on_cut="error")
    path.write_bytes(whole[:200] + bytes(200) + whole[400:])
    with pytest.raises(EventFileError, match=r"a\.bin\.gz: cannot be unpacked"):
        read(path)
    path.write_bytes(b"12345")
    with pytest.raises(EventFileError, match=r"byte 0: ends in \.gz, but is not packed with gzip"):
        read(path)
    (tmp_path / "a.zip").write_bytes(b"PK\3\4nothing")
    with pytest.raises(EventFileError, match=r"a\.zip: cannot be unpacked"):
        read(tmp_path / "a.zip")
    with pytest.raises(EventFileError, match="no such file"):
        read(tmp_path / "missing.bin.gz")


def test_archives_of_several_files(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("left.csv", "t,x\n1,2\n")
        archive.writestr("right.csv", "t,x\n1,7\n")
    with pytest.raises(
        EventFileError, match=r"holds 2 files: 0 left\.csv; 1 right\.csv; choose one with stream"
    ):
        read(path)
    assert read(path, stream="right.csv").events["x"].tolist() == [7]
    assert read(path, stream=0).events["x"].tolist() == [2]
    assert detect_format(path) == "zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__MACOSX/a", "")
    with pytest.raises(EventFileError, match="holds no files"):
        read(path)
    with zipfile.ZipFile(path, "w") as archive:
        for k in range(300):
            archive.writestr(f"{k}.csv", f"t,x\n1,{k}\n")
    with pytest.raises(EventFileError, match="holds 300 files; unpack it"):
        read(path)
    assert read(path, stream="299.csv").events["x"].tolist() == [299]


def test_a_recording_left_open_leaves_nothing(tmp_path: Path) -> None:
    path = packed(tmp_path, "a.bin", "gz")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        recording = open_events(path)
        next(iter(recording))
        del recording
