"""Exact gradients on a device: against differences, the CPU's learner, and the same bits in any launch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventsnn.errors import TrainingError
from eventsnn.gpu.emulated import EmulatedDevice
from eventsnn.learn import EventProp
from eventsnn.model import Conv, Dense, Input, Network, Pool, Readout
from eventsnn.reference.lif import record
from eventsnn.simulate.engines.arrivals import Arrivals
from tests.gpu import test_spatial_gradients as spatial
from tests.gpu.emulation import needs_emulation
from tests.gpu.test_gradients import (
    INPUTS,
    OUTPUTS,
    assert_close,
    assert_same_bits,
    assert_too_little_memory_divides,
    make_samples,
    neurons,
    on_cpu,
    on_device,
)
from tests.gpu.test_patches import random_samples
from tests.learn.test_charges import FIRST, LABELS, WEIGHTS, check_gradients, make, sorted_train

pytestmark = needs_emulation

LIF = {"tau_m": 20.0, "tau_s": 4.0}
EXACT = {"least_slope": 0.0, "silent_label": 0.0, "silent_hidden": 0.0}

rules = st.builds(
    EventProp,
    scale=st.sampled_from([0.5, 3.0, 20.0]),
    early=st.sampled_from([0.0, 0.1]),
    silent_after=st.sampled_from([0.0, 10.0]),
    silent_label=st.sampled_from([0.0, 0.3]),
    silent_hidden=st.sampled_from([0.0, 0.2]),
    silent_share=st.sampled_from([0.0, 0.4, 1.0]),
    spikes_pull=st.sampled_from([0.0, 0.05]),
    spikes_target=st.sampled_from([0.0, 4.0]),
    least_slope=st.sampled_from([0.01, 0.05, 0.2]),
)


@st.composite
def networks(draw):
    """Chains of one to three dense layers, of less and more than a warp."""
    layers = [Dense(draw(st.sampled_from([3, 40])), **draw(neurons)) for _ in range(draw(st.integers(0, 2)))]
    layers.append(Dense(OUTPUTS, **draw(neurons)))
    share = draw(st.sampled_from([0.0, 0.3]))
    layers = [dataclasses.replace(x, resting=share * (-1) ** k * x.threshold) for k, x in enumerate(layers)]
    if len(layers) > 1 and draw(st.booleans()):
        value, top = draw(st.sampled_from(["max", "mean", "weighted"])), layers[-1]
        layers[-1] = Readout(OUTPUTS, value=value, tau_m=top.tau_m, tau_s=top.tau_s, delay=top.delay)
    network = Network(Input(INPUTS, 1, 1, bias_interval=draw(st.sampled_from([0.0, 7.0]))), *layers)
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    return network.with_weights({k: rng.normal(0.2, 0.8, s) for k, s in network.weight_shapes().items()})


def assert_same_learning(network, samples, rule, seed, device, tolerance):
    """What the device learns is what the CPU learns."""
    labels, weights = np.array([seed % OUTPUTS, 0, 3]), np.array([1.0, 1.5, 0.75])
    outcome, activity, expected = on_cpu(network, samples, labels, weights, rule)
    found = on_device(network, samples, labels, weights, rule, device=device)
    np.testing.assert_allclose(found[0].loss, outcome.loss, rtol=tolerance, atol=tolerance)
    assert found[1] == activity
    assert_close(found[2], expected, tolerance)


@settings(max_examples=50, deadline=None)
@given(network=networks(), rule=rules, seed=st.integers(0, 50), whole=st.booleans(), backwards=st.booleans())
def test_gradients_are_those_of_the_cpu(network, rule, seed, whole, backwards):
    device = EmulatedDevice(backwards=backwards)
    assert_same_learning(network, make_samples(3, seed, whole), rule, seed, device, 1e-12)


@st.composite
def spatial_networks(draw):
    """Those of HM2-BP without lateral inhibition, which derivatives do not take."""
    network = draw(spatial.trainable_networks())
    return network.replace("top", lateral_inhibition=0.0)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(network=spatial_networks(), rule=rules, seed=st.integers(0, 50), backwards=st.booleans())
def test_gradients_of_convolutions_are_those_of_the_cpu(network, rule, seed, backwards):
    samples = random_samples(network, seed, (60, 0, 25))
    # Spikes are the same to 1e-9 ms.
    assert_same_learning(network, samples, rule, seed, EmulatedDevice(backwards=backwards), 1e-8)


@pytest.mark.parametrize("bias", [7.0])
@pytest.mark.parametrize("name", ["delays", "conv, pool, dense", "resting potentials", "conv above dense"])
def test_gradients_against_central_differences(name, bias):
    network, rule, rng = make(name, bias), EventProp(scale=3.0, early=0.05, **EXACT), np.random.default_rng(1)
    samples = [sorted_train(rng, 60, 20), sorted_train(rng, 45, 20)]
    found = on_device(network, Arrivals.join(samples), LABELS, np.array(WEIGHTS), rule)[2]
    found = {key: network[key].own_weights(gradient) for key, gradient in found.items()}
    counts = check_gradients(network, samples, rule, found)
    assert all((layer > 1).any() for layer in counts), "no refractory period of the example matters"


def make_example(*more, samples=5, top=None):
    """A network that is active everywhere, with silent neurons in every layer; `more` below it."""
    layers = (
        Conv(5, 3, stride=(1, 2), padding=(2, 1), threshold=0.9, tau_m=16.0),
        Pool(2, stride=1, threshold=0.4, delay=0.25),
        Conv(6, (2, 3), threshold=0.8, dilation=(2, 1), padding=(0, 1), tau_m=30.0, resting=0.1),
        Dense(40, threshold=1.0, refractory=2.0),
        Dense(OUTPUTS, threshold=1.0) if top is None else top,
    )
    network = Network(Input(8, 7, 2, bias_interval=5.0), *more, *layers)
    rng = np.random.default_rng(4)
    network = network.with_weights({k: rng.normal(0.1, 0.4, s) for k, s in network.weight_shapes().items()})
    labels, weights = np.arange(samples) % OUTPUTS, 1.0 + 0.1 * np.arange(samples)
    batch = random_samples(network, 9, (70, 90, 40, 60, 30)[:samples])
    rule = EventProp(scale=4.0, silent_share=0.3, spikes_pull=0.05, spikes_target=3.0)
    return network, batch, labels, weights, rule


@pytest.mark.parametrize(
    ("real", "top"),
    [(np.float32, None), (np.float64, None), (np.float32, Readout(OUTPUTS, value="max"))],
    ids=["first spikes", "double precision", "readout"],
)
def test_any_division_of_a_mini_batch_gives_the_same_bits(real, top):
    example = make_example(top=top, samples=4)
    outcome, activity, whole = on_device(*example, real=real)
    assert 0 < activity.silent < activity.neurons
    for most in (1, 3):
        device = EmulatedDevice(backwards=most == 3)
        found = on_device(*example, real=real, most=most, device=device)
        np.testing.assert_array_equal(found[0].loss, outcome.loss)
        assert_same_bits(found[2], whole)


def test_too_little_memory_divides_a_mini_batch():
    assert_too_little_memory_divides(make_example(samples=3), range(400_000, 4_000_000, 100_000), 5)


@pytest.mark.parametrize("value", [None, "max", "mean", "weighted"])
def test_single_precision_is_close(value):
    example = make_example(top=None if value is None else Readout(OUTPUTS, value=value))
    exact = on_cpu(*example)[2]
    found = on_device(*example, real=np.float32)[2]
    for key, gradient in exact.items():
        np.testing.assert_allclose(found[key], gradient, atol=3e-4 * np.abs(gradient).max(), err_msg=key)


def test_other_rules_see_the_output_spikes_alone():
    example = make_example(samples=3)[:-1]
    assert_close(on_device(*example, FIRST)[2], on_cpu(*example, FIRST)[2], 1e-8)

    class Curious(EventProp):
        def spike_losses(self, output, labels, durations):
            assert output.currents.size
            return super().spike_losses(output, labels, durations)

    with pytest.raises(TrainingError, match="see spikes of the output layer alone; use device cpu"):
        on_device(*example, Curious())


def test_nothing_goes_down_below_the_lowest_layer_that_is_trained():
    example, device = make_example(Pool(1, threshold=0.4)), EmulatedDevice()
    assert_close(on_device(*example, device=device)[2], on_cpu(*example)[2], 1e-8)
    assert device.launched.count("hand_down<double>") == 4


def test_a_crossing_that_only_just_reaches_the_threshold_costs_the_others_nothing():
    """One spike of one neuron has a derivative a million times the others'; slopes are as they are."""
    layers = Dense(2, threshold=1.0, **LIF), Dense(2, threshold=0.2, **LIF)
    network = Network(Input(2, 1, 1), *layers)
    peak = float(record(layers[0].lif)["psp_max"][0])
    weights = np.array([[(1.0 + 1e-13) / peak, 0.0], [0.0, 1.5 / peak]])
    network = network.with_weights({"hidden": weights, "output": np.array([[0.5, 0.6], [0.55, 0.5]])})
    one, both = (np.array([1.0]), np.array([0], np.int32)), (np.array([1.0, 3.0]), np.array([0, 1], np.int32))
    samples, labels = Arrivals.join([one, both, both]), np.array([0, 1, 0])
    example = network, samples, labels, np.ones(3), EventProp(scale=3.0, early=0.05, **EXACT)
    exact, found = on_cpu(*example)[2], on_device(*example)[2]
    assert np.abs(exact["hidden"][0]).max() > 1e5 * np.abs(exact["hidden"][1]).max() > 0.0
    np.testing.assert_allclose(found["hidden"][0], exact["hidden"][0], rtol=1e-8)
    np.testing.assert_allclose(found["hidden"][1], exact["hidden"][1], rtol=1e-12, atol=1e-16)
    np.testing.assert_allclose(found["output"], exact["output"], rtol=1e-12)


@pytest.mark.parametrize("weight", [np.nan, np.inf, 1e200])
@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_what_is_beyond_the_precision_shows_in_the_gradients(weight, real):
    network, samples, labels, weights, rule = make_example()
    weights[2] = weight
    beyond = real is np.float32 or not weight < np.inf
    with np.errstate(invalid="ignore", over="ignore"):
        found = on_device(network, samples, labels, weights, rule, real=real)[2]
    assert all(np.isnan(gradient).any() for gradient in found.values()) == beyond


@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize(("samples", "positions"), [(1, 60), (2, 100)])
def test_sums_near_their_bound_do_not_overflow(samples, positions, real):
    """Every event adds nearly the most that one can to one shared weight: all come before the only spike."""
    layers = Conv(1, 1, threshold=17.0, **LIF), Dense(2, threshold=2.0, **LIF)
    network = Network(Input(positions, 1, 1), *layers)
    output = np.repeat([[1.0], [0.9]], positions, axis=1)
    network = network.with_weights({"conv": np.ones((1, 1, 1, 1)), "output": output})
    times, sources = np.repeat(np.arange(40) * 0.1, positions), np.tile(np.arange(positions), 40)
    batch = Arrivals.join([(times, sources.astype(np.int32))] * samples)
    example = network, batch, np.ones(samples, np.int64), np.ones(samples), EventProp(early=1.0, **EXACT)
    _, activity, exact = on_cpu(*example)
    assert activity.spikes == activity.neurons == samples * positions
    found = on_device(*example, real=real)[2]
    for key, gradient in exact.items():
        np.testing.assert_allclose(found[key], gradient, rtol=1e-4, err_msg=key)
