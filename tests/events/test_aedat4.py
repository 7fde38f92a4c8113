"""AEDAT 4: every compression, as the library aedat reads it; damaged packets; a missing library."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from eventsnn.errors import EventFileError, EventFileWarning, MissingExtraError
from eventsnn.events import open_events, read
from eventsnn.events.formats.aedat4_header import read_header
from tests.events.fuzzing import CORPUS
from tests.events.helpers import random_stream
from tests.events.several import write_aedat4
from tests.real_data import real_data

LIBRARIES = {"none": None, "lz4": "lz4", "zstd": "zstandard"}
STREAM = random_stream(120, sensor_size=(40, 30, 2))


def corpus(name: str) -> Path:
    if LIBRARIES[name] is not None:
        pytest.importorskip(LIBRARIES[name])
    return CORPUS / f"aedat4-{name}.aedat4"


@pytest.mark.parametrize("name", LIBRARIES)
def test_packets_of_every_compression(name: str) -> None:
    assert read(corpus(name)).events.tolist() == STREAM.events.tolist()


def test_a_real_file_as_the_library_aedat_reads_it() -> None:
    aedat = pytest.importorskip("aedat")
    pytest.importorskip("lz4")
    path = real_data("events/sample.aedat4")
    packets = [packet["events"] for packet in aedat.Decoder(str(path)) if "events" in packet]
    theirs, ours = np.concatenate(packets), read(path).events
    for name, field in (("t", "t"), ("x", "x"), ("y", "y"), ("p", "on")):
        np.testing.assert_array_equal(ours[name], theirs[field])


@pytest.mark.parametrize("name", LIBRARIES)
def test_what_comes_before_a_damaged_packet_is_handed_on(tmp_path: Path, name: str) -> None:
    path = tmp_path / "damaged.aedat4"
    header = read_header(corpus(name))
    # Without a table of packets, the packets end with the file.
    data = corpus(name).read_bytes().replace(struct.pack("<q", header.end), struct.pack("<q", -1), 1)
    (size,) = struct.unpack_from("<i", data, header.start + 4)
    second = bytearray(data[header.start : header.start + 8 + size])
    second[16 if name == "none" else 9] ^= 0xFF
    # The first packet, then its copy of another type, or with a frame that is none.
    path.write_bytes(data[: header.start + 8 + size] + second)
    parts = []
    with (
        pytest.raises(EventFileError, match="the packet is damaged") as caught,
        open_events(path) as recording,
    ):
        parts.extend(recording)
    assert caught.value.offset == header.start + 8 + size
    assert [len(part) for part in parts] == [len(STREAM)]


CLAIM = struct.pack("<Q", 2**40)
FRAMES = {
    # Magic number, flags (version 1, the size is stated), blocks of 64 KiB, size, checksum of these.
    "lz4": b"\x04\x22\x4d\x18" + bytes((0x68, 0x40)) + CLAIM + bytes((0xB7,)),
    # Magic number, flags (the size has 8 bytes, a single segment), size.
    "zstd": b"\x28\xb5\x2f\xfd" + bytes((0xE0,)) + CLAIM,
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_packet_that_claims_too_much_is_refused_before(tmp_path: Path, name: str) -> None:
    """The libraries would take the memory first."""
    source, path = corpus(name), tmp_path / "large.aedat4"
    frame = FRAMES[name] + bytes(20)
    head = source.read_bytes()[: read_header(source).start]
    path.write_bytes(head + struct.pack("<ii", 0, len(frame)) + frame)
    with pytest.raises(EventFileError, match="claims more bytes than"):
        read(path)


@pytest.mark.parametrize("name", ["lz4", "zstd"])
def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    path = CORPUS / f"aedat4-{name}.aedat4"
    library = LIBRARIES[name]
    for module in (library, f"{library}.frame"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"{library}, .*eventsnn\[aedat\]"):
        read(path)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("x", 64), "x=64, y=.* is outside the 64 x 48 sensor"),
        (("x", -1), "x=-1, y=.* is outside"),
        (("y", 48), "y=48 is outside"),
        (("t", -5), "time runs backwards|begins before"),
    ],
)
def test_bad_events_are_named(tmp_path: Path, change: tuple[str, int], text: str) -> None:
    stream = random_stream(400, 1, (64, 48, 2))
    events = stream.events.copy()
    events[change[0]][333] = change[1]
    bad = type(stream)._trusted(events, stream.sensor_size)
    write_aedat4(tmp_path / "a.aedat4", {0: ("EVTS", "DVX", bad)}, parts=4)
    with pytest.raises(EventFileError, match=text):
        read(tmp_path / "a.aedat4")
    with pytest.warns(EventFileWarning, match="were left out"):
        kept = read(tmp_path / "a.aedat4", on_bad="skip")
    assert kept.events.tolist() == np.delete(stream.events, 333).tolist()


def test_sizes_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.aedat4"
    data = (CORPUS / "aedat4-none.aedat4").read_bytes()
    assert b">40</attr>" in data
    path.write_bytes(data.replace(b">40</attr>", b">-4</attr>"))
    with pytest.raises(EventFileError, match=r"the header is damaged .*-4"):
        read(path)
