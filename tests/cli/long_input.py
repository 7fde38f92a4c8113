"""For the tests of long and live input: a recording of two seconds, a command in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import eventsnn as es
from tests.cli.conftest import SENSOR, Cli

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
