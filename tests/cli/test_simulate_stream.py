"""`eventsnn simulate` in parts: options, saved states, traces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

import eventsnn as es
from tests.cli.conftest import SENSOR, Cli, make_network
from tests.cli.long_input import LONG, long, make_long, recurrent, table

__all__ = ["long", "recurrent", "table"]  # fixtures


def test_in_parts_the_result_is_that_of_one_run(cli: Cli, model: Path, long: Path, tmp_path: Path) -> None:
    whole = cli("simulate", model, long, "--json").json
    parts = cli("simulate", model, long, "--spikes", tmp_path / "s.csv", "--json").json
    for name in ("decision", "counts", "layers", "events", "engine", "dtype", "exit_reason", "t_end_ms"):
        assert parts[name] == whole[name]
    assert (parts["late"], parts["dropped"]) == (0, 0)
    assert (tmp_path / "s.csv").read_bytes().count(b"\n") - 1 == sum(
        layer["spikes"] for layer in whole["layers"].values()
    )


def test_large_recordings_go_in_parts_by_themselves(
    cli: Cli, model: Path, long: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = cli("simulate", model, long, "--json").json
    monkeypatch.setattr("eventsnn.cli.simulate.LARGE_BYTES", 1000)
    parts = cli("simulate", model, long, "--json").json
    assert "late" in parts
    assert "late" not in whole
    assert parts["counts"] == whole["counts"]


@pytest.mark.parametrize("engine", ["queue", "clocked"])
def test_large_recordings_of_sparse_networks_go_in_parts_with_any_engine(
    cli: Cli, long: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    hidden = csr_array(np.eye(4, 60))
    network = es.Network(es.Input(*SENSOR), es.Dense(4, name="a", threshold=1.0), weights={"a": hidden})
    network.save(tmp_path / "sparse.h5")
    line = ("simulate", tmp_path / "sparse.h5", long, "--engine", engine, "--json")
    whole = cli(*line).json
    monkeypatch.setattr("eventsnn.cli.simulate.LARGE_BYTES", 1000)
    parts = cli(*line).json
    assert "late" in parts
    assert parts["layers"]["a"]["spikes"] > 0
    for key in ("counts", "t_end_ms", "exit_reason", "step_ms", "engine", "dtype", "events"):
        assert parts[key] == whole[key]


def test_the_duration_of_a_sample_holds_for_large_recordings(
    cli: Cli, long: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network().with_settings(es.RunSettings(duration_ms=300.0))
    network.save(tmp_path / "m.h5")
    small = cli("simulate", tmp_path / "m.h5", long, "--json").json
    monkeypatch.setattr("eventsnn.cli.simulate.LARGE_BYTES", 1000)
    large = cli("simulate", tmp_path / "m.h5", long, "--json").json
    assert 0 < large["events"] < LONG / 4
    assert {**large, "seconds": 0} == {**small, "seconds": 0}


def test_what_is_cropped_sets_the_origin_in_parts_and_as_a_whole(
    cli: Cli, model: Path, tmp_path: Path
) -> None:
    events = make_long(2000).shifted(5_000_000).events.copy()
    events["x"] += 6
    events["x"][100:] -= 6  # of the first, nothing is kept
    es.write(tmp_path / "late.raw", es.EventStream(events, (12, 5, 2)), format="evt3")
    line = ("simulate", model, tmp_path / "late.raw", "--crop", "0,0,6,5", "--json")
    whole, parts = cli(*line).json, cli(*line, "--spikes", tmp_path / "s.csv").json
    assert whole["origin_us"] == parts["origin_us"] == 5_000_000
    assert whole["events"] == parts["events"] == 1900
    assert whole["counts"] == parts["counts"]


@pytest.mark.parametrize("in_parts", [False, True])
def test_an_unreadable_recording_is_left_out(
    cli: Cli, model: Path, long: Path, tmp_path: Path, in_parts: bool
) -> None:
    bad = tmp_path / "bad.bin"
    bad.write_bytes(long.read_bytes() + bytes([6, 0, 0, 0, 9]))
    spikes = ("--spikes", tmp_path / "s.csv") if in_parts else ()
    outcome = cli("simulate", model, bad, "--bad-files", "skip", "--trace", tmp_path / "t.h5", *spikes)
    assert (outcome.code, outcome.out) == (0, f"{bad}: skipped\n")
    with es.Trace(tmp_path / "t.h5") as trace:
        assert len(trace) == 0


def test_the_clock_goes_on_from_a_saved_state(cli: Cli, model: Path, long: Path, tmp_path: Path) -> None:
    line = ("simulate", model, long, "--engine", "clocked", "--step-ms", "0.5")
    whole = cli(*line, "--json").json
    state, table = tmp_path / "s.npz", tmp_path / "s.csv"
    cli(*line, "--until", "900", "--save-state", state, "--spikes", table)
    end = cli("simulate", model, long, "--resume-from", state, "--spikes", table, "--json").json
    assert (end["engine"], end["step_ms"], end["t_end_ms"]) == ("clocked", 0.5, whole["t_end_ms"])
    assert end["counts"] == whole["counts"]
    spikes = sum(layer["spikes"] for layer in whole["layers"].values())
    assert len(table.read_text().splitlines()) == spikes + 1


def test_from_until_crop_and_downsample(cli: Cli, model: Path, tmp_path: Path) -> None:
    events = make_long(5000).events
    large = np.empty(len(events), events.dtype)
    large["t"], large["p"] = events["t"], events["p"]
    large["x"], large["y"] = events["x"] * 2 + 10, events["y"] * 2 + 1
    es.write(tmp_path / "large.raw", es.EventStream(large, (40, 30, 2)), format="evt3")
    keep = (events["t"] >= 500_000) & (events["t"] < 1_500_000)
    es.write(tmp_path / "part.bin", es.EventStream(events[keep].copy(), SENSOR))
    expected = cli("simulate", model, tmp_path / "part.bin", "--json").json
    region = ("--from", "500", "--until", "1500", "--crop", "10,1,22,11", "--downsample", "2")
    found = cli("simulate", model, tmp_path / "large.raw", *region, "--json").json
    assert found["events"] == expected["events"] == keep.sum()
    assert found["counts"] == expected["counts"]


def test_a_trace_of_parts_is_that_of_one_run(cli: Cli, model: Path, long: Path, tmp_path: Path) -> None:
    cli("simulate", model, long, "--trace", tmp_path / "whole.h5")
    result = cli("simulate", model, long, "--from", "0", "--trace", tmp_path / "parts.h5", "--json").json
    with es.Trace(tmp_path / "whole.h5") as whole, es.Trace(tmp_path / "parts.h5") as parts:
        assert len(parts) == 1
        assert parts.samples == whole.samples
        for layer in ("input", "hidden", "output"):
            a, b = parts.spikes(layer, 0), whole.spikes(layer, 0)
            assert len(a) > 0
            assert np.array_equal(a.times, b.times)
            assert np.array_equal(a.neurons, b.neurons)
            assert np.array_equal(a.counts, b.counts)
        assert parts.samples[0].prediction == result["decision"]
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("until", ["0.001", "777.5", "1999"])
def test_a_run_goes_on_where_it_stopped(
    cli: Cli, model: Path, long: Path, table: bytes, tmp_path: Path, until: str
) -> None:
    spikes, state = tmp_path / "s.csv", tmp_path / "s.npz"
    first = cli(
        "simulate", model, long, "--spikes", spikes, "--until", until, "--save-state", state, "--json"
    )
    assert first.json["exit_reason"] == "part"
    assert first.json["t_end_ms"] == float(until)
    assert f"saved in {state}" in first.err
    assert len(spikes.read_bytes()) < len(table)
    with spikes.open("ab") as file:
        file.write(b"what a run that was killed wrote after it had saved")
    second = cli("simulate", model, long, "--spikes", spikes, "--resume-from", state, "--json").json
    assert second["exit_reason"] == "quiet"
    assert second["events"] == LONG
    assert spikes.read_bytes() == table


def test_a_recording_in_several_files(cli: Cli, model: Path, table: bytes, tmp_path: Path) -> None:
    stream = make_long()
    spikes, state = tmp_path / "s.csv", tmp_path / "s.npz"
    more: tuple[object, ...] = ()
    for number, (start, end) in enumerate([(0, 11_000), (11_000, 11_500), (11_500, LONG)]):
        path = tmp_path / f"{number}.bin"
        es.write(path, es.EventStream(stream.events[start:end].copy(), SENSOR))
        save = ("--save-state", state) if end < LONG else ()
        assert cli("simulate", model, path, "--spikes", spikes, *more, *save).code == 0
        more = ("--resume-from", state)
    assert spikes.read_bytes() == table


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("FILE", "--crop", "1,2"), "write x0,y0,x1,y1 in pixels"),
        (
            ("FILE", "--spikes", "s.csv", "--trace", "t.h5", "--record", "spsp"),
            "--spikes does not go with --record spsp",
        ),
        (("FILE", "--save-state", "s.npz", "--trace", "t.h5"), "--save-state does not go with --trace"),
        (("FILE", "FILE", "--spikes", "-"), "--spikes is for one recording at a time; 2 were given"),
        (("FILE", "--patience", "5"), "--patience is for --live"),
        (("-",), "- is a live source: give --live"),
        (("udp://127.0.0.1:9",), "is a live source: give --live"),
        (("FILE", "--save-state", "FILE"), "would overwrite a file that is to be read"),
    ],
)
def test_wrong_use(cli: Cli, model: Path, long: Path, arguments: tuple[str, ...], text: str) -> None:
    outcome = cli("simulate", model, *(long if a == "FILE" else a for a in arguments))
    assert outcome.code == 2
    assert text in outcome.err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("FILE", "--from", "5", "--until", "5"), "0 <= from < until"),
        (("FILE", "--crop", "0,0,3,3", "--sensor", "6x5x2"), "what is kept of the recording is 3 x 3 x 2"),
        (("FILE", "--crop", "0,0,60,50", "--sensor", "6x5x2"), "reaches beyond the 6 x 5 sensor"),
        (("FILE", "--resume-from", "none.npz"), "none.npz: the state cannot be read"),
        (("FILE", "--resume-from", "FILE"), "no saved state of a simulation"),
        (("FILE", "--spikes", "no folder/x.csv"), "cannot be written"),
        (
            ("FILE", "--spikes", "x.csv", "--engine", "clocked", "--dtype", "float64"),
            "engine 'clocked' computes in float32 only",
        ),
        (("udp://127.0.0.1:port", "--live"), "no port; write udp://127.0.0.1:PORT"),
        (("-", "--live"), "standard input: its format cannot be told"),
    ],
)
def test_what_cannot_be_run(
    cli: Cli,
    model: Path,
    long: Path,
    arguments: tuple[str, ...],
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    outcome = cli("simulate", model, *(long if a == "FILE" else a for a in arguments))
    assert outcome.code == 1
    assert text in outcome.err
    assert sorted(tmp_path.iterdir()) == before


def test_a_state_goes_on_with_its_region_only(cli: Cli, model: Path, long: Path, tmp_path: Path) -> None:
    state = tmp_path / "s.npz"
    cli("simulate", model, long, "--until", "100", "--save-state", state)
    outcome = cli(
        *("simulate", model, long, "--sensor", "12x10x2", "--downsample", "2", "--resume-from", state)
    )
    assert outcome.code == 1
    assert "saved with crop None and downsample 1; give the same" in outcome.err


def test_a_run_without_an_end_is_refused_before_it_begins(
    cli: Cli, recurrent: Path, long: Path, tmp_path: Path
) -> None:
    outcome = cli("simulate", recurrent, long, "--spikes", tmp_path / "s.csv")
    assert outcome.code == 1
    assert "give t_stop" in outcome.err
    assert not (tmp_path / "s.csv").exists()
    result = cli(
        "simulate", recurrent, long, "--spikes", tmp_path / "s.csv", "--t-stop", "300", "--json"
    ).json
    assert (result["exit_reason"], result["t_end_ms"]) == ("t_stop", 300.0)
    whole = cli("simulate", recurrent, long, "--t-stop", "300", "--json").json
    assert result["counts"] == whole["counts"]
