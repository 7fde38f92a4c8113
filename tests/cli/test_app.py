"""Help, exit codes, and how errors are told."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

import eventsnn
from eventsnn.cli.app import COMMANDS, commands
from tests.cli.conftest import Cli


def test_commands_are_listed_in_order(cli: Cli) -> None:
    outcome = cli("--help")
    assert outcome.code == 0
    listed = outcome.out[outcome.out.index("Commands:") :].splitlines()[1:]
    assert tuple(line.split()[0] for line in listed) == COMMANDS
    assert not [line for line in listed if line.endswith("...")], "a summary is cut"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example_and_json(cli: Cli, command: str) -> None:
    outcome = cli(command, "--help")
    assert outcome.code == 0
    assert f"Example:\n    eventsnn {command}" in outcome.out or "Example:\n    eventsnn" in outcome.out
    assert f"    eventsnn {command} " in outcome.out
    assert "--json" in outcome.out
    assert len(max(outcome.out.splitlines(), key=len)) <= 110


def test_every_command_is_tested_here() -> None:
    assert tuple(commands.list_commands(click.Context(commands))) == COMMANDS


def test_version(cli: Cli) -> None:
    assert cli("--version").out == f"eventsnn {eventsnn.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["simulat"], "No such command 'simulat'"),
        (["simulate"], "Missing argument 'MODEL.h5'"),
        (["simulate", "m.h5"], "Missing argument 'FILE...'"),
        (["simulate", "m.h5", "a.bin", "--engine", "fast"], "'fast' is not one of"),
        (
            ["train", "e.toml", "--train", "a", "--engine", "gpu"],
            "to train on a graphics card give --device cuda",
        ),
        (["train", "e.toml", "--train", "a", "--engine", "fast"], "'fast' is not one of 'exact', 'clocked'"),
        (["simulate", "m.h5", "a.bin", "--record", "spsp"], "give --trace as well"),
        (["simulate", "m.h5", "a.bin", "--trace", "m.h5"], "would overwrite a file that is to be read"),
        (["simulate", "m.h5", "a.bin", "--trace", "t.h5", "--record", "spike"], "'spike' cannot be recorded"),
        (["info", "a.bin", "--sensor", "34x34"], "write width x height x polarities, such as 34x34x2"),
        (["train", "e.toml", "--out", "o"], "Missing option '--train'"),
        (
            ["train", "e.toml", "--train", "d", "--out", "o", "--valid", "v", "--valid-fraction", "0.1"],
            "not both",
        ),
        (["evaluate", "m.h5"], "Missing option '--data'"),
        (["evaluate", "m.h5", "--data", "d", "--threads", "0"], "0 is not in the range"),
        (["synth", "out", "--images", "images-idx3-ubyte"], "needs --labels"),
        (["synth", "out", "--images", "digits", "--labels", "l"], "goes with an IDX file"),
    ],
)
def test_wrong_use_is_2_and_says_how(cli: Cli, arguments: list[str], text: str) -> None:
    outcome = cli(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert text in " ".join(outcome.err.split())
    assert "Usage: eventsnn" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["info", "no.bin"], "no.bin: no such file"),
        (["simulate", "no.h5", "a.bin"], "no.h5: no such file"),
        (["evaluate", "no.h5", "--data", "d"], "no.h5: no such file"),
        (["train", "no.toml", "--train", "d", "--out", "o"], "no.toml: cannot be read"),
        (["inspect", "no.h5"], "no.h5: no such file"),
        (["explain", "no.h5"], "no.h5: no such file"),
        (["synth", "out", "--images", "no.npz"], "no.npz: no such file"),
    ],
)
def test_failure_is_1_and_one_line(
    cli: Cli, arguments: list[str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = cli(*arguments)
    assert outcome.code == 1
    assert outcome.out == ""
    assert outcome.err.startswith("eventsnn: error: ")
    assert outcome.err.count("\n") == 1
    assert text in outcome.err
    assert list(tmp_path.iterdir()) == [], "a command that failed left something behind"


def test_python_m_eventsnn() -> None:
    command = [sys.executable, "-m", "eventsnn", "no-such"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: eventsnn [OPTIONS]")


def test_reader_that_has_had_enough_is_no_error(model: Path) -> None:
    # The pipe is closed before anything is written, as by "| head -0".
    with subprocess.Popen(
        [sys.executable, "-m", "eventsnn", "info", str(model)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
    assert b"Traceback" not in err
    assert b"Exception" not in err
