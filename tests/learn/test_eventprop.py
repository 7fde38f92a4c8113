"""EventProp: its loss by its definition, its gradients by differences, silent neurons, and training."""

from __future__ import annotations

import math

import numpy as np
import pytest

import eventsnn as es
from eventsnn.errors import TrainingError
from eventsnn.learn import EventProp
from eventsnn.model import Dense, Input, Network
from eventsnn.train.experiment import Experiment
from tests.learn.test_charges import CHAINS, LABELS, A, check_gradients, learn, make, sorted_train
from tests.train.toy import toy_data, toy_network

EXACT = {"least_slope": 0.0, "silent_label": 0.0, "silent_hidden": 0.0}


def make_samples():
    rng = np.random.default_rng(1)
    return [sorted_train(rng, 60, 20), sorted_train(rng, 45, 20)]


def with_silent_output(network, neuron):
    weights = np.array(network.weights["output"], float)
    weights[neuron] = -np.abs(weights[neuron])
    return network.with_weights({**network.weights, "output": weights})


def loss_of(spikes, label, end, rule):
    """The loss from the output's spikes, by its definition."""
    times = [min(spikes.of(k), default=end + rule.silent_after) for k in range(spikes.size)]
    p = math.exp(-times[label] / rule.scale) / sum(math.exp(-t / rule.scale) for t in times)
    return -math.log(p) + rule.early * times[label]


@pytest.mark.parametrize("silent", [None, 0, 2])
def test_the_loss_is_that_of_the_formula(silent):
    network, samples, rule = make("delays"), make_samples(), EventProp(scale=3.0, early=0.05, **EXACT)
    if silent is not None:
        network = with_silent_output(network, silent)
    records = [es.simulate(network, sample, engine="twin") for sample in samples]
    if silent is not None:
        assert not records[0].output.counts[silent]
    expected = sum(
        loss_of(record.output, label, sample[0][-1], rule)
        for record, label, sample in zip(records, LABELS.tolist(), samples, strict=True)
    )
    assert learn(network, samples, rule=rule)[0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("bias", [0.0, 7.0])
@pytest.mark.parametrize("name", CHAINS)
def test_gradients_against_central_differences(name, bias):
    counts = check_gradients(make(name, bias), make_samples(), EventProp(scale=3.0, early=0.05, **EXACT))
    assert all((layer > 1).any() for layer in counts), "no refractory period of the example matters"


def test_gradients_with_a_silent_output_neuron():
    counts = check_gradients(
        with_silent_output(make("dense"), 2), make_samples(), EventProp(scale=3.0, **EXACT)
    )
    assert not counts[-1][:, 2].any()


def test_silent_label_neurons_are_pulled_up():
    """The weights of each pre-synaptic neuron that fired gain by a step; nothing else is changed."""
    network, samples = with_silent_output(make("dense"), 0), make_samples()
    rules = [EventProp(**EXACT), EventProp(**{**EXACT, "silent_label": 0.3})]
    (_, without, counts), (_, pulled, _) = (learn(network, samples, rule=rule) for rule in rules)
    assert not counts[-1][0, 0], "the label's neuron of sample 0"
    expected = np.zeros((3, 6))
    expected[0] = -0.3 * (counts[-2][0] > 0)
    assert expected.any()
    np.testing.assert_allclose(pulled["output"] - without["output"], expected, atol=1e-12)
    for key in without.keys() - {"output"}:
        np.testing.assert_array_equal(pulled[key], without[key])


@pytest.mark.parametrize(("share", "acts"), [(0.5, True), (1.0, False)])
def test_hidden_neurons_that_hardly_ever_fire_are_pulled_up(share, acts):
    network, samples = make("dense"), make_samples()
    key = next(iter(network.weights))
    weights = np.array(network.weights[key], float)
    weights[5] = -np.abs(weights[5])
    network = network.with_weights({**network.weights, key: weights})
    rules = [EventProp(**EXACT), EventProp(**{**EXACT, "silent_hidden": 0.2, "silent_share": share})]
    (_, without, counts), (_, pulled, _) = (learn(network, samples, rule=rule) for rule in rules)
    assert not counts[0][:, 5].any()
    change = pulled[key] - without[key]
    fired = sum(np.bincount(neurons, minlength=20) > 0 for _, neurons in samples)
    np.testing.assert_allclose(change[5], -0.2 * fired * acts, atol=1e-12)
    always = (counts[0] > 0).all(axis=0)
    assert always.any()
    assert not change[always].any()


def test_least_slope_is_in_proportion_to_the_threshold():
    """Scaling weights and thresholds alike changes no spike: gradients scale inversely."""
    small, samples, rule = (
        make("dense"),
        make_samples(),
        EventProp(**{**EXACT, "scale": 3.0, "least_slope": 0.2}),
    )
    large = small.with_weights({key: 8.0 * np.asarray(w, float) for key, w in small.weights.items()})
    for name in small.names:
        large = large.replace(name, threshold=8.0 * small[name].threshold)
    (loss, gradients, _), (same, scaled, _) = (learn(n, samples, rule=rule) for n in (small, large))
    assert loss == pytest.approx(same, rel=1e-12)
    exact = learn(small, samples, rule=EventProp(scale=3.0, **EXACT))[1]
    for key, gradient in gradients.items():
        np.testing.assert_allclose(scaled[key], gradient / 8.0, rtol=1e-9, atol=1e-12)
        assert np.abs(gradient - exact[key]).max() > 1e-6, "no slope of the example is small"


TABLE = {
    "network": toy_network(lateral_inhibition=0.0).to_table(),
    "rule": {"name": "eventprop", "scale": 4.0},
    "optimiser": {"learning_rate": 0.02},
    "training": {"epochs": 6, "batch_size": 4, "seed": 7, "valid_fraction": 0.25},
}


def test_it_trains_by_name(tmp_path):
    result = Experiment.from_table(TABLE).run(toy_data(), out=tmp_path / "run", threads=2)
    assert result.history[-1]["loss"] < 0.7 * result.history[0]["loss"]


def test_what_it_cannot_train_is_named(tmp_path):
    experiment = Experiment.from_table(TABLE)
    with pytest.raises(TrainingError, match=r"engine 'clocked'.*derivatives by spike times"):
        experiment.run(toy_data(), out=tmp_path / "clock", engine="clocked")
    looped = toy_network(lateral_inhibition=0.0).to_table()
    looped["connections"] = [{"source": "hidden", "target": "hidden", "delay": 1.0}]
    loop = Experiment.from_table({**TABLE, "network": looped})
    with pytest.raises(TrainingError, match=r"connection 'hidden->hidden' makes the network more than"):
        loop.run(toy_data(), out=tmp_path / "clock", engine="clocked")
    one = Network(Input(6, 5, 2), Dense(1, **A))
    assert "at least 2 output neurons" in EventProp().refusal(one)


@pytest.mark.parametrize(
    ("field", "value"),
    [("scale", 0.0), ("early", -1.0), ("silent_share", 1.5), ("least_slope", math.nan), ("scale", 1e300)],
)
def test_wrong_options_are_named(field, value):
    with pytest.raises(TrainingError, match=f"rule: {field} must be"):
        EventProp(**{field: value})
