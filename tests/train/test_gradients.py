"""Gradients of both engines, magnitudes included, against sums over pairs of spikes (rule_oracle.py)."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from eventsnn._util.threads import Pool as Threads
from eventsnn.errors import TrainingError
from eventsnn.learn.hm2bp import HM2BP
from eventsnn.learn.optimisers import Optimiser, OptimiserState
from eventsnn.model import Conv, Dense, Input, Network, Pool, bias
from eventsnn.reference import hm2bp as twin
from eventsnn.simulate.engines import sweep
from eventsnn.simulate.engines.arrivals import Arrivals
from eventsnn.simulate.engines.blocks import unpack
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.train.backward import ExactLearner
from eventsnn.train.clocked import ClockedLearner
from eventsnn.train.learner import check_trainable, run_forward
from tests.train import rule_oracle as oracle

# Exact engine, float64: of each gradient, and of the largest of its layer where terms of either sign cancel.
# Both sides are sums of some thousand terms; measured are 3e-13 and 1.5e-15.
EXACT, EXACT_OF_LARGEST = 1e-12, 1e-14
# Clock, float32: of the largest gradient of its layer. A rounding is 6e-8, and decay is multiplied up
# over 70 steps; measured are 1.2e-6. An error in the rule is a factor of some per cent at the least.
CLOCK = 3e-6

A = {"tau_m": 16.0, "tau_s": 4.0, "refractory": 2.0}
B = {"tau_m": 11.0, "tau_s": 3.0, "refractory": 0.0}
C = {"tau_m": 64.0, "tau_s": 8.0, "refractory": 3.0}
D = {"tau_m": 5.0, "tau_s": 12.0, "refractory": 1.0}
# No two thresholds of a chain are alike: what is divided by the wrong one shows.
CHAINS = {
    "dense": [Dense(40, threshold=4.0, **A), Dense(7, threshold=1.7, **B)],
    "dense alone": [],
    "conv": [Conv(3, 3, threshold=1.2, **A)],
    "conv under dense": [Conv(3, 3, threshold=1.2, **C), Dense(8, threshold=1.6, **B)],
    "padding": [Conv(3, 3, padding=1, threshold=1.4, **A)],
    "padding, stride, dilation": [
        Conv(3, (3, 2), stride=(2, 1), padding=(2, 1), dilation=(1, 2), threshold=1.1, **A)
    ],
    "two padded convolutions, two blocks": [
        Conv(2, 3, stride=2, padding=2, threshold=0.8, **B),
        Conv(35, 2, padding=1, threshold=1.9, **A),
    ],
    "conv, pool": [Conv(3, 3, threshold=1.2, **A), Pool(2, threshold=0.7, **C)],
    "conv, pool, dense": [
        Conv(3, 3, threshold=1.2, **A),
        Pool(2, threshold=0.7, **C),
        Dense(9, threshold=1.7, **B),
    ],
    "conv, pool, conv, pool, dense": [
        Conv(3, 3, padding=1, threshold=1.3, **A),
        Pool(2, stride=(1, 2), threshold=0.7, **B),
        Conv(5, 2, padding=(0, 1), threshold=1.9, **C),
        Pool((1, 2), threshold=0.5, **A),
        Dense(9, threshold=1.6, **B),
    ],
    "pool first": [Pool(2, threshold=0.6, **A), Conv(3, 2, threshold=1.4, **B)],
    "pool alone": [Pool(2, threshold=0.6, **A)],
    "pool under pool": [
        Conv(3, 2, threshold=1.3, **A),
        Pool(2, stride=1, threshold=0.7, **B),
        Pool((2, 1), threshold=0.4, **A),
        Conv(4, 2, threshold=1.7, **A),
        Pool((1, 2), stride=1, threshold=0.8, **A),
        Pool(1, threshold=0.3, **B),
    ],
    "conv above dense": [
        Dense(6, threshold=4.0, **A),
        Conv(5, 1, threshold=0.9, **B),
        Pool(1, threshold=0.5, **A),
    ],
    "slow synapses": [Conv(3, 3, padding=1, threshold=1.2, **D), Pool(2, threshold=0.5, **D)],
}
RULES = {
    "defaults": HM2BP(desired=6, undesired=1, margin=0.5),
    "rho off": HM2BP(desired=6, undesired=1, margin=0.5, effect_ratio=False),
    "softmax": HM2BP(head="softmax"),
    "other constants": HM2BP(desired=9, margin=0.0, silent_post_spsp=0.37, silent_post_ratio=0.9),
}


def make_network(name, *, lateral=0.3, delays=None, biases=False, seed=0, resting=0.0):
    """`resting` is a share of each layer's threshold, of either sign in turn."""
    layers = [*CHAINS[name], Dense(4, threshold=1.1, lateral_inhibition=lateral, **A)]
    if delays:
        first, step = delays
        layers = [dataclasses.replace(x, delay=first + step * k) for k, x in enumerate(layers)]
    layers = [dataclasses.replace(x, resting=resting * (-1) ** k * x.threshold) for k, x in enumerate(layers)]
    network = Network(Input(7, 6, 2, bias_interval=4.0 if biases else 0.0), *layers)
    rng = np.random.default_rng(seed)
    return network.with_weights({k: rng.normal(0.15, 1.0, s) for k, s in network.weight_shapes().items()})


def make_samples(n=2, steps=70, whole=False):
    """Sorted input spikes; inputs 0 to 8 never fire, some of the others do in step 0."""
    samples = []
    for k in range(n):
        rng = np.random.default_rng(k + 50)
        times, neurons = np.divmod(rng.choice(steps * 75, 130, replace=False), 75)
        times = times if whole else np.round(times + rng.uniform(0.0, 1.0, len(times)), 1)
        times[np.argmax(times)] = steps - 1
        order = np.lexsort((neurons + 9, times))
        samples.append((times[order].astype(float), (neurons + 9)[order].astype(np.int32)))
    return samples


def states_of(packed, network):
    return {name: OptimiserState(Optimiser(), packed.blocks[name]) for name in network.weights}


def collect(network, states):
    shapes = network.weight_shapes()
    found = {}
    for name, state in states.items():
        gradient = unpack(state.gradient, shapes[name][0])
        found[name] = gradient.reshape(gradient.shape if network.input.has_bias else shapes[name])
    return found


def learn_exact(network, samples, labels, rule, threads=1):
    """(gradients, spike trains of each sample: input, then layers) of the exact engine in float64."""
    packed = PackedNetwork(network, np.float64)
    states = states_of(packed, network)
    with Threads(threads) as pool:
        run = run_forward(packed, Arrivals.join(samples), pool)
        ExactLearner(packed).accumulate(states, run, np.array(labels), np.ones(len(samples)), rule, pool)
    trains = [
        [run.samples.sample(s), *(run.layer_spikes(n).sample(s) for n in range(len(run.layers)))]
        for s in range(len(samples))
    ]
    return collect(network, states), trains


def learn_clock(network, samples, labels, rule, threads=1):
    """The same on the clock, in float32."""
    packed = PackedNetwork(network, np.float32)
    states, learner = states_of(packed, network), ClockedLearner(packed)
    with Threads(threads) as pool:
        runs = learner.forward(Arrivals.join(samples), pool)
        learner.accumulate(states, runs, np.array(labels), np.ones(len(samples)), rule, pool)
    trains = [
        [sample, *(learner.clock.train(run, k + 1) for k in range(len(network.layers)))]
        for sample, run in zip(samples, runs, strict=True)
    ]
    return collect(network, states), trains


def expect(network, trains, labels, rule, clock):
    """Gradients of a mini-batch by the oracle, and the share of silent neurons in each layer."""
    constants = oracle.Rule.of(rule)
    total, silent = {}, np.zeros(len(network.layers))
    sizes = [network.input.neurons, *(layer.neurons for layer in network.layers)]
    for sample, label in zip(trains, labels, strict=True):
        by_neuron = [
            [times[neurons == k] for k in range(n)] for n, (times, neurons) in zip(sizes, sample, strict=True)
        ]
        end = float(sample[0][0].max())
        biases = bias.spike_times(network.input, end) if network.input.has_bias else None
        duration = end + 1 if clock else end
        found = oracle.gradients(network, by_neuron, label, duration, constants, clock=clock, bias=biases)
        for name, gradient in found.items():
            total[name] = total.get(name, 0.0) + gradient
        silent += [np.mean([not len(t) for t in layer]) / len(trains) for layer in by_neuron[1:]]
    return total, silent


def check(network, rule, labels=(0, 2), *, clock=False):
    learn = learn_clock if clock else learn_exact
    found, trains = learn(network, make_samples(len(labels), whole=clock), labels, rule)
    expected, silent = expect(network, trains, labels, rule, clock)
    assert (silent < 1).all(), "a layer of the example is silent"
    assert len(silent) == 1 or (silent[:-1] > 0).any(), "no silent neuron in the example"
    relative, of_largest = (CLOCK, CLOCK) if clock else (EXACT, EXACT_OF_LARGEST)
    for name, exact in expected.items():
        largest = np.abs(exact).max()
        assert largest > 1e-3, f"the example has no gradient for {name!r}"
        np.testing.assert_allclose(found[name], exact, rtol=relative, atol=of_largest * largest, err_msg=name)
    return trains


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", CHAINS)
def test_exact(name, rule):
    check(make_network(name), RULES[rule])


@pytest.mark.parametrize("name", CHAINS)
def test_exact_with_delays(name):
    check(make_network(name, delays=(0.5, 0.75), lateral=0.0), RULES["defaults"])


@pytest.mark.parametrize("name", [name for name in CHAINS if name != "slow synapses"])
def test_clock_with_delays(name):
    check(make_network(name, delays=(1.0, 2.0)), RULES["defaults"], clock=True)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", [name for name in CHAINS if name != "slow synapses"])
def test_clock(name, rule):
    check(make_network(name), RULES[rule], clock=True)


@pytest.mark.parametrize("clock", [False, True])
@pytest.mark.parametrize("resting", [0.4, -0.3])
@pytest.mark.parametrize("name", [name for name in CHAINS if name != "slow synapses"])
def test_resting_potentials(name, resting, clock):
    check(make_network(name, resting=resting), RULES["defaults"], clock=clock)


@pytest.mark.parametrize("name", ["dense", "conv, pool, dense"])
def test_the_total_psp_with_the_resting_potential_s_share_is_the_threshold_at_every_spike(name):
    """a_i = nu o_i: so the self term of a neuron that fired is 1 with a resting potential, too."""
    network = make_network(name, resting=0.4, lateral=0.0)
    _, trains = learn_exact(network, make_samples(1), [0], RULES["defaults"])
    by_layer = [
        [times[neurons == k] for k in range(n)]
        for n, (times, neurons) in zip(
            [network.input.neurons, *(layer.neurons for layer in network.layers)], trains[0], strict=True
        )
    ]
    for number, layer in enumerate(network.layers):
        pre, place = oracle.synapses(layer, len(by_layer[number]), 0)
        weights = network.weights.get(layer.name)
        w = np.ones(pre.shape) if weights is None else np.asarray(weights, float).ravel()[place]
        e = oracle.spsp_matrix(pre, by_layer[number], by_layer[number + 1], layer, False)
        rest = [oracle.spsp_resting(t, layer, False) for t in by_layer[number + 1]]
        total = (w * e * (pre >= 0)).sum(axis=1) + layer.resting * np.array(rest)
        counts = np.array([len(t) for t in by_layer[number + 1]])
        assert counts.any()
        np.testing.assert_allclose(total, layer.threshold * counts, rtol=1e-9)


@pytest.mark.parametrize("clock", [False, True])
def test_biases(clock):
    check(make_network("dense", biases=True), RULES["defaults"], clock=clock)
    check(make_network("dense", biases=True, delays=(3.0, 0.0)), RULES["defaults"], clock=clock)


@pytest.mark.parametrize("clock", [False, True])
@pytest.mark.parametrize("rule", ["defaults", "rho off"])
@pytest.mark.parametrize(
    "name", ["conv under dense", "padding, stride, dilation", "conv, pool, conv, pool, dense"]
)
def test_biases_of_convolutions(name, rule, clock):
    check(make_network(name, biases=True), RULES[rule], clock=clock)
    check(make_network(name, biases=True, delays=(3.0, 1.0)), RULES[rule], clock=clock)


@pytest.mark.parametrize("desired", [6, 60])
@pytest.mark.parametrize("clock", [False, True])
@pytest.mark.parametrize("name", ["dense", "conv, pool, conv, pool, dense"])
def test_silent_label_neuron(name, clock, desired):
    """Its S-PSPs come from forced spikes; 60 of them are closer than the refractory period."""
    network = make_network(name)
    weights = dict(network.weights)
    weights["output"] = np.array(weights["output"])
    weights["output"][1] = -np.abs(weights["output"][1])
    rule = dataclasses.replace(RULES["defaults"], desired=desired)
    trains = check(network.with_weights(weights), rule, (1, 1), clock=clock)
    assert not any((sample[-1][1] == 1).any() for sample in trains)


@pytest.mark.parametrize("rule", ["defaults", "rho off"])
def test_plain_loops(rule):
    """The twin in the package against the same oracle; test_twin.py has its dense chains."""
    layers = [
        Conv(2, 2, stride=(2, 1), padding=1, threshold=0.9, **A),
        Pool(2, stride=1, threshold=0.7, **B),
        Conv(3, 2, padding=(0, 1), threshold=1.3, **C),
        Pool((1, 2), threshold=0.5, **A),
        Pool(1, threshold=0.3, **B),
        Dense(5, threshold=1.6, delay=1.5, **B),
        Dense(4, threshold=1.1, lateral_inhibition=0.3, **A),
    ]
    network, rng = Network(Input(5, 4, 1), *layers), np.random.default_rng(0)
    network = network.with_weights({k: rng.normal(0.4, 1.0, s) for k, s in network.weight_shapes().items()})
    times, neurons = np.sort(rng.uniform(0.0, 40.0, 30)), rng.integers(2, 20, 30).astype(np.int32)
    record = sweep.run(network, times, neurons)
    trains = [(times, neurons), *((record[k].times, record[k].neurons) for k in network.names)]
    expected, silent = expect(network, [trains], [0], RULES[rule], False)
    assert (silent < 1).all()
    assert silent.any()
    found = twin.gradients(network, record, 0, float(times[-1]), RULES[rule])
    assert found.keys() == expected.keys()
    for key, exact in expected.items():
        assert np.abs(exact).max() > 1e-3
        np.testing.assert_allclose(found[key], exact, rtol=EXACT, atol=EXACT_OF_LARGEST * np.abs(exact).max())


@pytest.mark.parametrize("learn", [learn_exact, learn_clock])
def test_threads_give_the_same_bits(learn):
    network = make_network("conv, pool, conv, pool, dense")
    samples, labels = make_samples(7, whole=True), [0, 1, 2, 3, 0, 1, 2]
    one, several = (learn(network, samples, labels, RULES["defaults"], threads)[0] for threads in (1, 3))
    for name, gradient in one.items():
        np.testing.assert_array_equal(gradient, several[name])


def test_a_network_must_end_in_a_dense_layer():
    with pytest.raises(TrainingError, match="layer 'output': the last layer must be a Dense one"):
        check_trainable(Network(Input(4, 4), Conv(2, 3)))
