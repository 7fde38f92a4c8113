"""HM2-BP on the clock, against the authors' trained weights; gradients are in test_gradients.py."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from eventsnn._ext import block
from eventsnn._util.threads import Pool as Threads
from eventsnn._util.threads import call
from eventsnn.errors import SimulationError, TrainingError
from eventsnn.learn.hm2bp import HM2BP
from eventsnn.learn.optimisers import Optimiser, OptimiserState
from eventsnn.model import LIF, Conv, Dense, Input, Network, Pool
from eventsnn.reference.hm2bp import gradients
from eventsnn.reference.spsp_clocked import forced_steps, spsp_steps
from eventsnn.simulate.engines import clocked
from eventsnn.simulate.engines.arrivals import Arrivals
from eventsnn.simulate.engines.blocks import unpack
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.train.clocked import ClockedLearner, check_clocked
from eventsnn.train.run import weight_decay
from tests.real_data import real_data
from tests.simulate.clocked_golden import STEPS, golden_network, read_dense, read_spikes, read_weights
from tests.train import rule_oracle
from tests.train.toy import assert_same_weights, timeless, toy_train

RULE = HM2BP(desired=6, undesired=1, margin=0.5)
# float32 against float64: sums of some thousand terms of either sign.
RELATIVE = 2e-5
SLOW = {"tau_m": 16.0, "tau_s": 4.0}
ODD = {"tau_m": 11.0, "tau_s": 3.0, "refractory": 0.0}  # no power of two, no refractory period

NETWORKS = {
    "dense": [Dense(40, threshold=4.0, **SLOW)],
    "pooling": [
        Conv(3, 3, threshold=0.8, **SLOW),
        Pool(2, stride=(1, 2), threshold=0.7, **SLOW),
        Conv(9, 2, threshold=0.6, **ODD),
        Pool((1, 2), threshold=0.5, **SLOW),
    ],
}


def make_network(name, seed=0):
    output = Dense(4, threshold=1.0, lateral_inhibition=0.3, **SLOW)
    network = Network(Input(8, 7, 2), *NETWORKS[name], output)
    rng = np.random.default_rng(seed)
    return network.with_weights({k: rng.normal(0.25, 1.0, s) for k, s in network.weight_shapes().items()})


def make_samples(n=3, steps=90):
    """Input spikes, some in step 0, some long before the last ones: 4 tau_m is less than the length."""
    samples = []
    for k in range(n):
        rng = np.random.default_rng(k + 50)
        times, neurons = np.divmod(np.sort(rng.choice(steps * 112, 150, replace=False)), 112)
        times[-1] = steps - 1
        samples.append((times.astype(float), neurons.astype(np.int32)))
    return samples


def learn(network, samples, labels, threads=1, rule=RULE):
    packed = PackedNetwork(network, np.float32)
    states = {name: OptimiserState(Optimiser(), packed.blocks[name]) for name in network.weights}
    learner = ClockedLearner(packed)
    with Threads(threads) as pool:
        runs = learner.forward(Arrivals.join(samples), pool)
        errors = learner.accumulate(states, runs, np.array(labels), np.ones(len(samples)), rule, pool)
    shapes = network.weight_shapes()
    return {k: unpack(s.gradient, shapes[k][0]).reshape(shapes[k]) for k, s in states.items()}, errors


def test_padding_is_a_border_of_silent_neurons():
    """But for the self term of silent neurons, which leaves out the weights of what is not there."""
    rule = dataclasses.replace(RULE, silent_post_ratio=0.0)

    def build(source, padding):
        conv = Conv(3, 3, stride=(2, 1), padding=padding, threshold=1.0, **SLOW)
        network = Network(
            source, conv, Conv(2, 2, padding=(0, 1), threshold=0.8, **SLOW), Dense(4, threshold=1.0)
        )
        rng = np.random.default_rng(3)
        return network.with_weights({k: rng.normal(0.2, 1.0, s) for k, s in network.weight_shapes().items()})

    samples = make_samples(2)
    shifted = []
    for times, neurons in samples:
        p, y, x = np.unravel_index(neurons, (2, 7, 8))
        shifted.append((times, np.ravel_multi_index((p, y + 1, x + 1), (2, 9, 10)).astype(np.int32)))
    padded, _ = learn(build(Input(8, 7, 2), 1), samples, [0, 2], rule=rule)
    wide, _ = learn(build(Input(10, 9, 2), 0), shifted, [0, 2], rule=rule)
    for key, gradient in padded.items():
        assert gradient.any()
        np.testing.assert_array_equal(gradient, wide[key])


def test_silent_label_neuron_has_forced_spikes():
    network = make_network("dense")
    weights = dict(network.weights)
    weights["output"] = -np.abs(weights["output"])  # nothing of the output layer can fire
    network, samples = network.with_weights(weights), make_samples(1)
    record = clocked.run(network, *samples[0], t_stop=samples[0][0][-1])
    assert len(record["output"]) == 0
    forced = forced_steps(90, RULE.desired)
    assert forced == [15.0, 30.0, 45.0, 60.0, 75.0]
    expected = gradients(network, record, 1, 90.0, RULE, spsp=spsp_steps, forced=forced)
    found, errors = learn(network, samples, [1])
    assert errors.forced == 1
    for key, exact in expected.items():
        np.testing.assert_allclose(found[key], exact, rtol=RELATIVE, atol=RELATIVE * np.abs(exact).max())


def test_spsp_of_one_pair_by_hand():
    # Spikes in steps 3 (pre) and 9 (post), refractory 2: x = 4, s = 8, k = 1 / (1 - 4/16).
    lif = LIF(1.0, 16.0, 4.0, 2.0)
    expected = (np.exp(-4 / 16) - np.exp(-4 / 4)) / 0.75
    assert spsp_steps([[3.0]], [[9.0]], lif) == [[pytest.approx(expected, rel=1e-12)]]
    assert spsp_steps([[0.0]], [[9.0]], lif) == [[0.0]], "nothing arrives from step 0"
    assert spsp_steps([[3.0]], [[68.0]], lif) == [[0.0]], "more than 4 tau_m before"
    assert spsp_steps([[4.0]], [[68.0]], lif)[0][0] > 0.0
    # After a first spike in step 5 the neuron rests until 7: s = 2, and x = 4 is cut there.
    second = spsp_steps([[3.0]], [[5.0, 9.0]], lif)[0][0]
    cut = np.exp(-2 / 4) * (np.exp(-2 / 16) - np.exp(-2 / 4)) / 0.75
    assert second == pytest.approx(cut, rel=1e-12)


def step_on(network, times, neurons, steps, label, rule, optimiser=Optimiser()):  # noqa: B008, it is frozen
    """Weights after one sample."""
    packed = PackedNetwork(network, np.float32)
    states = {name: OptimiserState(optimiser, packed.blocks[name]) for name in network.weights}
    learner = ClockedLearner(packed)
    order = np.lexsort((neurons, times))
    run = learner.clock.run(times[order], neurons[order].astype(np.int32), steps)
    updates = {
        name: state.update(1.0, weight_decay(rule, state, np.float32), optimiser.learning_rate, 1)
        for name, state in states.items()
    }
    with Threads(1) as pool:
        learner.accumulate(states, [run], np.array([label]), np.ones(1), rule, pool)
    for update in updates.values():
        update.run(call)
    return packed.weights()


def test_golden_trained_weights_of_the_convolutional_network():
    folder = real_data("golden", "cnn_mnist")
    network, trained = golden_network(folder, ""), read_weights(folder, "_trained")
    rule = HM2BP(penalty_lambda=10.0, penalty_beta=0.4)
    found = step_on(network, *read_spikes(folder / "input_spikes_0_5.dat"), STEPS, 5, rule)
    for name, exact in trained.items():
        assert np.abs(exact - network.weights[name]).max() > 9e-4
        np.testing.assert_allclose(found[name], exact, rtol=0, atol=3e-7)


def test_one_step_of_the_golden_network_with_other_thresholds():
    """A first step of Adam shows signs, gradient descent magnitudes: against sums over pairs of spikes."""
    folder = real_data("golden", "cnn_mnist")
    network = golden_network(folder, "")
    thresholds = (4.0, 1.5, 7.0, 3.0, 9.0, 6.0)
    layers = [
        dataclasses.replace(x, threshold=threshold)
        for x, threshold in zip(network.layers, thresholds, strict=True)
    ]
    network = Network(network.input, *layers, weights=network.weights)
    times, neurons = read_spikes(folder / "input_spikes_0_5.dat")
    learning_rate, penalty, beta, limit = 1e-4, 10.0, 0.4, 8.0
    rule = HM2BP(penalty_lambda=penalty, penalty_beta=beta, weight_limit=limit)
    optimiser = Optimiser("sgd", learning_rate=learning_rate)
    found = step_on(network, times, neurons, STEPS, 5, rule, optimiser)
    record = clocked.run(network, times, neurons, t_stop=STEPS - 1)
    layers = [record.input, *(record[name] for name in network.names)]
    trains = [[layer.of(k) for k in range(layer.size)] for layer in layers]
    gradients = rule_oracle.gradients(network, trains, 5, STEPS, rule_oracle.Rule(), clock=True)
    for name, gradient in gradients.items():
        w = np.asarray(network.weights[name], float)
        mean = np.mean((w / limit) ** 2, axis=tuple(range(1, w.ndim)), keepdims=True)
        full = gradient + penalty * beta * (w / limit) * np.exp(beta * (mean - 1.0))
        step = learning_rate * np.abs(full).max()
        assert step > 3e-4, f"{name}: a step of {step} shows no magnitude"
        np.testing.assert_allclose(found[name], w - learning_rate * full, rtol=0, atol=3e-7)


def golden_output_layer(suffix):
    folder = real_data("golden", "mnist")
    weights = read_dense(folder / "weights" / f"o_weights_info{suffix}.txt", 400, 10)
    output = Dense(10, name="output", threshold=5.0, lateral_inhibition=1.0)
    return folder, Network(Input(400), output, weights={"output": weights})


@pytest.mark.parametrize(("phase", "suffix"), [("train", ""), ("test", "_trained")])
def test_golden_spikes_of_the_dense_output_layer(phase, suffix):
    folder, network = golden_output_layer(suffix)
    spikes = folder / "spikes"
    times, neurons = read_spikes(spikes / "Hidden_Response_Supv" / phase / "5" / "hidden_0_spikes_0_5.dat")
    when, who = read_spikes(spikes / "Readout_Response_Supv" / phase / "5" / "readout_spikes_0_5.dat")
    run = clocked.run(network, times, neurons, t_stop=STEPS - 1)["output"]
    order = np.lexsort((who, when))
    assert len(when) > 20
    np.testing.assert_array_equal(run.times, when[order])
    np.testing.assert_array_equal(run.neurons, who[order])


def test_golden_trained_weights_of_the_dense_output_layer():
    folder, network = golden_output_layer("")
    path = folder / "spikes" / "Hidden_Response_Supv" / "train" / "5" / "hidden_0_spikes_0_5.dat"
    rule = HM2BP(penalty_lambda=10.0, penalty_beta=0.04)
    found = step_on(network, *read_spikes(path), STEPS, 5, rule)["output"]
    trained = golden_output_layer("_trained")[1].weights["output"]
    assert np.abs(trained - network.weights["output"]).max() > 9e-4
    error = np.abs(found - trained)
    assert (error > 3e-7).sum() == 2
    # The weights they began with are k / 99999, k whole, of which the files keep six digits. These two are
    # -0.7499975 and -0.3499735: their seventh digit makes a unit of the sixth once 0.001 is added.
    exact = np.rint(network.weights["output"].astype(float) * 99999) / 99999
    lost = np.abs(exact - network.weights["output"])
    assert (lost[error > 3e-7] > 4.7e-7).all()
    assert lost.max() < 5.3e-7
    network = network.with_weights({"output": exact.astype(np.float32)})
    found = step_on(network, *read_spikes(path), STEPS, 5, rule)["output"]
    assert np.abs(found - trained).max() < 5.5e-7  # half a unit of the sixth digit, and float32


def test_threads_and_instruction_sets_give_the_same_bits():
    network, samples, labels = make_network("pooling"), make_samples(7), [0, 1, 2, 3, 0, 1, 2]
    before = block.selected
    results = []
    for isa in block.supported():
        for threads in (1, 3):
            block.select(isa)
            try:
                results.append(learn(network, samples, labels, threads)[0])
            finally:
                block.select(before)
    for other in results[1:]:
        for key, gradient in results[0].items():
            np.testing.assert_array_equal(gradient, other[key])


def test_trains_and_resumes_to_the_same_bits(tmp_path):
    whole = toy_train(tmp_path / "whole", engine="clocked", epochs=4)
    toy_train(tmp_path / "parts", engine="clocked", epochs=2)
    resumed = toy_train(tmp_path / "parts", engine="clocked", epochs=4, resume=True, threads=2)
    assert timeless(resumed.history) == timeless(whole.history)
    assert_same_weights(resumed.network, whole.network)
    assert whole.history[-1]["loss"] < 0.7 * whole.history[0]["loss"]
    with pytest.raises(TrainingError, match="cannot resume, engine was"):
        toy_train(tmp_path / "parts", epochs=5, resume=True)


def test_refusals(tmp_path):
    with pytest.raises(TrainingError, match="engine must be one of exact, clocked, got 'fast'"):
        toy_train(tmp_path / "a", engine="fast")
    with pytest.raises(TrainingError, match="float32 only"):
        toy_train(tmp_path / "b", engine="clocked", dtype="float64")
    with pytest.raises(TrainingError, match="layer 'output': delay must be whole steps of 2 ms, got 1 ms"):
        check_clocked(Network(Input(4), Dense(2, delay=1.0)), step_ms=2.0)
    with pytest.raises(TrainingError, match="tau_m and tau_s that differ"):
        check_clocked(Network(Input(4), Dense(2, tau_m=8.0)))
    long = Arrivals.join([(np.array([2e6]), np.zeros(1, np.int32))])
    learner = ClockedLearner(PackedNetwork(Network(Input(4), Dense(2)), np.float32))
    text = r"the longest recording: .* 1000000 steps of 1 ms, got 2000001 ms"
    with Threads(1) as threads, pytest.raises(SimulationError, match=text):
        learner.forward(long, threads)
