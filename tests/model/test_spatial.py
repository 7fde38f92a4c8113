"""Convolution and pooling layers: shapes, geometry, weights written out, files, engines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsnn.errors import NetworkError
from eventsnn.model import LAYERS, Conv, Dense, Input, Network, Pool
from eventsnn.model.layers.geometry import Geometry
from eventsnn.simulate.engines.arrivals import Arrivals, expand
from eventsnn.simulate.run import simulate


@st.composite
def geometries(draw):
    pair = lambda low, high: (draw(st.integers(low, high)), draw(st.integers(low, high)))  # noqa: E731
    kernel, dilation, padding = pair(1, 3), pair(1, 2), pair(0, 2)
    least = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    source = (draw(st.integers(1, 3)), *(n + draw(st.integers(0, 4)) for n in least))
    return Geometry(source, kernel, pair(1, 3), padding, dilation)


def patches_in_loops(g):
    """(patch, place, y, x) of every cell of every patch, by the definition."""
    found = []
    for py in range(g.size[0]):
        for px in range(g.size[1]):
            for ky in range(g.kernel[0]):
                for kx in range(g.kernel[1]):
                    y = py * g.stride[0] - g.padding[0] + ky * g.dilation[0]
                    x = px * g.stride[1] - g.padding[1] + kx * g.dilation[1]
                    if 0 <= y < g.source[1] and 0 <= x < g.source[2]:
                        found.append((py * g.size[1] + px, ky * g.kernel[1] + kx, y, x))
    return found


@settings(max_examples=60, deadline=None)
@given(geometries(), st.integers(0, 2**31))
def test_events_in_patches(g, seed):
    channels, height, width = g.source
    rng = np.random.default_rng(seed)
    times = np.sort(np.round(rng.uniform(0.0, 5.0, 25), 1))
    bias = channels * height * width  # the bias neuron comes after the last, and every patch sees it
    neurons = rng.integers(0, bias + 1, 25).astype(np.int32)
    expected = [[] for _ in range(g.patches)]
    cells = patches_in_loops(g)
    for t, n in zip(times.tolist(), neurons.tolist(), strict=True):
        if n == bias:
            for events in expected:
                events.append((t, channels * g.area))
            continue
        c, y, x = n // (height * width), n // width % height, n % width
        for patch, place, cy, cx in cells:
            if (cy, cx) == (y, x):
                expected[patch].append((t, c * g.area + place))
    for samples in (1, 2):
        found = expand(g, Arrivals.join([(times, neurons)] * samples))
        assert len(found) == samples * g.patches
        for unit in range(len(found)):
            own_times, own_neurons = found.sample(unit)
            events = expected[unit % g.patches]
            assert list(zip(own_times.tolist(), own_neurons.tolist(), strict=True)) == events


def test_shapes_and_names_are_filled_in():
    network = Network(
        Input(28, 28),
        Conv(15, 5),
        Pool(2),
        Conv(40, 5),
        Pool(2),
        Dense(300),
        Dense(10),
    )
    assert network.names == ("conv", "pool", "conv2", "pool2", "hidden", "output")
    assert [layer.neurons for layer in network.layers] == [8640, 2160, 2560, 640, 300, 10]
    shapes = {"conv": (15, 1, 5, 5), "conv2": (40, 15, 5, 5), "hidden": (300, 640), "output": (10, 300)}
    assert network.weight_shapes() == shapes


def test_a_convolution_is_a_correlation():
    """Against a direct sum, channel by channel and position by position."""
    layer = Conv(3, (2, 3), stride=(1, 2), padding=(1, 0), dilation=(2, 1), name="conv")
    network = Network(Input(7, 5, 2), layer, seed=4)
    w, full = network.weights["conv"], network.projection_weights(network.projections[0])
    expected = np.zeros_like(full)
    g = network.layers[0].geometry
    for patch, place, y, x in patches_in_loops(g):
        for channel in range(3):
            for source in range(2):
                post, pre = channel * g.patches + patch, source * 35 + y * 7 + x
                expected[post, pre] = w[channel, source, place // 3, place % 3]
    np.testing.assert_array_equal(full, expected)


def test_pooling_sums_a_window_of_one_map():
    network = Network(Input(4, 4, 2), Pool(2, stride=1), Dense(2))
    full = network.projection_weights(network.projections[0])
    assert full.sum(axis=1).tolist() == [4.0] * 18
    assert np.flatnonzero(full[9]).tolist() == [16, 17, 20, 21]
    assert "pool" not in network.weights


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        (
            [Conv(2, 5, name="c")],
            r"layer 'c': its windows of 5 x 5 need a source of at least 5 x 5 \(height x "
            r"width\), but 'input' has 4 x 6",
        ),
        ([Conv(2, 3), Pool(3, name="p")], r"layer 'p': its windows of 3 x 3 .* but 'conv' has 2 x 4"),
        ([Dense(9, name="d"), Conv(2, 2)], r"layer 'output': its windows of 2 x 2 .* but 'd' has 1 x 1"),
        (
            [Conv(2, 3, source_shape=(1, 9, 9))],
            r"expects a source of shape \(1, 9, 9\) .* 'input' has \(1, 4, 6\)",
        ),
    ],
)
def test_layers_that_do_not_fit(layers, text):
    with pytest.raises(NetworkError, match=text):
        Network(Input(6, 4), *layers)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Conv(0, 3), "channels must be a whole number >= 1, got 0"),
        (lambda: Conv(2, 0), "kernel must be a whole number >= 1 or two of them"),
        (lambda: Conv(2, 3, padding=-1), "padding must be a whole number >= 0 or two of them"),
        (lambda: Pool(2, stride=(1, 2, 3)), "stride must be a whole number >= 1 or two of them"),
        (lambda: Pool(2, threshold=0.0), "threshold"),
        (lambda: Conv(2, 3).neurons, "its size is not known before it is part of a network"),
        (
            lambda: Network(Input(9, 9), Conv(2, 3), weights={"output": np.ones((2, 9))}),
            r"must have shape \(2, 1, 3, 3\) \(channels, source channels, y, x\), got \(2, 9\)",
        ),
    ],
)
def test_wrong_fields(make, text):
    with pytest.raises(NetworkError, match=text):
        make()


def test_files_and_tables(tmp_path):
    network = Network(
        Input(9, 8, 2), Conv(3, 3, padding=1, name="c"), Pool(2, threshold=0.5), Dense(2), seed=3
    )
    network.save(tmp_path / "n.h5")
    again = Network.load(tmp_path / "n.h5")
    assert again.layers == network.layers
    for key, weights in network.weights.items():
        np.testing.assert_array_equal(again.weights[key], weights)
    table = {"input": {"width": 9, "height": 9}, "layers": [{"type": "conv", "channels": 2, "kernel": 3}]}
    assert Network.from_table(table).layers[0].shape == (2, 7, 7)
    table["layers"][0]["type"] = "cnov"
    with pytest.raises(
        NetworkError, match=rf"layers\[0\]: type must be one of {', '.join(LAYERS.names())}, got 'cnov'"
    ):
        Network.from_table(table)


def test_engines_agree():
    """The sweep, position by position, against the engines that run the network written out."""
    rng = np.random.default_rng(0)
    network = Network(
        Input(12, 10, 2),
        Conv(5, 3, stride=(1, 2), padding=1, threshold=0.9),
        Pool(2, stride=1, threshold=0.4, delay=0.25),
        Conv(40, (2, 3), threshold=0.7, dilation=(2, 1)),
        Pool(2, threshold=0.3),
        Dense(7, threshold=1.0),
        seed=1,
    )
    events = np.sort(np.round(rng.uniform(0.0, 30.0, 400), 1)), rng.integers(0, 240, 400)
    found = simulate(network, events, engine="sweep")
    for engine in ("queue", "twin"):
        other = simulate(network, events, engine=engine)
        for name in network.names:
            assert len(found[name].times) > 20, name
            # Positions that see the same fire together, up to rounding: the order within a train is sure.
            ours, theirs = (np.lexsort((run[name].times, run[name].neurons)) for run in (found, other))
            np.testing.assert_array_equal(found[name].neurons[ours], other[name].neurons[theirs])
            np.testing.assert_allclose(found[name].times[ours], other[name].times[theirs], rtol=0, atol=1e-9)
    short = simulate(network, events, engine="sweep", t_stop=12.0)
    assert all((short[name].times <= 12.0).all() for name in network.names)
    assert len(short["conv"].times) == int((found["conv"].times <= 12.0).sum())


@pytest.mark.parametrize("bias", [0.0, 5.0])
@pytest.mark.parametrize("seed", range(6))
def test_fan_out_of_patches(seed: int, bias: float) -> None:
    """Synapses of each source neuron, as many as the weights that are written out have, zeros among them."""
    rng = np.random.default_rng(seed)
    pairs = [tuple(int(n) for n in rng.integers(1, 4, 2)) for _ in range(4)]
    network = Network(
        Input(11, 9, 2, bias_interval=bias),
        Conv(3, pairs[0], stride=pairs[1], padding=int(rng.integers(0, 3)), bias=bool(bias)),
        Pool(pairs[2], stride=pairs[3]),
        Dense(3, bias=bool(bias)),
        seed=seed,
    )
    weights = {key: np.where(rng.random(w.shape) < 0.3, 0.0, w) for key, w in network.weights.items()}
    network = network.with_weights(weights)
    for p in network.projections:
        matrix = network.projection_weights(p)
        np.testing.assert_array_equal(network.fan_out(p, nonzero=True), np.count_nonzero(matrix, axis=0))
        there = network.with_weights({key: np.ones_like(w) for key, w in weights.items()}).projection_weights(
            p
        )
        np.testing.assert_array_equal(network.fan_out(p), np.count_nonzero(there, axis=0))
        assert network.fan_out(p).dtype == np.int64
