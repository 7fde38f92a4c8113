"""How initial weights are drawn, and self-synapses of reservoirs."""

from __future__ import annotations

import math

import numpy as np
import pytest

import eventsnn as es
from eventsnn.errors import NetworkError
from eventsnn.model import Connection, Conv, Dense, Input, Network, Reservoir

FIXED = {"initial_distribution": "fixed", "initial_synapses": 5, "initial_weight": 2.5}
GAUSSIAN = {"initial_distribution": "gaussian", "initial_weight": 2.0}


def test_gaussian() -> None:
    network = Network(Input(200), Dense(300, **GAUSSIAN), Dense(4), seed=1)
    weights = network.weights["hidden"]
    assert weights.dtype == np.float32
    n = weights.size
    assert abs(weights.mean()) < 5 * 2.0 / math.sqrt(n)
    assert abs(weights.std() - 2.0) < 5 * 2.0 / math.sqrt(2 * n)
    assert abs(np.mean(np.abs(weights) > 4.0) - 0.0455) < 0.005  # two standard deviations
    conv = Network(Input(20, 20), Conv(40, 5, **GAUSSIAN), seed=1).weights["output"]
    assert abs(conv.std() - 2.0) < 0.25
    sparse = Network(Input(200), Dense(300, probability=0.1, **GAUSSIAN), seed=1).weights["output"]
    assert abs(sparse.data.std() - 2.0) < 0.1
    assert abs(sparse.nnz / 60_000 - 0.1) < 0.01


def test_mean() -> None:
    loop = Connection("output", "output", initial_mean=3.0, initial_weight=0.1)
    layers = Dense(300, initial_mean=-0.5, **GAUSSIAN), Dense(40, initial_mean=0.25, probability=0.5)
    network = Network(Input(200), *layers, connections=[loop], seed=1)
    n = network.weights["hidden"].size
    assert abs(network.weights["hidden"].mean() + 0.5) < 5 * 2.0 / math.sqrt(n)
    assert abs(network.weights["output"].data.mean() - 0.25) < 0.05
    assert abs(network.weights[loop.key] - 3.0).max() <= 0.1000001
    again = Network.from_table(network.to_table(), seed=1)
    np.testing.assert_array_equal(again.weights["hidden"], network.weights["hidden"])


@pytest.mark.parametrize("bias", [0.0, 10.0])
def test_fixed(bias: float) -> None:
    network = Network(Input(40, bias_interval=bias), Dense(200, **FIXED), Dense(3, **FIXED), seed=4)
    for name in network.names:
        weights = network.weights[name]
        assert set(np.unique(weights)) == {-2.5, 0.0, 2.5}
        assert ((weights != 0).sum(axis=1) == 5).all()
        if bias:
            assert not weights[:, -1].any()
    weights = network.weights["hidden"]
    assert abs((weights > 0).sum() - 500) < 5 * math.sqrt(250)
    # Sources are drawn with equal probability.
    drawn = (weights[:, :40] != 0).sum(axis=0)
    assert abs(drawn - 25).max() < 5 * math.sqrt(25)
    conv = Network(Input(9, 9, 2), Conv(30, 3, **FIXED), seed=1).weights["output"]
    assert ((conv.reshape(30, -1) != 0).sum(axis=1) == 5).all()


def test_of_reservoirs_and_connections() -> None:
    reservoir = Reservoir(grid=(3, 3, 4), initial_distribution="fixed", initial_synapses=3, initial_weight=8)
    loop = Connection("reservoir", "reservoir", name="loop", **GAUSSIAN)
    network = Network(Input(12), reservoir, Dense(2), connections=[loop], seed=1)
    assert ((network.weights["reservoir"] != 0).sum(axis=1) == 3).all()
    assert 1.5 < network.weights["loop"].std() < 2.5
    again = Network.from_table(network.to_table(), seed=1)
    for key, weights in network.weights.items():
        assert (again.weights[key] != weights).sum() == 0


def test_uniform_is_what_it_was(tmp_path) -> None:
    network = Network(Input(7), Dense(5, initial_weight=0.5), seed=3)
    expected = (0.5 * np.random.default_rng([3, 0]).uniform(-1.0, 1.0, (5, 7))).astype(np.float32)
    np.testing.assert_array_equal(network.weights["output"], expected)
    table = network.to_table()["layers"][0]
    assert "initial_distribution" not in table, "files of networks stay as they were"
    assert "initial_synapses" not in table
    assert "initial_mean" not in table
    Network(Input(7), Dense(5, **FIXED), seed=3).save(tmp_path / "net.h5")
    assert Network.load(tmp_path / "net.h5").output.initial_synapses == 5


@pytest.mark.parametrize("make", [Dense, lambda n, **given: Conv(n, 3, **given)])
@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"initial_distribution": "normal"}, "must be one of uniform, gaussian, fixed, got 'normal'"),
        ({"initial_distribution": "fixed"}, "initial_synapses, .* got None with 'fixed'"),
        ({"initial_synapses": 3}, "initial_synapses, .* got 3 with 'uniform'"),
        ({"initial_mean": math.nan}, "initial_mean must be"),
        ({"initial_mean": 1.0, **FIXED}, "initial_mean goes with .* 'uniform' and 'gaussian'.* got 1.0"),
        ({"initial_distribution": "fixed", "initial_synapses": 0}, "initial_synapses must be a whole number"),
    ],
)
def test_what_they_cannot_be(make, given, text) -> None:
    with pytest.raises(NetworkError, match=text):
        make(4, **given)


def test_more_that_they_cannot_be() -> None:
    with pytest.raises(NetworkError, match="'fixed' chooses the synapses itself; leave probability at 1"):
        Dense(4, probability=0.5, **FIXED)
    with pytest.raises(NetworkError, match=r"layer 'output': initial_synapses must not be above .* 4; got 5"):
        Network(Input(4), Dense(4, **FIXED))
    with pytest.raises(NetworkError, match="connection 'input->output': initial_synapses must not be above"):
        Network(Input(4), Dense(4), connections=[Connection("input", "output", **FIXED)])


def test_self_synapses() -> None:
    own = 0
    for seed in range(5):
        layer = Reservoir(grid=(6, 5, 20), name="r", self_synapses=True)
        weights = layer.draw_recurrent("", np.random.default_rng(seed)).toarray()
        own += np.count_nonzero(np.diag(weights))
        others = (
            Reservoir(grid=(6, 5, 20), name="r").draw_recurrent("", np.random.default_rng(seed)).toarray()
        )
        np.fill_diagonal(weights, 0.0)
        np.testing.assert_array_equal(weights, others)  # the rest is drawn alike
    # At distance 0: c, that of EE for four neurons of five, of II for the fifth; 3000 neurons.
    assert abs(own - 3000 * (0.8 * 0.45 + 0.2 * 0.15)) < 5 * math.sqrt(3000 * 0.39 * 0.61)
    network = Network(Input(3), Reservoir(grid=(2, 2, 2), self_synapses=True), Dense(2))
    assert Network.from_table(network.to_table())["reservoir"].self_synapses is True
    plain = Network(Input(3), Reservoir(grid=(2, 2, 2)), Dense(2)).to_table()["layers"][0]
    assert "self_synapses" not in plain
    with pytest.raises(NetworkError, match="self_synapses must be true or false, got 1"):
        Reservoir(self_synapses=1)
    assert es.Reservoir is Reservoir
