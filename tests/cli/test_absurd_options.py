"""Every option that takes a value, with values that nobody means: an exit code, never a fault."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

import eventsnn as es
from eventsnn.cli import main
from eventsnn.cli.app import commands
from tests.cli.conftest import write_small_set

VALUES = (
    *("0", "-1", "1e308", "nan", "inf", "-inf", "1000000000000", "9" * 400),
    *("", "x", "1x1", "99999x99999x2", "1,2"),
)
ARGUMENTS = {
    "simulate": ["m.h5", "r.csv"],
    "info": ["r.csv"],
    "convert": ["r.csv", "out.npz"],
    "explain": ["t.h5"],
    "whatif": ["t.h5"],
    "inspect": ["t.h5", "--out", "pictures"],
    "train": ["no folder"],
    "evaluate": ["m.h5", "no folder"],
    "pack": ["no folder", "p.esp"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("absurd")
    network, stream = write_small_set(folder, 100)
    es.simulate(network, stream, trace=folder / "t.h5")
    return folder


def options(command: str) -> list[str]:
    """Options with a value that is neither a choice nor a file."""
    found = commands.get_command(click.Context(commands), command)
    assert found is not None
    return [
        option.opts[0]
        for option in found.params
        if isinstance(option, click.Option)
        and not option.is_flag
        and not isinstance(option.type, click.Choice | click.Path)
    ]


@pytest.mark.parametrize("command", ARGUMENTS)
def test_options_with_absurd_values(command, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.delenv("EVENTSNN_DEBUG", raising=False)
    tried = options(command)
    assert tried
    for option in tried:
        for value in VALUES:
            code = main([command, *ARGUMENTS[command], option, value])
            error = capsys.readouterr().err
            assert code in (0, 1, 2), (option, value)
            assert "fault of eventsnn" not in error, (option, value, error)
            assert "Traceback" not in error, (option, value)
