"""Learned delays, time constants and thresholds: derivatives, the variables they are changed in, training."""

from __future__ import annotations

import json
import math

import mpmath
import numpy as np
import pytest

from eventsnn._util.threads import Pool as Threads
from eventsnn._util.threads import call
from eventsnn.errors import NetworkError, TrainingError
from eventsnn.learn import HM2BP, EventProp
from eventsnn.learn.charges import Activity
from eventsnn.learn.constants import LearnedConstant, LearnedConstants, time_constant_derivatives
from eventsnn.learn.optimisers import Optimiser, OptimiserState
from eventsnn.model import LIF, Dense, Input, Network, Reservoir
from eventsnn.reference.time_constants import derive_time_constants, psp_by_time_constants
from eventsnn.simulate.engines.arrivals import Arrivals, LayerInput
from eventsnn.simulate.engines.layer_run import order_by_block
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.train.backward import ExactLearner
from eventsnn.train.experiment import Experiment
from tests.learn.test_charges import CHAINS, LABELS, make, sorted_train
from tests.train.test_resume import assert_same_run, read_metrics
from tests.train.toy import toy_data, toy_network, toy_train

FIELDS = ("delay", "tau_m", "tau_s", "threshold")
RULE = EventProp(scale=3.0, early=0.05, least_slope=0.0, silent_label=0.0, silent_hidden=0.0)
TAUS = [
    (20.0, 5.0),
    (5.0, 20.0),
    (12.0, 12.0),
    (12.0, 12.0 * (1 + 1e-9)),
    (12.0, 11.9),
    (64.0, 8.0),
    (1.0, 300.0),
]


def learning(network, names=FIELDS):
    return network.with_constants({name: {"learn": names} for name in network.names})


@pytest.mark.parametrize("taus", TAUS)
def test_derivatives_of_the_psp_against_fifty_digits(taus):
    x = np.array([1e-3, 0.1, 1.0, 5.9, 6.1, 20.0, 100.0, 300.0])

    def eps(t, tau_m, tau_s):
        if tau_m == tau_s:
            return t / tau_s * mpmath.exp(-t / tau_m)
        return tau_m / (tau_m - tau_s) * (mpmath.exp(-t / tau_m) - mpmath.exp(-t / tau_s))

    with mpmath.workdps(50):
        step, (m, s) = mpmath.mpf(10) ** -15, map(mpmath.mpf, taus)
        times = [mpmath.mpf(t) for t in x.tolist()]
        by_m = [(eps(t, m + step, s) - eps(t, m - step, s)) / (2 * step) for t in times]
        by_s = [(eps(t, m, s + step) - eps(t, m, s - step)) / (2 * step) for t in times]
    found = psp_by_time_constants(x, LIF(1.0, *taus))
    for got, exact in zip(found, (by_m, by_s), strict=True):
        np.testing.assert_allclose(got, np.array(exact, float), rtol=1e-11)
    assert not any(part.any() for part in psp_by_time_constants(np.array([-1.0, 0.0]), LIF(1.0, *taus)))


@pytest.mark.parametrize("resting", [0.0, 0.4, -0.5])
@pytest.mark.parametrize("refractory", [0.0, 2.0])
@pytest.mark.parametrize("taus", TAUS[:5])
def test_the_kernel_sums_as_the_twin(taus, refractory, resting):
    rng = np.random.default_rng(0)
    layer = Dense(45, threshold=1.0, tau_m=taus[0], tau_s=taus[1], refractory=refractory, resting=resting)
    network = Network(Input(9), layer, weights={"output": rng.normal(size=(45, 9))})
    pre, post = sorted_train(rng, 120, 9), sorted_train(rng, 150, 45)
    last, keep = np.full(45, -np.inf), []
    for t, neuron in zip(*post, strict=True):  # no spikes in a refractory period
        keep.append(t > last[neuron] + refractory)
        last[neuron] = t if keep[-1] else last[neuron]
    post = post[0][keep], post[1][keep]
    expected = None
    for real, relative in ((np.float64, 1e-11), (np.float32, 1e-4)):
        packed = PackedNetwork(network, real)
        given = LayerInput.of(Arrivals.join([pre]), packed.constants[0], real)
        run = order_by_block(given, Arrivals.join([post]), network.output)
        activity = Activity(
            layer.lif, 45, packed.constants[0], packed.blocks["output"], given, *run.by_block, call
        )
        charges = np.random.default_rng(1).normal(size=(len(activity.times), 2))
        followed = np.isin(np.arange(len(charges)), activity.previous)
        charges[~followed, 1] = 0.0  # a reset that no spike follows has none
        if expected is None:
            weights = np.asarray(network.weights["output"], float)
            arrays = activity.times, activity.neurons, charges
            expected = [part.sum() for part in derive_time_constants(*pre, weights, *arrays, layer.lif)]
        np.testing.assert_allclose(time_constant_derivatives(activity, charges), expected, rtol=relative)


def derivatives(network, samples, threads=1, real=np.float64):
    """(loss, derivatives by layer and field, spike counts by layer, spike times neuron by neuron)."""
    weights = np.array([1.0, 1.75])
    packed = PackedNetwork(network, real)
    states = {key: OptimiserState(Optimiser(), packed.blocks[key]) for key in network.weight_shapes()}
    learned = LearnedConstants(network.layers, Optimiser())
    with Threads(threads) as pool:
        learner = ExactLearner(packed, constants=learned)
        run = learner.forward(Arrivals.join(samples), pool)
        outcome = learner.accumulate(states, run, LABELS, weights, RULE, pool)
    found = {
        (key, name): one.gradient if one.gradient.shape else float(one.gradient)
        for key, each in learned.by_key.items()
        for name, one in each.items()
    }
    times = []
    for n in range(len(run.layers)):
        for sample in range(len(samples)):
            at, neurons = run.layer_spikes(n).sample(sample)
            times.append(at[np.lexsort((at, neurons))])
    counts = [run.layer_counts(n) for n in range(len(run.layers))]
    return float(outcome.loss @ weights), found, counts, np.concatenate(times)


def make_samples():
    rng = np.random.default_rng(1)
    return [sorted_train(rng, 60, 20), sorted_train(rng, 45, 20)]


@pytest.mark.parametrize("bias", [0.0, 7.0])
@pytest.mark.parametrize("name", CHAINS)
def test_derivatives_against_central_differences(name, bias):
    """Of every constant of every layer, by the difference of order 4; 1e-8 is what rounding leaves of it."""
    samples, step = make_samples(), 2e-6
    network = learning(make(name, bias))
    network = network.with_constants(
        {layer: {"delay": 0.3 + network[layer].delay} for layer in network.names}
    )
    _, found, counts, times = derivatives(network, samples)
    assert len(found) == 4 * len(network.layers)
    compared = 0
    for (layer, field), derivative in found.items():
        value, losses, same = getattr(network[layer], field), {}, True
        for k in (-2, -1, 1, 2):
            there = network.with_constants({layer: {field: value + k * step}})
            losses[k], _, others, moved = derivatives(there, samples)
            same = same and all(np.array_equal(a, b) for a, b in zip(counts, others, strict=True))
            same = same and np.abs(moved - times).max() < 1000.0 * step
        if same:  # no spike came or went, left a peak of the potential for the next, or only just happens
            slope = (8.0 * (losses[1] - losses[-1]) - (losses[2] - losses[-2])) / (12.0 * step)
            assert derivative == pytest.approx(slope, rel=1e-6, abs=1e-8), (layer, field)
            compared += 1
    assert compared > 0.8 * len(found)
    assert all((layer > 1).any() for layer in counts), "no refractory period of the example matters"


@pytest.mark.parametrize("bias", [0.0, 7.0])
@pytest.mark.parametrize("name", ["dense", "delays", "conv above dense"])
def test_delays_of_single_neurons_against_central_differences(name, bias):
    samples, step, rng = make_samples(), 2e-6, np.random.default_rng(3)
    network = make(name, bias)
    for layer in network.layers:
        if not layer.shares_weights:
            each = rng.uniform(0.1, 3.0, layer.inputs)
            network = network.with_constants({layer.name: {"delay": each, "learn": ["delays"]}})
    _, found, counts, times = derivatives(network, samples)
    assert found
    compared = tried = 0
    for (layer, _), each in found.items():
        assert each.shape == (network[layer].inputs,)
        for place in rng.permutation(len(each))[:12].tolist():
            losses, same, tried = {}, True, tried + 1
            for k in (-2, -1, 1, 2):
                moved = np.array(network[layer].delay)
                moved[place] += k * step
                there = network.with_constants({layer: {"delay": moved}})
                losses[k], _, others, when = derivatives(there, samples)
                same = same and all(np.array_equal(a, b) for a, b in zip(counts, others, strict=True))
                same = same and np.abs(when - times).max() < 1000.0 * step
            if same:
                slope = (8.0 * (losses[1] - losses[-1]) - (losses[2] - losses[-2])) / (12.0 * step)
                assert each[place] == pytest.approx(slope, rel=1e-6, abs=1e-8), (layer, place)
                compared += 1
    assert compared > 0.8 * tried


def test_single_precision_is_close():
    network, samples = learning(make("conv, pool, dense", 7.0)), make_samples()
    exact, found = (derivatives(network, samples, real=real)[1] for real in (np.float64, np.float32))
    for key, derivative in exact.items():
        assert found[key] == pytest.approx(derivative, rel=1e-3, abs=1e-5), key


@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_threads_give_the_same_bits(real):
    network, samples = learning(make("conv, pool, dense")), make_samples()
    assert derivatives(network, samples, 1, real)[1] == derivatives(network, samples, 3, real)[1]


def learned(name, optimiser=None, **fields):
    return LearnedConstant(
        Dense(3, **fields), name, optimiser or Optimiser(name="sgd", momentum=0.0, constant_rate=1.0)
    )


def test_gradient_descent_on_each_kind():
    """x -= rate dL/dx, with dL/dx = dL/dvalue dvalue/dx."""
    delay, tau = learned("delay", delay=1.5), learned("tau_m", tau_m=20.0)
    nu = learned("threshold", threshold=3.0, resting=1.0)
    for one in (delay, tau, nu):
        one.gradient += 0.4
        one.update(0.5, 0.1, 1)
        assert not one.gradient.any()
    assert delay.value == pytest.approx(1.5 - 0.1 * 0.2)
    assert tau.value == pytest.approx(20.0 * math.exp(-0.1 * 0.2 * 20.0))
    assert nu.value == pytest.approx(1.0 + 2.0 * math.exp(-0.1 * 0.2 * 2.0))


@pytest.mark.parametrize(
    ("name", "fields", "least", "most"),
    [
        ("delay", {"delay": 1.5}, 0.0, None),
        ("tau_s", {"tau_s": 8.0}, 0.8, 80.0),
        ("threshold", {"threshold": 3.0, "resting": 1.0}, 1.2, 21.0),
        ("threshold", {"threshold": 3.0, "resting": -1.0}, 0.3, 30.0),
    ],
)
def test_bounds(name, fields, least, most):
    one = learned(name, **fields)
    for _ in range(3):
        one.gradient += 1e6
        one.update(1.0, 1.0, 1)
    assert one.value == pytest.approx(least)
    one.gradient -= 1e9
    one.update(1.0, 1.0, 1)
    assert one.value == pytest.approx(most) if most else one.value > 100.0


def test_rates_multiply_that_of_the_weights():
    values = {}
    for factor in (1.0, 3.0):
        for name in ("delay", "tau_m"):
            settings = Optimiser(delay_rate=factor, constant_rate=factor)
            one = learned(name, settings, delay=5.0)
            one.gradient += 1.0
            one.update(1.0, 0.01, 1)
            values[name, factor] = float(one.x)
    for name in ("delay", "tau_m"):
        assert values[name, 1.0] == pytest.approx(-0.01)  # Adam's first step is the rate
        assert values[name, 3.0] == pytest.approx(-0.03)


def test_weight_decay_pulls_back_to_where_they_began():
    one = learned(
        "tau_m", Optimiser(name="adamw", constant_rate=1.0, options={"weight_decay": 0.5}), tau_m=20.0
    )
    one.x += 1.0
    one.update(1.0, 0.1, 1)
    assert float(one.x) == pytest.approx(0.95)


NETWORK = learning(toy_network(lateral_inhibition=0.0))
TRAINING = {
    "network": NETWORK,
    "rule": EventProp(scale=4.0, early=0.01),
    "optimiser": Optimiser(learning_rate=0.02, delay_rate=10.0),
}


def test_delays_of_single_neurons_are_learned_and_kept(tmp_path):
    network = NETWORK.with_constants({name: {"learn": ["delays", "tau_s"]} for name in NETWORK.names})
    given = {**TRAINING, "network": network}
    whole = toy_train(tmp_path / "whole", epochs=3, threads=2, **given)
    toy_train(tmp_path / "parts", epochs=2, **given)
    toy_train(tmp_path / "parts", epochs=3, resume=True, **given)
    assert_same_run(tmp_path / "parts", tmp_path / "whole")
    for layer in whole.network.layers:
        assert len(set(layer.each_delay)) > 1
        assert min(layer.each_delay) >= 0.0
    best = read_metrics(tmp_path / "whole")[whole.best_epoch - 1]["constants"]
    assert tuple(best["output"]["delay"]) == whole.network.output.delay
    assert Network.load(tmp_path / "whole" / "model.h5").layers == whole.network.layers


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_changes_them_and_resumes_with_the_same_bits(tmp_path, dtype):
    whole = toy_train(tmp_path / "whole", epochs=4, dtype=dtype, threads=2, **TRAINING)
    toy_train(tmp_path / "parts", epochs=2, dtype=dtype, **TRAINING)
    parts = toy_train(tmp_path / "parts", epochs=4, dtype=dtype, resume=True, **TRAINING)
    assert_same_run(tmp_path / "parts", tmp_path / "whole")
    assert whole.network.to_table() == parts.network.to_table()
    lines = read_metrics(tmp_path / "whole")
    for name in NETWORK.names:
        for field in FIELDS:
            assert getattr(whole.network[name], field) != getattr(NETWORK[name], field)
            assert (
                getattr(whole.network[name], field) == lines[whole.best_epoch - 1]["constants"][name][field]
            )
    saved = Network.load(tmp_path / "whole" / "model.h5")
    assert saved.layers == whole.network.layers


def test_what_is_not_named_stays(tmp_path):
    network = NETWORK.replace("hidden", learn=["tau_s"]).replace("output", learn=[])
    result = toy_train(tmp_path / "run", epochs=1, **{**TRAINING, "network": network})
    assert read_metrics(tmp_path / "run")[0]["constants"].keys() == {"hidden"}
    changed = {name: getattr(result.network["hidden"], name) for name in FIELDS}
    assert changed.pop("tau_s") != network["hidden"].tau_s
    assert changed == {name: getattr(network["hidden"], name) for name in changed}
    assert result.network.output == network.output


def test_training_starts_from_learned_constants(tmp_path):
    source = NETWORK.with_constants({"hidden": {"delay": 2.25, "tau_m": 33.0}})
    table = {
        "network": NETWORK.to_table(),
        "rule": {"name": "eventprop"},
        "optimiser": {"learning_rate": 1e-12},
        "training": {"epochs": 1, "batch_size": 4, "valid_fraction": 0.25},
    }
    experiment = Experiment.from_table(json.loads(json.dumps(table)))
    result = experiment.run(toy_data(), out=tmp_path / "run", start_from=source)
    assert result.network["hidden"].delay == pytest.approx(2.25)
    assert result.network["hidden"].tau_m == pytest.approx(33.0)


def test_learning_that_diverges_is_an_error_that_says_so(tmp_path):
    optimiser = Optimiser(name="sgd", learning_rate=1e6, delay_rate=1e15)
    with pytest.raises(TrainingError, match=r"epoch 1: layer .*delay must .* delay_rate or constant_rate"):
        toy_train(tmp_path / "run", epochs=2, **{**TRAINING, "optimiser": optimiser})


def test_what_cannot_be_learned_is_named(tmp_path):
    with pytest.raises(
        TrainingError, match=r"'hm2bp' .* layer 'hidden' is to learn delay, .*leave learn out"
    ):
        toy_train(tmp_path / "run", network=NETWORK, rule=HM2BP())
    with pytest.raises(
        NetworkError, match=r"learn must be a list of some of 'delay'.*got 'refractory' in it"
    ):
        Dense(3, learn=["refractory"])
    with pytest.raises(NetworkError, match=r"learn must be a list of some of .*got 'delay'"):
        Dense(3, learn="delay")
    each = NETWORK.replace("hidden", delay=[1.0] * 60, learn=["delay"])
    with pytest.raises(TrainingError, match=r"layer 'hidden' has a delay for .* learn 'delays', not 'delay'"):
        toy_train(tmp_path / "run", **{**TRAINING, "network": each})
    with pytest.raises(NetworkError, match="nothing in a reservoir is trained; leave learn out"):
        Reservoir(learn=["delay"])
