"""`eventsnn simulate` in parts: options, saved states, kills, live sources."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

import eventsnn as es
from eventsnn.events.live import send_events
from tests.cli.conftest import SENSOR, Cli, interrupt_when, make_network

LONG = 40_000
WAIT_S = 60.0


def make_long(n: int = LONG, seed: int = 5) -> es.EventStream:
    """2 seconds of the small sensor, several events at an instant."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 2_000_000, n))
    return es.EventStream.from_arrays(
        t, rng.integers(0, 6, n), rng.integers(0, 5, n), rng.integers(0, 2, n), sensor_size=SENSOR
    )


@pytest.fixture
def long(tmp_path: Path) -> Path:
    es.write(tmp_path / "long.bin", make_long())
    return tmp_path / "long.bin"


@pytest.fixture
def table(cli: Cli, model: Path, long: Path, tmp_path: Path) -> bytes:
    """The table of spikes of one run over the whole recording."""
    assert cli("simulate", model, long, "--spikes", tmp_path / "whole.csv").code == 0
    return (tmp_path / "whole.csv").read_bytes()


class Child:
    """A command line in a process of its own, its standard error read as it comes."""

    def __init__(self, *arguments: object, **more: Any) -> None:
        package = str(Path(es.__file__).parents[1])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "eventsnn", *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": package},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **more,
        )
        self.err: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.err.append(line.decode())

    def wait_for(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not ready():
            assert time.monotonic() < deadline, "".join(self.err)
            assert self.process.poll() is None, "".join(self.err)
            time.sleep(0.005)

    def end(self) -> tuple[int, bytes]:
        assert self.process.stdout is not None
        out = self.process.stdout.read()
        code = self.process.wait(WAIT_S)
        self._reader.join()
        self.process.stdout.close()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code, out


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
    monkeypatch.setattr("eventsnn.cli.stream_options.LARGE_BYTES", 1000)
    parts = cli("simulate", model, long, "--json").json
    assert "late" in parts
    assert "late" not in whole
    assert parts["counts"] == whole["counts"]


def test_large_recordings_of_networks_that_cannot_go_in_parts_are_simulated_whole(
    cli: Cli, long: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = csr_array(np.eye(4, 60))
    network = es.Network(es.Input(*SENSOR), es.Dense(4, name="a", threshold=1.0), weights={"a": hidden})
    network.save(tmp_path / "sparse.h5")
    monkeypatch.setattr("eventsnn.cli.stream_options.LARGE_BYTES", 1000)
    result = cli("simulate", tmp_path / "sparse.h5", long, "--json").json
    assert "late" not in result
    assert result["layers"]["a"]["spikes"] > 0
    outcome = cli("simulate", tmp_path / "sparse.h5", long, "--from", "1")
    assert outcome.code == 1
    assert "make the weights dense" in outcome.err


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


def test_ctrl_c_keeps_a_trace_up_to_then(model: Path, long: Path, tmp_path: Path) -> None:
    growing, spikes = tmp_path / "growing.bin", tmp_path / "s.csv"
    growing.write_bytes(long.read_bytes()[:50_000])
    outcome = interrupt_when(
        lambda: spikes.exists() and spikes.stat().st_size > 100,
        *("simulate", model, growing, "--live", "--spikes", spikes, "--trace", tmp_path / "t.h5"),
    )
    assert outcome.code == 130
    whole = es.simulate(make_network(), make_long())
    with es.Trace(tmp_path / "t.h5") as trace:
        (sample,) = trace.samples
        assert sample.exit_reason is es.ExitReason.INTERRUPTED
        times = trace.spikes("hidden", 0).times
        assert len(times) > 10
        assert np.array_equal(times, whole["hidden"].times[whole["hidden"].times < sample.t_end])


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


def test_a_killed_run_has_kept_what_it_said_it_saved(
    cli: Cli, model: Path, long: Path, table: bytes, tmp_path: Path
) -> None:
    spikes, state = tmp_path / "s.csv", tmp_path / "s.npz"
    child = Child(
        *("simulate", model, "-", "--live", "--format", "nmnist", "--sensor", "6x5x2", "--spikes", spikes),
        *("--save-state", state, "--save-every", "0"),
        stdin=subprocess.PIPE,
    )
    assert child.process.stdin is not None
    data = long.read_bytes()
    for start in range(0, 100_000, 10_000):
        child.process.stdin.write(data[start : start + 10_000])
        child.process.stdin.flush()
    child.wait_for(lambda: sum("saved in" in line for line in child.err) >= 3)
    child.process.send_signal(signal.SIGKILL)
    child.process.stdin.close()
    assert child.end()[0] == -signal.SIGKILL
    reported = [line.split() for line in child.err if "saved in" in line and line.endswith("ms\n")][-1]
    events, complete = int(reported[3]), float(reported[-2])
    assert events > 0
    kept = spikes.read_bytes()
    lines = [line for line in table.splitlines()[1:] if float(line.split(b",")[0]) < complete]
    assert kept.startswith(b"\n".join([b"time_ms,layer,neuron", *lines]) + b"\n")
    result = cli("simulate", model, long, "--spikes", spikes, "--resume-from", state, "--json").json
    assert result["events"] == LONG
    assert spikes.read_bytes() == table


def test_ctrl_c_saves_and_the_run_goes_on(
    cli: Cli, model: Path, long: Path, table: bytes, tmp_path: Path
) -> None:
    growing, spikes, state = tmp_path / "growing.bin", tmp_path / "s.csv", tmp_path / "s.npz"
    growing.write_bytes(long.read_bytes()[:50_000])
    outcome = interrupt_when(
        lambda: spikes.exists() and spikes.stat().st_size > 100,
        *("simulate", model, growing, "--live", "--spikes", spikes, "--save-state", state),
    )
    assert outcome.code == 130
    assert "interrupted; 10000 events were simulated" in outcome.err
    assert f"kept in {state}" in outcome.err
    assert cli("simulate", model, long, "--spikes", spikes, "--resume-from", state).code == 0
    assert spikes.read_bytes() == table


def test_standard_input_to_standard_output(model: Path, long: Path, table: bytes) -> None:
    with long.open("rb") as data:
        child = Child(
            *("simulate", model, "-", "--live", "--format", "nmnist", "--spikes", "-", "--json"), stdin=data
        )
        code, out = child.end()
    assert code == 0
    assert out == table
    assert json.loads(child.err[-1])["events"] == LONG


def test_a_file_that_grows(model: Path, long: Path, table: bytes, tmp_path: Path) -> None:
    growing, spikes, data = tmp_path / "growing.bin", tmp_path / "s.csv", long.read_bytes()
    growing.write_bytes(data[:7])
    child = Child("simulate", model, growing, "--live", "--idle", "1.5", "--spikes", spikes, "--json")
    child.wait_for(spikes.exists)
    with growing.open("ab", buffering=0) as file:
        for start in range(7, len(data), 50_001):
            file.write(data[start : start + 50_001])
            time.sleep(0.05)
    # All but what waits for the end has been written before it.
    child.wait_for(lambda: spikes.stat().st_size > 0.95 * len(table))
    code, out = child.end()
    assert code == 0
    assert json.loads(out)["events"] == LONG
    assert spikes.read_bytes() == table


def test_datagrams(model: Path, tmp_path: Path) -> None:
    """Spikes come although no further event does; lost and late events are counted."""
    spikes = tmp_path / "s.csv"
    child = Child(
        *("simulate", model, "udp://127.0.0.1:0", "--live", "--idle", "3", "--spikes", spikes, "--json"),
        *("--t-stop", "2000"),
    )
    child.wait_for(lambda: any("listening on udp" in line for line in child.err))
    target = ("127.0.0.1", int(child.err[0].rsplit(":", 1)[1]))
    stream = make_long().window(0, 100_000)
    sent = send_events(target, stream)
    whole = es.simulate(make_network(), stream)
    complete = sum(len(whole[name]) for name in whole.layers)
    assert complete > 50
    child.wait_for(lambda: spikes.read_bytes().count(b"\n") == complete + 1)
    # Events of a time that has passed, and a gap of 7 before an event.
    late = stream.window(0, 50_000)
    sent = send_events(target, late, sent=sent)
    send_events(target, make_long().window(1_900_000, 1_900_100), sent=sent + 7)
    code, out = child.end()
    assert code == 0
    result = json.loads(out)
    assert (result["late"], result["dropped"]) == (len(late), 7)
    assert result["layers"]["hidden"]["spikes"] >= len(whole["hidden"])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("FILE", "--crop", "1,2"), "write x0,y0,x1,y1 in pixels"),
        (
            ("FILE", "--from", "1", "--trace", "t.h5", "--record", "spsp"),
            "--from does not go with --record spsp",
        ),
        (("FILE", "--save-state", "s.npz", "--trace", "t.h5"), "--save-state does not go with --trace"),
        (("FILE", "FILE", "--from", "5"), "--from is for one recording at a time; 2 were given"),
        (("FILE", "--patience", "5"), "--patience is for --live"),
        (("-",), "- is a live source: give --live"),
        (("udp://127.0.0.1:9",), "is a live source: give --live"),
        (("FILE", "--save-state", "FILE"), "would overwrite a file to be read"),
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
            ("FILE", "--spikes", "x.csv", "--engine", "clocked"),
            "engine must be one of auto, queue, sweep, twin",
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


@pytest.fixture
def recurrent(tmp_path: Path) -> Path:
    """A model that may fire for ever."""
    network = es.Network(
        es.Input(*SENSOR),
        es.Dense(4, name="a", threshold=2.0),
        connections=[es.Connection("a", "a", delay=1.0)],
        seed=1,
    )
    network.save(tmp_path / "recurrent.h5")
    return tmp_path / "recurrent.h5"


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


def test_live_input_of_a_network_without_an_end_ends_with_the_input(recurrent: Path, long: Path) -> None:
    with long.open("rb") as data:
        child = Child("simulate", recurrent, "-", "--live", "--format", "nmnist", "--json", stdin=data)
        code, out = child.end()
    assert code == 0
    result = json.loads(out)
    assert result["exit_reason"] == "part"
    assert result["t_end_ms"] == make_long().t_last / 1000.0
