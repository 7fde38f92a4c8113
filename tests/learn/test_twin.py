"""The twin, with S-PSPs from sums over pairs of spikes, against the rule composed of reverse-time S-PSPs."""

import dataclasses

import numpy as np
import pytest

from eventsnn.errors import TrainingError
from eventsnn.learn import HM2BP
from eventsnn.learn.macro import forced_spike_times
from eventsnn.model import Connection, Dense, Input, Network
from eventsnn.reference import macro
from eventsnn.reference import spsp as micro
from eventsnn.reference.hm2bp import gradients
from eventsnn.simulate.engines import twin as twin_engine
from tests.train import rule_oracle

DURATION = 60.0
RULE = HM2BP(desired=6, undesired=1, margin=0.5)


def compose(network, record, label, rule, sample_weight=1.0):
    """The whole rule from the functions of macro and micro."""
    output, top = network.output, record.output
    _, d = rule.losses(top.counts[None], np.array([label]))
    delta = sample_weight * d[0] / output.threshold
    times, neurons = top.times, top.neurons
    lateral = micro.spsp_reverse(times, neurons, top.size, times, neurons, top.size, output.lif)
    active = top.counts > 0
    active[label] = True
    lam = macro.lateral_factor(lateral, top.counts, active, output.threshold, output.lateral_inhibition)
    if rule.force_label_spikes and top.counts[label] == 0:
        forced = forced_spike_times(DURATION, rule.desired)
        times = np.concatenate([times, forced])
        neurons = np.concatenate([neurons, np.full(len(forced), label)])
    counts = np.bincount(neurons, minlength=top.size)
    found = {}
    for number in reversed(range(len(network.layers))):
        layer, name = network.layers[number], network.names[number]
        below = record.input if number == 0 else record[network.names[number - 1]]
        weights = network.weights[name].astype(np.float64)
        e = micro.spsp_direct(
            below.times + layer.delay, below.neurons, below.size, times, neurons, layer.neurons, layer.lif
        )
        e = macro.apply_silent_rule(e, below.counts, counts, rule)
        s = macro.self_term(weights, e, counts, layer.threshold, rule)
        found[name] = macro.weight_gradient(delta, e, s, lam)
        if number:
            rho = macro.effect_ratio(e, below.counts, counts, rule)
            delta = macro.hidden_error(delta, weights, rho, network.layers[number - 1].threshold)
        times, neurons, counts, lam = below.times, below.neurons, below.counts, 1.0
    return found


def example(lateral=0.0, seed=0):
    """A chain with silent and active neurons in every layer, and its run."""
    network = Network(
        Input(6),
        Dense(7, threshold=3.0, tau_m=30.0, tau_s=6.0),
        Dense(5, threshold=2.5, tau_m=12.0, tau_s=12.0, refractory=1.0, delay=1.5),
        Dense(4, threshold=2.0, tau_m=20.0, tau_s=5.0, lateral_inhibition=lateral),
    )
    generator = np.random.default_rng(seed)
    weights = {key: generator.normal(0.8, 1.8, shape) for key, shape in network.weight_shapes().items()}
    network = network.with_weights(weights)
    times = np.sort(generator.uniform(0.0, DURATION, 60))
    # Input neuron 5 stays silent.
    return network, twin_engine.run(network, times, generator.integers(0, 5, 60))


def by_synapses(network, record, label, rule, weight):
    """Gradients from the oracle, which shares nothing with the package."""
    constants = rule_oracle.Rule.of(rule)
    layers = [record.input, *(record[name] for name in network.names)]
    trains = [[layer.of(k) for k in range(layer.size)] for layer in layers]
    return rule_oracle.gradients(network, trains, label, DURATION, constants, weight=weight)


VARIANTS = {
    "defaults": {},
    "rho off": {"effect_ratio": False},
    "softmax": {"head": "softmax"},
    "label left silent": {"force_label_spikes": False},
    "other constants": {"silent_post_spsp": 0.3, "silent_post_ratio": 0.2, "desired": 9},
}


@pytest.mark.parametrize("lateral", [0.0, 0.7])
@pytest.mark.parametrize("variant", VARIANTS)
def test_loops_and_arrays_agree(variant, lateral):
    network, record = example(lateral)
    rule = dataclasses.replace(RULE, **VARIANTS[variant])
    counts = record.output.counts
    assert (counts == 0).any()
    assert (counts > 0).any()
    for label in (int(np.argmax(counts)), int(np.argmin(counts))):
        found = gradients(network, record, label, DURATION, rule, sample_weight=1.25)
        expected = compose(network, record, label, rule, sample_weight=1.25)
        oracle = by_synapses(network, record, label, rule, weight=1.25)
        assert found.keys() == network.weights.keys()
        for name, gradient in found.items():
            assert gradient.shape == network.weights[name].shape
            assert np.abs(gradient).max() > 0
            scale = np.abs(expected[name]).max()
            np.testing.assert_allclose(gradient, expected[name], rtol=1e-10, atol=1e-12 * scale)
            if rule.force_label_spikes:  # the oracle always forces them
                np.testing.assert_allclose(gradient, oracle[name], rtol=1e-10, atol=1e-12 * scale)


def test_one_neuron_by_hand():
    """One input spike, one output spike: e = nu / w, s = 1, so dE/dw = 2 (d / nu) (nu / w) = 2 d / w."""
    network = Network(Input(1), Dense(1, threshold=2.0), weights={"output": [[5.0]]})
    record = twin_engine.run(network, np.array([1.0]), np.array([0]), t_stop=14.0)
    assert record.output.counts.tolist() == [1]
    found = gradients(network, record, 0, 20.0, HM2BP(desired=35))
    assert found["output"][0, 0] == pytest.approx(2 * (1 - 35) / 5.0, rel=1e-12)


def test_no_error_no_gradient():
    network, record = example()
    label = int(np.argmax(record.output.counts))
    content = HM2BP(desired=1, undesired=0, margin=1000.0)
    assert all(not g.any() for g in gradients(network, record, label, DURATION, content).values())


def test_sample_weight_scales_the_gradient():
    network, record = example()
    one = gradients(network, record, 0, DURATION, RULE)
    two = gradients(network, record, 0, DURATION, RULE, sample_weight=2.0)
    for name in one:
        np.testing.assert_allclose(two[name], 2.0 * one[name], rtol=1e-14)


def test_networks_outside_the_rule_are_refused():
    network, record = example()
    with pytest.raises(TrainingError, match="label 4: the output layer has 4 neurons"):
        gradients(network, record, 4, DURATION, RULE)
    loop = Network(Input(6), Dense(3, name="a"), Dense(2), connections=[Connection("a", "a")])
    with pytest.raises(TrainingError, match="connection 'a->a': HM2-BP trains chains"):
        gradients(loop, record, 0, DURATION, RULE)
    inhibited = Network(Input(6), Dense(3, name="a", lateral_inhibition=1.0), Dense(2))
    with pytest.raises(TrainingError, match="layer 'a': HM2-BP knows lateral inhibition in the output"):
        gradients(inhibited, record, 0, DURATION, RULE)
