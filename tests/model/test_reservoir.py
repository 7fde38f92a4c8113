"""Reservoirs: the rule that draws them, their place in a network, the engines, and training what is above."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import eventsnn as es
from eventsnn.data import ListDataset
from eventsnn.errors import NetworkError, SimulationError, TrainingError
from eventsnn.model import Connection, Conv, Dense, Input, Network, Pool, Reservoir
from eventsnn.train.frozen_prefix import split_frozen_prefix
from tests.train.toy import RULE, toy_data


def make_network(seed=3, **options) -> Network:
    reservoir = Reservoir(grid=(3, 3, 5), threshold=4.0, tau_m=30.0, tau_s=6.0, initial_weight=3.0, **options)
    return Network(Input(12), reservoir, Dense(3, threshold=4.0, tau_m=30.0, tau_s=6.0), seed=seed)


def make_stream(seed: int, label: int = 0) -> es.EventStream:
    """Spikes of the label's third of the channels, mostly."""
    rng = np.random.default_rng(seed)
    channel = np.where(rng.random(150) < 0.8, 4 * label + rng.integers(0, 4, 150), rng.integers(0, 12, 150))
    times = np.sort(rng.integers(0, 100_000, 150))
    return es.EventStream.from_arrays(times, channel, 0 * channel, sensor_size=(12, 1, 1))


def test_synapses_follow_the_rule():
    """Against one draw per pair of the formula's probability; each kind within 5 standard deviations."""
    layer = Reservoir(grid=(6, 5, 20), name="r", recurrent_weight=0.5)
    weights = layer.draw_recurrent("", np.random.default_rng(1)).toarray()
    assert not np.diag(weights).any()
    inhibits = (weights < 0).any(axis=0)
    assert inhibits.sum() == 120
    assert set(np.unique(weights)) == {-0.5, 0.0, 0.5}
    assert not (weights[:, inhibits] > 0).any(), "a neuron is of one kind"
    constants = {"EE": 0.45, "EI": 0.3, "IE": 0.6, "II": 0.15}
    found, expected, spread = (dict.fromkeys(constants, 0.0) for _ in range(3))
    for pre, a in enumerate(layer.coordinates.tolist()):
        for post, b in enumerate(layer.coordinates.tolist()):
            if pre != post:
                kind = "EI"[int(inhibits[pre])] + "EI"[int(inhibits[post])]
                p = constants[kind] * math.exp(-(math.dist(a, b) ** 2) / 4.0)
                found[kind] += weights[post, pre] != 0
                expected[kind] += p
                spread[kind] += p * (1 - p)
    for kind in constants:
        assert expected[kind] > 100
        assert abs(found[kind] - expected[kind]) < 5 * math.sqrt(spread[kind]), kind


def test_neurons_are_numbered_x_first():
    assert Reservoir(grid=(2, 3, 4)).coordinates[[0, 1, 2, 6, 23]].tolist() == [
        [0, 0, 0],
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 1],
        [1, 2, 3],
    ]


def test_a_network_keeps_its_reservoir(tmp_path):
    network = make_network()
    assert network.names == ("reservoir", "output")
    assert network.weight_shapes()["reservoir:recurrent"] == (45, 45)
    network.save(tmp_path / "net.h5")
    again = Network.load(tmp_path / "net.h5")
    assert again.to_table() == network.to_table()
    same = (again.weights["reservoir:recurrent"] != network.weights["reservoir:recurrent"]).nnz == 0
    assert same
    table = {"input": {"width": 4}, "layers": [{"type": "reservoir", "grid": [2, 2, 2]}, {"neurons": 2}]}
    assert Network.from_table(table)["reservoir"].neurons == 8


def test_weights_may_be_given():
    network = make_network()
    given = np.zeros((45, 45))
    given[1, 0] = 2.5
    other = network.with_weights({**network.weights, "reservoir:recurrent": given})
    assert other.weights["reservoir:recurrent"][1, 0] == 2.5


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"grid": (3, 3)}, r"layer: grid must be 3 numbers, got \(3, 3\)"),
        ({"grid": (3, 3, 0)}, "layer: grid must be a whole number >= 1, got 0"),
        ({"inhibitory": 1.5}, "layer: inhibitory must not be above 1, got 1.5"),
        ({"connectivity": (0.1, 0.2, 7.0, 0.1)}, "layer: connectivity IE must not be above 1, got 7.0"),
        ({"recurrent_delay": 0.0}, "layer: recurrent_delay must be above 0"),
        ({"distance": -1}, "layer: distance must be a finite number >= 1e-06, got -1"),
    ],
)
def test_what_a_reservoir_cannot_be(options, text):
    with pytest.raises(NetworkError, match=text):
        Reservoir(**options)


def test_the_number_of_neurons_is_the_grids():
    with pytest.raises(NetworkError, match="unknown field 'neurons'"):
        Network.from_table({"input": {"width": 4}, "layers": [{"type": "reservoir", "neurons": 8}]})


def test_engines_agree():
    network, stream = make_network(), make_stream(1)
    events = stream.times_ms(), stream.input_indices()
    fast = es.simulate(network, events, t_stop=100.0)
    twin = es.simulate(network, events, t_stop=100.0, engine="twin")
    assert len(fast["reservoir"]) > 100
    alone = network.with_weights({**network.weights, "reservoir:recurrent": np.zeros((45, 45))})
    assert len(es.simulate(alone, events, t_stop=100.0)["reservoir"]) != len(fast["reservoir"])
    for name in network.names:
        np.testing.assert_array_equal(fast[name].neurons, twin[name].neurons)
        np.testing.assert_allclose(fast[name].times, twin[name].times, rtol=0.0, atol=1e-9)


def make_data(n=30) -> ListDataset:
    labels = [k % 3 for k in range(n)]
    return ListDataset([make_stream(k, label) for k, label in enumerate(labels)], labels)


def test_training_leaves_the_reservoir_alone(tmp_path):
    network, data = make_network(), make_data()
    runs = [
        es.train(
            network,
            data,
            rule=es.HM2BP(desired=10, undesired=2, margin=2),
            optimiser=es.Optimiser(learning_rate=0.05),
            epochs=6,
            batch_size=3,
            valid_fraction=0.2,
            threads=threads,
            out=tmp_path / str(threads),
        )
        for threads in (1, 2)
    ]
    trained = runs[0].network
    for key in ("reservoir", "reservoir:recurrent"):
        assert abs(trained.weights[key] - network.weights[key]).max() == 0
    assert np.abs(trained.weights["output"] - network.weights["output"]).max() > 0
    assert trained.weights["output"].tobytes() == runs[1].network.weights["output"].tobytes()
    assert runs[0].history[-1]["accuracy"] > 0.8 > runs[0].history[0]["accuracy"]
    score = es.evaluate(trained, data, threads=1)
    assert score.accuracy > 0.8
    assert es.evaluate(trained, data, threads=2, engine="queue").confusion == score.confusion


def test_the_front_ends_with_the_recording():
    front, chain = split_frozen_prefix(make_network())
    assert front is not None
    assert front.network.names == ("reservoir",)
    assert chain.input.neurons == 45
    assert chain.names == ("output",)


def test_what_cannot_be_trained(tmp_path):
    reservoir = Reservoir(grid=(2, 2, 2))
    data = make_data()
    with pytest.raises(TrainingError, match="layer 'output': nothing in a reservoir is trained"):
        es.train(Network(Input(12), reservoir), data, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(TrainingError, match="connection 'output->reservoir' makes it more than that"):
        es.evaluate(
            Network(Input(12), reservoir, Dense(3), connections=[Connection("output", "reservoir")]), data
        )


def test_the_sweep_refuses():
    with pytest.raises(SimulationError, match="layer 'reservoir' is a reservoir"):
        es.simulate(make_network(), make_stream(1), engine="sweep", t_stop=50.0)


def test_spatial_layers_below_a_reservoir(tmp_path: Path) -> None:
    """What feeds a reservoir may be a convolution; all of it runs before what is trained."""
    network = Network(
        Input(6, 5, 2),
        Conv(3, 3, threshold=1.0),
        Pool(2, threshold=0.5),
        Reservoir(grid=(3, 2, 2), threshold=0.5),
        Dense(3, threshold=1.0),
        seed=1,
    )
    data = toy_data(12)
    found = es.evaluate(network, data, threads=1)
    for k, counts in enumerate(found.predictions.counts):
        stream = data.stream(k)
        whole = es.simulate(network, stream, t_stop=stream.t_last / 1000.0)
        # The reservoir stops with the recording; the layer above falls quiet.
        trained = Network(Input(12), network.output, weights={"output": network.weights["output"]})
        above = es.simulate(trained, (whole["reservoir"].times, whole["reservoir"].neurons), dtype="float32")
        assert counts.tolist() == above.output.counts.tolist()
    assert found.predictions.counts.any()
    es.train(network, data, epochs=1, out=tmp_path / "run", threads=1, rule=RULE, valid_fraction=0.0)
    before, after = network.weights, Network.load(tmp_path / "run/model.h5").weights
    assert np.array_equal(before["conv"], after["conv"])
    assert not np.array_equal(before["output"], after["output"])
