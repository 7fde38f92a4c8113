"""Training by several processes: the bits of one process, and an end of all when one ends."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from eventsnn.train.history import parse_metrics
from tests.ranks import launch, needs_mpi, start
from tests.train.ranked import FAILURE, digest_all
from tests.train.toy import toy_train, write_toy_folder

EXPERIMENT = """
[network]
input = { width = 6, height = 5, polarities = 2 }
[[network.layers]]
name = "hidden"
neurons = 70
threshold = 2.0
tau_m = 30.0
tau_s = 6.0
[[network.layers]]
name = "output"
neurons = 3
threshold = 2.0
tau_m = 30.0
tau_s = 6.0
[rule]
desired = 8
undesired = 1
margin = 1
[training]
batch_size = 4
"""


@pytest.fixture(scope="module")
def of_one_process() -> dict[str, list[str]]:
    return digest_all()


@pytest.fixture
def command(tmp_path: Path) -> list[object]:
    """``eventsnn train`` without the number of epochs, into the folder ``run``."""
    experiment = tmp_path / "experiment.toml"
    experiment.write_text(EXPERIMENT)
    data = write_toy_folder(tmp_path / "data")
    options = ["--sensor", "6x5x2", "--out", tmp_path / "run"]
    return ["train", experiment, "--train", data, *options]


def epochs_of(folder: Path) -> int:
    return len(parse_metrics((folder / "metrics.jsonl").read_text()))


def assert_resumes(command: list[object], folder: Path) -> None:
    """One process goes on from what is left, to the bits of a run that nothing has stopped."""
    whole = folder.with_name("whole")
    fresh = [whole if part == folder else part for part in command]
    for arguments in ([*command, "--resume"], fresh):
        code, _, err = launch(1, "-m", "eventsnn", *arguments, "--epochs", 4)
        assert code == 0, err
    assert (folder / "model.h5").read_bytes() == (whole / "model.h5").read_bytes()


def test_a_plain_run_knows_nothing_of_mpi(tmp_path: Path) -> None:
    toy_train(tmp_path / "run", epochs=1)
    assert "mpi4py" not in sys.modules


@needs_mpi
@pytest.mark.slow
def test_three_processes_give_the_bits_of_one(tmp_path: Path, of_one_process: dict[str, list[str]]) -> None:
    code, _, err = launch(3, "-m", "tests.train.ranked", "digest", tmp_path / "found.json")
    assert code == 0, err
    every = json.loads((tmp_path / "found.json").read_text())
    assert len(every) == 3
    for found in every:
        assert found == of_one_process


@needs_mpi
def test_the_command_line_under_a_launcher(command: list[object], tmp_path: Path) -> None:
    trace = ["--trace", tmp_path / "t.h5", "--record", "spikes,learning,weights"]
    code, out, err = launch(2, "-m", "eventsnn", *command, *trace, "--epochs", 2)
    assert code == 0, err
    assert out.count("validation accuracy") == 1, "one rank alone prints"
    # Another number of processes goes on where two have stopped.
    code, _, err = launch(3, "-m", "eventsnn", *command, "--epochs", 4, "--resume")
    assert code == 0, err
    one = [tmp_path / "one" if part == tmp_path / "run" else part for part in command]
    for epochs, more in ((2, ["--trace", tmp_path / "one.h5", *trace[2:]]), (4, ["--resume"])):
        code, _, err = launch(1, "-m", "eventsnn", *one, "--epochs", epochs, *more)
        assert code == 0, err
    for name in ("model.h5", "command.txt"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    assert_same_trace(tmp_path / "t.h5", tmp_path / "one.h5")


def assert_same_trace(a: Path, b: Path) -> None:
    """Two traces hold the same arrays."""
    import h5py

    with h5py.File(a) as x, h5py.File(b) as y:
        names: list[str] = []
        x.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        assert len(names) > 10
        for name in names:
            assert np.array_equal(x[name][()], y[name][()], equal_nan=x[name].dtype.kind == "f"), name


@needs_mpi
def test_errors_that_all_have_are_told_once(tmp_path: Path) -> None:
    code, out, err = launch(2, "-m", "eventsnn", "train", tmp_path / "none.toml", "--train", tmp_path)
    assert code == 1
    assert out == ""
    assert err.count("none.toml: cannot be read") == 1


@needs_mpi
def test_a_rank_that_raises_ends_all(command: list[object], tmp_path: Path) -> None:
    code, _, err = launch(3, "-m", "tests.train.ranked", "fail", "raise", *command, "--epochs", 4)
    assert code != 0
    assert f"rank 1 of 3: error: {FAILURE}" in err
    assert epochs_of(tmp_path / "run") == 1
    assert_resumes(command, tmp_path / "run")


@needs_mpi
def test_a_rank_that_computes_something_else_ends_all(command: list[object], tmp_path: Path) -> None:
    code, _, err = launch(2, "-m", "tests.train.ranked", "fail", "differ", *command, "--epochs", 4)
    assert code == 1
    assert err.count("epoch 2: rank 1 has computed other weights of 'output' than rank 0") == 1
    assert epochs_of(tmp_path / "run") == 1


@needs_mpi
def test_a_rank_that_is_killed_ends_all(command: list[object], tmp_path: Path) -> None:
    code, _, _ = launch(3, "-m", "tests.train.ranked", "fail", "kill", *command, "--epochs", 4)
    assert code != 0
    assert epochs_of(tmp_path / "run") == 1
    assert_resumes(command, tmp_path / "run")


@needs_mpi
def test_a_rank_that_is_interrupted_ends_all(command: list[object], tmp_path: Path) -> None:
    code, _, err = launch(2, "-m", "tests.train.ranked", "fail", "interrupt", *command, "--epochs", 4)
    assert code != 0
    assert "rank 1 of 2: interrupted; epoch 1 is kept" in err


@needs_mpi
def test_ctrl_c_on_the_launcher_ends_all(command: list[object], tmp_path: Path) -> None:
    with start(2, "-m", "eventsnn", *command, "--epochs", 100_000) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "run" / "checkpoint.h5").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "interrupted; epoch" in err
