"""Every option that takes a value, with values that nobody means: an exit code, never a fault."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import pytest

import eventsnn as es
from eventsnn.cli import main
from eventsnn.cli.app import commands

VALUES = (
    *("0", "-1", "1e308", "nan", "inf", "-inf", "1000000000000", "9" * 400),
    *("", "x", "1x1", "99999x99999x2", "1,2"),
)
ARGUMENTS = {
    "simulate": ["m.h5", "r.csv"],
    "info": ["r.csv"],
    "convert": ["r.csv", "out.npz"],
    "explain": ["t.h5"],
    "inspect": ["t.h5", "--out", "pictures"],
    "train": ["no folder"],
    "evaluate": ["m.h5", "no folder"],
    "pack": ["no folder", "p.esp"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("absurd")
    network = es.Network(es.Input(4, 4, 2), es.Dense(8, threshold=0.5), es.Dense(3, threshold=0.5), seed=1)
    network.save(folder / "m.h5")
    t = np.arange(100)
    stream = es.EventStream.from_arrays(t * 100, t % 4, t % 3, t % 2, sensor_size=(4, 4, 2))
    es.write(folder / "r.csv", stream)
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
