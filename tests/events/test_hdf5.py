"""HDF5 files of events in the layouts of many sources."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from eventsnn.errors import EventFileError
from eventsnn.events import detect_format, open_events, read
from eventsnn.events.formats.units import unit_of_fractions

T = np.array([5, 105, 205, 305, 405, 505])
X, Y, P = np.arange(6), np.array([0, 1, 2, 0, 1, 2]), np.array([0, 1, 0, 1, 0, 1])
EVENTS = list(zip(X.tolist(), Y.tolist(), T.tolist(), P.tolist(), strict=True))
NAMES = [("x", "y", "t", "p"), ("xs", "ys", "ts", "ps"), ("x_addr", "y_addr", "timestamps", "polarity")]


def put(file: h5py.File, place: str, names: tuple[str, ...] = NAMES[0], **changes: Any) -> None:
    columns = {"x": X.astype("u2"), "y": Y.astype("u2"), "t": T, "p": P.astype("u1")} | changes
    for name, column in zip(names, "xytp", strict=True):
        if columns[column] is not None:
            file[f"{place}/{name}"] = columns[column]


def make(path: Path, place: str = "events", **changes: Any) -> Path:
    with h5py.File(path, "w") as file:
        put(file, place, **changes)
    return path


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("place", ["", "events", "prophesee/left", "a/b/c", "dvs"])
def test_a_group_of_columns(tmp_path: Path, place: str, names: tuple[str, ...]) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        put(file, place, names)
        file[f"{place}/ms_to_idx"] = np.arange(4)
        file["images/timestamps"] = np.arange(3)
        file["description"] = "a text"
    stream = read(path)
    assert (stream.sensor_size, stream.events.tolist()) == ((6, 3, 2), EVENTS)
    with open_events(path) as recording:
        assert [known.name for known in recording.streams] == [place or "/"]


@pytest.mark.parametrize("shape", [(6,), (6, 1), (1, 6)])
@pytest.mark.parametrize("place", ["CD/events", "events", "left/dvs_events"])
def test_a_compound_data_set(tmp_path: Path, place: str, shape: tuple[int, ...]) -> None:
    rows = np.empty(6, [("x", "u2"), ("y", "u2"), ("p", "i2"), ("t", "i8")])
    rows["x"], rows["y"], rows["p"], rows["t"] = X, Y, P, T
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file[place] = rows.reshape(shape)
        file["CD/indexes"] = np.zeros(3, [("id", "u8"), ("ts", "i8")])
        file["EXT_TRIGGER/events"] = np.zeros(3, [("p", "i2"), ("t", "i8"), ("id", "i2")])
    assert read(tmp_path / "a.hdf5").events.tolist() == EVENTS


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("order", ["xytp", "txyp"])
@pytest.mark.parametrize("seconds", [False, True])
def test_a_table_of_four_columns(tmp_path: Path, seconds: bool, order: str, across: bool) -> None:
    start = 1_500_000_000_000_000
    columns = {"x": X, "y": Y, "t": (T + start) / 1e6 if seconds else T + start, "p": 2.0 * P - 1}
    table = np.stack([columns[name] for name in order], axis=0 if across else 1)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["davis/left/events"] = table
        file["davis/left/imu"] = np.zeros((5, 6))
        file["davis/left/pose"] = np.zeros((5, 4))
    assert read(tmp_path / "a.hdf5").events.tolist() == [(x, y, t + start, p) for x, y, t, p in EVENTS]


def test_a_table_that_may_be_read_in_two_ways_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["events"] = np.stack([X, X, X, P], axis=1)
    with pytest.raises(EventFileError, match=r"the columns of the table events of shape \(6, 4\).*--columns"):
        read(path)
    assert read(path, columns="x,y,t,p").events["t"].tolist() == X.tolist()
    with h5py.File(path, "w") as file:
        file["events"] = np.stack([X, Y, T, P, P], axis=1)
    with pytest.raises(EventFileError, match=r"the table events of shape \(6, 5\).*--columns"):
        read(path)
    assert read(path, columns="x,y,t,p,-").events.tolist() == EVENTS
    with h5py.File(path, "w") as file:
        file["events"] = np.stack([P, Y, X, T], axis=1)
    assert read(path, columns="p,y,x,t[ms]").events.tolist() == [(x, y, 1000 * t, p) for x, y, t, p in EVENTS]


@pytest.mark.parametrize(
    ("t", "unit"),
    [
        (T / 1e6, None),
        (T / 1e6 + 1.5e9, None),
        ((T / 1e6).astype("f4"), None),
        (T.astype("f8"), None),
        (T.astype("u4"), None),
        (T / 1e6, "s"),
        (T / 1e3, "ms"),
        (T / 1e3, "milliseconds"),
        (T * 1000, "nanoseconds since power-on"),
        (T * 1000, b"ns"),
        (T, "us"),
        (T, "µs"),
        (T, "1e-6 s"),
        (T * 1000, "10^-9 s"),
        (T, ""),
        (T, "the camera's clock, in us"),
    ],
)
def test_units(tmp_path: Path, t: np.ndarray, unit: str | bytes | None) -> None:
    path = make(tmp_path / "a.h5", t=t)
    if unit is not None:
        for attribute in ("units", "unit"):
            with h5py.File(path, "a") as file:
                file["events/t"].attrs[attribute] = unit
    found = read(path).events["t"]
    assert (found - (1_500_000_000_000_000 if t[0] > 1e9 else 0)).tolist() == T.tolist()


@pytest.mark.parametrize(("name", "unit"), [("units", "10 us"), ("unit", "100 ns"), ("units", "1/1000 s")])
def test_multiples_of_units_are_refused(tmp_path: Path, name: str, unit: str) -> None:
    path = make(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        file["events/t"].attrs[name] = unit
    with pytest.raises(EventFileError, match=f"{name} = '{unit}' is not a unit of time"):
        read(path)


def test_units_in_names_and_columns(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        put(file, "events", ("x", "y", "t_ns", "p"), t=T * 1000)
    assert read(tmp_path / "a.h5").events["t"].tolist() == T.tolist()
    make(tmp_path / "b.h5", t=T / 1e3)
    with pytest.raises(
        EventFileError, match=r"have fractions, and nothing says their unit.*t\[s\].*--columns"
    ):
        read(tmp_path / "b.h5")
    assert read(tmp_path / "b.h5", columns="t[ms],x,y,p").events["t"].tolist() == T.tolist()
    make(tmp_path / "c.h5", t=1_600_000_000_000_000_000 + T * 1000 + 1)
    assert (read(tmp_path / "c.h5").events["t"] - 1_600_000_000_000_000).tolist() == T.tolist()
    with h5py.File(tmp_path / "c.h5", "a") as file:
        file["events"].attrs["time_unit"] = "frames"
    with pytest.raises(EventFileError, match="time_unit = 'frames' is not a unit of time"):
        read(tmp_path / "c.h5")


@pytest.mark.parametrize("t", [T / 1e3, 1.0 + np.arange(6) * 1.234567891e-4])
def test_layouts_whose_times_are_seconds(tmp_path: Path, t: np.ndarray) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        put(file, "events", NAMES[1], t=t)
    assert read(tmp_path / "a.h5").events["t"].tolist() == np.rint(t * 1e6).tolist()
    with h5py.File(tmp_path / "b.hdf5", "w") as file:
        file["davis/left/events"] = np.stack([Y, X[::-1], t, 2 * P - 1], axis=1)
    assert read(tmp_path / "b.hdf5").events["t"].tolist() == np.rint(t * 1e6).tolist()


def test_what_fractions_say() -> None:
    rng = np.random.default_rng(1)
    fine = np.sort(rng.uniform(0, 0.5, 60_000))
    assert unit_of_fractions(fine) == "s"
    assert unit_of_fractions(fine * 1000) is None
    assert unit_of_fractions(np.array([1.0, 2.0])) is None
    assert unit_of_fractions(np.array([0.001, 0.002])) is None  # s, or ms


@pytest.mark.parametrize("offset", [10**12, 1_600_000_000_000_001])
@pytest.mark.parametrize("place", ["t_offset", "events/t_offset", "events/attrs"])
def test_offsets_stay_exact(tmp_path: Path, place: str, offset: int) -> None:
    path = make(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        if place == "events/attrs":
            file["events"].attrs["t_offset"] = offset
        else:
            file[place] = np.int64(offset)
    assert (read(path).events["t"] - offset).tolist() == T.tolist()


@pytest.mark.parametrize("offset", [[0, 5], "5", [[1.0], [2.0]]])
def test_an_offset_that_is_no_number_is_not_left_out(tmp_path: Path, offset: Any) -> None:
    path = make(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        file.attrs["t_offset"] = offset
    with pytest.raises(EventFileError, match="t_offset must be one number, got"):
        read(path)


@pytest.mark.parametrize(
    ("facts", "size"),
    [
        ({"width": 40, "height": 30}, (40, 30, 2)),
        ({"sensor_resolution": [30, 40]}, (40, 30, 2)),
        ({"sensor_size": [40, 30]}, (40, 30, 2)),
        ({"sensor_size": "large"}, (6, 3, 2)),
        ({"t_offset": 0}, (640, 480, 2)),
    ],
)
@pytest.mark.parametrize("attributes", [False, True])
def test_sensors(tmp_path: Path, facts: dict[str, Any], size: tuple[int, int, int], attributes: bool) -> None:
    path = make(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        for name, value in facts.items():
            if attributes and name != "t_offset":
                file.attrs[name] = value
            else:
                file[name] = value
    assert read(path).sensor_size == size
    assert read(path, sensor=(50, 50, 2)).sensor_size == (50, 50, 2)


@pytest.mark.parametrize(
    "facts",
    [
        {"geometry": "40x30"},
        {"width": "40", "height": b"30"},
        {"resolution": "(40, 30)"},
        {"geometry": b"40 x 30"},
    ],
)
def test_sensors_in_words(tmp_path: Path, facts: dict[str, Any]) -> None:
    path = make(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        file.attrs.update(facts)
    assert read(path).sensor_size == (40, 30, 2)


@pytest.mark.parametrize(
    "p",
    [
        P.astype(bool),
        (2 * P - 1).astype("i1"),
        (2 * P - 1).astype("u1"),
        (2 * P - 1).astype("u4"),
        2.0 * P - 1,
        P.astype("f4"),
        P + 1,
        np.array([b"ON" if p else b"OFF" for p in P]),
        np.array(["on" if p else "off" for p in P], object),
    ],
    ids=lambda p: f"{p.dtype}{p[:2].tolist()}",
)
def test_polarities(tmp_path: Path, p: np.ndarray) -> None:
    assert read(make(tmp_path / "a.h5", p=p)).events.tolist() == EVENTS


def test_polarities_of_an_enumeration_and_none(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        put(file, "", p=None)
        kind = h5py.enum_dtype({"OFF": 7, "ON": 3}, "u1")
        file.create_dataset("p", data=np.where(P == 1, 3, 7), dtype=kind)
    assert read(tmp_path / "a.h5").events.tolist() == EVENTS
    stream = read(make(tmp_path / "b.h5", p=None))
    assert (stream.sensor_size, stream.events["p"].tolist()) == ((6, 3, 1), [0] * 6)
    with h5py.File(tmp_path / "b.h5", "a") as file:
        file["events/brightness"] = P
    with pytest.raises(EventFileError, match=r"/events: field 'brightness' is not known.*rename it to p"):
        read(tmp_path / "b.h5")


def test_two_cameras_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        put(file, "prophesee/left")
        put(file, "prophesee/right", x=X + 10)
        put(file, "prophesee/half", y=None, t=None, p=None)
    choices = "0 prophesee/left (6 events); 1 prophesee/right (6 events)"
    with pytest.raises(EventFileError) as caught:
        read(path)
    assert f"holds 2 event streams: {choices}; choose one with stream=0 (--stream 0)" in str(caught.value)
    for chosen in (1, "1", "right", "prophesee/right"):
        assert read(path, stream=chosen).events["x"].tolist() == (X + 10).tolist()
    for wrong in ("middle", 2, "prophesee"):
        with pytest.raises(EventFileError, match="prophesee/left"):
            read(path, stream=wrong)


def test_spikes_of_sonata(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["spikes/LGN/timestamps"] = [0.1, 0.2, 0.3]
        file["spikes/LGN/node_ids"] = np.array([5, 7, 9], np.uint64)
    stream = read(tmp_path / "a.h5")
    assert stream.sensor_size == (10, 1, 1)
    assert stream.events[["t", "x"]].tolist() == [(100, 5), (200, 7), (300, 9)]


def test_a_matlab_file_of_version_7_3(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        for name, values in (("x", X), ("y", Y), ("ts", T), ("pol", P)):
            file[name] = values.astype("f8").reshape(1, 6)
    with (tmp_path / "a.mat").open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM")
    assert detect_format(tmp_path / "a.mat") == "hdf5"
    assert read(tmp_path / "a.mat").events.tolist() == EVENTS


def test_polarities_of_another_length_are_not_left_out(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        put(file, "events", p=P[:3])
    with pytest.raises(
        EventFileError, match=r"events: p and its columns t, x, \[y\] are of different lengths"
    ):
        read(tmp_path / "a.h5")


def test_a_stream_may_be_called_by_a_part_of_its_path(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        put(file, "davis/left/events")
        put(file, "davis/right/events", p=P[::-1])
    for name in ("right", "davis/right", "/davis/right/events", "right/events"):
        assert read(tmp_path / "a.h5", stream=name).events["p"].tolist() == list(P[::-1])
    for name in ("davis", "ight", "left/right"):
        with pytest.raises(EventFileError, match="left/events"):
            read(tmp_path / "a.h5", stream=name)


def test_files_without_events_say_what_they_hold(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images/frames"] = np.zeros((2, 3, 3))
    with pytest.raises(EventFileError, match=r"holds no events: .* it holds images, images/frames"):
        read(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        put(file, "events", x=X[:4])
    with pytest.raises(EventFileError, match="of different lengths"):
        read(tmp_path / "b.h5")
    assert len(read(make(tmp_path / "c.h5", x=X[:0], y=Y[:0], t=T[:0], p=P[:0]))) == 0


def test_data_of_other_files_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(100))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        put(file, "events", p=None)
        file.create_dataset("events/p", (6,), "u1", external=[(str(tmp_path / "secret"), 0, 6)])
    with pytest.raises(EventFileError, match="events/p lies in another file"):
        read(tmp_path / "a.h5")
    make(tmp_path / "b.h5")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["events"] = h5py.ExternalLink("b.h5", "/events")
    with pytest.raises(EventFileError, match="events lies in another file"):
        read(tmp_path / "c.h5")


def test_a_virtual_data_set_whose_source_is_missing(tmp_path: Path) -> None:
    """HDF5 makes up zeros for it."""
    make(tmp_path / "b.h5")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        put(file, "events", p=None)
        layout = h5py.VirtualLayout((6,), P.dtype)
        layout[:] = h5py.VirtualSource("b.h5", "events/p", (6,))
        file.create_virtual_dataset("events/p", layout)
    assert read(tmp_path / "a.h5").events.tolist() == EVENTS
    (tmp_path / "b.h5").unlink()
    with pytest.raises(EventFileError, match=r"/events/p takes its values from b\.h5, which is not there"):
        read(tmp_path / "a.h5")


@pytest.mark.parametrize(("filter", "number"), [("Blosc", 32001), ("Zstd", 32015), ("LZ4", 32004)])
@pytest.mark.parametrize("compound", [False, True])
def test_filters(tmp_path: Path, filter: str, number: int, compound: bool) -> None:
    options = getattr(pytest.importorskip("hdf5plugin"), filter)()
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        if compound:
            rows = np.empty(6, [("x", "u2"), ("y", "u2"), ("p", "i2"), ("t", "i8")])
            rows["x"], rows["y"], rows["p"], rows["t"] = X, Y, P, T
            file.create_dataset("CD/events", data=rows, chunks=(6,), **options)
        else:
            for name, values in (("x", X), ("y", Y), ("t", T), ("p", P)):
                file.create_dataset(f"a/{name}", data=values, chunks=(6,), **options)
    assert read(path).events.tolist() == EVENTS
    # Filters stay known to a process that has loaded them.
    code = "import sys; sys.modules['hdf5plugin'] = None; import eventsnn as es; es.read(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert f"{path}: /" in last
    assert f"(HDF5 filter {number})" in last
    assert "pip install 'eventsnn[hdf5]'" in last


def test_a_filter_of_no_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, values in (("x", X), ("y", Y), ("t", T), ("p", P)):
            plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plan.set_chunk((6,))
            plan.set_filter(36559, h5py.h5z.FLAG_OPTIONAL)
            place, kind = h5py.h5s.create_simple((6,)), h5py.h5t.py_create(values.dtype)
            h5py.h5d.create(file.id, name.encode(), kind, place, plan)
    with pytest.raises(EventFileError, match=r"/t is compressed with ECF.*filter 36559.*HDF5_PLUGIN_PATH"):
        read(tmp_path / "a.h5")
