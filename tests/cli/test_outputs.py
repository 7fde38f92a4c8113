"""Where commands write: an argument or an option, never over what is read, devices and pipes."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import eventsnn as es
from eventsnn.cli.app import COMMANDS
from tests.cli.conftest import Cli, make_stream, options_of
from tests.devices import null_device


@pytest.mark.parametrize("name", ["pack", "convert", "encode", "synth", "import"])
def test_what_is_written_is_an_argument_or_an_option(cli: Cli, name: str, recordings: Path) -> None:
    assert name in COMMANDS
    assert {"--out", "-o"} <= options_of(name)
    more = ("--images", "digits") if name == "synth" else (recordings / "0" / "00000.bin",)
    for given in ((), ("a.es", "--out", "b.es")):
        outcome = cli(name, *more, *given)
        assert outcome.code == 2
        assert "once, as the last argument or as --out" in outcome.err


def test_a_model_is_imported_to_a_file_of_models(cli: Cli, recordings: Path, tmp_path: Path) -> None:
    outcome = cli("import", recordings / "0" / "00000.bin", tmp_path / "x.txt")
    assert outcome.code == 2
    assert "a model is HDF5; name it .h5" in " ".join(outcome.err.split())
    assert not (tmp_path / "x.txt").exists()


@pytest.mark.parametrize("name", ["pack", "encode"])
def test_a_packed_set_has_its_name(cli: Cli, name: str, recordings: Path, tmp_path: Path) -> None:
    outcome = cli(name, recordings, tmp_path / "x.h5")
    assert outcome.code == 2
    assert "a packed set of recordings; name it .esp" in " ".join(outcome.err.split())
    assert not (tmp_path / "x.h5").exists()


def test_both_ways_of_naming_the_output(cli: Cli, recordings: Path, tmp_path: Path) -> None:
    path = recordings / "0" / "00000.bin"
    for number, out in enumerate(
        ((tmp_path / "0.es",), ("--out", tmp_path / "1.es"), ("-o", tmp_path / "2.es"))
    ):
        assert cli("convert", path, *out, "--sensor", "6x5x2").code == 0
        assert es.read(tmp_path / f"{number}.es") == make_stream(0, 0)


def test_nothing_is_written_over_what_is_read(
    cli: Cli, model: Path, recordings: Path, tmp_path: Path
) -> None:
    path, link, hard = recordings / "0" / "00000.bin", tmp_path / "link.bin", tmp_path / "hard.bin"
    link.symlink_to(path)
    hard.hardlink_to(path)
    before = {file: file.read_bytes() for file in (path, model)}
    for out in (path, link, hard, path.parent / ".." / "0" / path.name):
        for arguments in (
            ("convert", path, out, "--to", "evt2"),
            ("simulate", model, path, "--trace", out),
            ("simulate", model, path, "--spikes", out),
            ("simulate", model, path, "--save-state", out),
            ("info", path, "--plot", out),
        ):
            outcome = cli(*arguments)
            assert outcome.code == 2, arguments
            assert "would overwrite a file that is to be read" in outcome.err
        assert cli("pack", recordings, out, "--sensor", "6x5x2").code == 2
        assert cli("pack", recordings, recordings).code == 2
    assert cli("convert", path, null_device(tmp_path), "--to", "evt2").code == 0
    one = tmp_path / "one"
    outcome = cli("simulate", model, path, "--spikes", one, "--save-state", tmp_path / "." / "one")
    assert outcome.code == 2
    assert "--spikes and --save-state would write one file" in outcome.err
    state = tmp_path / "model-link.csv"
    state.symlink_to(model)
    assert cli("evaluate", model, "--data", recordings, "--predictions", state).code == 2
    assert {file: file.read_bytes() for file in before} == before


@pytest.mark.parametrize("target", ["null", "fifo"])
def test_devices_are_written_to_not_replaced(cli: Cli, recordings: Path, tmp_path: Path, target: str) -> None:
    path = recordings / "0" / "00000.bin"
    out, received = tmp_path / target, []
    if target == "null":
        out = null_device(tmp_path)
    else:
        os.mkfifo(out)
        reader = threading.Thread(target=lambda: received.append(out.read_bytes()), daemon=True)
        reader.start()
    mode = stat.S_IFMT(out.stat().st_mode)
    outcome = cli("convert", path, out, "--to", "csv", "--sensor", "6x5x2")
    assert outcome.code == 0, outcome.err
    assert stat.S_IFMT(out.stat().st_mode) == mode
    if target == "fifo":
        reader.join(10)
        es.write(tmp_path / "a.csv", make_stream(0, 0))
        assert received == [(tmp_path / "a.csv").read_bytes()]


def run_in_shell(command: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    """A command line with its redirections, in a process of its own; ``eventsnn`` is this package."""
    path = os.pathsep.join([str(Path(es.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    line = command.replace("eventsnn", f"{sys.executable} -m eventsnn", 1)
    environment = os.environ | {"PYTHONPATH": path}
    return subprocess.run(line, shell=True, cwd=folder, env=environment, capture_output=True, timeout=60)


def test_standard_input_and_output(recordings: Path, tmp_path: Path) -> None:
    path = recordings / "0" / "00000.bin"
    es.write(tmp_path / "a.csv", make_stream(0, 0))
    expected = (tmp_path / "a.csv").read_bytes()
    options = "--to csv --format nmnist --sensor 6x5x2"
    for out in ("-", "/dev/stdout"):
        done = run_in_shell(f"eventsnn convert - {out} {options} < {path}", tmp_path)
        assert (done.returncode, done.stdout) == (0, expected), done.stderr
        assert b"120 events" in done.stderr
    done = run_in_shell(f"eventsnn convert - /dev/stdout {options} --json < {path} > b.csv", tmp_path)
    assert (tmp_path / "b.csv").read_bytes() == expected
    assert b'"events": 120' in done.stderr
    before = path.read_bytes()
    done = run_in_shell(f"eventsnn convert - {path} --to evt2 --format nmnist < {path}", tmp_path)
    assert (done.returncode, path.read_bytes()) == (2, before)
