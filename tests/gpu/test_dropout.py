"""Dropout on a device: what the CPU learns, the same bits in parts, and whole runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventsnn.gpu.emulated import EmulatedDevice
from eventsnn.learn import HM2BP, EventProp
from eventsnn.model import Conv, Dense, Input, Network, Pool, Readout
from tests.gpu import test_derivatives as exact
from tests.gpu import test_gradients as dense
from tests.gpu import test_spatial_gradients as spatial
from tests.gpu.emulation import needs_emulation
from tests.gpu.test_gradients import OUTPUTS, assert_close, assert_same_bits, make_samples, on_cpu, on_device
from tests.gpu.test_patches import random_samples
from tests.train.toy import SENSOR, assert_same_weights, timeless, toy_data, toy_train

pytestmark = needs_emulation


def drop(network, samples, seed):
    """Neurons of the input and of all layers but the last that are kept, three of four."""
    rng = np.random.default_rng(seed)
    sizes = [network.input.neurons, *(layer.neurons for layer in network.layers[:-1])]
    return {number: rng.random((samples, size)) < 0.75 for number, size in enumerate(sizes)}


def assert_same_learning(network, samples, rule, seed, backwards, tolerance):
    labels, weights = np.array([seed % OUTPUTS, 0, 3]), np.array([1.0, 1.5, 0.75])
    example = network, samples, labels, weights, rule, drop(network, 3, seed)
    outcome, activity, expected = on_cpu(*example)
    found = on_device(*example, device=EmulatedDevice(backwards=backwards))
    np.testing.assert_allclose(found[0].loss, outcome.loss, rtol=tolerance, atol=tolerance)
    assert found[0].forced == outcome.forced
    assert found[1] == activity
    assert_close(found[2], expected, tolerance)


@settings(max_examples=30, deadline=None)
@given(dense.networks(), dense.rules, st.integers(0, 50), st.booleans())
def test_hm2bp_is_that_of_the_cpu(network, rule, seed, backwards):
    assert_same_learning(network, make_samples(3, seed), rule, seed, backwards, 1e-12)


@settings(max_examples=30, deadline=None)
@given(exact.networks(), exact.rules, st.integers(0, 50), st.booleans())
def test_eventprop_is_that_of_the_cpu(network, rule, seed, backwards):
    assert_same_learning(network, make_samples(3, seed), rule, seed, backwards, 1e-12)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(exact.spatial_networks(), st.one_of(dense.rules, exact.rules), st.integers(0, 50), st.booleans())
def test_convolutions_are_those_of_the_cpu(network, rule, seed, backwards):
    samples = random_samples(network, seed, (60, 0, 25))
    assert_same_learning(network, samples, rule, seed, backwards, 1e-8)


@pytest.mark.parametrize("make", [exact.make_example, spatial.make_example], ids=["eventprop", "hm2bp"])
def test_any_division_of_a_mini_batch_gives_the_same_bits(make):
    example = make(samples=4)
    kept = drop(example[0], 4, 1)
    _, _, whole = on_device(*example, kept, real=np.float32)
    for most in (1, 3):
        assert_same_bits(on_device(*example, kept, real=np.float32, most=most)[2], whole)


LIF = {"threshold": 1.0, "tau_m": 30.0, "tau_s": 6.0}
RULE = EventProp(scale=4.0, silent_share=0.5, spikes_pull=0.001)
CASES = {
    "hm2bp": (HM2BP(desired=8, silent_post_spsp=0.1), [Dense(40, dropout=0.5, **LIF), Dense(3, **LIF)]),
    "exact": (RULE, [Dense(40, dropout=0.5, **LIF), Dense(3, **LIF)]),
    "readout": (RULE, [Dense(40, dropout=0.5, **LIF), Readout(3, tau_m=30.0, tau_s=6.0)]),
    "maps": (
        RULE,
        [Conv(4, 3, padding=1, **LIF), Pool(2, dropout=0.4, dropout_channels=True, **LIF), Dense(3, **LIF)],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_whole_runs_learn_what_the_cpu_learns_and_are_resumed_to_the_bit(tmp_path, monkeypatch, name):
    monkeypatch.setenv("EVENTSNN_GPU", "emulate")
    rule, layers = CASES[name]
    network = Network(Input(*SENSOR, dropout=0.2 if name != "maps" else 0.0), *layers, seed=3)
    changes = {"network": network, "rule": rule, "data": toy_data(20), "dtype": "float64"}
    cpu = toy_train(tmp_path / "cpu", epochs=2, **changes)
    whole = toy_train(tmp_path / "whole", epochs=2, device="cuda", **changes)
    for key, weights in cpu.network.weights.items():
        np.testing.assert_allclose(whole.network.weights[key], weights, rtol=1e-9, atol=1e-9)
    toy_train(tmp_path / "parts", epochs=1, device="cuda", **changes)
    parts = toy_train(tmp_path / "parts", epochs=2, device="cuda", resume=True, **changes)
    assert_same_weights(whole.network, parts.network)
    assert timeless(whole.history) == timeless(parts.history)
