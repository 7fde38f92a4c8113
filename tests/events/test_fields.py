"""Names, units and polarity codes: the same for arrays, NumPy's files, tonic's samples and tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import eventsnn as es
from eventsnn.errors import EventFileError, EventStreamError
from eventsnn.events import EventStream, read, write
from eventsnn.events.fields import parse_name, whole_numbers
from eventsnn.events.polarity import PolarityCode, PolarityError

T, X, Y, P = [100, 200, 300], [5, 7, 9], [6, 8, 1], [1, 0, 1]


def structured(names: tuple[str, ...] = ("t", "x", "y", "p"), p: object = P) -> np.ndarray:
    p = np.asarray(p)
    array = np.zeros(3, [(names[0], "i8"), (names[1], "i2"), (names[2], "u2"), (names[3], p.dtype)])
    for name, values in zip(names, (T, X, Y, p), strict=True):
        array[name] = values
    return array


def ways_in(array: np.ndarray, folder: Path) -> list[EventStream]:
    """Everything that takes events by name."""
    np.save(folder / "a.npy", array)
    np.savez(folder / "a.npz", **{name: array[name] for name in array.dtype.names or ()})
    np.savez(folder / "b.npz", events=array)
    rows = [",".join(array.dtype.names or ())] + [",".join(str(v) for v in row) for row in array.tolist()]
    (folder / "a.csv").write_text("\n".join(rows))
    found = [read(folder / name) for name in ("a.npy", "a.npz", "b.npz", "a.csv")]
    found.append(EventStream.from_structured(array))
    found.append(es.data.from_tonic([(array, 0)], sensor_size=(10, 9, 2)).stream(0))
    return found


@pytest.mark.parametrize("polarity", ["p", "pol", "polarity", "on", "Polarity", "is_on", "POL", "sign"])
@pytest.mark.parametrize("time", ["t", "ts", "time", "timestamp", "t_us", "timestamp (us)", "Time [µs]"])
def test_names(tmp_path: Path, time: str, polarity: str) -> None:
    for stream in ways_in(structured((time, "x", "y", polarity)), tmp_path):
        assert stream.events.tolist() == [(5, 6, 100, 1), (7, 8, 200, 0), (9, 1, 300, 1)]


@pytest.mark.parametrize(
    ("x", "y"), [("xs", "ys"), ("x_addr", "y_addr"), ("addr_x", "addr_y"), ("col", "row"), ("Column", "Row")]
)
def test_names_of_axes(tmp_path: Path, x: str, y: str) -> None:
    for stream in ways_in(structured(("t", x, y, "p")), tmp_path):
        assert stream.events.tolist() == [(5, 6, 100, 1), (7, 8, 200, 0), (9, 1, 300, 1)]


@pytest.mark.parametrize(
    "p",
    [
        [True, False, True],
        np.array([1, -1, 1], np.int8),
        np.array([1, -1, 1]).astype(np.uint8),
        np.array([1, -1, 1]).astype(np.uint16),
        np.array([1, -1, 1]).astype(np.uint32),
        np.array([1, -1, 1]).astype(np.uint64),
        np.array([1, 255, 1], np.int64),
        [1.0, -1.0, 1.0],
        np.array([1, 0, 1], np.float16),
        [2, 1, 2],
        ["ON", "OFF", "ON"],
        ["true", "false", "true"],
        [b"on", b"off", b"on"],
        ["1", "-1", "1"],
        ["b'ON'", "b'OFF'", "b'ON'"],
    ],
    ids=str,
)
def test_polarity_codes(tmp_path: Path, p: object) -> None:
    for stream in ways_in(structured(p=p), tmp_path):
        assert stream.events["p"].tolist() == P


def test_an_unknown_field_without_a_polarity_is_an_error(tmp_path: Path) -> None:
    array = structured(("t", "x", "y", "brightness"))
    with pytest.raises(EventStreamError, match=r"field 'brightness' is not known.*rename it to p"):
        EventStream.from_structured(array)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", **{name: array[name] for name in array.dtype.names})
    (tmp_path / "a.csv").write_text("t,x,y,brightness\n1,2,3,1\n")
    for name in ("a.npy", "a.npz", "a.csv"):
        with pytest.raises(EventFileError, match=r"'brightness' is not known.*--columns"):
            read(tmp_path / name)
    assert EventStream.from_structured(array[["t", "x", "y"]]).sensor_size == (10, 9, 1)
    # With a polarity, other fields are nobody's business.
    assert len(EventStream.from_structured(structured(("t", "x", "y", "on")))) == 3


def test_columns_name_fields_that_say_nothing(tmp_path: Path) -> None:
    for names in (("f0", "f1", "f2", "f3"), ("t", "x", "y", "brightness")):
        array = structured(names)
        np.save(tmp_path / "a.npy", array)
        np.savez(tmp_path / "a.npz", **{name: array[name] for name in names})
        for suffix in ("npy", "npz"):
            with pytest.raises(EventFileError):
                read(tmp_path / f"a.{suffix}")
            stream = read(tmp_path / f"a.{suffix}", columns="t[ms],x,y,p")
            assert stream.events[0].tolist() == (5, 6, 100_000, 1)
            assert read(tmp_path / f"a.{suffix}", columns="t,x,y,-").sensor_size == (10, 9, 1)
    np.save(tmp_path / "a.npy", np.zeros(3, [("t", "i8"), ("x", "i2", (2,)), ("p", "u1")]))
    with pytest.raises(EventFileError, match="needs fields t, x"):
        read(tmp_path / "a.npy")


def test_a_table_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"timestamp": T, "x": X, "y": Y, "polarity": ["ON", "OFF", "ON"]})
    assert EventStream.from_structured(table) == EventStream.from_structured(structured())


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("archive", [False, True])
def test_tables_of_any_orientation(tmp_path: Path, archive: bool, across: bool, order: str) -> None:
    table = np.array(np.stack([T, X, Y, P], axis=0 if across else 1), order=order)  # type: ignore[call-overload]
    path = tmp_path / ("a.npz" if archive else "a.npy")
    (np.savez if archive else np.save)(path, table)  # type: ignore[operator]
    with pytest.raises(EventFileError, match=r"without names.*--columns"):
        read(path)
    assert (
        read(path, columns="t,x,y,p").events.tolist()
        == EventStream.from_structured(structured()).events.tolist()
    )


def test_two_fields_for_one_thing() -> None:
    array = np.zeros(2, [("ts", "i8"), ("time", "i8"), ("x", "i2")])
    with pytest.raises(EventStreamError, match="both 'ts' and 'time' may be t"):
        EventStream.from_structured(array)
    array = np.zeros(2, [("t", "i8"), ("time", "i8"), ("x", "i2")])
    assert len(EventStream.from_structured(array)) == 2


@pytest.mark.parametrize(
    ("name", "role", "unit"),
    [
        ("t[s]", "t", "s"),
        ("timestamp_s", "t", "s"),
        ("time in ms", "t", "ms"),
        ("Time (microseconds since 1970)", "t", "us"),
        ("t_ns", "t", "ns"),
        ("timestamps", "t", None),
        ("event_ts", "t", None),
        ("timepoints", "t", None),
        ("device_timestamp", "t", None),
        ("ros_time_ns", "t", "ns"),
        ("timestampus", "t", "us"),
        ("events_t", "t", None),
        ("t [1e-6 s]", "t", "us"),
        ("t (0.001 ms)", "t", "us"),
        ("t [10**-9 s]", "t", "ns"),
        ("t (us since 1970-01-01 00:00:00)", "t", "us"),
        ("x [px]", "x", None),
        ("events_p", "p", None),
        ("dvs_polarity", "p", None),
        ("evt.pol", "p", None),
        ("pixel_y", "y", None),
        ("node_ids", "line", None),
        ("population", None, None),
        ("exp", None, None),
        ("s", None, None),
    ],
)
def test_names_and_units(name: str, role: str | None, unit: str | None) -> None:
    found = parse_name(name)
    assert (found.role, found.unit) == (role, unit)


@pytest.mark.parametrize("unit", ["10 us", "1/1000 s", "100ns", "1e-5 s", "min"])
def test_what_is_no_unit_of_time(unit: str) -> None:
    with pytest.raises(EventStreamError, match="is not a unit of time"):
        parse_name(f"t ({unit})")


def test_masked_values_are_no_events() -> None:
    t = np.ma.masked_array([1, 2, 3], [False, True, False])
    with pytest.raises(EventStreamError, match="t has masked values"):
        EventStream.from_arrays(t, [0, 0, 0])
    assert len(EventStream.from_arrays(np.ma.masked_array([1, 2, 3]), [0, 0, 0])) == 3


def test_lists_of_different_lengths_are_no_columns() -> None:
    with pytest.raises(EventStreamError, match="t must be a one-dimensional array of numbers: got list"):
        EventStream.from_arrays([[1], [1, 2]], [0, 0])
    with pytest.raises(EventStreamError, match=r"a structured array .* is needed, got list"):
        EventStream.from_structured([[1], [1, 2]])


def test_whole_numbers_stay_exact() -> None:
    t = np.array([1_600_000_000_000_000_123, 1_600_000_000_000_000_500, 1_600_000_000_000_001_501])
    assert whole_numbers("t", t, "ns").tolist() == [
        1_600_000_000_000_000,
        1_600_000_000_000_000,
        1_600_000_000_000_002,
    ]
    t = np.array([1_600_000_000_000_000_001 // 1000])
    assert whole_numbers("t", t, "us").tolist() == [1_600_000_000_000_000]
    assert whole_numbers("t", np.array([2**50 + 1]), "ms").tolist() == [(2**50 + 1) * 1000]
    with pytest.raises(EventStreamError, match="too large"):
        whole_numbers("t", np.array([2**60]), "s")


def test_polarities_come_in_parts() -> None:
    code = PolarityCode()
    assert code.convert([1, 1]).tolist() == [1, 1]
    assert code.convert([-1, 1]).tolist() == [0, 1]
    with pytest.raises(PolarityError, match="p = 0 among -1, 1 is not a polarity"):
        code.convert([1, 0])
    code = PolarityCode()
    assert code.convert([2, 1]).tolist() == [1, 0]
    assert code.convert([1, 1]).tolist() == [0, 0]
    code = PolarityCode()
    code.convert([1, 1])
    with pytest.raises(PolarityError, match="taken for ON"):
        code.convert([1, 2])


@pytest.mark.parametrize(
    ("p", "text"),
    [
        ([0, 255], "p = 255 among 0"),
        ([1, 3], "p = 3 among 1"),
        ([0.5], r"p = 0\.5"),
        ([np.nan], "p = nan"),
        (["up", "sideways"], "'sideways' is not a polarity"),
        (np.array([2**63], np.uint64), "is not a polarity"),
        ([1j], "dtype complex128"),
    ],
)
def test_what_is_no_polarity(p: object, text: str) -> None:
    with pytest.raises(PolarityError, match=text):
        PolarityCode().convert(p)  # type: ignore[arg-type]


def test_polarities_are_not_merged_silently(tmp_path: Path) -> None:
    array = structured()
    with pytest.raises(EventStreamError, match=r"event 1: p = 0 .*one polarity.*merge_polarities"):
        EventStream.from_structured(array, (10, 9, 1))
    merged = EventStream.from_structured(array).merge_polarities()
    assert (merged.sensor_size, merged.events["p"].tolist()) == ((10, 9, 1), [0, 0, 0])
    np.save(tmp_path / "a.npy", array)
    (tmp_path / "a.csv").write_text("t,x,y,p\n1,2,3,1\n2,2,3,0\n")
    write(tmp_path / "a.es", EventStream.from_structured(array))
    for name in ("a.npy", "a.csv", "a.es"):
        with pytest.raises(EventFileError, match="polarit"):
            read(tmp_path / name, sensor=(10, 9, 1))
    assert read(tmp_path / "a.csv", sensor=(10, 9, 1), columns="t,x,y,-").events["p"].tolist() == [0, 0]


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".csv"])
@pytest.mark.parametrize("polarities", [1, 2, 4])
def test_every_number_of_polarities_comes_back(tmp_path: Path, suffix: str, polarities: int) -> None:
    p = np.arange(8) % polarities
    stream = EventStream.from_arrays(np.arange(8), np.arange(8), p=p, sensor_size=(8, 1, polarities))
    write(tmp_path / f"a{suffix}", stream)
    assert read(tmp_path / f"a{suffix}") == stream


@pytest.mark.parametrize("shape", [(3, 1), (1, 3)])
def test_columns_of_matrices(shape: tuple[int, int]) -> None:
    columns = (np.reshape(values, shape) for values in (T, X, Y, P))
    assert EventStream.from_arrays(*columns) == EventStream.from_structured(structured())
    assert len(EventStream.from_structured(structured().reshape(shape))) == 3


def test_what_stands_beside_the_events_in_an_archive(tmp_path: Path) -> None:
    """A label, a name, a sampling rate: samples are often saved with them."""
    path, rows = tmp_path / "a.npz", structured()
    more = {"label": np.array(3), "name": np.array("day 1"), "weights": np.zeros(3)}
    np.savez(path, events=rows, **more)
    expected = EventStream.from_structured(rows).events.tolist()
    assert read(path).events.tolist() == expected
    table = np.stack([rows[name] for name in "txyp"], axis=1)
    np.savez(path, events=table, **more)
    assert read(path, columns="t,x,y,p").events.tolist() == expected
    with pytest.raises(EventFileError, match="without names; name them"):
        read(path)
    np.savez(path, left=rows, right=rows)
    with pytest.raises(EventFileError, match="it holds left, right"):
        read(path)
