"""A small network with every kind of projection, and a run of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eventsnn.model import Connection, Dense, Input, Network
from eventsnn.simulate.engines import twin
from eventsnn.trace import TraceWriter
from eventsnn.trace.record import SpikeRecord


def busy_network() -> Network:
    """Lateral inhibition, a delayed layer, feedback, a skip from the input, equal time constants."""
    network = Network(
        Input(6, 5, 2),
        Dense(8, threshold=1.5, lateral_inhibition=0.2),
        Dense(5, name="middle", threshold=2.0, lateral_inhibition=0.5, delay=1.3, tau_m=8.0),
        Dense(3, threshold=1.5, lateral_inhibition=1.0, tau_m=20.0, refractory=0.0),
        connections=[Connection("output", "hidden", delay=2.0), Connection("input", "output", delay=0.5)],
        seed=3,
    )
    scale = {"hidden": 1.0, "middle": 3.0, "output": 3.0, "output->hidden": 0.3, "input->output": 0.1}
    return network.with_weights({key: scale[key] * (w + 0.3) for key, w in network.weights.items()})


def busy_input(seed: int, n: int = 250) -> tuple[np.ndarray, np.ndarray]:
    """Random input spikes on a microsecond grid within 60 ms, some at equal times."""
    rng = np.random.default_rng(seed)
    return np.sort(rng.integers(0, 60_000, n)) / 1000.0, rng.integers(0, 60, n)


@pytest.fixture(scope="session")
def network() -> Network:
    return busy_network()


@pytest.fixture(scope="session")
def run(network: Network) -> SpikeRecord:
    record = twin.run(network, *busy_input(1), t_stop=80.0)
    assert all(len(spikes) > 10 for spikes in record.layers.values())
    return record


@pytest.fixture(scope="session")
def run2(network: Network) -> SpikeRecord:
    return twin.run(network, *busy_input(2, 120), t_stop=70.0)


@pytest.fixture(scope="session")
def trace_path(
    network: Network, run: SpikeRecord, run2: SpikeRecord, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Two different samples, everything recorded."""
    path = tmp_path_factory.mktemp("trace") / "run.h5"
    config = {"engine": "twin", "dtype": "float64", "t_stop": 80.0}
    with TraceWriter(path, network, record=("spsp", "potential"), config=config, seed=5) as writer:
        writer.append(run2, source="second.bin", label=2, epoch=7)
        writer.append(run, source="first.bin")
    return path


def assert_same_record(found: SpikeRecord, expected: SpikeRecord) -> None:
    """Every spike of every layer, to the bit."""
    assert list(found.layers) == list(expected.layers)
    for name in ("input", *expected.layers):
        assert found[name].size == expected[name].size
        np.testing.assert_array_equal(found[name].times, expected[name].times)
        np.testing.assert_array_equal(found[name].neurons, expected[name].neurons)
    assert (found.t_end, found.exit_reason) == (expected.t_end, expected.exit_reason)
    assert (found.engine, found.dtype) == (expected.engine, expected.dtype)
