"""eventsnn simulate"""

import sys
from pathlib import Path

import numpy as np
import pytest

import eventsnn as es
from eventsnn._util.atomic import find_parts
from eventsnn.trace import Trace
from tests.cli.conftest import SENSOR, Cli, interrupt_when, make_network


@pytest.mark.parametrize("engine", ["auto", "queue", "sweep", "twin"])
def test_one_file(cli: Cli, model: Path, recordings: Path, engine: str) -> None:
    path = recordings / "1" / "00002.bin"
    result = cli("simulate", model, path, "--engine", engine, "--json").json
    run = es.simulate(make_network(), es.read(path, sensor=SENSOR))
    assert result["decision"] == 1
    assert {key: result[key] for key in ("decision", "counts", "layers")} == run.summary()
    assert result["layers"]["hidden"]["spikes"] > 0
    assert result["seconds"] > 0
    assert (result["exit_reason"], result["t_end_ms"], result["events"]) == ("quiet", None, 120)
    assert result["skipped"] is False


def test_several_files_are_a_list(cli: Cli, model: Path, recordings: Path) -> None:
    files = sorted(recordings.glob("*/*.bin"))
    results = cli("simulate", model, *files, "--json").json
    assert [result["file"] for result in results] == [str(file) for file in files]
    assert [result["decision"] for result in results] == [0, 0, 0, 1, 1, 1]


def test_text(cli: Cli, model: Path, recordings: Path) -> None:
    path = recordings / "0" / "00000.bin"
    one = cli("simulate", model, path, "--t-stop", "20")
    assert f"{path}: decision 0" in one.out
    assert "until 20 ms" in one.out
    many = cli("simulate", model, path, recordings / "1" / "00000.bin").out.splitlines()
    assert [line.split("  ")[1] for line in many] == ["decision 0", "decision 1"]


def test_options_reach_the_engine(cli: Cli, model: Path, recordings: Path) -> None:
    path = recordings / "0" / "00000.bin"
    options = ["--dtype", "float32", "--t-stop", "10", "--engine", "queue"]
    result = cli("simulate", model, path, *options, "--json").json
    assert (result["dtype"], result["engine"], result["exit_reason"]) == ("float32", "queue", "t_stop")
    assert result["t_end_ms"] == 10.0
    assert result["events"] < 120


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names of files are UTF-8")
def test_a_name_that_is_no_utf8(cli: Cli, model: Path, recordings: Path, tmp_path: Path) -> None:
    name = b"caf\xe9.bin".decode("utf-8", "surrogateescape")
    (tmp_path / name).write_bytes((recordings / "1" / "00002.bin").read_bytes())
    assert cli("simulate", model, tmp_path / name, "--trace", tmp_path / "t.h5", "--json").code == 0
    with Trace(tmp_path / "t.h5") as trace:
        assert trace.samples[0].source.endswith("caf\\udce9.bin")
    pytest.importorskip("matplotlib")
    assert cli("info", tmp_path / name, "--sensor", "6x5x2", "--plot", tmp_path / "a.png").code == 0


def test_trace(cli: Cli, model: Path, recordings: Path, tmp_path: Path) -> None:
    files = [recordings / "0" / "00000.bin", recordings / "1" / "00001.bin"]
    record = "spikes,potential,spsp"
    outcome = cli("simulate", model, *files, "--trace", tmp_path / "t.h5", "--record", record)
    assert outcome.code == 0
    with Trace(tmp_path / "t.h5") as trace:
        assert len(trace) == 2
        assert trace.recorded == ("spikes", "potential", "spsp")
        assert [sample.source for sample in trace.samples] == [str(file) for file in files]
        assert [sample.prediction for sample in trace.samples] == [0, 1]


def test_wrong_name_is_told_before_anything_is_simulated(cli: Cli, model: Path, recordings: Path) -> None:
    outcome = cli("simulate", model, recordings / "0" / "00000.bin", "no.bin", "--trace", recordings / "t.h5")
    assert outcome.code == 1
    assert "no.bin: no such file" in outcome.err
    assert not list(recordings.glob("t.h5*"))


def test_sensor_that_is_not_the_models(cli: Cli, model: Path, recordings: Path, tmp_path: Path) -> None:
    path = recordings / "0" / "00000.bin"
    outcome = cli("simulate", model, path, "--sensor", "34x34x2", "--trace", tmp_path / "t.h5")
    assert outcome.code == 1
    assert "recording's sensor is 34 x 34 x 2, the network's input is 6 x 5 x 2" in outcome.err
    assert not list(tmp_path.glob("t.h5*"))


def test_bad_recordings(cli: Cli, model: Path, recordings: Path, tmp_path: Path) -> None:
    good, bad = recordings / "0" / "00000.bin", tmp_path / "bad.bin"
    bad.write_bytes(good.read_bytes() + bytes([6, 0, 0, 0, 9]))
    outcome = cli("simulate", model, good, bad, "--json")
    assert outcome.code == 1
    assert outcome.out == ""
    assert "bad.bin, byte 600: an event at x=6, y=0 is outside the 6 x 5 sensor" in outcome.err

    outcome = cli("simulate", model, good, bad, "--json", "--bad-files", "skip", "--trace", tmp_path / "t.h5")
    assert outcome.code == 0
    first, second = outcome.json
    assert (first["skipped"], second["skipped"]) == (False, True)
    assert "outside the 6 x 5 sensor" in second["error"]
    assert second["decision"] is None
    assert "skipped 1 unreadable recording" in outcome.err
    with Trace(tmp_path / "t.h5") as trace:
        assert len(trace) == 1
    assert cli("simulate", model, bad, "--bad-files", "skip").out == f"{bad}: skipped\n"


def test_a_cut_recording_loses_its_cut_record_and_says_so(
    cli: Cli, model: Path, recordings: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.bin"
    cut.write_bytes((recordings / "0" / "00000.bin").read_bytes()[:-2])
    outcome = cli("simulate", model, cut, "--json")
    assert outcome.code == 0
    assert f"eventsnn: warning: {cut}, byte 595: the last record is cut: 3 of 5 bytes" in outcome.err


def test_ctrl_c_between_files_keeps_the_trace(model: Path, recordings: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.h5"
    # Far more than can be simulated before the signal, which comes when the first ten are in the file.
    files = [recordings / "0" / "00000.bin"] * 20_000
    empty = 60_000  # bytes; an empty trace of this network is smaller

    def ready() -> bool:
        return any(part.stat().st_size > empty for part in find_parts(path))

    outcome = interrupt_when(ready, "simulate", model, *files, "--trace", path, "--json")
    assert outcome.code == 130
    assert f"recordings, kept in {path}" in outcome.err
    assert "Traceback" not in outcome.err
    with Trace(path) as trace:
        assert 1 <= len(trace) < 20_000
        assert len(trace) == len(outcome.json)
        # The signal may come within a recording, whose spikes so far are kept, too.
        whole = [sample for sample in trace.samples if sample.exit_reason is not es.ExitReason.INTERRUPTED]
        assert len(whole) >= len(trace) - 1
        assert {sample.prediction for sample in whole} == {0}


def test_ctrl_c_within_a_recording_keeps_the_partial_record(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    n = 2_000_000
    size = (*SENSOR[:2], 2)
    columns = (np.sort(rng.integers(0, 8_000_000, n)), rng.integers(0, 6, n), rng.integers(0, 5, n))
    events = es.EventStream.from_arrays(*columns, rng.integers(0, 2, n), sensor_size=size)
    es.write(tmp_path / "long.bin", events)
    slow = es.Network(es.Input(*size), es.Dense(4000, threshold=200.0), seed=0)
    slow.save(tmp_path / "slow.h5")
    arguments = ["simulate", tmp_path / "slow.h5", tmp_path / "long.bin", "--engine", "queue", "--json"]
    for delay in (3.0, 12.0, 50.0):  # a busy machine may still be reading the file
        path = tmp_path / f"{delay}.h5"
        outcome = interrupt_when(lambda p=path: bool(find_parts(p)), *arguments, "--trace", path, delay=delay)
        assert outcome.code == 130
        if outcome.json:
            break
    assert outcome.json["exit_reason"] == "interrupted"
    with Trace(path) as trace:
        (sample,) = trace.samples
        assert sample.exit_reason is es.ExitReason.INTERRUPTED
        assert 0.0 < sample.t_end < 8000.0
        assert sample.t_end == outcome.json["t_end_ms"]
        assert trace.n_spikes("input") > 0
