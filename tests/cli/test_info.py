"""eventsnn info"""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import eventsnn as es
from tests.cli.conftest import Cli, make_network


def test_recording(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    es.write(path, es.EventStream.from_arrays([10, 20, 30, 2010], [0, 1, 2, 3], [0] * 4, [1, 0, 1, 1]))
    result = cli("info", path, "--json").json
    assert result == {
        "format": "nmnist",
        "sensor": [34, 34, 2],
        "events": 4,
        "t_first_us": 10,
        "t_last_us": 2010,
        "origin_us": 0,
        "on_fraction": 0.75,
        "duration_ms": 2.0,
        "events_per_s": 2000.0,
        "active_pixels": 4,
        "anomalies": {"outside": 0, "backwards": 0, "ignored": 0, "cut_bytes": 0},
    }
    text = cli("info", path).out
    assert "34 x 34 x 2" in text
    assert "10 .. 2,010 us (2.000 ms)" in text
    assert "75.0 % ON" in text


def test_anomalies_and_picture(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(bytes([1, 2, 0, 0, 9, 40, 2, 0, 0, 9, 3, 3, 0, 0, 5, 7]))
    outcome = cli("info", path, "--json", "--plot", tmp_path / "a.png")
    assert outcome.json["anomalies"] == {"outside": 1, "backwards": 1, "ignored": 0, "cut_bytes": 1}
    assert outcome.json["events"] == 1
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert "1 event earlier than the one before" in cli("info", path).out
    assert cli("info", path, "--plot", tmp_path / "a.xyz").code == 1


def test_a_picture_that_cannot_be_is_told_before_the_work(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of these commands would have failed later, on what it reads."""
    (tmp_path / "a.bin").write_bytes(b"abc")
    for name in ("a.nir", "a.h5"):
        (tmp_path / name).write_bytes(b"")
    calls = [
        ("info", tmp_path / "a.bin", "--on-bad", "error"),
        ("explain", tmp_path / "a.h5"),
        ("verify", tmp_path / "a.nir", tmp_path / "a.bin", "--against", "norse"),
    ]
    for call in calls:
        assert "name must end in .png, .pdf, .svg" in cli(*call, "--plot", tmp_path / "a.xyz").err
        outcome = cli(*call, "--plot", tmp_path / "none" / "a.png")
        assert (outcome.code, "there is no folder" in outcome.err) == (2, True)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for call in calls:
        assert (
            "needs matplotlib, which is not installed: pip install 'eventsnn[plot]'"
            in cli(*call, "--plot", tmp_path / "a.png").err
        )


def test_long_recordings_are_summed_up_in_few_steps(tmp_path: Path) -> None:
    from eventsnn.events.summary import RecordingSummary

    summary = RecordingSummary((5, 6))
    for start in (0, 10**6, 10**12):
        t = np.arange(start, start + 1000, 7)
        summary.add(es.EventStream.from_arrays(t, t % 6, t % 5, t % 2, sensor_size=(6, 5, 2)))
    assert len(summary.rate) == 400
    assert summary.rate.sum() == summary.map.sum() == summary.n == 3 * 143
    assert 200 <= (summary.last - 0) // summary.step < 400


def test_sensor_is_what_the_file_does_not_say(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    es.write(path, es.EventStream.from_arrays([1], [100], [90], [1], sensor_size=(240, 180, 2)))
    outcome = cli("info", path)
    assert outcome.code == 0
    assert "1 event outside the sensor (give its size with --sensor) (left out)" in outcome.out
    assert cli("info", path, "--sensor", "240x180x2", "--json").json["sensor"] == [240, 180, 2]


def test_recording_without_events(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    es.write(path, es.EventStream.from_arrays([], [], [], [], sensor_size=(34, 34, 2)))
    result = cli("info", path, "--json").json
    assert (result["events"], result["t_first_us"], result["on_fraction"]) == (0, None, None)
    assert "events  0" in cli("info", path).out


def test_model(cli: Cli, model: Path) -> None:
    result = cli("info", model, "--json").json
    assert result["format"] == "eventsnn-model"
    assert result["sensor"] == [6, 5, 2]
    assert result["weights"] == {"hidden": 240, "output": 8}
    assert [layer["neurons"] for layer in result["layers"]] == [4, 2]
    assert "248 synaptic weights" in cli("info", model).out


def test_trace(cli: Cli, tmp_path: Path) -> None:
    events = (np.array([1.0, 2.0]), np.array([0, 1]))
    es.simulate(make_network(), events, trace=tmp_path / "t.h5")
    result = cli("info", tmp_path / "t.h5", "--json").json
    assert (result["format"], result["samples"], result["events"]) == ("eventsnn-trace", 1, 2)


def test_other_hdf5_files(cli: Cli, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    assert "holds no events" in cli("info", tmp_path / "other.h5").err
    whole = (tmp_path / "other.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    assert "damaged HDF5 file" in cli("info", tmp_path / "cut.h5").err


def test_unknown_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    assert "the line 'hello' names no columns of events" in cli("info", tmp_path / "notes.txt").err
    (tmp_path / "notes.md").write_text("hello")
    outcome = cli("info", tmp_path / "notes.md")
    assert outcome.code == 1
    assert "not a known event format; known formats: nmnist (.bin, .bs2)" in outcome.err


@pytest.mark.skipif(sys.platform == "win32", reason="no /dev/stdin")
@pytest.mark.parametrize("command", [("info", "-"), ("plot", "recording", "-", "--out", "a.png")])
def test_standard_input(tmp_path: Path, command: tuple[str, ...]) -> None:
    stream = es.EventStream.from_arrays([10, 20], [0, 9], [0, 3], [1, 0])
    es.write(tmp_path / "a.es", stream)
    done = subprocess.run(
        [sys.executable, "-m", "eventsnn", *command],
        input=(tmp_path / "a.es").read_bytes(),
        capture_output=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(es.__file__).parents[1])},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    if command[0] == "info":
        assert b"10 x 4 x 2" in done.stdout
    else:
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
