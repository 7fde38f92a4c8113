"""Random bytes and mutated files into every reader: events, or an EventFileError. No crash, no hang.

EVENTSNN_FUZZ_SECONDS sets how long each format is tried (0.5 s by default; 600 for the long form). Readers
that stand on a library in another language are tried in a process of their own: it may crash, the tests go on
and say so.
"""

from __future__ import annotations

import os
import random
import signal
import struct
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from eventsnn.errors import EventFileError, EventFileWarning
from eventsnn.events import open_events, read, write
from tests.events import fuzzing
from tests.events.fuzzing import CORPUS, HDF5, NAMES, SLOWEST
from tests.events.helpers import random_stream
from tests.real_data import real_data

SECONDS = float(os.environ.get("EVENTSNN_FUZZ_SECONDS", "0.5"))
SEED = os.environ.get("EVENTSNN_FUZZ_SEED", "1")
APART = (*HDF5, "aedat4")


@pytest.mark.timeout(max(300, 2 * SECONDS))
@pytest.mark.parametrize("name", [name for name in NAMES if name not in APART])
def test_no_file_breaks_a_reader(tmp_path: Path, name: str) -> None:
    if name in fuzzing.LIBRARIES:
        pytest.importorskip(fuzzing.LIBRARIES[name])
    rng, path = random.Random(f"{SEED}-{name}"), tmp_path / "fuzzed"
    corpus = fuzzing.seeds(name, tmp_path)
    end, tried = time.monotonic() + SECONDS, 0
    while time.monotonic() < end or tried < 20:
        data, options = fuzzing.choose(name, corpus, rng)
        path.write_bytes(data)
        tried += 1
        start = time.process_time()
        try:
            fuzzing.attempt(path, options)
        except BaseException:
            print(f"{name}: {options}, {data[:2000]!r}")
            raise
        assert time.process_time() - start < SLOWEST, f"{name}: {options}, {data[:2000]!r}"


@pytest.mark.timeout(max(300, 2 * SECONDS))
@pytest.mark.parametrize("name", APART)
def test_no_file_breaks_a_library(tmp_path: Path, name: str) -> None:
    found = fuzzing.fuzz(name, SECONDS, SEED, tmp_path)
    if found["skipped"]:
        pytest.skip(found["skipped"])
    assert found["failures"] == []
    assert found["tried"] > 0


@pytest.mark.parametrize(("how", "number"), [("abort", signal.SIGABRT), ("hang", signal.SIGPROF)])
def test_the_harness_keeps_what_kills_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, number: int
) -> None:
    monkeypatch.setenv("EVENTSNN_FUZZ_CRASH", how)
    monkeypatch.setenv("EVENTSNN_FUZZ_SLOWEST", "0.2")
    found = fuzzing.fuzz("nmnist", 0.1, SEED, tmp_path)
    assert [failure["reason"] for failure in found["failures"]] == [f"signal {int(number)}"]
    kept = Path(found["failures"][0]["kept"])
    assert kept.with_suffix(".bin").exists()
    assert "fuzzing.py" in kept.with_suffix(".txt").read_text()  # where it was


def test_an_aedat4_header_larger_than_its_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.aedat4"
    path.write_bytes(b"#!AER-DAT4.0\r\n" + struct.pack("<I", 2**32 - 9) + b"IOHE")
    with pytest.raises(EventFileError, match="the header has 4294967287 bytes and the file 22"):
        read(path)


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (b"<attr", b"<\xe1ttr", "can't decode byte 0xe1"),
        (b"</attr>", b"<<attr>", "not well-formed"),
    ],
)
def test_a_damaged_description_in_an_aedat4_header_is_refused(tmp_path: Path, before, after, text) -> None:
    path = tmp_path / "damaged.aedat4"
    path.write_bytes((CORPUS / "aedat4-none.aedat4").read_bytes().replace(before, after, 1))
    with pytest.raises(EventFileError, match=f"byte 18: the header is damaged .*{text}"):
        open_events(path)


@pytest.mark.parametrize("chunks", [None, (2,)])
@pytest.mark.parametrize("userblock", [0, 512])
def test_what_hdf5_does_not_survive_in_a_column_is_refused_before(tmp_path: Path, chunks, userblock) -> None:
    path, units = tmp_path / "damaged.h5", [np.arange(3, dtype=np.uint16), np.arange(577, dtype=np.uint16)]
    with h5py.File(path, "w", userblock_size=userblock) as file:
        for name, dtype in (("times", np.float32), ("units", np.uint16)):
            data = file.create_dataset(f"spikes/{name}", (2,), h5py.vlen_dtype(dtype), chunks=chunks)
            for k in range(2):
                data[k] = units[k].astype(dtype)
    assert [len(read(path, sample=k, format="shd")) for k in range(2)] == [3, 577]
    with h5py.File(path) as file:
        column = file["spikes/units"].id  # 16 bytes an element
        place = 16 + (column.get_offset() or column.get_chunk_info_by_coord((1,)).byte_offset)
    content = path.read_bytes()
    length, heap, _ = struct.unpack_from("<IQI", content, place)
    heap += userblock
    assert (length, content[heap : heap + 4]) == (577, b"GCOL")
    for start, damage, text in (
        (place, (577 + 2**24).to_bytes(4, "little"), r"/spikes/units\[1\] claims 16777793 values"),
        (place + 4, (2**63).to_bytes(8, "little"), "ends before byte 9223372036854"),
        (place + 4, (8).to_bytes(8, "little"), "no heap is where a column's values should be"),
        (heap + 16, bytes(16), "an object of 0 bytes in the .* left of a heap"),  # HDF5 goes round for ever
        (heap + 24, (2**64 - 1).to_bytes(8, "little"), "an object of 18446744073709551615 bytes"),
    ):
        path.write_bytes(content[:start] + damage + content[start + len(damage) :])
        with pytest.raises(EventFileError, match=text):
            read(path, sample=1, format="shd")


def test_rows_of_other_files_are_read(tmp_path: Path) -> None:
    stream = random_stream(100, sensor_size=(640, 480, 2))
    with h5py.File(tmp_path / "real.h5", "w") as real, h5py.File(tmp_path / "virtual.h5", "w") as virtual:
        for field in "xytp":
            source = real.create_dataset(field, data=stream.events[field])
            layout = h5py.VirtualLayout((100,), source.dtype)
            layout[:] = h5py.VirtualSource(source)
            virtual.create_virtual_dataset(f"events/{field}", layout)
    assert read(tmp_path / "virtual.h5").events.tolist() == stream.events.tolist()


@pytest.mark.parametrize("name", ["dsec", "prophesee-h5", "packed-h5"])
def test_rows_that_a_file_claims_and_does_not_hold_are_not_made_up(tmp_path: Path, name: str) -> None:
    path, kind = tmp_path / "hole.h5", [("x", "u2"), ("y", "u2"), ("p", "i2"), ("t", "i8")]
    if name == "packed-h5":
        write(path, random_stream(100), format=name)
    with h5py.File(path, "a") as file:
        if name == "packed-h5":
            file["eventsnn/words"].resize((10**12,))
        elif name == "dsec":
            for field, dtype in kind:
                file.create_dataset(f"events/{field}", (10**12,), dtype, chunks=(1000,))
        else:
            file.create_dataset("CD/events", (10**12,), np.dtype(kind), chunks=(1000,))
    text = r"claims 1000000000000 values, of which \d+ are stored"
    if name == "packed-h5":  # a file of our own, checked as a whole before it is read
        text = r"words claims 8000000000000 bytes, more than are stored"
    with pytest.raises(EventFileError, match=text):
        read(path, format=name)


def test_a_cut_aedat4_file_loses_its_last_packet_only(tmp_path: Path) -> None:
    pytest.importorskip("lz4")
    whole = real_data("events/sample.aedat4")
    path = tmp_path / "cut.aedat4"
    path.write_bytes(whole.read_bytes()[:500_000])
    with pytest.warns(EventFileWarning, match="byte 494090: the last packet is cut: 5910 of 22965 bytes"):
        stream = read(path)
    assert 0 < len(stream) < 111_954
    assert stream.events.tolist() == read(whole).events[: len(stream)].tolist()
    with pytest.raises(EventFileError, match="cut: 5910 of 22965 bytes; copy the file again"):
        read(path, on_cut="error")
