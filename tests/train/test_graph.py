"""Training of networks that are no chains: gradients by differences and against chains, and whole runs."""

from __future__ import annotations

import numpy as np
import pytest

import eventsnn as es
from eventsnn._util.threads import Pool as Threads
from eventsnn.errors import TrainingError
from eventsnn.learn import EventProp
from eventsnn.learn.constants import LearnedConstants
from eventsnn.learn.optimisers import Optimiser, OptimiserState
from eventsnn.model import Connection, Dense, Input, Network
from eventsnn.model.layers.checks import LEARNABLE
from eventsnn.model.sparse import is_sparse
from eventsnn.simulate.engines.arrivals import Arrivals
from eventsnn.simulate.engines.precision import StateOverflow
from eventsnn.train.checkpoint import load_checkpoint
from eventsnn.train.experiment import Experiment, _take_weights
from eventsnn.train.graph import GraphLearner
from eventsnn.train.graph_weights import GraphWeights
from tests.learn.test_charges import CHAINS, LABELS, learn, make, sorted_train
from tests.trace.graphs import KINDS, make_graph
from tests.train.toy import CLASSES, CLOCKS, SENSOR, toy_data, toy_train

EXACT = {"least_slope": 0.0, "silent_label": 0.0, "silent_hidden": 0.0}
RULE = EventProp(scale=3.0, early=0.05, **EXACT)


def in_order(times, neurons):
    order = np.lexsort((neurons, times))
    return times[order], neurons[order]


def accumulate(weights, samples, rule=RULE, threads=1, constants=None):
    """(loss, gradients as optimisers hold them, run) of a mini-batch."""
    learner = GraphLearner(weights, constants=constants)
    states = {key: OptimiserState(Optimiser(), block) for key, block in weights.blocks.items()}
    with Threads(threads) as pool:
        run = learner.forward(samples, pool)
        ones = np.ones(len(samples))
        outcome = learner.accumulate(states, run, LABELS[: len(samples)], ones, rule, pool)
    return outcome.loss.sum(), {key: state.gradient for key, state in states.items()}, run


@pytest.mark.parametrize("seed", [4, 7])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "reservoir"])
def test_gradients_against_central_differences(kind, seed):
    """Every weight of every projection that the loss depends on, to 1e-6 of the difference."""
    network, first = make_graph(kind, seed)
    samples = Arrivals.join([in_order(*first), in_order(*make_graph(kind, seed + 1)[1])])
    weights = GraphWeights(network, np.float64)
    gradients = accumulate(weights, samples)[1]
    step, checked = 1e-6, 0
    for key, block in weights.blocks.items():
        flat, gradient = block.reshape(-1), gradients[key].reshape(-1)
        largest = np.argsort(-np.abs(gradient), kind="stable")[:4]
        for place in largest[gradient[largest] != 0.0].tolist():
            before, losses = flat[place], []
            for shift in (step, -step):
                flat[place] = before + shift
                losses.append(accumulate(weights, samples)[0])
            flat[place] = before
            expected = (losses[0] - losses[1]) / (2 * step)
            assert gradient[place] == pytest.approx(expected, rel=1e-6, abs=1e-9), (key, place)
            checked += 1
    assert checked >= 4 * min(3, len(weights.blocks))


def check_chain(network, samples, rule):
    """The way back over a graph has the loss and the gradients of the way back layer by layer."""
    loss, expected, _ = learn(network, samples, rule=rule)
    weights = GraphWeights(network, np.float64)
    found, gradients, _ = accumulate(weights, Arrivals.join(samples), rule)
    assert found == pytest.approx(loss, rel=1e-9)
    for key, gradient in expected.items():
        packed = np.zeros_like(weights.blocks[key])
        weights._pack(key, gradient.reshape(network.weight_shapes()[key]), packed)
        np.testing.assert_allclose(gradients[key], packed, rtol=1e-6, atol=1e-9 * np.abs(packed).max())


@pytest.mark.parametrize("bias", [0.0, 7.0])
@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_has_the_gradients_that_it_has_layer_by_layer(name, bias):
    network, rng = make(name, bias), np.random.default_rng(1)
    samples = [sorted_train(rng, 60, 20), sorted_train(rng, 45, 20)]
    rule = EventProp(scale=3.0, early=0.05, silent_label=0.4, silent_hidden=0.0)
    check_chain(network, samples, rule)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "reservoir"])
def test_derivatives_by_delays_time_constants_and_thresholds(kind):
    """By central differences, of every layer and connection."""
    network, first = make_graph(kind, 4)
    for layer in network.layers:
        delay = "delay" if layer.each_delay is None else "delays"
        network = network.replace(layer.name, learn=[delay, *LEARNABLE[1:]])
    for connection in network.connections:
        network = network.replace(connection.key, learn=["delay"])
    samples = Arrivals.join([in_order(*first), in_order(*make_graph(kind, 5)[1])])
    constants = LearnedConstants([*network.layers, *network.connections], Optimiser(), network.delays)
    accumulate(GraphWeights(network, np.float64), samples, constants=constants)
    step, checked = 1e-6, 0
    for key, learned in constants.by_key.items():
        for name, constant in learned.items():
            values, gradient = np.atleast_1d(constant.value), np.atleast_1d(constant.gradient)
            assert gradient.shape == values.shape
            order = np.argsort(-np.abs(gradient), kind="stable")
            for place in order[:3].tolist():
                value, losses = values[place], []
                for shift in (step, -step) if value else (step, 0.0):  # a delay may not be below 0
                    changed = values + shift * (np.arange(len(values)) == place)
                    changed = changed if np.ndim(constant.value) else float(changed[0])
                    moved = network.with_constants({key: {constant.field: changed}})
                    losses.append(accumulate(GraphWeights(moved, np.float64), samples)[0])
                expected = (losses[0] - losses[1]) / (2 * step if value else step)
                loose = 1e-6 if value else 1e-4
                assert gradient[place] == pytest.approx(expected, rel=loose, abs=loose / 100), (
                    key,
                    name,
                    place,
                )
                checked += expected != 0.0
    assert checked >= 10


@pytest.mark.parametrize("kind", ["sparse", "biases", "everything"])
def test_silent_neurons_are_pulled_up(kind):
    """For every neuron that fired and has a synapse there, by the same step."""
    network, train = make_graph(kind, 4)
    key = "second"
    pulled = network.weights[key].copy()
    if is_sparse(pulled):
        pulled.data = -np.abs(pulled.data)
        row = np.repeat(np.arange(5), np.diff(pulled.indptr))
        pulled.data[row != 2] = network.weights[key].data[row != 2]
    else:
        pulled[2] = -np.abs(pulled[2])
    network = network.with_weights({**network.weights, key: pulled})
    samples = Arrivals.join([in_order(*train)])
    rules = [RULE, EventProp(scale=3.0, early=0.05, **{**EXACT, "silent_hidden": 0.2, "silent_share": 0.5})]
    weights = GraphWeights(network, np.float64)
    (_, without, run), (_, with_pull, _) = (accumulate(weights, samples, rule) for rule in rules)
    record = run.records[0]
    below = record[network.names[network.index(key) - 1]].counts > 0
    if network.input.has_bias:
        below = np.append(below, True)
    silent = record[key].counts == 0
    assert silent[2]
    if is_sparse(pulled):
        post = np.repeat(np.arange(5), np.diff(pulled.indptr))
        expected = pulled.copy()
        expected.data = -0.2 * (silent[post] & below[pulled.indices])
    else:
        expected = -0.2 * np.outer(silent, below)
    packed = np.zeros_like(weights.blocks[key])
    weights._pack(key, expected, packed)
    np.testing.assert_allclose(with_pull[key] - without[key], packed, atol=1e-12)


# -- whole runs
# ----------------------------------------------------------------------------------------------------------


def graph_network(probability=1.0, learn=(), delays=None, **more):
    """60-24-16-3 with a loop, a skip connection and feedback."""
    spread = {"initial_delays": delays, "learn": ["delay"]} if delays else {}
    lif = {"threshold": 1.0, "tau_m": 20.0, "tau_s": 5.0}
    return Network(
        Input(*SENSOR),
        Dense(24, name="first", initial_weight=0.5, probability=probability, **lif, **spread),
        Dense(16, name="second", delay=0.5, initial_weight=0.5, learn=learn, **lif),
        Dense(CLASSES, initial_weight=0.5, **{**lif, **more}),
        connections=[
            Connection(
                "first",
                "first",
                delay=1.0,
                initial_weight=0.1,
                probability=probability,
                **{"learn": learn[:1], **spread},
            ),
            Connection("input", "output", delay=0.5, initial_weight=0.1),
            Connection("second", "first", delay=2.0, initial_weight=0.1),
        ],
        seed=2,
    )


NETWORKS = {
    "dense": graph_network(),
    "sparse": graph_network(0.5),
    "lateral": graph_network(lateral_inhibition=0.2),
    "constants": graph_network(learn=LEARNABLE),
    # Some so short that steps would make them negative.
    "synaptic": graph_network(0.5, learn=["delay"], delays=(0.0, 3.0)),
}
LEARNED = {"constants": {"second", "first->first"}, "synaptic": {"second"}}
OPTIONS = {"rule": EventProp(scale=4.0, early=0.01), "optimiser": Optimiser(learning_rate=0.01)}


@pytest.mark.parametrize("name", NETWORKS)
def test_training_learns_and_is_evaluated_as_it_was_validated(tmp_path, name):
    network = NETWORKS[name]
    result = toy_train(tmp_path / "run", network=network, epochs=8, **OPTIONS)
    assert result.history[-1]["loss"] < 0.5 * result.history[0]["loss"]
    assert result.history[-1]["accuracy"] >= 0.9
    for key, weights in network.weights.items():
        new = result.network.weights[key]
        assert is_sparse(new) == is_sparse(weights), key
        assert abs(new - weights).max() > 1e-3, f"{key} is trained"
        if is_sparse(weights):
            np.testing.assert_array_equal(new.indices, weights.indices)
    learned = result.history[-1].get("constants", {})
    assert learned.keys() == LEARNED.get(name, set())
    for key, fields in learned.items():
        for field, value in fields.items():
            part = network["second"] if key == "second" else network.connections[0]
            assert abs(value - getattr(part, field)) > 1e-4, (key, field)
    for key, each in network.delays.items():
        new = result.network.delays[key]
        assert new.min() >= 0.0
        assert np.count_nonzero(np.abs(new - each) > 1e-4) > len(each) / 2
        # The network is that of the best epoch.
        assert new.max() in [line["delays"][key]["most_ms"] for line in result.history]
    data = toy_data(18, seed=500)
    valid = toy_train(tmp_path / "again", network=network, epochs=2, valid=data, **OPTIONS)
    assert es.evaluate(valid.network, data).accuracy == valid.valid_accuracy


@pytest.mark.parametrize(("name", "dtype"), [*((name, "float32") for name in NETWORKS), ("dense", "float64")])
def test_same_bits_for_any_number_of_threads_and_after_a_resume(tmp_path, name, dtype):
    more = {"network": NETWORKS[name], "dtype": dtype, **OPTIONS}
    runs = {
        "one": lambda folder: toy_train(folder, threads=1, **more),
        "three": lambda folder: toy_train(folder, threads=3, **more),
        "resumed": lambda folder: [
            toy_train(folder, epochs=n, resume=n > 1, threads=n, **more) for n in (1, 2, 3)
        ],
    }
    states = {}
    for run, start in runs.items():
        start(tmp_path / run)
        states[run] = load_checkpoint(tmp_path / run / "checkpoint.h5")
        for line in states[run].history:
            for clock in CLOCKS:
                del line[clock]
    for run in ("three", "resumed"):
        assert states[run].history == states["one"].history
        assert states[run].arrays.keys() == states["one"].arrays.keys()
        for key, array in states["one"].arrays.items():
            np.testing.assert_array_equal(states[run].arrays[key], array, err_msg=key)
    model = Network.load(tmp_path / "resumed" / "model.h5")
    best = Network.load(tmp_path / "one" / "model.h5")
    for key, weights in best.weights.items():
        assert abs(model.weights[key] - weights).max() == 0.0
    for key, each in best.delays.items():
        np.testing.assert_array_equal(model.delays[key], each)


def test_an_experiment_file_describes_connections(tmp_path):
    table = {
        "network": {
            "input": {"width": 6, "height": 5, "polarities": 2},
            "layers": [
                {"name": "hidden", "neurons": 12, "threshold": 1.0, "initial_weight": 0.5},
                {"name": "output", "neurons": 3, "threshold": 1.0, "initial_weight": 0.5},
            ],
            "connections": [
                {
                    "source": "hidden",
                    "target": "hidden",
                    "probability": 0.5,
                    "initial_delays": [0.5, 2],
                    "learn": ["delay"],
                },
                {"source": "input", "target": "output"},
            ],
        },
        "rule": {"name": "eventprop", "scale": 4.0},
        "training": {"epochs": 2, "valid_fraction": 0.25},
    }
    experiment = Experiment.from_table(table)
    result = experiment.run(toy_data(24), out=tmp_path / "run")
    assert [c.key for c in result.network.connections] == ["hidden->hidden", "input->output"]
    assert is_sparse(result.network.weights["hidden->hidden"])
    learned = result.network.delays["hidden->hidden"]
    drawn = experiment.make_network()
    assert np.abs(learned - drawn.delays["hidden->hidden"]).max() > 1e-4
    started = _take_weights(drawn, result.network)  # as `start_from` does
    np.testing.assert_array_equal(started.delays["hidden->hidden"], learned)


def test_what_no_rule_of_errors_can_train_says_which_can(tmp_path):
    with pytest.raises(TrainingError, match=r"connection 'second->first' leads back .* such as 'eventprop'"):
        toy_train(tmp_path / "run", network=NETWORKS["dense"])
    with pytest.raises(TrainingError, match="'first->first' makes the network more than a chain"):
        toy_train(tmp_path / "run", network=NETWORKS["dense"], engine="clocked", rule=OPTIONS["rule"])


def test_weights_that_overflow_stop_training():
    weights = GraphWeights(NETWORKS["dense"], np.float32)
    weights.blocks["first->first"][0, 3, 2] = np.nan
    with pytest.raises(StateOverflow, match=r"layer 'first->first': .* lower learning rate"):
        weights.trained()
