"""The cross-validations choose inside their training parts, and count what they say they count."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

import numpy as np
import pytest

import eventsnn as es
from eventsnn.data import NMNIST, ListDataset
from eventsnn.train.experiment import Experiment
from tests.events.helpers import random_stream

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="benchmarks/ is not part of an installation")
NETWORK = {"input": {"width": 34, "height": 34, "polarities": 2}, "layers": [{"neurons": 8}, {"neurons": 2}]}


@pytest.fixture
def modules(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


@pytest.fixture
def data(tmp_path: Path) -> NMNIST:
    for label in (0, 1):
        (tmp_path / str(label)).mkdir()
        for number in range(8):
            es.write(tmp_path / str(label) / f"{number}.bin", random_stream(100, seed=10 * number + label))
    return NMNIST(tmp_path)


def test_a_fold_chooses_within_its_training_part(modules, data: NMNIST) -> None:
    module = modules("studies.nmnist_cross_validation")
    two = list(module.CANDIDATES)[:2]
    options = argparse.Namespace(
        choose=True, candidates=two, stages=(1, 2), epochs=9, seed=1, threads=1, keep=None
    )
    training, testing = np.arange(12), np.arange(12, 16)
    seen: set[int] = set()
    read = data.stream
    data.stream = lambda index: seen.add(index) or read(index)  # type: ignore[method-assign]
    experiment = Experiment.from_table({"network": NETWORK})
    name, epochs, scores = module.choose(
        experiment, lambda which: module.take(data, training[which]), data.labels[training], options
    )
    assert seen == set(range(12))
    assert list(scores) == two
    assert max(scores[name]) == max(max(values) for values in scores.values())
    assert epochs in (1, 2)
    fold = module.run_fold(0, data, training, testing, experiment, options)
    assert (fold["trained_on"], fold["tested_on"], fold["epochs"]) == (12, 4, epochs)
    assert fold["parameters"] == 2312 * 8 + 8 * 2


def test_synaptic_operations_are_events_and_spikes_times_their_targets(modules) -> None:
    module = modules("studies.nmnist_cross_validation")
    network = es.Network(es.Input(34, 34, 2), es.Dense(8, name="hidden", threshold=1.0), es.Dense(2), seed=1)
    streams = [random_stream(200, seed=seed) for seed in (1, 2)]
    hidden = sum(
        int(es.simulate(network, stream, dtype="float32")["hidden"].counts.sum()) for stream in streams
    )
    assert hidden > 0
    found = module.synaptic_operations(network, ListDataset(streams, [0, 1]))
    assert found == (400 * 8 + hidden * 2) / 2


def test_synaptic_operations_of_convolutions_are_those_of_their_synapses(modules) -> None:
    module = modules("studies.nmnist_cross_validation")
    network = es.Network(
        es.Input(34, 34, 2),
        es.Conv(3, kernel=5, stride=3, threshold=0.1, name="conv"),
        es.Pool(2, threshold=0.1, name="pool"),
        es.Dense(2),
        seed=1,
    )
    stream = random_stream(200, seed=1)
    run = es.simulate(network, stream, dtype="float32")
    events = stream.events
    inputs = np.bincount(
        events["p"].astype(int) * 34 * 34 + events["y"].astype(int) * 34 + events["x"], minlength=2312
    )
    arriving, expected = inputs, 0
    for layer in network.layers:
        synapses = layer.lower(np.ones_like(network.weights.get(layer.name, np.empty(0))))
        expected += (synapses @ arriving).sum()
        arriving = run[layer.name].counts
    assert run["pool"].counts.sum() > 0
    assert module.synaptic_operations(network, ListDataset([stream], [0])) == expected


def test_conventional_models_count_their_operations(modules) -> None:
    pytest.importorskip("torch")
    module = modules("studies.conventional")
    settings = module.Settings(bins=3, rate=1e-3, width=4)
    cnn = 2 * (6 * 4 * 25 * 30 * 30 + 4 * 8 * 9 * 13 * 13 + 8 * 36 * 32 + 32 * 10)
    assert module.operations(module.FrameCNN(settings), settings) == cnn
    gru = 2 * (3 * 2312 * 4 + 3 * 3 * 4 * (4 + 4) + 4 * 10)
    assert module.operations(module.BinGRU(settings), settings) == gru


def test_events_are_accumulated_by_bin_polarity_and_pixel(modules) -> None:
    pytest.importorskip("torch")
    module = modules("studies.conventional")
    stream = es.EventStream.from_arrays(
        [0, 1, 159_999, 160_000, 400_000],
        [5, 5, 5, 6, 6],
        [7, 7, 7, 8, 8],
        [0, 0, 1, 1, 1],
        sensor_size=(34, 34, 2),
    )
    frames = module.accumulate(stream.events, 2)
    assert frames.shape == (2, 2, 34, 34)
    np.testing.assert_allclose(
        np.expm1(frames[[0, 0, 1], [0, 1, 1], [7, 7, 8], [5, 5, 6]]), [2, 1, 2], rtol=1e-6
    )
    assert np.expm1(frames).sum() == pytest.approx(5)
