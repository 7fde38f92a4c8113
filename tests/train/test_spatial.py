"""Convolution and pooling in training: gradients against plain loops on the same network written out."""

from __future__ import annotations

import numpy as np
import pytest

from eventsnn.engines import sweep
from eventsnn.engines.blocks import unpack
from eventsnn.engines.packed import PackedNetwork
from eventsnn.engines.sweep import Arrivals
from eventsnn.errors import TrainingError
from eventsnn.learning.hm2bp import HM2BP
from eventsnn.learning.twin import gradients
from eventsnn.network import Conv, Dense, Input, Network, Pool
from eventsnn.train.backward import accumulate_gradients
from eventsnn.train.learner import check_trainable, run_forward
from eventsnn.train.optimisers import Optimiser, OptimiserState
from eventsnn.train.parallel import Pool as Threads

RULE = HM2BP(desired=6, undesired=1, margin=0.5)
# As in test_backward: sums of some thousand terms of either sign, in another order.
RELATIVE = 1e-9
FAST = {"tau_m": 30.0, "tau_s": 6.0, "refractory": 1.5}

NETWORKS = {
    "one convolution": [Conv(3, 3, threshold=1.0, **FAST)],
    "strides, dilation": [Conv(3, (3, 2), stride=(2, 1), dilation=(1, 2), threshold=1.0, delay=0.5, **FAST)],
    "two convolutions, two blocks": [
        Conv(2, 3, stride=2, threshold=0.8, **FAST),
        Conv(35, 2, threshold=0.6, **FAST),
    ],
    "pooling": [
        Conv(3, 3, threshold=0.8, **FAST),
        Pool(2, stride=(1, 2), threshold=0.7, **FAST),
        Conv(4, 2, threshold=0.6, **FAST),
        Pool((1, 2), threshold=0.5, **FAST),
    ],
    "pooling first": [Pool(2, threshold=0.6, **FAST), Conv(3, 2, threshold=0.6, **FAST)],
}


def make_network(name, seed=0):
    network = Network(Input(8, 7, 2), *NETWORKS[name], Dense(4, threshold=1.0, tau_m=20.0, tau_s=5.0))
    rng = np.random.default_rng(seed)
    return network.with_weights({k: rng.normal(0.25, 1.0, s) for k, s in network.weight_shapes().items()})


def make_samples(n=2):
    samples = []
    for k in range(n):
        rng = np.random.default_rng(k + 50)
        times, neurons = np.round(rng.uniform(0.0, 40.0, 130), 1), rng.integers(0, 112, 130).astype(np.int32)
        order = np.lexsort((neurons, times))
        samples.append((times[order], neurons[order]))
    return samples


def learn(network, samples, labels, threads=1):
    packed = PackedNetwork(network, np.float64)
    states = {name: OptimiserState(Optimiser(), packed.blocks[name]) for name in network.weights}
    with Threads(threads) as pool:
        run = run_forward(packed, Arrivals.join(samples), pool)
        accumulate_gradients(packed, states, run, np.array(labels), np.ones(len(samples)), RULE, pool)
    shapes = network.weight_shapes()
    return {k: unpack(s.gradient, shapes[k][0]).reshape(shapes[k]) for k, s in states.items()}, run


def fold(network, dense):
    """Gradients of shared weights from those of all synapses: the sum over positions."""
    found, scale = {}, 1.0
    for number in range(len(network.layers) - 1, -1, -1):
        layer, name = network.layers[number], network.names[number]
        if isinstance(layer, Conv):
            rows, shape = layer.geometry.rows, network.weight_shapes()[name]
            own = dense[name].reshape(layer.channels, layer.geometry.patches, -1)
            total = np.zeros((layer.channels, rows.shape[1]))
            for patch, row in enumerate(rows):
                total[:, row >= 0] += own[:, patch, row[row >= 0]]
            found[name] = scale * total.reshape(shape)
        elif isinstance(layer, Dense):
            found[name] = scale * dense[name]
        elif number:
            # The twin divides by the threshold below the pooling layer, the rule by the area of a window.
            scale *= network.layers[number - 1].threshold / layer.geometry.area
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients(name):
    network, samples, labels = make_network(name), make_samples(), [0, 2]
    written_out = network.lowered.with_weights(
        {k: w.toarray() if hasattr(w, "toarray") else w for k, w in network.lowered.weights.items()}
    )
    expected = {key: np.zeros(shape) for key, shape in network.weight_shapes().items()}
    for (times, neurons), label in zip(samples, labels, strict=True):
        record = sweep.run(written_out, times, neurons)
        assert all(np.mean(record[n].counts > 0) > 0 for n in network.names)
        dense = gradients(written_out, record, label, float(times[-1]), RULE)
        for key, gradient in fold(network, dense).items():
            expected[key] += gradient
    found, run = learn(network, samples, labels)
    assert any((layer.counts == 0).any() for layer in run.layers[:-1]), "no silent neuron in the example"
    for key, exact in expected.items():
        assert np.abs(exact).max() > 1e-3
        np.testing.assert_allclose(found[key], exact, rtol=RELATIVE, atol=RELATIVE * np.abs(exact).max())


def test_threads_give_the_same_bits():
    network, samples = make_network("pooling"), make_samples(7)
    labels = [0, 1, 2, 3, 0, 1, 2]
    one, several = (learn(network, samples, labels, threads)[0] for threads in (1, 3))
    for key, gradient in one.items():
        np.testing.assert_array_equal(gradient, several[key])


def test_a_network_must_end_in_a_dense_layer():
    with pytest.raises(TrainingError, match="layer 'output': the last layer must be a Dense one"):
        check_trainable(Network(Input(4, 4), Conv(2, 3)))
