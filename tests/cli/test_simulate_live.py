"""`eventsnn simulate --live`, and what is left of a run that is stopped or killed."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

import eventsnn as es
from eventsnn.cli import parts
from eventsnn.cli.runs import RunOptions
from eventsnn.events import EventStream, ReadingOptions
from eventsnn.events.live import send_events
from eventsnn.model import Dense, Input, Network
from tests.cli.conftest import Cli, interrupt_when, make_network
from tests.cli.long_input import LONG, Child, long, make_long, recurrent, table

__all__ = ["long", "recurrent", "table"]  # fixtures


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
    events, complete = int(reported[3].replace(",", "")), float(reported[-2])
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
    assert "interrupted; simulated 10,000 events" in outcome.err
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


@pytest.mark.parametrize("origin", [0, 1_600_000_000_000_000])
def test_datagrams(model: Path, tmp_path: Path, origin: int) -> None:
    """Spikes come although no further event does; lost and late events are counted, on any clock."""

    def window(start: int, end: int) -> es.EventStream:
        part = make_long().window(start, end)
        assert part.t_first is not None
        return part.shifted(part.t_first + origin)

    spikes = tmp_path / "s.csv"
    child = Child(
        *("simulate", model, "udp://127.0.0.1:0", "--live", "--idle", "3", "--spikes", spikes, "--json"),
        *("--t-stop", "2000"),
    )
    child.wait_for(lambda: any("listening on udp" in line for line in child.err))
    target = ("127.0.0.1", int(child.err[0].rsplit(":", 1)[1]))
    stream = window(0, 100_000)
    sent = send_events(target, stream)
    whole = es.simulate(make_network(), stream)
    complete = sum(len(whole[name]) for name in whole.layers)
    assert complete > 50
    child.wait_for(lambda: spikes.exists() and spikes.read_bytes().count(b"\n") == complete + 1)
    # Events of a time that has passed, and a gap of 7 before an event.
    late = window(0, 50_000)
    sent = send_events(target, late, sent=sent)
    send_events(target, window(1_900_000, 1_900_100), sent=sent + 7)
    code, out = child.end()
    assert code == 0
    result = json.loads(out)
    assert (result["late"], result["dropped"]) == (len(late), 7)
    assert result["origin_us"] == (stream.t_first if origin else 0)
    assert result["layers"]["hidden"]["spikes"] >= len(whole["hidden"])


def test_live_input_of_a_network_without_an_end_ends_with_the_input(recurrent: Path, long: Path) -> None:
    with long.open("rb") as data:
        child = Child("simulate", recurrent, "-", "--live", "--format", "nmnist", "--json", stdin=data)
        code, out = child.end()
    assert code == 0
    result = json.loads(out)
    assert result["exit_reason"] == "part"
    assert result["t_end_ms"] == make_long().t_last / 1000.0


def test_events_at_one_instant_have_a_bound(monkeypatch):
    """They wait in memory until a later event tells that no more come."""
    monkeypatch.setattr(parts, "MOST_AT_ONCE", 100)
    network = Network(Input(4, 4, 2), Dense(2), seed=1)
    options = RunOptions(
        reading=ReadingOptions(), engine="auto", step_ms=None, dtype="float64", t_stop=None, live=True
    )
    run = parts.PartsRun(network, "-", options, source=None)
    ones = [1] * 60
    for _ in range(10):
        run.take(EventStream.from_arrays([5000] * 60, ones, ones, ones, sensor_size=(4, 4, 2)))
    assert run.simulation.held <= 100
    assert run.late == 500
    run.take(EventStream.from_arrays([6000], [1], [1], [1], sensor_size=(4, 4, 2)))
    assert run.simulation.held == 1
