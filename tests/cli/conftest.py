"""A tiny data set of two classes, a network that tells them apart, and a way to run commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import eventsnn as es
from eventsnn.cli import main
from eventsnn.cli.app import commands

SENSOR = (6, 5, 2)


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one line of JSON and nothing else."""
        assert self.out.count("\n") == 1, self.out
        assert self.out.endswith("\n")
        return json.loads(self.out)


Cli = Callable[..., Outcome]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command line in this process."""

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


def make_stream(label: int, seed: int, n: int = 120) -> es.EventStream:
    """Events in the left half of the sensor for label 0, in the right half for label 1, over 40 ms."""
    rng = np.random.default_rng([label, seed])
    t = np.sort(rng.integers(0, 40_000, n))
    x = rng.integers(0, 3, n) + 3 * label
    return es.EventStream.from_arrays(t, x, rng.integers(0, 5, n), rng.integers(0, 2, n), sensor_size=SENSOR)


def write_recordings(root: Path, per_class: int) -> Path:
    for label in (0, 1):
        folder = root / str(label)
        folder.mkdir(parents=True)
        for number in range(per_class):
            es.write(folder / f"{number:05d}.bin", make_stream(label, number))
    return root


def options_of(name: str) -> set[str]:
    command = commands.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    return {word for parameter in command.params for word in (*parameter.opts, *parameter.secondary_opts)}


def write_table(path: Path, rows: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, rows)


def experiment_text(
    *,
    sensor: str = "width = 6, height = 5, polarities = 2",
    hidden: int = 8,
    threshold: float = 5.0,
    epochs: int = 3,
    optimiser: str = "[optimiser]\nlearning_rate = 0.02\n",
    more: str = "",
) -> str:
    """An experiment file of a network that learns the two classes."""
    return f"""
[network]
input = {{ {sensor} }}
layers = [{{ neurons = {hidden}, threshold = {threshold} }}, {{ neurons = 2, threshold = {threshold} }}]

[rule]
desired = 6
undesired = 1
margin = 1

{optimiser}
[training]
epochs = {epochs}
batch_size = 2
valid_fraction = 0.25
{more}
"""


EXPERIMENT = experiment_text()


@pytest.fixture
def experiment(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The file with the text that the test's module calls EXPERIMENT."""
    path = tmp_path / "experiment.toml"
    path.write_text(request.module.EXPERIMENT)
    return path


def write_small_set(folder: Path, events: int) -> tuple[es.Network, es.EventStream]:
    """A network, m.h5, and a recording of so many events, r.csv."""
    network = es.Network(es.Input(4, 4, 2), es.Dense(8, threshold=0.5), es.Dense(3, threshold=0.5), seed=1)
    network.save(folder / "m.h5")
    t = np.arange(events)
    stream = es.EventStream.from_arrays(t * 100, t % 4, t % 3, t % 2, sensor_size=(4, 4, 2))
    es.write(folder / "r.csv", stream)
    return network, stream


def make_network() -> es.Network:
    """Hidden neurons 0, 1 look at the left half, 2, 3 at the right; an output neuron to each pair."""
    hidden = np.zeros((4, 2, 5, 6))
    hidden[:2, :, :, :3] = 1.0
    hidden[2:, :, :, 3:] = 1.0
    output = np.array([[3.0, 3.0, 0.0, 0.0], [0.0, 0.0, 3.0, 3.0]])
    return es.Network(
        es.Input(*SENSOR),
        es.Dense(4, threshold=5.0),
        es.Dense(2, threshold=2.0),
        weights={"hidden": hidden.reshape(4, -1), "output": output},
    )


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """A folder of two labels with three recordings each."""
    return write_recordings(tmp_path / "recordings", 3)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.h5"
    make_network().save(path)
    return path


# Whatever started the tests may have told its children to ignore SIGINT; Python would then not raise on it.
_CHILD = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from eventsnn.cli import main; sys.exit(main(sys.argv[1:]))"
)


def interrupt_when(ready: Callable[[], bool], *arguments: object, delay: float = 0.0) -> Outcome:
    """Run a command line in a process of its own and press Ctrl-C `delay` seconds after `ready` says True."""
    package = str(Path(es.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([package, os.environ.get("PYTHONPATH", "")])}
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 60.0
        while process.poll() is None and not ready() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60.0)
    return Outcome(process.returncode, out, err)
