"""Dropout: masked passes against networks without the dropped neurons, whole runs, and what is refused."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest

import eventsnn as es
from eventsnn._util.threads import Pool as Threads
from eventsnn.data import draws
from eventsnn.errors import NetworkError, TrainingError
from eventsnn.learn import HM2BP, EventProp
from eventsnn.learn.charges import Activity
from eventsnn.learn.optimisers import Optimiser, OptimiserState
from eventsnn.model import Connection, Conv, Dense, Input, Network, Pool, Readout, Reservoir
from eventsnn.model.sparse import is_sparse
from eventsnn.reference import dropout as twin
from eventsnn.reference import hm2bp, strsbp
from eventsnn.simulate.engines.arrivals import Arrivals
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.train.backward import ExactLearner
from eventsnn.train.checkpoint import load_checkpoint
from eventsnn.train.clocked import ClockedLearner
from eventsnn.train.dropout import Dropout
from eventsnn.train.graph import GraphLearner
from eventsnn.train.graph_weights import GraphWeights
from tests.train import test_gradients as chains
from tests.train import test_strsbp as loops
from tests.train.toy import CLASSES, CLOCKS, SENSOR, toy_data, toy_train

A = {"tau_m": 16.0, "tau_s": 4.0, "refractory": 2.0}
LABELS = (0, 2)
HM2 = HM2BP(desired=6, undesired=1, margin=0.5)
EXACT = EventProp(scale=3.0, early=0.05, least_slope=0.0, silent_hidden=0.02, silent_share=0.0)


def dropping(network, p=0.4, maps=False):
    """The same network with dropout in its input and in all layers but the last and those below a pool."""
    layers = []
    for layer, above in pairwise(network.layers):
        changes = {"dropout_channels": maps} if layer.shares_weights else {}
        layers.append(dataclasses.replace(layer, dropout=0.0 if above.kind == "pool" else p, **changes))
    parts = dataclasses.replace(network.input, dropout=0.2), *layers, network.layers[-1]
    return Network(*parts, connections=network.connections, weights=network.weights)


def spread(found, network, kept):
    """Gradients of the network without the dropped neurons as those of the whole one, in dense layers."""
    result = {}
    for p in network.lowered.projections:
        if p.key not in found or p.source == -2:
            continue
        rows = kept.get(p.target + 1, np.ones(network.layers[p.target].neurons, bool))
        columns = np.ones(network.lowered.weight_shapes()[p.key][1], bool)
        if p.source >= 0 and p.source + 1 in kept:
            columns[: len(kept[p.source + 1])] = kept[p.source + 1]
        result[p.key] = np.zeros((len(rows), len(columns)))
        result[p.key][np.ix_(rows, columns)] = found[p.key]
    return result


def tie(network, dense):
    """Gradients of shared weights from those of all synapses: summed over positions."""
    result = {}
    for key, gradient in dense.items():
        layer = next((layer for layer in network.layers if layer.name == key), None)
        if layer is None or not layer.shares_weights:
            result[key] = gradient
            continue
        if not layer.trainable:
            continue
        shared = np.zeros((layer.channels, layer.inputs))
        for position, row in enumerate(layer.rows):
            inside = row >= 0
            own = gradient[np.arange(layer.channels) * layer.positions + position]
            shared[:, inside] += own[:, row[inside]]
        result[key] = layer.own_gradient(shared)
    return result


def left(samples, kept):
    """The input spikes of each sample that are not dropped; what has no weights still counts as a source."""
    return [(t[k[n]], n[k[n]]) for (t, n), k in zip(samples, kept[0], strict=True)]


def learn(learner, weights, samples, rule, kept, threads=1):
    """(loss, gradients, run) of a mini-batch as the trainer has it."""
    sizes = {key: weights.synapses(key) for key in weights.network.weights}
    states = {key: OptimiserState(Optimiser(), weights.blocks[key], n) for key, n in sizes.items()}
    batch = Arrivals.join(samples)
    with Threads(threads) as pool:
        run = learner.forward(batch, pool, kept)
        ones = np.ones(len(samples))
        outcome = learner.accumulate(states, run, np.array(LABELS), ones, rule, pool, None, kept)
    return outcome.loss, {key: state.gradient for key, state in states.items()}, run


def assert_packed(weights, found, expected, tolerance):
    """Gradients as optimisers hold them are those of all synapses, or of shared weights."""
    for key, given in weights.network.weights.items():
        gradient = expected[key]
        if is_sparse(given):
            pre, post = given.indices, np.repeat(np.arange(given.shape[0]), np.diff(given.indptr))
            gradient = type(given)((gradient[post, pre], pre, given.indptr), shape=given.shape)
        packed = np.zeros_like(weights.blocks[key], dtype=float)
        GraphWeights(weights.network, np.float64)._pack(key, gradient, packed)
        assert packed.any(), key
        np.testing.assert_allclose(
            found[key], packed, rtol=0, atol=tolerance * np.abs(packed).max(), err_msg=key
        )


NETWORKS = {
    "dense": ([Dense(40, threshold=4.0, **A), Dense(37, threshold=1.7, **A)], False),
    "conv": ([Conv(3, 3, threshold=1.2, padding=1, **A), Dense(8, threshold=1.6, **A)], False),
    "maps": ([Conv(5, 3, threshold=1.2, **A), Conv(4, 2, threshold=1.6, **A)], True),
}

POOLED = [Conv(5, 3, threshold=1.2, **A), Pool(2, threshold=0.7, **A), Dense(9, threshold=1.7, **A)]


def make(name, biases=False, seed=0):
    layers, maps = NETWORKS.get(name, (POOLED, True))
    network = Network(
        Input(7, 6, 2, bias_interval=4.0 if biases else 0.0),
        *layers,
        Dense(4, threshold=1.1, **A),
    )
    rng = np.random.default_rng(seed)
    weights = {k: rng.normal(0.25, 1.0, s) for k, s in network.weight_shapes().items()}
    return dropping(network.with_weights(weights), maps=maps)


def without(network, kept, sample):
    return twin.leave_out(network, {number: there[sample] for number, there in kept.items()})


@pytest.mark.parametrize("biases", [False, True], ids=["", "biases"])
@pytest.mark.parametrize("name", NETWORKS)
def test_hm2bp_is_that_of_the_network_without_the_dropped_neurons(name, biases):
    network, samples = make(name, biases), chains.make_samples(2)
    kept = dict(Dropout(network, 3).draw(5, np.arange(2)))
    if biases:  # the bias neuron fires until the last event, dropped or not
        kept[0] = np.ones_like(kept[0])
    packed = PackedNetwork(network, np.float64)
    _, found, run = learn(ExactLearner(packed), packed, samples, HM2, kept, threads=2)
    dense = {}
    for n, (label, train) in enumerate(zip(LABELS, left(samples, kept), strict=True)):
        small, end = without(network, kept, n), float(samples[n][0].max())
        record = es.simulate(small, train, engine="twin")
        gradients = hm2bp.gradients(small, record, label, end, HM2)
        there = {number: each[n] for number, each in kept.items()}
        for key, gradient in spread(gradients, network, there).items():
            dense[key] = dense.get(key, 0.0) + gradient
        assert (run.layer_counts(-1)[n] == record.output.counts).all()
    assert_packed(packed, found, tie(network, dense), 1e-10)


@pytest.mark.parametrize("name", [*NETWORKS, "pooled"])
def test_eventprop_is_that_of_the_network_without_the_dropped_neurons(name):
    """Silent neurons are pulled up in either: none of the mini-batch's shares is that of dropped ones."""
    network, samples = make(name), chains.make_samples(2)
    kept = Dropout(network, 4).draw(0, np.arange(2))
    packed = PackedNetwork(network, np.float64)
    rule = dataclasses.replace(EXACT, silent_hidden=0.0)
    losses, found, _ = learn(ExactLearner(packed), packed, samples, rule, kept, threads=2)
    dense = {}
    for n, train in enumerate(left(samples, kept)):
        small = GraphWeights(without(network, kept, n), np.float64)
        end = dataclasses.replace(Arrivals.join([train]), duration=float(samples[n][0].max()))
        loss, gradients = learn_one(small, end, LABELS[n], rule)
        assert loss == pytest.approx(losses[n], rel=1e-9)
        there = {number: each[n] for number, each in kept.items()}
        for key, gradient in spread(gradients, network, there).items():
            dense[key] = dense.get(key, 0.0) + gradient
    assert_packed(packed, found, tie(network, dense), 1e-7)


def learn_one(weights, batch, label, rule):
    """(loss, gradients in the shape of the weights) of a sample of a network of dense layers."""
    states = {k: OptimiserState(Optimiser(), b, weights.synapses(k)) for k, b in weights.blocks.items()}
    learner = GraphLearner(weights)
    with Threads(1) as pool:
        run = learner.forward(batch, pool)
        outcome = learner.accumulate(states, run, np.array([label]), np.ones(1), rule, pool)
    for key, state in states.items():
        weights.blocks[key][...] = state.gradient
    return outcome.loss[0], weights.weights()


@pytest.mark.parametrize(
    "rule", [HM2, dataclasses.replace(EXACT, silent_hidden=0.0)], ids=["hm2bp", "eventprop"]
)
@pytest.mark.parametrize("probability", [1.0, 0.6], ids=["dense", "sparse"])
def test_networks_with_loops(rule, probability):
    network = dropping(loops.make(loops.SKIPS + loops.LOOPS, probability=probability, bias=3.0))
    samples = loops.make_samples()
    kept = dict(Dropout(network, 4).draw(0, np.arange(2)))
    kept[0] = np.ones_like(kept[0])
    weights = GraphWeights(network, np.float64)
    losses, found, run = learn(GraphLearner(weights), weights, samples, rule, kept, threads=2)
    dense = {}
    for n, record in enumerate(run.records):
        small, end = without(network, kept, n), run.durations[n]
        alone = es.simulate(small, samples[n], engine="twin", t_stop=end)
        for name in network.names:
            assert record[name].counts.sum() == alone[name].counts.sum()
        if rule is HM2:
            gradients = strsbp.gradients(small, alone, LABELS[n], end, rule)
        else:
            batch = Arrivals.join([samples[n]])
            loss, gradients = learn_one(GraphWeights(small, np.float64), batch, LABELS[n], rule)
            assert loss == pytest.approx(losses[n], rel=1e-9)
        there = {number: each[n] for number, each in kept.items()}
        for key, gradient in spread(gradients, network, there).items():
            dense[key] = dense.get(key, 0.0) + gradient
    assert_packed(weights, found, dense, 1e-7)


@pytest.mark.parametrize("name", NETWORKS)
def test_clock(name):
    network, samples = make(name), chains.make_samples(2, whole=True)
    kept = Dropout(network, 3).draw(5, np.arange(2))
    packed = PackedNetwork(network, np.float32)
    found = learn(ClockedLearner(packed), packed, samples, HM2, kept, threads=2)[1]
    dense = {}
    for n, train in enumerate(left(samples, kept)):
        small = PackedNetwork(without(network, kept, n), np.float32)
        states = {key: OptimiserState(Optimiser(), block) for key, block in small.blocks.items()}
        learner = ClockedLearner(small)
        with Threads(1) as pool:
            batch = dataclasses.replace(Arrivals.join([train]), duration=float(samples[n][0].max()) + 1)
            run = learner.forward(batch, pool)
            learner.accumulate(states, run, np.array(LABELS[n : n + 1]), np.ones(1), HM2, pool)
        for key, state in states.items():
            small.blocks[key][...] = state.gradient
        there = {number: each[n] for number, each in kept.items()}
        for key, gradient in spread(small.weights(), network, there).items():
            dense[key] = dense.get(key, 0.0) + gradient
    assert_packed(packed, found, tie(network, dense), 1e-5)


def test_against_central_differences():
    """The loss of a masked pass, by the weights of a layer that is dropped and of the one above it."""
    network, samples = make("dense"), chains.make_samples(2)
    kept = Dropout(network, 4).draw(0, np.arange(2))
    packed = PackedNetwork(network, np.float64)
    rule = EventProp(scale=3.0, early=0.05, least_slope=0.0, silent_label=0.0, silent_hidden=0.0)
    gradients, step, checked = learn(ExactLearner(packed), packed, samples, rule, kept)[1], 1e-6, 0
    for key, block in packed.blocks.items():
        flat, gradient = block.reshape(-1), gradients[key].reshape(-1)
        for place in np.argsort(-np.abs(gradient))[:4].tolist():
            before, losses = flat[place], []
            for shift in (step, -step):
                flat[place] = before + shift
                losses.append(learn(ExactLearner(packed), packed, samples, rule, kept)[0].sum())
            flat[place] = before
            assert gradient[place] == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=1e-6, abs=1e-9)
            checked += 1
    assert checked == 12


def test_means_of_a_mini_batch_leave_dropped_neurons_out():
    kept = np.array([[True, False], [True, False], [False, False]])
    layer = Activity(*[None] * 10, kept=kept)
    np.testing.assert_array_equal(layer.mean(np.array([[1, 2], [4, 5], [7, 8]])), [2.5, 0.0])
    np.testing.assert_array_equal(layer.of_kept(np.ones((3, 2))), kept)


@pytest.mark.parametrize("maps", [False, True])
def test_draws_are_those_of_the_twin(maps):
    network = dropping(Network(Input(7, 6, 2), Conv(5, 3), Dense(4), Dense(3)), p=0.3, maps=maps)
    numbers = np.array([0, 3, 11])
    kept = Dropout(network, 8).draw(2, numbers)
    for number, part in enumerate([network.input, *network.layers[:-1]]):
        whole = maps and number == 1
        for row, recording in zip(kept[number], numbers.tolist(), strict=True):
            path = (8, draws.DROPOUT, 2, recording, number)
            assert row.tolist() == twin.draw(part, part.dropout, path, whole)
    assert 0.6 < Dropout(network, 8).draw(0, np.arange(50))[1].mean() < 0.8


def test_the_trained_weights_are_those_of_the_network_over_the_share_that_is_left():
    network = dropping(
        Network(
            Input(20, bias_interval=3.0),
            Dense(8, name="a"),
            Dense(6, name="b", probability=0.5),
            Dense(3),
            connections=[Connection("a", "a"), Connection("a", "output")],
        )
    )
    dropout = Dropout(network, 1)
    thin = dropout.thin(network).weights
    for key, share in {"a": 0.8, "a->a": 0.6, "a->output": 0.6, "output": 0.6, "b": 0.6}.items():
        before, after = network.weights[key], thin[key]
        if is_sparse(before):
            before, after = before.toarray(), after.toarray()
        own = slice(None, -1) if key in network.names else slice(None)
        np.testing.assert_allclose(after[:, own], before[:, own] / share, rtol=1e-6)
        if key in network.names:
            np.testing.assert_array_equal(after[:, -1], before[:, -1])  # biases
    for key, again in dropout.whole(thin).items():
        assert abs(again - network.weights[key]).max() < 1e-6


LAYER = {"threshold": 1.0, "tau_m": 30.0, "tau_s": 6.0}
SETTINGS = {
    "hm2bp": {},
    "float64": {"dtype": "float64"},
    "clock": {"engine": "clocked"},
    "eventprop": {"rule": EventProp(scale=3.0, spikes_pull=0.01)},
}


def small():
    return Network(
        Input(*SENSOR, dropout=0.1),
        Conv(4, 2, dropout=0.2, dropout_channels=True, initial_weight=3.0, **LAYER),
        Dense(40, dropout=0.5, name="hidden", **LAYER),
        Dense(CLASSES, **LAYER),
        seed=2,
    )


@pytest.mark.parametrize("settings", SETTINGS)
def test_same_bits_for_any_threads_and_after_a_resume(settings, tmp_path):
    options = {"network": small(), **SETTINGS[settings]}
    whole = toy_train(tmp_path / "a", epochs=3, threads=1, **options)
    toy_train(tmp_path / "b", epochs=1, threads=2, **options)
    parts = toy_train(tmp_path / "b", epochs=3, threads=2, resume=True, **options)
    a, b = (load_checkpoint(tmp_path / name / "checkpoint.h5").arrays for name in "ab")
    assert a.keys() == b.keys()
    for name, array in a.items():
        np.testing.assert_array_equal(array, b[name], err_msg=name)
    for before, after in zip(whole.history, parts.history, strict=True):
        assert {k: v for k, v in before.items() if k not in CLOCKS} == {
            k: v for k, v in after.items() if k not in CLOCKS
        }


def test_validation_and_the_model_are_of_the_whole_network(tmp_path):
    data = toy_data(12, seed=100)
    result = toy_train(tmp_path / "run", epochs=4, network=small(), valid=data, dtype="float64")
    assert es.evaluate(result.network, data).accuracy == result.valid_accuracy > 0.4
    assert result.network["hidden"].dropout == 0.5
    other = [dataclasses.replace(layer, dropout=0.0) for layer in small().layers]
    network = Network(small().input, *other, weights=small().weights)
    with pytest.raises(TrainingError, match=r"dropout was 0\.2"):
        toy_train(tmp_path / "run", epochs=5, resume=True, network=network, valid=data, dtype="float64")


def test_recurrent_layers(tmp_path):
    network = Network(
        Input(*SENSOR),
        Dense(20, dropout=0.3, name="hidden", **LAYER),
        Dense(CLASSES, **LAYER),
        connections=[Connection("hidden", "hidden", delay=1.0, initial_weight=0.1)],
        seed=2,
    )
    runs = [toy_train(tmp_path / str(n), epochs=2, threads=n, network=network) for n in (1, 2)]
    assert runs[0].history[-1]["loss"] == runs[1].history[-1]["loss"]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([Dense(CLASSES, dropout=0.5)], "the last layer decides, and cannot have dropout"),
        ([Conv(2, 2, dropout=0.5), Pool(2), Dense(CLASSES)], "fixed weights; give dropout to that layer"),
        ([Dense(5, dropout=0.1), Reservoir(), Dense(CLASSES)], "nothing up to a reservoir is trained"),
    ],
)
def test_refused(layers, message, tmp_path):
    with pytest.raises(TrainingError, match=message):
        toy_train(tmp_path / "run", network=Network(Input(*SENSOR), *layers, seed=1))


def test_refused_below_a_reservoir(tmp_path):
    network = Network(Input(*SENSOR, dropout=0.1), Reservoir(), Dense(CLASSES), seed=1)
    with pytest.raises(TrainingError, match="input: nothing up to a reservoir is trained"):
        toy_train(tmp_path / "run", network=network)


def test_refused_values():
    for value in (1.0, -0.1, "half"):
        with pytest.raises(NetworkError, match="dropout"):
            Dense(4, dropout=value)
    with pytest.raises(NetworkError, match="input: dropout"):
        Input(4, dropout=1.5)
    with pytest.raises(NetworkError, match="leave dropout out"):
        Reservoir(dropout=0.5)
    with pytest.raises(TypeError):
        Readout(3, dropout=0.5)


def test_files_without_dropout_stay_as_they_were():
    table = Network(Input(4), Conv(2, 1), Dense(3)).to_table()
    assert "dropout" not in str(table)
    network = small()
    assert Network.from_table(network.to_table()).layers == network.layers
