"""Our packed HDF5."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from eventsnn.errors import EventFileError
from eventsnn.events import EventStream, open_events, read, write, write_parts
from eventsnn.events.formats import packed_h5
from eventsnn.events.packed_events import from_packed_events
from tests.events.helpers import random_stream

SENSOR = (40, 30, 2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write(tmp_path / "a.h5", random_stream(1000, sensor_size=SENSOR))
    return tmp_path / "a.h5"


def test_the_layout_is_as_described(tmp_path: Path) -> None:
    stream = EventStream.from_arrays([10**15, 10**15 + 7], [3, 39], [0, 29], [1, 0], sensor_size=SENSOR)
    write(tmp_path / "a.h5", stream)
    with h5py.File(tmp_path / "a.h5", "r") as file:
        words = file["eventsnn/words"]
        assert (words.dtype, words.compression, words.chunks) == (np.dtype("<u8"), "gzip", (65536,))
        assert {key: np.array(value).tolist() for key, value in words.attrs.items()} == {
            "version": 1,
            "sensor_size": [40, 30, 2],
            "t_offset": 10**15,
        }
        # 6 bits of x, 5 of y, 1 of p.
        assert words[:].tolist() == [3 | 1 << 11, 39 | 29 << 6 | 7 << 12]
        assert from_packed_events(words[:], SENSOR)["x"].tolist() == [3, 39]
    assert read(tmp_path / "a.h5") == stream


def test_more_than_a_chunk_comes_back_part_by_part(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(packed_h5, "_ROWS", 100)
    stream = random_stream(1050, sensor_size=SENSOR)
    write_parts(tmp_path / "a.h5", stream.chunks(33), SENSOR)
    with open_events(tmp_path / "a.h5") as recording:
        parts = list(recording)
    assert max(len(part) for part in parts) <= 100
    assert read(tmp_path / "a.h5") == stream


def test_an_empty_recording(tmp_path: Path) -> None:
    write_parts(tmp_path / "a.h5", [], SENSOR)
    assert len(read(tmp_path / "a.h5")) == 0


def test_compressed_well(path: Path) -> None:
    write(path.with_name("b.h5"), random_stream(200_000, sensor_size=SENSOR))
    assert path.with_name("b.h5").stat().st_size < 5 * 200_000


@pytest.mark.parametrize(
    ("attribute", "value", "text"),
    [
        ("version", 2, "is of version 2, this eventsnn reads up to 1"),
        ("sensor_size", [0, 3, 2], "attribute sensor_size: "),
        ("t_offset", 2**62, "attribute t_offset is 4611686018427387904; damaged"),
    ],
)
def test_damage_is_named(path: Path, attribute: str, value: object, text: str) -> None:
    with h5py.File(path, "a") as file:
        file["eventsnn/words"].attrs[attribute] = value
    with pytest.raises(EventFileError, match=text):
        read(path)


def test_another_data_set_is_no_recording_of_ours(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["eventsnn/words"]
    with pytest.raises(EventFileError, match="holds no data set eventsnn/words"):
        read(path, format="packed-h5")


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    def parts():
        yield random_stream(10, sensor_size=SENSOR)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_parts(tmp_path / "a.h5", parts(), SENSOR)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(EventFileError, match="cannot be written"):
        write(tmp_path / "none" / "a.h5", random_stream(10))
