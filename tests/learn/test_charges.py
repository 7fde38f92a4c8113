"""Sums of charges: kernels against twin and definitions; exact derivatives against differences."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from eventsnn._ext.spsp import point_currents
from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.threads import Pool as Threads
from eventsnn._util.threads import call
from eventsnn.errors import TrainingError
from eventsnn.learn import RULES
from eventsnn.learn.charges import Activity, count_charges, derivative_charges
from eventsnn.learn.optimisers import Optimiser, OptimiserState
from eventsnn.model import Conv, Dense, Input, Network, Pool
from eventsnn.reference import spsp as twin
from eventsnn.reference.lif import psp
from eventsnn.simulate.engines.arrivals import Arrivals, LayerInput
from eventsnn.simulate.engines.blocks import unpack
from eventsnn.simulate.engines.layer_run import order_by_block
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.train.backward import ExactLearner
from eventsnn.train.exact import reverse
from eventsnn.train.experiment import Experiment
from tests.train.toy import toy_data, toy_network

FirstSpike = importlib.import_module("tests.plugins.first_spike").FirstSpike
RULES.unregister("first-spike")
FIRST = FirstSpike(scale=3.0, least_slope=0.0)
A = {"tau_m": 20.0, "tau_s": 5.0, "refractory": 2.0}
B = {"tau_m": 12.0, "tau_s": 12.0, "refractory": 1.0}
C = {"tau_m": 4.0, "tau_s": 9.0, "refractory": 0.0}


def sorted_train(rng, n, size, end=60.0):
    times, neurons = rng.uniform(0.0, end, n), rng.integers(0, size, n).astype(np.int32)
    order = np.lexsort((neurons, times))
    return times[order], neurons[order]


@pytest.fixture(params=[A, B, C], ids=["usual", "equal time constants", "slow synapses"])
def example(request):
    """A layer of two blocks with arrivals and spikes at random, and the packed network."""
    rng = np.random.default_rng(0)
    layer = Dense(45, threshold=1.0, **request.param)
    network = Network(Input(9), layer, weights={"output": rng.normal(size=(45, 9))})
    packed = PackedNetwork(network, np.float64)
    pre, post = sorted_train(rng, 120, 9), sorted_train(rng, 150, 45)
    last, keep = np.full(45, -np.inf), []
    for t, neuron in zip(*post, strict=True):  # no spikes in a refractory period
        keep.append(t > last[neuron] + layer.refractory)
        last[neuron] = t if keep[-1] else last[neuron]
    post = post[0][keep], post[1][keep]
    given = LayerInput.of(Arrivals.join([pre]), packed.constants[0], np.float64)
    run = order_by_block(given, Arrivals.join([post]), network.output)
    weights = packed.blocks["output"]
    activity = Activity(layer.lif, 45, packed.constants[0], weights, given, *run.by_block, call)
    return network, pre, activity, rng


def test_sums_and_derivatives_are_those_of_the_twin_and_of_the_definition(example):
    network, (times, neurons), activity, rng = example
    charges = rng.normal(size=(len(activity.times), 2))
    charges[rng.random(charges.shape) < 0.2] = 0.0
    gradient = np.zeros_like(activity.weights)
    silent = np.zeros((1, gradient.shape[0] * gradient.shape[2]))
    down = reverse(activity, charges, silent, gradient, None, derive=True).sum(axis=0)

    points = np.concatenate([activity.times, activity.times + activity.lif.refractory])
    of, weights = np.tile(activity.neurons, 2), np.asarray(network.weights["output"], float)
    sums, derivatives = twin.sum_charges(times, neurons, weights, points, of, charges.T.ravel(), activity.lif)
    np.testing.assert_allclose(unpack(gradient, 45), sums, rtol=1e-9, atol=1e-12 * np.abs(sums).max())
    np.testing.assert_allclose(down, derivatives, rtol=1e-9, atol=1e-12 * np.abs(derivatives).max())

    def response(shift):
        lags = points - (times[:, None] + shift)
        acting = np.where(lags > 0.0, psp(np.maximum(lags, 0.0), activity.lif), 0.0) * charges.T.ravel()
        return np.stack([acting[:, of == i].sum(axis=1) for i in range(45)], axis=1)

    expected = np.zeros_like(sums)
    np.add.at(expected.T, neurons, response(0.0))
    np.testing.assert_allclose(sums, expected, rtol=1e-9, atol=1e-12 * np.abs(sums).max())
    # By central differences; no arrival is within the shift of a point.
    step = 1e-6
    slopes = (weights[:, neurons].T * (response(step) - response(-step))).sum(axis=1) / (2 * step)
    np.testing.assert_allclose(derivatives, slopes, rtol=1e-6, atol=1e-6 * np.abs(slopes).max())


def test_currents_are_sums_over_arrivals(example):
    network, (times, neurons), activity, _ = example
    weights = np.asarray(network.weights["output"], float)
    for column, shift in enumerate((0.0, activity.lif.refractory)):
        lags = (activity.times + shift)[:, None] - times
        left = np.where(lags >= 0.0, np.exp(-np.maximum(lags, 0.0) / activity.lif.tau_s), 0.0)
        expected = (left * weights[activity.neurons[:, None], neurons]).sum(axis=1)
        np.testing.assert_allclose(activity.currents[:, column], expected, rtol=1e-9, atol=1e-12)


def test_previous_spikes(example):
    activity = example[2]
    for number, before in enumerate(activity.previous.tolist()):
        same = np.flatnonzero(activity.neurons == activity.neurons[number])
        earlier = same[activity.times[same] < activity.times[number]]
        assert before == (earlier[np.argmax(activity.times[earlier])] if len(earlier) else -1)


def test_charges_of_counts_are_the_weights_of_evaluation_points(example):
    activity = example[2]
    factor = np.full((1, 64), 1.5)
    charges = count_charges(activity, factor)
    points, of, weights = twin.evaluation_points(activity.times, activity.neurons, activity.lif)
    of_kernel = np.tile(activity.neurons, 2)
    times = np.concatenate([activity.times, activity.times + activity.lif.refractory])
    used = np.flatnonzero(charges.T.ravel())
    order = used[np.lexsort((of_kernel[used], times[used]))]
    expected = np.lexsort((of, points))
    np.testing.assert_array_equal(of_kernel[order], of[expected])
    np.testing.assert_allclose(charges.T.ravel()[order], 1.5 * weights[expected], rtol=1e-14)


CHAINS = {
    "dense": [Dense(40, threshold=1.5, **A), Dense(6, threshold=1.2, **B)],
    "one layer": [],
    "no refractory period": [Dense(12, threshold=1.5, **C)],
    "delays": [Dense(40, threshold=1.5, delay=0.7, **A), Dense(6, threshold=1.2, delay=1.3, **B)],
    "conv, pool, dense": [
        Conv(3, 3, padding=1, threshold=1.2, **A),
        Pool(2, threshold=0.7, **B),
        Dense(9, threshold=1.4, **A),
    ],
    "resting potentials": [
        Dense(40, threshold=1.5, resting=0.5, **A),
        Dense(6, threshold=1.2, resting=-0.3, **C),
    ],
    "conv above dense": [
        Dense(12, threshold=1.3, **A),
        Conv(3, 1, threshold=0.8, **B),
    ],
    "conv, conv": [Conv(3, 2, stride=2, threshold=1.1, **A), Conv(34, 2, threshold=1.0, **B)],
}
LABELS, WEIGHTS = np.array([0, 1]), (1.0, 1.75)


def make(name, bias=0.0):
    layers = [*CHAINS[name], Dense(3, threshold=1.0, delay=0.4, **A)]
    network = Network(Input(5, 4, 1, bias_interval=bias), *layers)
    rng = np.random.default_rng(4)
    return network.with_weights({k: rng.normal(0.35, 0.8, s) for k, s in network.weight_shapes().items()})


def learn(network, samples, threads=1, weights=(1.0, 1.0), rule=FIRST):
    """(loss, gradients by layer, counts by layer) in float64."""
    packed = PackedNetwork(network, np.float64)
    states = {key: OptimiserState(Optimiser(), packed.blocks[key]) for key in network.weight_shapes()}
    with Threads(threads) as pool:
        learner = ExactLearner(packed)
        run = learner.forward(Arrivals.join(samples), pool)
        outcome = learner.accumulate(states, run, LABELS, np.array(weights), rule, pool)
    layers = {key: network[key] for key in states}
    gradients = {k: layers[k].own_weights(unpack(s.gradient, layers[k].channels)) for k, s in states.items()}
    return float(outcome.loss @ weights), gradients, [run.layer_counts(n) for n in range(len(run.layers))]


def check_gradients(network, samples, rule, gradients=None):
    """Gradients of all layers against central differences of the loss, wherever no spike comes or goes;
    those of the CPU by default.
    """
    weights = WEIGHTS
    _, own, counts = learn(network, samples, weights=weights, rule=rule)
    gradients = own if gradients is None else gradients
    rng, step, compared, tried = np.random.default_rng(1), 1e-6, 0, 0
    for key, gradient in gradients.items():
        scale = np.abs(gradient).max()
        assert scale > 1e-3, key
        places = rng.permutation(gradient.size)[:25]
        for place in places.tolist():
            moved, tried = [], tried + 1
            for sign in (1.0, -1.0):
                changed = np.array(network.weights[key], float)
                changed.ravel()[place] += sign * step
                there = network.with_weights({**network.weights, key: changed})
                moved.append(learn(there, samples, weights=weights, rule=rule))
            if any(not np.array_equal(a, b) for m in moved for a, b in zip(m[2], counts, strict=True)):
                continue  # a spike came or went: there is no derivative
            slope = (moved[0][0] - moved[1][0]) / (2 * step)
            compared += 1
            assert gradient.ravel()[place] == pytest.approx(slope, rel=1e-6, abs=1e-7 * scale), (key, place)
    assert compared > 0.8 * tried
    return counts


@pytest.mark.parametrize("bias", [0.0, 7.0])
@pytest.mark.parametrize("name", CHAINS)
def test_exact_derivatives_against_central_differences(name, bias):
    rng = np.random.default_rng(1)
    samples = [sorted_train(rng, 60, 20), sorted_train(rng, 45, 20)]
    counts = check_gradients(make(name, bias), samples, FIRST)
    assert all((layer > 1).any() for layer in counts), "a layer of the example fires once only"


def test_threads_give_the_same_bits():
    rng = np.random.default_rng(1)
    samples = [sorted_train(rng, 60, 20), sorted_train(rng, 45, 20)]
    network = make("conv, pool, dense")
    one, several = (learn(network, samples, threads)[1] for threads in (1, 3))
    for key, gradient in one.items():
        np.testing.assert_array_equal(gradient, several[key])


def test_charges_of_derivatives_are_those_of_the_twin(example):
    _, _, activity, rng = example
    derivatives = rng.normal(size=len(activity.times))
    # Slopes at random spikes may be of either sign, and as small as can be.
    charges = derivative_charges(activity, derivatives, least_slope=0.05)
    arrays = activity.times, activity.neurons, activity.currents, derivatives
    expected = twin.derivative_charges(*arrays, activity.lif, least_slope=0.05)
    np.testing.assert_allclose(charges, expected, rtol=1e-11, atol=1e-13 * np.abs(expected).max())


def test_slopes_are_bounded_from_below(example):
    """Where a spike only just reaches the threshold, derivatives grow without bound otherwise."""
    activity = example[2]
    derivatives = np.arange(1.0, 1.0 + len(activity.times))
    charges = derivative_charges(activity, derivatives, least_slope=1e9)
    np.testing.assert_allclose(charges[:, 0], -derivatives / 1e9, rtol=1e-6)


def test_the_rule_trains_by_name(tmp_path):
    RULES.register("first-spike", FirstSpike)
    try:
        table = {
            "network": toy_network(lateral_inhibition=0.0).to_table(),
            "rule": {"name": "first-spike", "scale": 4.0},
            "optimiser": {"learning_rate": 0.02},
            "training": {"epochs": 6, "batch_size": 4, "seed": 7, "valid_fraction": 0.25},
        }
        result = Experiment.from_table(table).run(toy_data(), out=tmp_path / "run", threads=2)
        with pytest.raises(TrainingError, match="engine 'clocked'"):
            Experiment.from_table(table).run(toy_data(), out=tmp_path / "clock", engine="clocked")
        inhibited = {**table, "network": toy_network().to_table()}
        lateral = Experiment.from_table(inhibited).run(toy_data(), out=tmp_path / "lateral")
    finally:
        RULES.unregister("first-spike")
    for each in (result, lateral):
        assert each.history[-1]["loss"] < 0.7 * each.history[0]["loss"]


def test_the_page_shows_the_rule():
    root = Path(__file__).parents[2]
    code = (root / "tests" / "plugins" / "first_spike.py").read_text(encoding="utf-8")
    assert f"```python\n{code}```\n" in (root / "docs" / "extending.md").read_text(encoding="utf-8")


def test_arrivals_of_another_precision_than_the_weights_are_refused(example):
    _, _, activity, _ = example
    weights, currents = activity.weights.astype(np.float32), np.zeros((len(activity.times), 2))
    with pytest.raises(TypeError, match="another precision than the weights"):
        point_currents(weights, activity.events, currents, WorkCounter(len(weights)))
    assert not currents.any()
