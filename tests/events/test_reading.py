"""One set of reading options: what each does in every way of reading, and what is refused."""

import math
import os
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

import eventsnn as es
from eventsnn.errors import EventFileError, EventFileWarning, EventStreamError
from eventsnn.events import EVENT_DTYPE, ReadingOptions, write_parts
from eventsnn.events.formats import find_writer
from eventsnn.events.recording import Recording
from tests.events.helpers import random_stream

SIZE = (40, 30, 2)
REGION = {"t_from": 50.0, "t_until": 200.0, "crop": (10, 5, 30, 25), "downsample": 2}


def expected_events(stream: es.EventStream) -> list[tuple[int, int, int, int]]:
    return [
        ((x - 10) // 2, (y - 5) // 2, t, p)
        for x, y, t, p in stream.events.tolist()
        if 10 <= x < 30 and 5 <= y < 25 and 50_000 <= t < 200_000
    ]


def read_in_parts(path: Path, **options) -> es.EventStream:
    with es.open_events(path, **options) as recording:
        size = recording.sensor_size
        parts = [part.events for part in recording]
    return es.EventStream(np.concatenate([np.empty(0, EVENT_DTYPE), *parts]), size)


@pytest.mark.parametrize("read", [es.read, read_in_parts])
@pytest.mark.parametrize("name", ["a.es", "a.csv", "a.h5", "a.npz", "a.dat"])
def test_a_part_of_a_recording(tmp_path: Path, name: str, read) -> None:
    stream = random_stream(30_000, sensor_size=SIZE)
    es.write(tmp_path / name, stream)
    part = read(tmp_path / name, **REGION)
    assert part.events.tolist() == expected_events(stream)
    assert part.sensor_size == (10, 10, 2)
    assert read(tmp_path / name, downsample=4).sensor_size == (10, 8, 2)


@pytest.mark.parametrize("read", [es.read, read_in_parts])
def test_a_region_stands_for_a_sensor_that_nobody_states(tmp_path: Path, read) -> None:
    stream = random_stream(5000, sensor_size=SIZE)
    table = np.stack([stream.events[name] for name in "txyp"], axis=1)
    np.save(tmp_path / "a.npy", table)
    options = {**REGION, "columns": "t,x,y,p"}
    with es.open_events(tmp_path / "a.npy", **options) as recording:
        assert recording.stated_sensor == (10, 10, 2)
    part = read(tmp_path / "a.npy", **options)
    assert (part.events.tolist(), part.sensor_size) == (expected_events(stream), (10, 10, 2))
    assert read(tmp_path / "a.npy", columns="t,x,y,p", downsample=2).sensor_size == (20, 15, 2)
    with es.open_events(tmp_path / "a.npy", columns="t,x,y,p") as recording:
        assert recording.stated_sensor is None


@pytest.mark.parametrize("read", [es.read, read_in_parts])
@pytest.mark.parametrize("name", ["a.es", "a.csv", "a.h5", "a.bin"])
def test_a_pipe_gives_what_its_file_does(tmp_path: Path, name: str, read) -> None:
    stream = random_stream(40_000)
    es.write(tmp_path / name, stream)
    data = (tmp_path / name).read_bytes()
    (tmp_path / "pipe").mkdir()
    pipe = tmp_path / "pipe" / name
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(data,), daemon=True)
    writer.start()
    assert read(pipe) == stream
    writer.join(10)


def test_reading_ends_where_nothing_more_is_wanted(tmp_path: Path) -> None:
    stream = random_stream(100_000, sensor_size=SIZE)
    write_parts(tmp_path / "a.dat", [stream], SIZE)
    data = (tmp_path / "a.dat").read_bytes()
    (tmp_path / "cut.dat").write_bytes(data[:-3])
    with pytest.raises(EventFileError, match="the last record is cut"):
        es.read(tmp_path / "cut.dat", on_cut="error")
    assert len(es.read(tmp_path / "cut.dat", on_cut="error", t_until=1.0)) > 0


def test_a_region_beyond_the_sensor_names_the_file(tmp_path: Path) -> None:
    es.write(tmp_path / "a.es", random_stream(10, sensor_size=SIZE))
    with pytest.raises(EventFileError, match=r"a\.es: crop 0,0,41,30 reaches beyond the 40 x 30 .*--crop"):
        es.read(tmp_path / "a.es", crop=(0, 0, 41, 30))


def shuffled(n: int) -> list[tuple[int, int, int, int]]:
    """(t, x, y, p) in blocks that are out of order, with ties."""
    rng = np.random.default_rng(3)
    t = rng.integers(0, n // 4, n)
    return list(zip(t.tolist(), range(n), [0] * n, rng.integers(0, 2, n).tolist(), strict=True))


def write_unsorted(path: Path, rows: list[tuple[int, int, int, int]]) -> None:
    """Write what `es.write` would refuse."""
    events = np.array([(x, y, t, p) for t, x, y, p in rows], EVENT_DTYPE)
    if path.suffix == ".npy":
        np.save(path, events)
        return
    writer = find_writer(path, None, (2000, 4, 2))
    path.write_bytes(writer.start() + bytes(writer.feed(events)) + bytes(writer.finish()))


@pytest.mark.parametrize("read", [es.read, read_in_parts])
@pytest.mark.parametrize("name", ["a.csv", "a.npy", "a.npz", "a.dat"])
def test_events_out_of_order_are_sorted_if_asked_for(tmp_path: Path, name: str, read) -> None:
    rows, path = shuffled(1500), tmp_path / name
    write_unsorted(path, rows)
    with pytest.raises(EventFileError, match=r"on_bad='sort', --on-bad sort"):
        read(path)
    with pytest.warns(EventFileWarning, match=r"0 events outside the sensor and \d+ earlier .* were sorted"):
        stream = read(path, on_bad="sort", sensor=(2000, 4, 2))
    assert stream.events.tolist() == [(x, y, t, p) for t, x, y, p in sorted(rows, key=lambda row: row[0])]
    late = sum(row[0] < max(before[0] for before in rows[: k + 1]) for k, row in enumerate(rows))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EventFileWarning)
        with es.open_events(path, on_bad="sort", sensor=(2000, 4, 2), t_from=0.1, t_until=0.2) as recording:
            part = recording.read()
            assert recording.anomalies.backwards == late
        assert part.events["t"].tolist() == sorted(t for t, *_ in rows if 100 <= t < 200)
        with pytest.raises(EventFileError, match="outside the"):
            read(path, on_bad="sort", sensor=(1000, 4, 2))


def test_a_last_line_without_an_end_is_no_cut_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for last, text in (("20,99,2,0", "outside the 6 x 5"), ("5,1,1,0", "time runs backwards")):
        path.write_text(f"t,x,y,p\n10,1,1,1\n{last}")
        with pytest.raises(EventFileError, match=text):
            es.read(path, sensor=(6, 5, 2))
    path.write_text("t,x,y,p\n10,1,1,1\n20,2,2,0")
    assert len(es.read(path)) == 2
    for text in ("t,x,y,p\n10,1,1,1\n20,2,", "x,y,p,t\n1,1,1,1000\n2,2,0,10"):
        path.write_text(text)
        with pytest.warns(EventFileWarning, match="the last line is cut"):
            assert len(es.read(path)) == 1


def test_sorted_recordings_stay_as_they_are(tmp_path: Path) -> None:
    stream = random_stream(70_000, sensor_size=SIZE)
    es.write(tmp_path / "a.dat", stream)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_in_parts(tmp_path / "a.dat", on_bad="sort") == stream


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"on_bad": "drop"}, "on_bad must be one of error, skip, clamp, sort"),
        ({"on_cut": "skip"}, "on_cut must be one of warn, error"),
        ({"sensor": (34, 34)}, "sensor_size must be"),
        ({"crop": (5, 5, 5, 9)}, "crop must be x0,y0,x1,y1"),
        ({"downsample": 0}, "downsample must be a whole number"),
        ({"t_from": 5.0, "t_until": 5.0}, "0 <= from < until"),
    ],
)
def test_options_that_make_no_sense(options, text) -> None:
    with pytest.raises(EventStreamError, match=text):
        ReadingOptions(**options)
    with pytest.raises(EventStreamError, match=text):
        es.read("nowhere.es", **options)


FULL = ReadingOptions(
    sensor=(640, 480, 2),
    format="csv",
    columns="t[s],x,y,p",
    stream=1,
    sample=3,
    on_bad="sort",
    on_cut="error",
    t_from=1.5,
    t_until=2000.0,
    crop=(0, 0, 64, 64),
    downsample=2,
)


@pytest.mark.parametrize("name", ["a.bin", "a.csv", "a.es", "a.npz"])
def test_choices_where_there_are_none(tmp_path: Path, name: str) -> None:
    es.write(tmp_path / name, random_stream(10))
    assert len(es.read(tmp_path / name, stream=0, sample=0)) == 10
    with pytest.raises(EventFileError, match="holds one stream of events, so there is no stream 'left'"):
        es.read(tmp_path / name, stream="left")
    with pytest.raises(EventFileError, match="holds one recording, so there is no sample 3"):
        es.open_events(tmp_path / name, sample=3)


def test_tables() -> None:
    table = FULL.to_table()
    assert (table["from"], table["until"], table["crop"]) == (1.5, 2000.0, [0, 0, 64, 64])
    assert ReadingOptions.from_table(table) == FULL
    assert ReadingOptions(**FULL.given()) == FULL
    assert ReadingOptions().to_table() == {}
    assert ReadingOptions.from_table({}) == ReadingOptions()


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({"t_from": 5}, r"unknown field 't_from'; there are .*from"),
        ({"crop": "1,2,3,4"}, "crop must be four whole numbers"),
        ({"crop": [1, 2, 3]}, "crop must be four whole numbers"),
        ({"sensor": "34x34x2"}, "sensor must be three whole numbers"),
        ({"sensor": [34, 34, True]}, "sensor must be three whole numbers"),
        ({"downsample": 2.0}, "downsample must be a whole number"),
        ({"sample": True}, "sample must be a whole number"),
        ({"format": 3}, "format must be a name"),
        ({"until": "5"}, "until must be a time in ms"),
        ({"on_bad": "drop"}, "on_bad must be one of"),
        ({"from": math.nan}, "0 <= from < until"),
    ],
)
def test_tables_that_make_no_sense(table, text) -> None:
    with pytest.raises(EventStreamError, match=text):
        ReadingOptions.from_table(table)


def test_options_open_recordings(tmp_path: Path) -> None:
    stream = random_stream(100)
    es.write(tmp_path / "a.bin", stream)
    options = ReadingOptions()
    assert options.read(tmp_path / "a.bin") == stream
    with options.open(tmp_path / "a.bin") as recording:
        assert isinstance(recording, Recording)
    assert options.for_input((5, 5, 1)).sensor == (5, 5, 1)
    assert ReadingOptions(sensor=(9, 9, 2)).for_input((5, 5, 1)).sensor == (9, 9, 2)
    assert ReadingOptions(downsample=2).for_input((5, 5, 1)).sensor is None
