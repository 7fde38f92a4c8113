"""Gradients through readout layers against central differences of the loss; training runs."""

from __future__ import annotations

import math

import numpy as np
import pytest

import eventsnn as es
from eventsnn._util.threads import Pool as Threads
from eventsnn.errors import NetworkError, TrainingError
from eventsnn.learn import EventProp
from eventsnn.learn.constants import LearnedConstants
from eventsnn.learn.optimisers import Optimiser, OptimiserState
from eventsnn.model import Connection, Dense, Input, Network, Readout
from eventsnn.model.sparse import is_sparse
from eventsnn.reference.spsp import spsp_direct
from eventsnn.simulate.engines.arrivals import Arrivals
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.simulate.engines.readout import read_out_batch
from eventsnn.trace.adjoint import pull_back
from eventsnn.trace.synapses import Synapses
from eventsnn.train.backward import ExactLearner
from eventsnn.train.experiment import Experiment
from eventsnn.train.graph import GraphLearner
from eventsnn.train.graph_weights import GraphWeights
from eventsnn.train.readout import GraphReadout, ReadoutSample, pull_readout
from tests.learn.test_charges import CHAINS, LABELS, check_gradients, learn, sorted_train
from tests.train.test_graph import accumulate, check_chain
from tests.train.toy import toy_data, toy_network

EXACT = {"least_slope": 0.0, "silent_label": 0.0, "silent_hidden": 0.0}
RULE = EventProp(**EXACT)
VALUES = ("max", "mean", "weighted")
TAUS = {"usual": (20.0, 5.0), "equal": (12.0, 12.0), "slow synapses": (4.0, 9.0)}


def make(name, value, bias=0.0, taus=(20.0, 5.0)):
    top = Readout(3, value=value, tau_m=taus[0], tau_s=taus[1], delay=0.4, tau_weight=35.0)
    network = Network(Input(5, 4, 1, bias_interval=bias), *CHAINS[name], top)
    rng = np.random.default_rng(4)
    weights = {k: rng.normal(0.35, 0.8, s) for k, s in network.weight_shapes().items()}
    return network.with_weights({**weights, "output": 0.3 * weights["output"]})


def make_samples():
    rng = np.random.default_rng(1)
    return [sorted_train(rng, 60, 20), sorted_train(rng, 45, 20)]


@pytest.mark.parametrize("bias", [0.0, 7.0])
@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("value", VALUES)
def test_gradients_of_all_weights(value, name, bias):
    check_gradients(make(name, value, bias), make_samples(), RULE)


def test_the_loss_is_cross_entropy_of_what_is_read_out():
    network, samples = make("delays", "weighted"), make_samples()
    expected = 0.0
    for sample, label in zip(samples, (0, 1), strict=True):
        values = es.simulate(network, sample, engine="twin").readout
        expected -= math.log(math.exp(values[label]) / np.exp(values).sum())
    assert learn(network, samples, rule=RULE)[0] == pytest.approx(expected, rel=1e-9)


def read_sample(layer, weights, times, sources, end):
    packed = PackedNetwork(Network(Input(len(weights)), layer, weights={"output": weights.T}), np.float64)
    found = read_out_batch(packed, Arrivals.single(times, sources), np.array([end]))
    end = end if layer.value == "mean" else math.inf
    return found.values[0], ReadoutSample(times, sources, end, found.when[0], found.slope[0])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("taus", TAUS.values(), ids=TAUS)
@pytest.mark.parametrize("value", VALUES)
def test_derivatives_by_weights_and_by_the_times_of_arrivals(value, taus, seed):
    """Few arrivals and weights of both signs: some maxima are where an inhibitory one turns the potential."""
    rng = np.random.default_rng(seed)
    layer = Readout(12, name="output", value=value, tau_m=taus[0], tau_s=taus[1], tau_weight=30.0)
    times, sources = sorted_train(rng, 9, 5)
    weights, errors = rng.normal(0.2, 1.0, (5, 12)), rng.normal(size=12)

    def loss(times=times, weights=weights):
        return float(read_sample(layer, weights, times, sources, 50.0)[0] @ errors)

    sample = read_sample(layer, weights, times, sources, 50.0)[1]
    gradient, by_time = pull_readout(layer, weights, sample, errors)
    step = 1e-5
    for g in range(9):
        moved = [np.where(np.arange(9) == g, times + sign * step, times) for sign in (1, -1)]
        slope = (loss(times=moved[0]) - loss(times=moved[1])) / (2 * step)
        assert by_time[g] == pytest.approx(slope, rel=1e-6, abs=1e-7 * np.abs(by_time).max()), g
    for place in np.ndindex(weights.shape):
        changes = []
        for sign in (1, -1):
            changed = weights.copy()
            changed[place] += sign * step
            changes.append(loss(weights=changed))
        slope = (changes[0] - changes[1]) / (2 * step)
        assert gradient[place] == pytest.approx(slope, rel=1e-6, abs=1e-7 * np.abs(gradient).max())
    if value == "max" and taus[0] > taus[1]:
        turned = (sample.slope < 0.0) & (sample.when >= 0.0)
        assert turned.any(), "no arrival of the example turns a potential"
        assert (sample.when[~turned] > 0.0).any(), "no maximum of the example is smooth"


@pytest.mark.parametrize("value", VALUES)
def test_derivatives_by_the_times_of_input_events(value):
    network, (times, neurons) = make("delays", value), make_samples()[0]
    errors = np.array([0.7, -0.4, 0.2])

    def read(times):
        order = np.argsort(times)
        record = es.simulate(network, (times[order], neurons[order]))
        return record, float(record.readout @ errors)

    record = read(times)[0]
    delays = np.zeros(len(network.projections))
    readout = GraphReadout(network, [record], np.array([times[-1]]))
    (seeds,) = readout.pull(errors[None], Synapses(network), delays)
    by_event = pull_back(network.firing, record, seeds).events
    step, compared = 1e-5, 0
    for event in range(0, len(times) - 1, 3):  # the mean ends at the last
        runs = [read(np.where(np.arange(len(times)) == event, times + s * step, times)) for s in (1, -1)]
        if any(len(run["hidden"]) != len(record["hidden"]) for run, _ in runs):
            continue
        slope = (runs[0][1] - runs[1][1]) / (2 * step)
        compared += 1
        assert by_event[event] == pytest.approx(slope, rel=1e-6, abs=1e-7 * np.abs(by_event).max())
    assert compared > 15


GRAPHS = {
    "recurrent": [Connection("hidden", "hidden", delay=1.0)],
    "skip": [Connection("input", "output", delay=2.0)],
    "feedback": [Connection("second", "hidden", delay=1.5)],
    "sparse": [Connection("hidden", "output", delay=0.3, probability=0.6)],
}


def make_graph(kind, value, bias=0.0):
    layers = [Dense(14, threshold=1.5, tau_m=20, tau_s=5), Dense(6, name="second", threshold=1.2, delay=0.5)]
    top = Readout(3, value=value, tau_m=18.0, tau_s=6.0, delay=0.4, tau_weight=35.0)
    network = Network(Input(20, bias_interval=bias), *layers, top, connections=GRAPHS[kind], seed=3)
    rng, weights = np.random.default_rng(5), {}
    for key, each in network.weights.items():
        weights[key] = each if is_sparse(each) else rng.normal(0.25, 0.7, each.shape)
        if is_sparse(each):
            weights[key] = each.astype(float)
            weights[key].data = rng.normal(0.25, 0.7, each.nnz)
    return network.with_weights(weights)


@pytest.mark.parametrize("bias", [0.0, 7.0], ids=["plain", "biases"])
@pytest.mark.parametrize("kind", GRAPHS)
@pytest.mark.parametrize("value", VALUES)
def test_gradients_in_networks_of_any_graph(value, kind, bias):
    network, samples = make_graph(kind, value, bias), Arrivals.join(make_samples())
    weights = GraphWeights(network, np.float64)
    _, gradients, run = accumulate(weights, samples, RULE)
    counts, step, checked, tried = [r["second"].counts for r in run.records], 1e-6, 0, 0
    for key, block in weights.blocks.items():
        flat, gradient = block.reshape(-1), gradients[key].reshape(-1)
        for place in np.argsort(-np.abs(gradient), kind="stable")[:6].tolist():
            before, losses, same = flat[place], [], True
            for shift in (step, -step):
                flat[place] = before + shift
                loss, _, moved = accumulate(weights, samples, RULE)
                losses.append(loss)
                same &= all(
                    np.array_equal(r["second"].counts, c) for r, c in zip(moved.records, counts, strict=True)
                )
            flat[place] = before
            tried += 1
            if same:
                slope = (losses[0] - losses[1]) / (2 * step)
                assert gradient[place] == pytest.approx(slope, rel=1e-6, abs=1e-8), (key, place)
                checked += 1
    assert checked > 0.8 * tried


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_has_the_gradients_that_it_has_layer_by_layer(name, value):
    network, samples = make(name, value, 7.0), make_samples()
    rule = EventProp(**{**EXACT, "silent_label": 0.4})
    check_chain(network, samples, rule)


def test_threads_change_no_bit():
    network, samples = make("conv, pool, dense", "max"), make_samples()
    one, several = (learn(network, samples, threads, rule=RULE)[1] for threads in (1, 3))
    for key, gradient in one.items():
        np.testing.assert_array_equal(gradient, several[key])


def test_a_label_whose_potential_is_never_above_0_is_pulled_up():
    network, samples = make("dense", "max"), make_samples()
    weights = np.array(network.weights["output"])
    weights[0] = -np.abs(weights[0])
    network = network.with_weights({**network.weights, "output": weights})
    rules = [RULE, EventProp(**{**EXACT, "silent_label": 0.3})]
    (_, without, counts), (_, pulled, _) = (learn(network, samples, rule=rule) for rule in rules)
    expected = np.zeros((3, 6))
    expected[0] = -0.3 * (counts[-2][0] > 0)
    assert expected.any()
    np.testing.assert_allclose(pulled["output"] - without["output"], expected, atol=1e-12)


# -- whole runs
# ----------------------------------------------------------------------------------------------------------


def table(value, **rule):
    network = toy_network(lateral_inhibition=0.0)
    top = {"tau_m": 20.0, "tau_s": 5.0, "tau_weight": 30.0}
    readout = Readout(network.output.neurons, value=value, initial_weight=0.5, **top)
    return {
        "network": Network(network.input, *network.layers[:-1], readout, seed=1).to_table(),
        "rule": {"name": "eventprop", **rule},
        "optimiser": {"learning_rate": 0.02},
        "training": {"epochs": 6, "batch_size": 4, "seed": 7, "valid_fraction": 0.25},
    }


@pytest.mark.parametrize("value", VALUES)
def test_it_trains_validates_and_goes_on(value, tmp_path):
    data, experiment = toy_data(), Experiment.from_table(table(value))
    result = experiment.run(data, out=tmp_path / "run", threads=2)
    assert result.history[-1]["loss"] < 0.8 * result.history[0]["loss"]
    assert result.history[-1]["valid_accuracy"] is not None
    half = table(value)
    half["training"]["epochs"] = 3
    Experiment.from_table(half).run(data, out=tmp_path / "parts", threads=1)
    again = experiment.run(data, out=tmp_path / "parts", threads=1, resume=True)
    for key, weights in result.network.weights.items():
        np.testing.assert_array_equal(again.network.weights[key], weights)
    model = Network.load(tmp_path / "run" / "model.h5")
    assert model.decides == value
    assert es.evaluate(model, data).accuracy > 0.5


def test_rules_that_count_spikes_refuse_it(tmp_path):
    changed = table("max")
    changed["rule"] = {"name": "hm2bp"}
    with pytest.raises(
        TrainingError, match="layer 'output' is a readout, which never fires, and rule 'hm2bp'"
    ):
        Experiment.from_table(changed).run(toy_data(), out=tmp_path / "run")
    with pytest.raises(TrainingError, match="engine 'clocked'"):
        Experiment.from_table(table("max")).run(toy_data(), out=tmp_path / "clock", engine="clocked")
    with pytest.raises(NetworkError, match="learn must be a list of some of 'delay'"):
        Readout(3, learn=["tau_m"])


@pytest.mark.parametrize(("target", "sign"), [(0.0, 1.0), (1e6, -1.0)])
def test_counts_are_pulled_to_a_target(target, sign):
    """By the S-PSPs of HM2-BP's formula, times mean count minus target; nothing else is changed."""
    network, samples = make("dense", "weighted"), make_samples()
    rules = [RULE, EventProp(**EXACT, spikes_pull=0.1, spikes_target=target)]
    (_, without, counts), (_, pulled, _) = (learn(network, samples, rule=rule) for rule in rules)
    records = [es.simulate(network, sample, engine="twin") for sample in samples]
    off = counts[1].mean(axis=0) - target
    last = network.names[1]
    expected = sum(
        spsp_direct(
            *(r["hidden"].times + network[last].delay, r["hidden"].neurons, 40),
            *(r[last].times, r[last].neurons, 6, network[last].lif),
        )
        for r in records
    )
    change = pulled[last] - without[last]
    np.testing.assert_allclose(change, 0.1 * off[:, None] * expected, rtol=1e-8, atol=1e-10 * abs(off).max())
    assert (np.sign(off) == sign).all()
    np.testing.assert_array_equal(pulled["output"], without["output"])
    assert np.abs(pulled["hidden"] - without["hidden"]).max() > 0.0  # and handed down


def test_counts_are_pulled_in_chains_alone():
    rule = EventProp(spikes_pull=0.1)
    assert "spikes_pull takes a chain of layers" in rule.refusal(make_graph("skip", "max"))
    assert rule.refusal(make("conv, pool, dense", "max")) is None


@pytest.mark.parametrize("value", VALUES)
def test_derivatives_by_delays(value):
    """Of both layers, layer by layer and in one walk; the walk also by that of a connection."""
    samples, step = Arrivals.join(make_samples()), 1e-5

    def loss_and_gradients(network, kind):
        parts = [*network.layers, *network.connections]
        constants = LearnedConstants(parts, Optimiser())
        packed = kind[0](network, np.float64)
        states = {key: OptimiserState(Optimiser(), block) for key, block in packed.blocks.items()}
        learner = kind[1](packed, None, constants)
        with Threads(1) as pool:
            run = learner.forward(samples, pool)
            outcome = learner.accumulate(states, run, LABELS, np.ones(2), RULE, pool)
        return outcome.loss.sum(), {
            key: float(each["delay"].gradient) for key, each in constants.by_key.items()
        }

    walk = (GraphWeights, GraphLearner)
    for network, kind in (
        (make("delays", value), (PackedNetwork, ExactLearner)),
        (make("delays", value), walk),
        (make_graph("skip", value), walk),
    ):
        keys = [
            "output",
            "second" if network.connections else network.names[0],
            *(c.key for c in network.connections),
        ]
        for key in keys:
            network = network.replace(key, learn=["delay"])
        gradients = loss_and_gradients(network, kind)[1]
        for key in keys:
            named = {c.key: c for c in network.connections} | dict(
                zip(network.names, network.layers, strict=True)
            )
            moved = [network.replace(key, delay=named[key].delay + sign * step) for sign in (1, -1)]
            up, down = (loss_and_gradients(each, kind)[0] for each in moved)
            assert gradients[key] == pytest.approx((up - down) / (2 * step), rel=1e-6, abs=1e-8), key


def test_its_delay_is_learned(tmp_path):
    changed = table("weighted")
    changed["network"]["layers"][-1] |= {"learn": ["delay"], "delay": 2.0}
    result = Experiment.from_table(changed).run(toy_data(), out=tmp_path / "run")
    assert result.network.output.delay != 2.0
