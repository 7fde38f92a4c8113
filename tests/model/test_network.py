"""Networks as values: class names, copies, other parameters."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest

import eventsnn as es
from eventsnn.errors import NetworkError


def make_recurrent(**options):
    return es.Network(
        es.Input(4, 3),
        es.Dense(5, tau_m=20.0),
        es.Dense(3),
        connections=[es.Connection("hidden", "hidden", delay=1.0)],
        **options,
    )


def make_spatial(**options):
    return es.Network(es.Input(6, 6, 2), es.Conv(3, 3), es.Pool(2), es.Dense(3, probability=0.5), **options)


def make_reservoir(**options):
    return es.Network(es.Input(9), es.Reservoir(grid=(2, 2, 3)), es.Dense(3), **options)


MAKERS = [make_recurrent, make_spatial, make_reservoir]


def assert_same(a, b):
    assert a.to_table() == b.to_table()
    assert a.weights.keys() == b.weights.keys()
    for key, weights in a.weights.items():
        other = b.weights[key]
        if hasattr(weights, "toarray"):
            weights, other = weights.toarray(), other.toarray()
        assert weights.dtype == other.dtype
        assert np.array_equal(weights, other)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, lambda x: pickle.loads(pickle.dumps(x))])
def test_networks_can_be_copied_and_pickled(make, copied):
    network = make(seed=4, classes=["ant", "bee"])
    found = copied(network)
    assert_same(network, found)
    events = np.sort(np.random.default_rng(1).uniform(0, 40, 60)), np.arange(60) % network.input.neurons
    run, again = (es.simulate(net, events, t_stop=60.0) for net in (network, found))
    assert run.output.times.tolist() == again.output.times.tolist()
    first = next(iter(found.weights.values()))
    with pytest.raises(ValueError, match="read-only"):
        (first.data if hasattr(first, "toarray") else first)[...] = 0


@pytest.mark.parametrize("make", MAKERS)
def test_class_names_are_kept_in_files(make, tmp_path):
    network = make(seed=1, classes=["K\u00e4fer", "\U0001f41d bee"])
    network.save(tmp_path / "model.h5")
    assert es.Network.load(tmp_path / "model.h5").classes == ("K\u00e4fer", "\U0001f41d bee")
    assert network.lowered.classes == network.with_weights(network.weights).classes == network.classes
    assert network.with_classes(None).classes is None
    make().save(tmp_path / "model.h5")
    assert es.Network.load(tmp_path / "model.h5").classes is None
    assert "classes" not in make().to_table()


def test_a_name_that_is_no_utf8_is_kept(tmp_path):
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    make_recurrent(classes=[name]).save(tmp_path / "model.h5")
    assert es.Network.load(tmp_path / "model.h5").classes == (name,)


@pytest.mark.parametrize(
    ("classes", "text"),
    [
        (["a", "b", "c", "d"], "4 names for 3 output neurons"),
        (["a", "a"], "'a' and 'a' are the same name"),
        (["1", "01"], "'01' and '1' are the same name"),
        (["a", " "], "a name must be a text that is not empty, got ' '"),
        (["a", 1.5], "a name must be a text that is not empty, got 1.5"),
        ([True], "a name must be a text that is not empty, got True"),
        ("abc", "must be a list of names, got 'abc'"),
        ({"a": 1}, "must be a list of names"),
        ([], "the list is empty"),
    ],
)
def test_class_names_that_cannot_be(classes, text):
    with pytest.raises(NetworkError, match=f"^classes.*{text}"):
        make_recurrent(classes=classes)
    with pytest.raises(NetworkError, match=text):
        es.Network.from_table(json.loads(json.dumps(make_recurrent().to_table() | {"classes": classes})))


def test_numbers_are_names():
    assert make_recurrent(classes=[7, 8]).classes == ("7", "8")
    assert make_recurrent(classes=np.array(["ant", "bee"])).classes == ("ant", "bee")


def test_a_decision_has_a_name():
    weights = {"output": np.array([[0.0], [9.0]])}
    network = es.Network(es.Input(1), es.Dense(2, threshold=1.0), weights=weights, classes=["no", "yes"])
    run = es.simulate(network, ([1.0], [0]))
    assert (run.decision, run.decision_name, run.summary()["class"]) == (1, "yes", "yes")
    assert repr(run) == "<SpikeRecord: decision 1 (yes), spikes: output 4; 1 input spike>"
    assert run.hint is None
    silent = es.simulate(network, ([], []))
    assert (silent.decision_name, silent.summary()["class"]) == (None, None)
    assert silent.hint == "no output neuron fired: there was no input"
    plain = es.simulate(network.with_classes(["no"]), ([1.0], [0]))
    assert (plain.decision, plain.decision_name) == (1, None)
    assert "class" not in es.simulate(network.with_classes(None), ([1.0], [0])).summary()


def test_the_first_silent_layer_is_named():
    run = es.simulate(make_recurrent(), ([1.0], [0]), t_stop=9.0)
    assert run.hint is not None
    assert run.hint.startswith("no output neuron fired: layer 'hidden' is the first without a spike; lower")


@pytest.mark.parametrize("make", MAKERS)
def test_other_parameters_with_the_same_weights(make):
    network = make(seed=2, classes=["a"])
    name = network.names[0]
    found = network.replace(name, threshold=12.0, refractory=3.0)
    assert (found[name].threshold, found[name].refractory) == (12.0, 3.0)
    assert network[name].threshold != 12.0
    back = found.replace(name, threshold=network[name].threshold, refractory=network[name].refractory)
    assert_same(back, network)


@pytest.mark.parametrize("make", MAKERS)
def test_layers_can_be_renamed(make):
    network = make(seed=2)
    name = network.names[0]
    found = network.replace(name, name="first")
    assert found.names == ("first", *network.names[1:])
    assert_same(found.replace("first", name=name), network)


def test_connections_and_the_input_can_be_changed():
    network = make_recurrent(seed=3)
    assert network.replace("hidden->hidden", delay=2.0).connections[0].delay == 2.0
    renamed = network.replace("hidden->hidden", name="loop")
    assert renamed.weights["loop"] is not None
    assert "hidden->hidden" not in renamed.weights
    assert network.replace("input", width=3, height=4).input.sensor_size == (3, 4, 1)


@pytest.mark.parametrize(
    ("name", "changes", "text"),
    [
        (
            "hiden",
            {"threshold": 1.0},
            "no layer or connection 'hiden'; there are input, hidden, output, hidden->",
        ),
        (
            "hidden",
            {"treshold": 1.0},
            "layer 'hidden': no field 'treshold' to change; there are neurons, name",
        ),
        ("hidden", {"threshold": -1.0}, "layer 'hidden': threshold must be a finite number >= 0, got -1"),
        (
            "hidden",
            {"neurons": 6},
            r"'hidden' cannot be changed so, with the same weights: weights of 'hidden'",
        ),
        ("hidden", {"name": "output"}, "'hidden' cannot be changed so"),
        ("hidden", {"name": None}, "layer 'hidden': name must be a non-empty text"),
        ("input", {"bias_interval": 5.0}, "'input' cannot be changed so, with the same weights"),
        ("hidden->hidden", {"delay": -1}, "connection 'hidden->hidden': delay must be a finite number >= 0"),
    ],
)
def test_changes_that_cannot_be(name, changes, text):
    with pytest.raises(NetworkError, match=text):
        make_recurrent().replace(name, **changes)


def test_in_a_line():
    assert repr(make_recurrent(classes=["ant", "bee"])) == (
        "<Network 12-5-3 (hidden, output), 1 further connection, 2 classes ('ant', 'bee')>"
    )


def test_weights_that_are_no_matrix():
    network = es.Network(es.Input(2), es.Dense(2), seed=1)
    with pytest.raises(NetworkError, match="weights of 'output' are lists of different lengths"):
        network.with_weights({"output": [[1.0], [1.0, 2.0]]})
    with pytest.raises(NetworkError, match="weights of 'output' are masked"):
        network.with_weights({"output": np.ma.masked_array(np.ones((2, 2)), np.eye(2))})
