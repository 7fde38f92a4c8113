"""HM2-BP through convolutions and pooling on a device: sums over positions, patches and borders."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import eventsnn as es
from eventsnn.gpu.batch import pad_rows
from eventsnn.gpu.emulated import EmulatedDevice
from eventsnn.gpu.patches import DevicePatches
from eventsnn.learn.hm2bp import HM2BP
from eventsnn.model import Conv, Dense, Input, Network, Pool
from eventsnn.reference import hm2bp as twin
from eventsnn.simulate.engines.arrivals import Arrivals
from tests.gpu.emulation import needs_emulation
from tests.gpu.test_gradients import assert_close, assert_same_bits, on_cpu, on_device, rules
from tests.gpu.test_patches import random_samples, spatial_networks
from tests.model.test_spatial import geometries, patches_in_loops

pytestmark = needs_emulation

OUTPUTS = 4


@settings(max_examples=30, deadline=None)
@given(geometries(), st.integers(0, 2**31), st.booleans())
def test_errors_of_a_source_are_summed_over_its_patches(g, seed, backwards):
    channels, height, width = g.source
    by_input = np.random.default_rng(seed).normal(size=(3, g.patches, channels, g.area))
    expected = np.zeros((3, channels, height, width))
    for patch, place, y, x in patches_in_loops(g):
        expected[:, :, y, x] += by_input[:, patch, :, place]
    device = EmulatedDevice(backwards=backwards)
    given_errors = device.put(by_input.reshape(3 * g.patches, -1))
    found = DevicePatches(device, g).sum_errors(given_errors, 32).read()
    assert not found[:, channels:].any()
    found = found[:, :channels].reshape(3, height * width, channels).transpose(0, 2, 1)
    # Patches are numbered in the order in which they are summed here.
    np.testing.assert_array_equal(found.reshape(expected.shape), expected)


@settings(max_examples=30, deadline=None)
@given(geometries(), st.integers(1, 40), st.booleans(), st.sampled_from([np.float32, np.float64]))
def test_weights_are_summed_inside_the_image(g, channels, biases, real):
    inputs = g.source[0] * g.area
    weights = np.random.default_rng(channels).normal(size=(channels, inputs + biases)).astype(real)
    expected = np.zeros((g.patches, channels))
    for patch, place, _, _ in patches_in_loops(g):
        expected[patch] += weights[:, place : inputs : g.area].sum(axis=1, dtype=np.float64)
    expected += weights[:, inputs:].sum(axis=1, dtype=np.float64)
    device = EmulatedDevice()
    patches = DevicePatches(device, g)
    sums, kind = patches.row_sums(device.put(pad_rows(weights))).read(), patches.kind.read()
    assert (len(kind) == 0) == (len(sums) == 1)
    of_positions = sums[kind if len(kind) else np.zeros(g.patches, int)]
    assert not of_positions[:, channels:].any()
    np.testing.assert_allclose(of_positions[:, :channels], expected, rtol=1e-12, atol=1e-12)


@st.composite
def trainable_networks(draw):
    """Convolutions and pooling below an output layer, with weights for which some neurons are silent."""
    network = draw(spatial_networks())
    layers = network.layers[:-1] if not network.output.shares_weights else network.layers
    lateral = draw(st.sampled_from([0.0, 0.4]))
    top = Dense(OUTPUTS, threshold=1.0, tau_m=16.0, tau_s=4.0, lateral_inhibition=lateral, name="top")
    network = Network(network.input, *layers, top)
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    return network.with_weights({k: rng.normal(0.2, 0.5, s) for k, s in network.weight_shapes().items()})


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(network=trainable_networks(), rule=rules, seed=st.integers(0, 50), backwards=st.booleans())
def test_gradients_are_those_of_the_cpu(network, rule, seed, backwards):
    samples = random_samples(network, seed, (60, 0, 25))
    labels, weights = np.array([seed % OUTPUTS, 0, 3]), np.array([1.0, 1.5, 0.75])
    outcome, activity, expected = on_cpu(network, samples, labels, weights, rule)
    device = EmulatedDevice(backwards=backwards)
    found = on_device(network, samples, labels, weights, rule, device=device)
    np.testing.assert_array_equal(found[0].loss, outcome.loss)
    assert found[0].forced == outcome.forced
    assert found[1] == activity
    assert_close(found[2], expected, 1e-9)  # spikes are the same to 1e-9 ms


def make_example(*first, samples=4):
    """A deep network that is active everywhere, with silent neurons, borders and overlaps; `first` below."""
    layers = (
        Conv(5, 3, stride=(1, 2), padding=(2, 1), threshold=0.9, tau_m=16.0),
        Pool(2, stride=1, threshold=0.4, delay=0.25),
        Conv(6, (2, 3), threshold=0.8, dilation=(2, 1), padding=(0, 1), tau_m=30.0, resting=0.1),
        Pool(2, threshold=0.4),
        Dense(7, threshold=1.0),
        Dense(OUTPUTS, threshold=1.0, lateral_inhibition=0.3),
    )
    network = Network(Input(8, 7, 2, bias_interval=5.0), *first, *layers)
    rng = np.random.default_rng(4)
    network = network.with_weights({k: rng.normal(0.1, 0.4, s) for k, s in network.weight_shapes().items()})
    labels, weights = np.arange(samples) % OUTPUTS, 1.0 + 0.1 * np.arange(samples)
    batch = random_samples(network, 9, (70, 90, 40, 60)[:samples])
    return network, batch, labels, weights, HM2BP(desired=6, undesired=1, margin=0.5, silent_post_spsp=0.2)


@pytest.mark.parametrize("effect_ratio", [False, True])
def test_gradients_are_those_of_the_twin(effect_ratio):
    network, samples, labels, weights, rule = make_example(samples=2)
    rule = HM2BP(**{**vars(rule), "effect_ratio": effect_ratio})
    _, activity, found = on_device(network, samples, labels, weights, rule)
    assert 0 < activity.silent < activity.neurons
    expected: dict[str, np.ndarray] = {}
    for n, (label, weight) in enumerate(zip(labels.tolist(), weights.tolist(), strict=True)):
        record = es.simulate(network, samples.sample(n), engine="queue")
        end = float(samples.ends[n])
        for key, gradient in twin.gradients(network, record, label, end, rule, weight).items():
            expected[key] = expected.get(key, 0.0) + gradient.reshape(found[key].shape)
    assert all(gradient.any() for gradient in expected.values())
    assert_close(found, expected, 1e-9)


@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_any_division_of_a_mini_batch_gives_the_same_bits(real):
    example, device = make_example(), EmulatedDevice()
    _, _, whole = on_device(*example, real=real, device=device)
    assert any(name.startswith("reverse_tile<") for name in device.launched) == (real is np.float32)
    for most in (1, 3):
        device = EmulatedDevice(backwards=most == 3)
        assert_same_bits(on_device(*example, real=real, most=most, device=device)[2], whole)


def test_nothing_goes_down_below_the_lowest_layer_that_is_trained():
    example, device = make_example(Pool(1, threshold=0.4)), EmulatedDevice()
    expected = on_cpu(*example)[2]
    found = on_device(*example, device=device)[2]
    assert_close(found, expected, 1e-9)
    assert device.launched.count("errors_below<double>") == 5


@pytest.mark.parametrize(("samples", "positions"), [(1, 60), (2, 100)])
def test_sums_near_their_bound_do_not_overflow(samples, positions):
    """Every event adds nearly the most that one can to one shared weight: all come before the only spike."""
    layers = Conv(1, 1, threshold=17.0, tau_m=20.0, tau_s=4.0), Dense(2, threshold=2.0)
    network = Network(Input(positions, 1, 1), *layers)
    output = np.repeat([[1.0], [-1.0]], positions, axis=1)
    network = network.with_weights({"conv": np.ones((1, 1, 1, 1)), "output": output})
    times, neurons = np.repeat(np.arange(40) * 0.1, positions), np.tile(np.arange(positions), 40)
    batch = Arrivals.join([(times, neurons.astype(np.int32))] * samples)
    labels, weights, rule = np.ones(samples, np.int64), np.ones(samples), HM2BP(desired=35, margin=0.0)
    _, activity, exact = on_cpu(network, batch, labels, weights, rule)
    assert activity.spikes == activity.neurons == samples * positions
    found = on_device(network, batch, labels, weights, rule, real=np.float32)[2]
    for key, gradient in exact.items():
        np.testing.assert_allclose(found[key], gradient, rtol=1e-4, err_msg=key)
