"""Tables of text as other programs write them."""

from __future__ import annotations

import contextlib
import itertools
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsnn.errors import EventFileError, EventFileWarning
from eventsnn.events import read
from eventsnn.events.formats.base import Options
from eventsnn.events.formats.text import TEXT

EVENTS = [(5, 6, 100, 1), (7, 8, 200, 0), (9, 1, 300, 1)]
ROWS = "100,5,6,1\n200,7,8,0\n300,9,1,1\n"


def events_of(path: Path, text: str | bytes, columns: str | None = None) -> list[tuple[int, int, int, int]]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read(path, columns=columns).events.tolist()


@pytest.mark.parametrize(
    "header",
    [
        "t,x,y,p",
        "timestamp (us),x,y,p",
        "timestamp [us], x [px], y [px], polarity [0/1]",
        "t_us,x,y,p",
        '"t","x","y","p"',
        "'t','x','y','p'",
        "timestamps,x_addr,y_addr,pol",
        "Time (µs),X,Y,Polarity",
        "ts,xs,ys,ps",
        "microseconds,col,row,on",
        "t , x , y , p",
        "t,x,y,p,",
        "# t,x,y,p",
        "#t x y p",
        "% t x y p",
        "# Columns: t, x, y, p",
        "# Format is time (int us), x, y, polarity (0=off, 1=on) as specified elsewhere",
        "// t x y p",
        "t\tx\ty\tp",
        "t;x;y;p",
        "timestamp (us) x y p",
        "Recorded on 2024-05-01, by me\nt,x,y,p",
        "# Größe\n# 12 events of x and t\n\n\nt,x,y,p",
    ],
)
def test_headers(tmp_path: Path, header: str) -> None:
    assert events_of(tmp_path / "a.csv", f"{header}\n{ROWS}") == EVENTS


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("t[s],x,y,p", "0.0001,5,6,1\n0.0002,7,8,0\n3e-4,9,1,1\n"),
        ("time_ms,x,y,p", "0.1,5,6,1\n0.2,7,8,0\n0.3,9,1,1\n"),
        ("t (ns),x,y,p", "100000,5,6,1\n200000,7,8,0\n300000,9,1,1\n"),
        ("t;x;y;p", "100;5;6;1\n200;7;8;0\n300;9;1;1\n"),
        ("t [ms];x;y;p", "0,1;5;6;1\n0,2;7;8;0\n0,3;9;1;1\n"),
        ("t [ms]\tx\ty\tp", "0,1\t5\t6\t1\n0,2\t7\t8\t0\n0,3\t9\t1\t1\n"),
        ("t[ms] x y p", "0,1 5 6 1\n0,2 7 8 0\n0,3 9 1 1\n"),
        ("t|x|y|p", "100|5|6|1\n200|7|8|0\n300|9|1|1\n"),
        ("t x y p", "  100   5 6  1\n  200 7 8 0  \n300\t9 1 1\n"),
        ("t,x,y,p", "100, 5, 6, 1\n200, 7, 8, 0\n300, 9, 1, 1"),
        ("t,x,y,p", "100,5,6,1,\n200,7,8,0,\n300,9,1,1,\n"),
        ("t,x,y,p", '"100","5","6","1"\n"200","7","8","0"\n"300","9","1","1"\n'),
        ("t,x,y,p", "100,5,6,ON\n200,7,8,OFF\n300,9,1,ON\n"),
        ("t,x,y,p", "100,5,6,on\n200,7,8,off\n300,9,1,on\n"),
        ("t,x,y,p", "100,5,6,True\n200,7,8,False\n300,9,1,True\n"),
        ("t,x,y,p", '100,5,6,"true"\n200,7,8,"false"\n300,9,1,"true"\n'),
        ("t,x,y,p", "100,5,6,b'ON'\n200,7,8,b'OFF'\n300,9,1,b'ON'\n"),
        ("t,x,y,p", "100,5,6,+\n200,7,8,-\n300,9,1,+\n"),
        ("t,x,y,p", "100,5,6,1\n200,7,8,-1\n300,9,1,1\n"),
        ("t,x,y,p", "100,5,6,1.0\n200,7,8,-1.0\n300,9,1,1.0\n"),
        ("t,x,y,p", "100,5,6,1\n200,7,8,255\n300,9,1,1\n"),
        ("t,x,y,p", "100,5,6,1\n200,7,8,4294967295\n300,9,1,1\n"),
        ("t,x,y,p", "100,5,6,1\n200,7,8,18446744073709551615\n300,9,1,1\n"),
        ("t,x,y,p", "100,5,6,2\n200,7,8,1\n300,9,1,2\n"),
        ("t,x,y,p", "100,5,6,1\n\n# gap\n200,7,8,0\n   \n300,9,1,1\n\n"),
        ("camera,t,x,y,p", "left,100,5,6,1\nleft,200,7,8,0\n,300,9,1,1\n"),
        ("t,x,y,p,label", "100,5,6,1,\n200,7,8,0,a b\n300,9,1,1,\n"),
        # numbers of rows, as pandas and R write them
        (",x,y,t,p", "0,5,6,100,1\n1,7,8,200,0\n2,9,1,300,1\n"),
        ("index,x,y,t,p", "0,5,6,100,1\n1,7,8,200,0\n2,9,1,300,1\n"),
        ("Unnamed: 0,x,y,t", "0,5,6,100\n1,7,8,200\n2,9,1,300\n"),
        ('"" x y t p', "0 5 6 100 1\n1 7 8 200 0\n2 9 1 300 1\n"),
        ("   x  y    t  p", "0  5  6  100  1\n1  7  8  200  0\n2  9  1  300  1\n"),
        ('"x" "y" "t" "p"', '"1" 5 6 100 1\n"2" 7 8 200 0\n"3" 9 1 300 1\n'),
    ],
)
def test_rows(tmp_path: Path, header: str, rows: str) -> None:
    found = events_of(tmp_path / "a.csv", f"{header}\n{rows}")
    assert found == (
        EVENTS if "p" in header.replace('"', "").split("y", 1)[1] else [(*e[:3], 0) for e in EVENTS]
    )


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be-bom", "latin-1"])
def test_encodings_in_any_cutting(tmp_path: Path, encoding: str, end: str) -> None:
    text = f"# Grüße µ\n{ROWS.join(['t,x,y,p' + chr(10), ''])}".replace("\n", end)
    data = b"\xfe\xff" + text.encode("utf-16-be") if encoding == "utf-16-be-bom" else text.encode(encoding)
    assert events_of(tmp_path / "a.csv", data) == EVENTS
    for step in (1, 2, 3, 5, 1000):
        decoder = TEXT.decoder("a.csv", Options())
        parts = [decoder.feed(data[k : k + step]).tolist() for k in range(0, len(data), step)]
        parts.append(decoder.finish().tolist())
        assert list(itertools.chain(*parts)) == EVENTS


@pytest.mark.parametrize(
    "head",
    [
        *("240 180\n", "240,180\n", "240x180\n", "240,180,2\n", "# 240 180\n", "# size 240x180\n"),
        *("# width: 240, height: 180\n", "# width 240\n# height 180\n", "width=240\nheight=180\n"),
        *("# sensor DAVIS240 240x180\n", "# DAVIS240, size = (240, 180)\n", "# geometry:240x180x2\n"),
    ],
)
@pytest.mark.parametrize("names", ["", "t[s],x,y,p\n", "# t[s] x y p\n"])
def test_sizes(tmp_path: Path, head: str, names: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(f"{head}{names}0.0001 5 6 1\n0.0002 7 8 0\n0.0003 9 1 1\n")
    found = read(path)
    assert (found.sensor_size, found.events.tolist()) == ((240, 180, 2), EVENTS)
    found = read(path, columns="t[s],x,y,p", sensor=(300, 200, 2))
    assert (found.sensor_size, found.events.tolist()) == ((300, 200, 2), EVENTS)


def test_whole_times_after_a_size(tmp_path: Path) -> None:
    assert events_of(tmp_path / "a.txt", f"240 180\n{ROWS}") == EVENTS
    # x y t p would do as well:
    (tmp_path / "a.txt").write_text("240 180\n5 6 100 1\n7 8 101 0\n")
    with pytest.raises(EventFileError, match=r"byte 8: the columns have no names.*--columns"):
        read(tmp_path / "a.txt")
    assert events_of(tmp_path / "a.txt", "240 180\n5 6 100 1\n", "x,y,t,p") == [(5, 6, 100, 1)]


@pytest.mark.parametrize(
    "header", ["foo,bar,baz,qux", "Zeit;Spalte;Zeile;Polarität", "t,x,y,brightness", "a\nb c\nd"]
)
def test_an_unknown_header_is_passed_over_with_columns(tmp_path: Path, header: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{header}\n{ROWS}")
    with pytest.raises(EventFileError, match=r"(names no columns|is not known).*--columns"):
        read(path)
    with pytest.raises(EventFileError, match="no line is a row of 4 numbers; the first is 'Hello'"):
        events_of(path, "Hello\nworld\n", "t,x,y,p")
    path.write_text(f"{header}\n{ROWS}")
    assert read(path, columns="t,x,y,p").events.tolist() == EVENTS


@pytest.mark.parametrize("columns", ["x,y,t,p", "-,x,y,t,p", "index,x,y,t,p", "id,x,y,t,p"])
def test_an_index_with_columns(tmp_path: Path, columns: str) -> None:
    text = ",x,y,t,p\n0,5,6,100,1\n1,7,8,200,0\n2,9,1,300,1\n"
    assert events_of(tmp_path / "a.csv", text, columns) == EVENTS
    assert events_of(tmp_path / "a.csv", text.replace("x,y,t,p", "0,1,2,3"), columns) == EVENTS
    assert events_of(tmp_path / "a.csv", text.replace(",x", "id,x"), columns) == EVENTS
    assert events_of(tmp_path / "a.csv", f"0,1,2,3\n{ROWS}", "t,x,y,p") == EVENTS


def test_columns_that_contradict_the_names_warn(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y,t,p\n1,2,3,1\n")
    with pytest.warns(EventFileWarning, match="columns say t,x,y,p, its own names x,y,t,p"):
        assert read(tmp_path / "a.csv", columns="t,x,y,p").events.tolist() == [(2, 3, 1, 1)]


@pytest.mark.parametrize(
    "text",
    [
        "timestamps,node_ids,population\n0.1,5,LGN\n0.2,7,LGN\n0.3,9,LGN\n",
        "node_ids timestamps population\n5 0.1 V1\n7 0.2 V1\n9 0.3 V1\n",
        "# NEST version: 3.7\nsender\ttime_ms\n5\t0.100\n7\t0.200\n9\t0.300\n",
        "neuron,t_ms\n5,0.1\n7,0.2\n9,0.3\n",
        "t,channel\n100,5\n200,7\n300,9\n",
    ],
)
def test_spikes_of_neurons(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    found = read(tmp_path / "a.csv")
    assert found.sensor_size == (10, 1, 1)
    assert found.events.tolist() == [(5, 0, 100, 0), (7, 0, 200, 0), (9, 0, 300, 0)]


@pytest.mark.parametrize(
    ("text", "t"),
    [
        ("t_ns,x\n1600000000000000123,0\n1600000000000001501,1\n", [1600000000000000, 1600000000000002]),
        ("t_ns,x,p\n1600000000000000123,0,1.0\n", [1600000000000000]),
        ("t,x,p\n1600000000000000001,0,1.0\n", [1600000000000000001]),
        ("t[s],x\n1600000000.000001,0\n1600000000.000002,1\n", [1600000000000001, 1600000000000002]),
    ],
)
def test_large_times_stay_exact(tmp_path: Path, text: str, t: list[int]) -> None:
    (tmp_path / "a.csv").write_text(text)
    assert read(tmp_path / "a.csv").events["t"].tolist() == t


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("t,x,y,p\n100,ON,6,1\n", "byte 8: the line '100,ON,6,1' is not 4 numbers"),
        ("t,x,y,p\n100,5,6,1\n200,ON,6,1\n", "byte 18: the line '200,ON,6,1' is not 4 numbers"),
        ("t,x,y,p\n100,5,6,1\n200,,6,1\n", "byte 18: the line '200,,6,1' is not 4 numbers"),
        ("t,x,y,p\n100,5,6,1\n200,5,6,maybe\n300,5,6,1\n", "event 2: p = 'maybe' is not a polarity|'maybe'"),
        ("t,x,y,p\n100,5,6,1\n200,7,8,0200,7,8,0\n", "is not 4 numbers"),
        ("t,x,y,p\n100,5,6,7\n", "event 0: p = 7 is not a polarity"),
        ("t [h],x,y,p\n1,2,3,1\n", "'h' is not a unit of time"),
        ("t,ts2,x\n1,2,3\n", "field 'ts2' is not known"),
        ("t[ms],x,y,p\n0,1,5,6,1\n", "the line '0,1,5,6,1' is not 4 numbers"),
        ("time,timestamp,x\n1,2,3\n", "both 'time' and 'timestamp' may be t"),
        ("foo,bar\n", "'foo,bar' names no columns"),
    ],
)
def test_errors(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(EventFileError, match=error):
        read(tmp_path / "a.csv")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "line", [" " * 60_000 + "x", "_" * 60_000, "# size 1" + " " * 60_000 + "x", "(" * 60_000]
)
def test_no_line_takes_ages(tmp_path: Path, line: str) -> None:
    for text in (f"{line}\n", f"a{line}\nt,x\n1,2\n", f"t,x\n{line}\n", f"1{line}\n"):
        (tmp_path / "a.csv").write_text(text)
        with contextlib.suppress(EventFileError):
            read(tmp_path / "a.csv")


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize("separator", [",", ";", "\t", " "])
def test_everything_in_quotes(tmp_path: Path, quote: str, separator: str) -> None:
    lines = ["t,x,y,p", *ROWS.splitlines()]
    text = "\n".join(separator.join(f"{quote}{cell}{quote}" for cell in line.split(",")) for line in lines)
    assert events_of(tmp_path / "a.csv", text) == EVENTS


def test_rows_that_are_none_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a report\nt,x,y,p\none,two,three,ON\nfour,five,six,OFF\n")
    with pytest.raises(EventFileError, match=r"no line is a row of 4 numbers; .* 'one,two,three,ON'"):
        read(tmp_path / "a.csv")
    assert events_of(tmp_path / "b.csv", "a report\nt,x,y,p\n") == []


@pytest.mark.parametrize("first", ["", "row", "i", "Unnamed: 0"])
def test_an_index_that_columns_leave_out(tmp_path: Path, first: str) -> None:
    rows = "".join(f"{k},{row}\n" for k, row in enumerate(ROWS.splitlines()))
    assert events_of(tmp_path / "a.csv", f"{first},t,x,y,p\n{rows}", "t,x,y,p") == EVENTS
    (tmp_path / "b.csv").write_text(
        f"{first},t,x,y,foo\n{rows}".replace("foo", "p,foo").replace("\n", ",7\n")
    )
    with pytest.raises(EventFileError, match=r"name every column \(columns=, --columns\), with - for one"):
        read(tmp_path / "b.csv", columns="t,x,y,p")


@pytest.mark.parametrize(
    "words", [("P", "N"), ("increase", "decrease"), ("brighter", "darker"), ("up", "down")]
)
def test_more_words_for_polarities(tmp_path: Path, words: tuple[str, str]) -> None:
    text = "t,x,y,p\n" + "".join(f"{t},{x},{y},{words[1 - p]}\n" for x, y, t, p in EVENTS)
    assert events_of(tmp_path / "a.csv", text) == EVENTS


TABLES = [
    (b"t,x,y,p\n1,2,3,1\n4,5,6,0\n", None),
    (b"# x y t p\n2 3 1 1\n\n# half time\n5 6 4 0\n", None),
    (b"1e-6 2 3 1\n0.000004 5 6 0\n", "t[s],x,y,p"),
    (b"0;2;3;1;0.001\r\n0;5;6;-1;0.004\r\n", "-,x,y,p,t[ms]"),
    (b"timestamp,x@7,y@7,polarity\n1,2,3,true\n4,5,6,false", None),
]


@pytest.mark.parametrize(("data", "columns"), TABLES)
@given(cuts=st.lists(st.integers(0, 60), max_size=4))
def test_tables_of_text(data: bytes, columns: str | None, cuts: list[int]) -> None:
    decoder = TEXT.decoder("a.csv", Options(columns=columns))
    borders = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [decoder.feed(data[a:b]) for a, b in itertools.pairwise(borders)]
    events = np.concatenate([*parts, decoder.finish()])
    assert events.tolist() == [(2, 3, 1, 1), (5, 6, 4, 0)]


@pytest.mark.parametrize(
    ("data", "columns", "text"),
    [
        (b"1,2,3,1\n", None, "byte 0: the columns have no names; name them, such as columns='t"),
        (b"t,x,y,p\n1,2,3,1\n1,2,3\n1,2,3,1\n", None, "byte 16: the line '1,2,3' is not 4 numbers"),
        (b"t,x\n1,2\n1 2 3\n1\n", None, "byte 8: the line '1 2 3' is not 2 numbers"),
        (b"t,x\n1.5,2\n", None, "t = 1.5 is not a whole number.*columns"),
        (b"t,x\n9,2\n1,2\n", None, "time runs backwards: event 1 at 1 us"),
        (b"t,x\n9,nan\n", None, "byte 4: the line '9,nan' is not 2 numbers"),
        (b"t,x\n", "t[h],x", "'h' is not a unit of time; s, ms, us, ns are"),
        (b"", None, "the file is empty"),
    ],
)
def test_bad_tables(tmp_path: Path, data: bytes, columns: str | None, text: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    with pytest.raises(EventFileError, match=text):
        read(path, columns=columns)


@pytest.mark.parametrize("text", ["\n", " \r\n\n", "# a note\n", "\ufeff\n% one\n// two\n"])
def test_files_of_no_lines_are_no_recordings(tmp_path: Path, text: str) -> None:
    with pytest.raises(EventFileError, match="the file holds no table"):
        events_of(tmp_path / "a.csv", text)


@pytest.mark.parametrize("text", ["t,x,y,p\n", "# t x y p\n", "240 180\n", "# size: 240x180\n"])
def test_recordings_without_events(tmp_path: Path, text: str) -> None:
    assert events_of(tmp_path / "a.csv", text) == []
