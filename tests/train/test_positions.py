"""Convolution and pooling layers as stages, and layer by layer with Python between: the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eventsnn._util.ranks import ALONE, Ranks
from eventsnn._util.threads import Pool as Threads
from eventsnn.learn.optimisers import Optimiser
from eventsnn.learn.rule import default_rule
from eventsnn.model import Conv, Dense, Input, Network, Pool
from eventsnn.simulate.engines import batch, layer_run, positions
from eventsnn.simulate.engines.arrivals import Arrivals
from eventsnn.simulate.engines.batch import run_batch
from eventsnn.simulate.engines.division import Division, undivided
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.train.exact_errors import ExactErrors
from tests.thread_ranks import run_ranks
from tests.train.toy import CLASSES, SENSOR, toy_data, toy_train

LIF: dict[str, Any] = {"tau_m": 20.0, "tau_s": 5.0, "threshold": 0.4}

OPTIMISER = Optimiser(learning_rate=0.01)

NETWORKS = {
    "two convolutions": lambda: [
        Conv(4, 2, **LIF),
        Pool(2, stride=1, **LIF),
        Conv(36, 2, **LIF),
        Dense(9, **LIF),
    ],
    "borders, delays": lambda: [
        Conv(3, 3, stride=(1, 2), padding=2, delay=1.5, **LIF),
        Conv(34, 2, dilation=(2, 1), padding=1, delay=0.25, refractory=2.0, **LIF),
    ],
    "resting potential": lambda: [Conv(3, 3, padding=1, resting=0.1, **LIF), Pool(2, **LIF)],
    "pooling first": lambda: [Pool(2, **LIF), Conv(5, 2, **LIF), Dense(9, **LIF)],
    "pooling alone": lambda: [Pool(2, **LIF), Dense(9, **LIF)],
    "dropout above": lambda: [Conv(5, 2, **LIF), Dense(12, dropout=0.4, **LIF)],
    "dropout": lambda: [Conv(5, 2, **LIF), Conv(6, 2, dropout=0.4, **LIF), Conv(7, 2, **LIF)],
}


def make_network(name: str, bias_interval: float) -> Network:
    network = Network(
        Input(*SENSOR, bias_interval=bias_interval), *NETWORKS[name](), Dense(CLASSES, **LIF), seed=2
    )
    return network.with_weights({key: 3.0 * weights for key, weights in network.weights.items()})


def train(folder: Path, network: Network, **options: Any) -> dict[str, np.ndarray]:
    fit = toy_train(folder, network=network, data=toy_data(13), epochs=2, batch_size=4, **options)
    assert any((fit.network.weights[key] != network.weights[key]).any() for key in network.weights)
    return fit.network.weights


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bias_interval", [0.0, 9.0])
@pytest.mark.parametrize("name", NETWORKS)
def test_training_gives_the_bits_of_layer_by_layer(name, bias_interval, dtype, tmp_path: Path, monkeypatch):
    network, options = make_network(name, bias_interval), {"dtype": dtype, "optimiser": OPTIMISER}
    found = [train(tmp_path / str(n), network, threads=n, **options) for n in (1, 3)]
    with monkeypatch.context() as patch:  # dense layers block by block, a few positions at a time
        patch.setattr(layer_run, "CACHED", 0)
        patch.setattr(positions, "AT_ONCE", 50)
        found.append(train(tmp_path / "blocks", network, threads=2, **options))
    monkeypatch.setattr(batch, "count_positions", lambda *_: 0)
    expected = train(tmp_path / "twin", network, threads=1, **options)
    for key, weights in expected.items():
        for each in found:
            np.testing.assert_array_equal(each[key], weights)


def test_layers_whose_spikes_or_inputs_are_dropped_go_layer_by_layer():
    network = make_network("two convolutions", 0.0)
    packed, samples = PackedNetwork(network, np.float32), Arrivals.join([toy_spikes(k) for k in range(3)])
    kept = {3: np.ones((3, packed.network.source_size(2)), bool)}
    with Threads(2) as threads:
        run = run_batch(packed, samples, samples.ends, threads)
        down = ExactErrors(packed, {}, run, default_rule(), threads)
        assert [down.learns_positions(number) for number in range(5)] == [True, True, True, False, False]
        down.kept = kept
        assert [down.learns_positions(number) for number in range(4)] == [True, True, False, False]


@pytest.mark.parametrize("staged", [True, False])
@pytest.mark.parametrize("samples", [1, 2, 3])
@pytest.mark.parametrize("size", [2, 3])
def test_ranks_exchange_the_spikes_of_as_few_samples_as_there_are(size, samples, staged, monkeypatch):
    """Also where one rank has all samples: those that have none wait for them."""
    if not staged:
        monkeypatch.setattr(batch, "count_positions", lambda *_: 0)
    network = make_network("two convolutions", 0.0)
    spikes = Arrivals.join([toy_spikes(k) for k in range(samples)])

    def run(ranks: Ranks) -> list[bytes]:
        packed = PackedNetwork(network, np.float32, Division(ranks, undivided(network)))
        with Threads(1) as threads:
            found = run_batch(packed, spikes, spikes.ends, threads)
        return [found.layer_spikes(n).times.tobytes() for n in range(len(network.layers))]

    expected = run(ALONE)
    assert all(expected)
    assert run_ranks(size, run) == [expected] * size


def toy_spikes(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return np.sort(rng.uniform(0.0, 60.0, 80)), rng.integers(0, int(np.prod(SENSOR)), 80).astype(np.int32)
