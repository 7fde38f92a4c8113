from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from eventsnn.cli import main
from eventsnn.data import PUBLIC_SETS
from tests.data import fake_tonic


@pytest.fixture
def tonic(monkeypatch):
    monkeypatch.setitem(sys.modules, "tonic", fake_tonic.make())


def test_without_a_name_it_lists_them_and_needs_no_tonic(monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "tonic", None)
    assert main(["fetch"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in PUBLIC_SETS)
    assert main(["fetch", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["names"].keys() == PUBLIC_SETS.keys()


def test_fetched_files_are_what_the_next_command_takes(tonic, tmp_path: Path, capsys) -> None:
    assert main(["fetch", "nmnist", "--to", str(tmp_path), "--json"]) == 0
    captured = capsys.readouterr()
    got = json.loads(captured.out)  # nothing else is on standard output
    assert "chatter" in captured.err
    experiment = tmp_path / "small.toml"
    experiment.write_text(
        "network = { input = { width = 34, height = 34, polarities = 2 }, layers = [{ neurons = 3 }] }\n"
    )
    words = got["next"].split()
    assert words[:2] == ["eventsnn", "train"]
    words[2], words[words.index("--out") + 1] = str(experiment), str(tmp_path / "run")
    assert main([*words[1:], "--epochs", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["epochs"] == 1


def test_a_failure_ends_in_one_line_after_the_steps(tonic, tmp_path: Path, capsys) -> None:
    fake_tonic.NMNIST.fail = "train"
    assert main(["fetch", "NMNIST", "--to", str(tmp_path)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("eventsnn: error: NMNIST, part train: tonic could not get it")
    assert any(line.startswith("Download https://example.org/train.zip and save it as ") for line in lines)


def test_ctrl_c_says_that_the_same_command_goes_on(tonic, tmp_path: Path, capsys) -> None:
    fake_tonic.NMNIST.fail = "stop-test"
    assert main(["fetch", "NMNIST", "--to", str(tmp_path)]) == 130
    assert "the same command continues" in capsys.readouterr().err
    assert (tmp_path / "NMNIST/train.esp").exists()
