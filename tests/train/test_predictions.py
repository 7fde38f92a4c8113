"""`evaluate` up to a time: the counts are those of `simulate`, whatever the network and the threads."""

from __future__ import annotations

import numpy as np
import pytest

import eventsnn as es
from eventsnn.errors import SimulationError, TrainingError
from tests.train.toy import SENSOR, toy_data, toy_network

INPUT = es.Input(*SENSOR)
OUTPUT = es.Dense(3, threshold=1.0)


def connect(layer: str, **options: float) -> list[es.Connection]:
    return [es.Connection(layer, layer, delay=1.0, initial_weight=0.3, **options)]


NETWORKS = {
    "dense loop": es.Network(
        INPUT, es.Dense(30, threshold=2.0), OUTPUT, connections=connect("hidden"), seed=1
    ),
    "sparse loop": es.Network(
        INPUT,
        es.Dense(30, threshold=2.0, probability=0.4),
        OUTPUT,
        connections=connect("hidden", probability=0.3),
        seed=1,
    ),
    "reservoir": es.Network(INPUT, es.Reservoir(grid=(3, 3, 3), threshold=2.0), OUTPUT, seed=1),
    "spatial": es.Network(INPUT, es.Conv(3, 3, threshold=1.0), OUTPUT, connections=connect("output"), seed=1),
    "biases": es.Network(
        es.Input(*SENSOR, bias_interval=5.0),
        es.Dense(30, threshold=2.0),
        OUTPUT,
        connections=connect("hidden"),
        seed=1,
    ),
    "chain": toy_network(),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_counts_are_those_of_simulate(name):
    network, data = NETWORKS[name], toy_data(20)
    found = es.evaluate(network, data, t_stop=45.0, dtype="float64", threads=3)
    one = es.evaluate(network, data, t_stop=45.0, dtype="float64", threads=1)
    assert found.predictions.counts.tolist() == one.predictions.counts.tolist()
    runs = [es.simulate(network, data.stream(k), t_stop=45.0) for k in range(20)]
    assert found.predictions.counts.tolist() == [run.output.counts.tolist() for run in runs]
    assert [p.decision for p in found.predictions] == [run.decision for run in runs]
    assert found.predictions.counts.sum() > 0
    labels = data.labels.tolist()
    right = sum(run.decision == label for run, label in zip(runs, labels, strict=True))
    assert found.accuracy == right / 20
    assert np.sum(found.confusion) + found.no_decision == 20


def test_a_network_with_loops_stops_where_each_recording_ends():
    network, data = NETWORKS["dense loop"], toy_data(6)
    found = es.evaluate(network, data, dtype="float64", threads=2)
    for k in range(6):
        run = es.simulate(network, data.stream(k), t_stop=data.stream(k).last_ms)
        assert found.predictions.counts[k].tolist() == run.output.counts.tolist()
    assert found.predictions.counts.sum() > 0
    stated = network.with_settings(es.RunSettings(duration_ms=30.0))
    until = es.evaluate(network, data, t_stop=30.0, dtype="float64").predictions.counts
    assert es.evaluate(stated, data, dtype="float64").predictions.counts.tolist() == until.tolist()


def test_a_time_to_stop_must_be_one():
    for wrong in (-1.0, float("nan")):
        with pytest.raises(SimulationError, match="t_stop must be a time >= 0 ms"):
            es.evaluate(NETWORKS["chain"], toy_data(3), t_stop=wrong)


def test_predictions_are_written_whole_or_not_at_all(tmp_path):
    found = es.evaluate(toy_network(), toy_data(3))
    with pytest.raises(TrainingError, match=r"are written to a file that ends in \.csv or \.json"):
        found.predictions.save(tmp_path / "p.xlsx")
    with pytest.raises(TrainingError, match="cannot be written"):
        found.predictions.save(tmp_path / "none" / "p.csv")
    found.predictions.save(tmp_path / "p.CSV")
    assert len((tmp_path / "p.CSV").read_text().splitlines()) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["p.CSV"]
