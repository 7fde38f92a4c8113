"""What every type of layer promises: shapes, patches, shared weights, lowering, tables."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from eventsnn.errors import NetworkError
from eventsnn.model import LAYERS, Conv, Dense, Input, Network, Pool, Reservoir
from tests.plugins.depthwise import DepthwiseConv

LAYERS.unregister("depthwise")  # which importing it has registered

LAYERS_HERE = {
    "dense": Dense(7, name="x"),
    "dense, without bias": Dense(7, name="x", bias=False),
    "conv": Conv(3, (2, 3), (1, 2), padding=1, dilation=(2, 1), name="x"),
    "conv of everything": Conv(3, (4, 5), name="x"),
    "pool": Pool((2, 3), (2, 1), name="x"),
    "reservoir": Reservoir(grid=(2, 2, 3), name="x"),
    "plugin": DepthwiseConv(2, name="x"),
}


@pytest.fixture(autouse=True)
def plugin() -> Iterator[None]:
    """The layer type from outside made known, and forgotten afterwards."""
    LAYERS.register("depthwise", DepthwiseConv)
    yield
    LAYERS.unregister("depthwise")


def fitted(name: str, bias: float = 0.0):
    network = Network(Input(5, 4, 2, bias_interval=bias), LAYERS_HERE[name], Dense(2), seed=3)
    return network, network["x"]


@pytest.fixture(params=LAYERS_HERE)
def name(request):
    return request.param


@pytest.mark.parametrize("bias", [0.0, 2.5])
def test_shapes(name: str, bias: float) -> None:
    network, layer = fitted(name, bias)
    channels, height, width = layer.shape
    assert (layer.channels, layer.positions) == (channels, height * width)
    assert layer.neurons == channels * height * width
    assert layer.has_bias == (bias > 0 and name not in ("pool", "dense, without bias"))
    assert layer.rows.shape == (layer.positions, layer.inputs)
    assert layer.inputs == layer.patch + layer.has_bias
    assert layer.trainable == (name not in ("pool", "reservoir"))
    if layer.weight_shape is None:
        assert "x" not in network.weights
    else:
        assert network.weights["x"].shape == layer.weight_shape
        assert len(layer.weight_axes) == len(layer.weight_shape)


@pytest.mark.parametrize("bias", [0.0, 2.5])
def test_a_layer_is_shared_weights_at_each_position(name: str, bias: float) -> None:
    """Against loops over channels, positions and inputs."""
    network, layer = fitted(name, bias)
    shared = layer.shared_weights(network.weights.get("x"))
    assert shared.shape == layer.connected.shape == (layer.channels, layer.inputs)
    assert not shared[~layer.connected].any()
    expected = np.zeros((layer.neurons, 40 + layer.has_bias))
    for channel in range(layer.channels):
        for position in range(layer.positions):
            for k, source in enumerate(layer.rows[position].tolist()):
                if source >= 0:
                    expected[channel * layer.positions + position, source] += shared[channel, k]
    lowered = layer.lower(network.weights.get("x"))
    np.testing.assert_array_equal(lowered.toarray() if hasattr(lowered, "toarray") else lowered, expected)
    if layer.shares_weights:
        rows = [layer.lower_row(network.weights.get("x"), neuron) for neuron in range(layer.neurons)]
        np.testing.assert_array_equal(rows, expected)
    if layer.has_bias:
        assert (layer.rows[:, -1] == 40).all()
        assert expected[:, -1].all()


@pytest.mark.parametrize("bias", [0.0, 2.5])
def test_own_and_shared_weights(name: str, bias: float) -> None:
    """`own_weights` is the inverse, `own_gradient` the transpose of `shared_weights`."""
    layer = fitted(name, bias)[1]
    if layer.weight_shape is None:
        return
    rng = np.random.default_rng(0)
    weights, other = rng.normal(size=layer.weight_shape), rng.normal(size=(layer.channels, layer.inputs))
    np.testing.assert_array_equal(layer.own_weights(layer.shared_weights(weights)), weights)
    product = (layer.shared_weights(weights) * other).sum()
    np.testing.assert_allclose((weights * layer.own_gradient(other)).sum(), product, rtol=1e-12)
    if not layer.ties_weights:
        np.testing.assert_array_equal(layer.shared_weights(layer.own_gradient(other)), other)


def test_tables(name: str) -> None:
    network, layer = fitted(name, 2.5)
    again = Network.from_table(network.to_table(), weights=network.weights)
    assert again.layers == network.layers
    assert again.weight_shapes() == network.weight_shapes()
    with pytest.raises(NetworkError, match="unknown field 'source_shape'; there are"):
        Network.from_table(
            {**network.to_table(), "layers": [{**layer.to_table(), "source_shape": [2, 4, 5]}]}
        )


def test_files(name: str, tmp_path) -> None:
    network, _ = fitted(name, 2.5)
    network.save(tmp_path / "net.h5")
    again = Network.load(tmp_path / "net.h5")
    assert again.layers == network.layers
    assert again.weights.keys() == network.weights.keys()


def test_a_dense_layer_is_one_position_whose_patch_is_everything() -> None:
    network, layer = fitted("dense")
    assert layer.geometry.whole
    assert layer.rows.tolist() == [list(range(40))]
    conv = Network(Input(5, 4, 2), Conv(7, (4, 5), name="x"), Dense(2))
    weights = {"x": network.weights["x"].reshape(7, 2, 4, 5), "output": network.weights["output"]}
    lowered = conv.with_weights(weights).lowered.weights["x"]
    np.testing.assert_array_equal(lowered.toarray(), network.weights["x"])


def test_a_layer_stands_on_another_source_in_another_network() -> None:
    layer = fitted("dense")[1]
    assert Network(Input(3), layer).weights["x"].shape == (7, 3)
    conv = fitted("conv")[1]
    with pytest.raises(NetworkError, match=r"layer 'x': expects a source of shape \(2, 4, 5\)"):
        Network(Input(9, 9, 2), conv)


def test_unknown_types() -> None:
    kinds = "dense, conv, pool, reservoir, readout"
    with pytest.raises(NetworkError, match=rf"layers\[0\]: type must be one of {kinds}"):
        Network.from_table({"input": {"width": 3}, "layers": [{"type": "lstm", "neurons": 3}]})
    with pytest.raises(NetworkError, match="there is a layer type called 'conv' already"):
        LAYERS.register("conv", Dense)
    with pytest.raises(NetworkError, match="bias must be true or false, got 1"):
        Dense(3, bias=1)
