"""Gradients of a mini-batch against the rule in plain loops over spike pairs (`eventsnn.reference.hm2bp`)."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from eventsnn._ext.spsp import reverse_blocks
from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.threads import Pool, call
from eventsnn.learn.charges import Activity, count_charges
from eventsnn.learn.hm2bp import HM2BP
from eventsnn.learn.optimisers import Optimiser, OptimiserState
from eventsnn.model import LIF, Dense, Input, Network
from eventsnn.reference import spsp as micro
from eventsnn.reference.hm2bp import gradients
from eventsnn.simulate.engines import sweep
from eventsnn.simulate.engines.arrivals import Arrivals, LayerInput, list_sources
from eventsnn.simulate.engines.blocks import WIDTH, block_count, unpack
from eventsnn.simulate.engines.layer_run import order_by_block
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.train.backward import ExactLearner
from eventsnn.train.learner import run_forward

INPUTS = 12
RULE = HM2BP(desired=6, undesired=1, margin=0.5)

# Both sum a few thousand terms of either sign, in another order, and the first layer's self term is 1 here
# but u(t)/threshold = 1 +- 1e-15 per spike there. S-PSPs are differences that may cancel to a
# hundredth of their terms; 1e-9 of the largest gradient leaves three digits to spare.
RELATIVE = 1e-9


def make_network(
    hidden=(36,), seed=0, lateral=0.0, delay=0.0, mean=0.25, output_mean=0.3, bias=0.0, rest=0.0
):
    """A chain of layers; `mean` is that of the weights, so that some neurons fire and some do not."""
    layers = [
        Dense(
            n,
            threshold=2.0 + 0.5 * k,
            tau_m=30.0 - 4 * k,
            tau_s=6.0,
            refractory=1.5,
            delay=delay,
            resting=rest,
        )
        for k, n in enumerate(hidden)
    ]
    network = Network(
        Input(INPUTS, bias_interval=bias),
        *layers,
        Dense(4, threshold=3.0, tau_m=20.0, tau_s=5.0, lateral_inhibition=lateral, resting=-0.5 * rest),
    )
    rng = np.random.default_rng(seed)
    shapes = network.weight_shapes()
    weights = {key: rng.normal(mean, 1.0, shape) for key, shape in shapes.items()}
    weights["output"] = rng.normal(output_mean, 0.6, shapes["output"])
    return network.with_weights(weights)


def make_samples(n=3, seed=0, events=60):
    """Sorted trains of different lengths; input 0 never fires."""
    rng = np.random.default_rng(seed + 50)
    samples = []
    for k in range(n):
        m = events + 7 * k
        times, neurons = np.round(rng.uniform(0.0, 60.0, m), 1), rng.integers(1, INPUTS, m).astype(np.int32)
        order = np.lexsort((neurons, times))
        samples.append((times[order], neurons[order]))
    return samples


def run_batch(network, samples, labels, rule, sample_weights=None, real=np.float64, threads=1):
    """(gradients by layer, errors, the forward run) of a mini-batch."""
    packed = PackedNetwork(network, real)
    states = {name: OptimiserState(Optimiser(), packed.blocks[name]) for name in network.names}
    sample_weights = np.ones(len(samples)) if sample_weights is None else np.asarray(sample_weights)
    with Pool(threads) as pool:
        run = run_forward(packed, Arrivals.join(samples), pool)
        errors = ExactLearner(packed).accumulate(states, run, np.asarray(labels), sample_weights, rule, pool)
    found = {name: unpack(state.gradient, network[name].neurons) for name, state in states.items()}
    return found, errors, run


def brute_force(network, samples, labels, rule, sample_weights=None):
    """The same gradients, summed over the samples, from the twin."""
    total = {key: np.zeros(shape) for key, shape in network.weight_shapes().items()}
    weights = np.ones(len(samples)) if sample_weights is None else sample_weights
    records = []
    for (times, neurons), label, weight in zip(samples, labels, weights, strict=True):
        record = sweep.run(network, times, neurons)
        records.append(record)
        duration = float(times[-1]) if len(times) else 0.0
        for key, gradient in gradients(network, record, label, duration, rule, weight).items():
            total[key] += gradient
    return total, records


def assert_gradients(network, samples, labels, rule, sample_weights=None):
    """Compare, and return what the checks of the example need: the twin's gradients and records."""
    expected, records = brute_force(network, samples, labels, rule, sample_weights)
    found, _, _ = run_batch(network, samples, labels, rule, sample_weights)
    for key, exact in expected.items():
        assert np.abs(exact).max() > 1e-3, f"the example has no gradient for {key!r}"
        np.testing.assert_allclose(found[key], exact, rtol=RELATIVE, atol=RELATIVE * np.abs(exact).max())
    return expected, records


CASES = {
    "plain": ({}, RULE),
    "lateral inhibition": ({"lateral": 0.8}, RULE),
    "delays": ({"delay": 1.25, "seed": 3}, RULE),
    "two hidden layers": ({"hidden": (36, 9), "seed": 1}, RULE),
    "three hidden layers": ({"hidden": (10, 34, 5), "seed": 4, "lateral": 0.5, "delay": 0.5}, RULE),
    "biases": ({"hidden": (36, 9), "seed": 1, "bias": 7.0, "delay": 0.5}, RULE),
    "biases, no hidden layer": ({"hidden": (), "output_mean": 0.8, "bias": 3.0}, RULE),
    "no hidden layer": ({"hidden": (), "output_mean": 0.8}, RULE),
    "resting potentials": ({"hidden": (36, 9), "seed": 1, "lateral": 0.4, "bias": 7.0, "rest": 0.8}, RULE),
    "softmax head": ({"lateral": 0.8}, dataclasses.replace(RULE, head="softmax")),
    "no effect ratio": ({"hidden": (36, 9), "seed": 1}, dataclasses.replace(RULE, effect_ratio=False)),
    "other constants for silent neurons": (
        {"hidden": (36, 9), "seed": 1, "mean": -0.2},
        dataclasses.replace(RULE, silent_post_spsp=0.37, silent_post_ratio=0.9),
    ),
    "the published targets": ({"mean": 0.5}, HM2BP()),
}


@pytest.mark.parametrize("name", CASES)
def test_gradients(name):
    options, rule = CASES[name]
    network = make_network(**options)
    _, records = assert_gradients(network, make_samples(), [0, 1, 2], rule)
    if len(network.layers) > 1:
        counts = np.array([record["hidden"].counts for record in records])
        assert (counts == 0).any()
        assert (counts > 1).any(), "the example should hold silent neurons and resets"


def test_a_silent_label_neuron_is_given_spikes():
    network = make_network()
    weights = dict(network.weights)
    weights["output"] = np.array(weights["output"])
    weights["output"][2] = -1.0
    network = network.with_weights(weights)
    samples = make_samples()
    expected, records = assert_gradients(network, samples, [2, 2, 0], RULE)
    assert [record.output.counts[2] for record in records] == [0, 0, 0]
    _, errors, _ = run_batch(network, samples, [2, 2, 0], RULE)
    assert errors.forced == 2
    unforced, _ = assert_gradients(
        network, samples, [2, 2, 0], dataclasses.replace(RULE, force_label_spikes=False)
    )
    assert np.any(expected["output"][2] != unforced["output"][2])


def test_lent_spikes_closer_than_the_refractory_period():
    """50 spikes within 60 ms are 1.2 ms apart, the refractory period lasts 2 ms."""
    network = make_network(lateral=0.8)
    weights = dict(network.weights)
    weights["output"] = np.array(weights["output"]) * 0.0
    network = network.with_weights(weights)
    assert_gradients_of_output_only(network, make_samples(), [0, 1, 2], dataclasses.replace(RULE, desired=50))


def assert_gradients_of_output_only(network, samples, labels, rule):
    """Without weights to the output no error reaches the hidden layer."""
    expected, _ = brute_force(network, samples, labels, rule)
    found, errors, _ = run_batch(network, samples, labels, rule)
    assert errors.forced == len(samples)
    assert not expected["hidden"].any()
    scale = np.abs(expected["output"]).max()
    assert scale > 1e-3
    np.testing.assert_allclose(found["output"], expected["output"], rtol=RELATIVE, atol=RELATIVE * scale)


def test_silent_hidden_layer():
    """No hidden neuron fires: the first layer learns by the rule for silent neurons alone."""
    network = make_network(mean=-3.0)
    samples = make_samples()
    expected, records = brute_force(network, samples, [0, 1, 2], RULE)
    assert not any(len(record["hidden"]) for record in records)
    found, _, _ = run_batch(network, samples, [0, 1, 2], RULE)
    scale = np.abs(expected["hidden"]).max()
    assert scale > 1e-3
    assert not expected["hidden"][:, 0].any(), "an input that never fired has no part in it"
    np.testing.assert_allclose(found["hidden"], expected["hidden"], rtol=RELATIVE, atol=RELATIVE * scale)
    assert not found["output"].any()


def test_boosting_weights_multiply_the_gradients_of_their_samples():
    assert_gradients(make_network(hidden=(36, 9), seed=1), make_samples(), [0, 1, 2], RULE, [0.25, 1.0, 3.0])


def test_empty_recordings_in_a_batch():
    empty = (np.empty(0), np.empty(0, np.int32))
    samples = make_samples()
    network = make_network(lateral=0.8)
    alone, _, _ = run_batch(network, samples, [0, 1, 2], RULE)
    among, errors, _ = run_batch(network, [samples[0], empty, *samples[1:], empty], [0, 3, 1, 2, 1], RULE)
    assert errors.forced >= 2
    for key in alone:
        assert np.array_equal(alone[key], among[key])


def test_a_sample_within_its_margin_has_no_gradient():
    network, samples = make_network(), make_samples(1)
    found, errors, _ = run_batch(network, samples, [0], dataclasses.replace(RULE, margin=1e3))
    assert errors.loss[0] == 0
    assert not any(gradient.any() for gradient in found.values())


@pytest.mark.parametrize("head", ["count", "softmax"])
def test_losses(head):
    rule = dataclasses.replace(RULE, head=head)
    network, samples = make_network(lateral=0.8), make_samples()
    _, errors, run = run_batch(network, samples, [3, 0, 1], rule, [5.0, 1.0, 1.0])
    # The loss is that of the true spikes, without boosting weights.
    expected = [
        rule.losses(counts[None], np.array([label]))[0][0]
        for counts, label in zip(run.votes(network), [3, 0, 1], strict=True)
    ]
    assert errors.loss.tolist() == expected
    for (times, neurons), counts in zip(samples, run.votes(network), strict=True):
        assert np.array_equal(sweep.run(network, times, neurons).output.counts, counts)


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("hidden", [(100,), (40, 70)])
def test_the_number_of_threads_changes_no_bit(hidden, threads):
    network, samples = make_network(hidden=hidden, lateral=0.5), make_samples(5)
    labels = [0, 1, 2, 3, 0]
    one, _, _ = run_batch(network, samples, labels, RULE, real=np.float32)
    more, _, _ = run_batch(network, samples, labels, RULE, real=np.float32, threads=threads)
    for key in one:
        assert one[key].tobytes() == more[key].tobytes()


def test_float32_is_float64_but_for_rounding():
    """Spikes are found to 1e-4 ms in float32, potentials to 1e-6: gradients agree to a thousandth."""
    network, samples = make_network(hidden=(36, 9), seed=1), make_samples()
    single, _, run32 = run_batch(network, samples, [0, 1, 2], RULE, real=np.float32)
    double, _, run64 = run_batch(network, samples, [0, 1, 2], RULE)
    for n in range(len(network.layers)):
        assert np.array_equal(run32.layer_counts(n), run64.layer_counts(n)), "too close to call"
    for key in double:
        scale = np.abs(double[key]).max()
        np.testing.assert_allclose(single[key], double[key], rtol=0, atol=1e-3 * scale)


LIFS = {
    "published": LIF(15.0, 64.0, 8.0, 2.0),
    "slow synapse": LIF(3.0, 5.0, 30.0, 1.5),
    "equal": LIF(2.0, 10.0, 10.0, 2.0),
    "no refractory period": LIF(4.0, 38.4, 4.8, 0.0),
    "spikes closer than the refractory period": LIF(4.0, 38.4, 4.8, 9.0),
}


@pytest.mark.parametrize("name", LIFS)
def test_the_spsp_kernel_sums_over_spike_pairs(name):
    """Trains that no network need have fired: pauses, ties of arrivals and spikes, more than one block."""
    lif = LIFS[name]
    rng = np.random.default_rng(7)
    n_pre, n_post = 9, 45
    pre = Arrivals.join([sorted_train(rng, 300, n_pre)])
    post = Arrivals.join([sorted_train(rng, 200, n_post)])
    assert np.isin(post.times, pre.times).any()
    layer = Dense(
        n_post, threshold=lif.threshold, tau_m=lif.tau_m, tau_s=lif.tau_s, refractory=lif.refractory
    )
    packed = PackedNetwork(Network(Input(n_pre), layer), np.float64)
    found = spsp_matrix(packed, pre, post)
    assert (list_sources(pre, n_pre, call)[-1] > 0).all(), "the example should hold few times"
    np.testing.assert_array_equal(found, spsp_matrix(packed, pre, post, rows=False))
    expected = micro.spsp_direct(pre.times, pre.neurons, n_pre, post.times, post.neurons, n_post, lif)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, rtol=RELATIVE, atol=1e-12 * np.abs(expected).max())


def spsp_matrix(packed, pre, post, rows=True):
    """S-PSPs (post, pre) of one sample, from the kernel; `rows`: row by row where many arrive at a time."""
    n_pre, n_post = packed.network.input.neurons, packed.network.output.neurons
    given = LayerInput.of(pre, packed.constants[0], np.float64)
    out = np.zeros((block_count(n_post), n_pre, WIDTH))
    ones, none = np.ones((1, len(out) * WIDTH)), np.zeros((1, len(out) * WIDTH))
    run = order_by_block(given, post, packed.network.output)
    lif, constants, weights = packed.network.output.lif, packed.constants[0], packed.blocks["output"]
    layer = Activity(lif, n_post, constants, weights, given, *run.by_block, call)
    lists = list_sources(pre, n_pre, call)
    if not rows:
        lists[-1][:] = 0
    charges, counter = count_charges(layer, ones), WorkCounter(len(out))
    reverse_blocks(out, layer.events, charges, none, *lists, weights, none[:0], None, counter)()
    return unpack(out, n_post)


def test_the_rows_of_a_batch():
    """Against loops; a sample with few times, one with many, one without spikes."""
    rng = np.random.default_rng(3)
    alone = np.sort(rng.uniform(0.0, 9.0, 40)), rng.integers(0, 9, 40).astype(np.int32)
    arrivals = Arrivals.join([sorted_train(rng, 300, 9), alone, (np.empty(0), np.empty(0, np.int32))])
    rows, n_rows, ends, when, last, n_times = list_sources(arrivals, 9, call)
    for s in range(3):
        times, neurons = arrivals.sample(s)
        first = arrivals.ptr[s]
        distinct = sorted(set(times.tolist()))
        assert rows[first : first + n_rows[s]].tolist() == sorted(set(neurons.tolist()))
        assert n_times[s] == (len(distinct) if 2 * len(distinct) <= len(times) else 0)
        start = 0
        for j, neuron in enumerate(rows[first : first + n_rows[s]].tolist() if n_times[s] else []):
            end = ends[first + j]
            own = [
                distinct.index(t)
                for t, n in zip(times.tolist(), neurons.tolist(), strict=True)
                if n == neuron
            ]
            assert when[first + start : first + end].tolist() == own[::-1]
            start = end
        for k in range(n_times[s]):
            assert last[first + k] == max(np.flatnonzero(times == distinct[k]))
    assert n_times[0] > 0
    assert n_times[1:].tolist() == [0, 0]


def sorted_train(rng, n, neurons):
    times = np.round(np.concatenate([rng.uniform(0.0, 40.0, n // 2), rng.uniform(300.0, 340.0, n // 2)]), 0)
    which = rng.integers(0, neurons, len(times)).astype(np.int32)
    # A neuron fires once at a time.
    key = np.unique(times.astype(np.int64) * neurons + which)
    return (key // neurons).astype(np.float64), (key % neurons).astype(np.int32)
