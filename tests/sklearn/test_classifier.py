"""Networks as classifiers of scikit-learn: on recordings, on tables, in searches."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

import eventsnn as es
from eventsnn.sklearn import SpikingClassifier
from tests.real_data import real_data

SENSOR = (8, 8, 2)
SETTINGS = {"optimiser": es.Optimiser(learning_rate=0.01), "epochs": 5, "batch_size": 5}


def make_recordings(count: int, seed: int) -> tuple[list[es.EventStream], np.ndarray]:
    """Recordings of two classes: more events in the left or in the right half of a sensor."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    streams = []
    for label in labels.tolist():
        t = np.sort(rng.integers(0, 50_000, 200))
        x = np.where(rng.random(200) < 0.8, label, 1 - label) * 4 + rng.integers(0, 4, 200)
        y, p = rng.integers(0, 8, 200), rng.integers(0, 2, 200)
        streams.append(es.EventStream.from_arrays(t, x, y, p, sensor_size=SENSOR))
    return streams, labels


def make_network(seed: int = 1, **settings) -> es.Network:
    output = es.Dense(2, name="output", threshold=1.0)
    return es.Network(es.Input(*SENSOR), es.Dense(20, threshold=1.0), output, seed=seed, **settings)


@pytest.fixture(scope="module")
def recordings() -> tuple[list[es.EventStream], np.ndarray]:
    return make_recordings(40, seed=1)


@pytest.fixture(scope="module")
def fitted(recordings) -> SpikingClassifier:
    X, y = recordings
    return SpikingClassifier(make_network(), **SETTINGS).fit(X, np.array(["left", "right"])[y])


def test_it_learns_and_classifies_new_recordings(fitted) -> None:
    X, y = make_recordings(40, seed=2)
    names = np.array(["left", "right"])[y]
    assert fitted.score(X, names) > 0.9
    assert fitted.classes_.tolist() == ["left", "right"]
    assert fitted.network_.classes == ("left", "right")
    assert len(fitted.history_) == 5


def test_predictions_come_from_the_counts_of_the_network(fitted) -> None:
    X, _ = make_recordings(6, seed=3)
    counts = np.array([es.simulate(fitted.network_, stream)["output"].counts for stream in X])
    np.testing.assert_array_equal(fitted.predict(X), fitted.classes_[counts.argmax(axis=1)])
    np.testing.assert_allclose(
        fitted.predict_proba(X), (counts + 1) / (counts + 1).sum(axis=1, keepdims=True), rtol=1e-15
    )
    np.testing.assert_array_equal(fitted.decision_function(X), counts[:, 1] - counts[:, 0])


def test_a_readout_gives_its_softmax(recordings) -> None:
    X, y = recordings
    network = es.Network(es.Input(*SENSOR), es.Dense(10, threshold=3.0), es.Readout(2), seed=1)
    shares = SpikingClassifier(network, epochs=1).fit(X, y).predict_proba(X[:5])
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-15)


def test_an_encoder_of_ones_own_codes_tables() -> None:
    X, y = load_iris(return_X_y=True)
    settings = {"hidden": (10,), "epochs": 2}
    own = SpikingClassifier(coding=es.encode.Latency(first_ms=10.0, last_ms=40.0), **settings).fit(X, y)
    named = SpikingClassifier(coding="latency", **settings).fit(X, y)
    other = SpikingClassifier(coding=es.encode.Latency(first_ms=5.0, last_ms=20.0), **settings).fit(X, y)
    np.testing.assert_array_equal(own.network_.weights["output"], named.network_.weights["output"])
    assert (other.network_.weights["output"] != named.network_.weights["output"]).any()


def test_training_is_that_of_train(recordings) -> None:
    X, y = recordings
    state = np.random.RandomState(5)
    found = SpikingClassifier(make_network(), **SETTINGS, random_state=state).fit(X, y)
    seed = int(np.random.RandomState(5).randint(2**31 - 1))
    data = es.data.ListDataset(X, y.tolist())
    expected = es.train(make_network(), data, **SETTINGS, seed=seed, valid_fraction=0.0).network
    for layer, weights in expected.weights.items():
        np.testing.assert_array_equal(found.network_.weights[layer], weights)


def test_recordings_of_any_kind_give_the_same(recordings, fitted, tmp_path) -> None:
    X = recordings[0][:6]
    paths = [tmp_path / f"{number}.bin" for number in range(len(X))]
    for path, stream in zip(paths, X, strict=True):
        es.write(path, stream)
    objects = np.empty(len(X), object)
    objects[:] = X
    expected = fitted.predict_proba(X)
    for same in (paths, [str(path) for path in paths], objects, [stream.events for stream in X]):
        np.testing.assert_array_equal(fitted.predict_proba(same), expected)


def test_names_of_the_network_choose_the_neuron(recordings) -> None:
    X, y = recordings
    network = make_network(classes=("right", "left"))
    found = SpikingClassifier(network, **SETTINGS).fit(X, np.array(["left", "right"])[y])
    assert found.network_.classes == ("right", "left")
    assert found.score(X, np.array(["left", "right"])[y]) > 0.9


def test_clones_and_pickles(recordings, fitted) -> None:
    X, y = recordings
    again = clone(fitted).set_params(threads=None)
    assert again.get_params()["network"] is not None
    with pytest.raises(NotFittedError):
        again.predict(X)
    again.fit(X, np.array(["left", "right"])[y])
    restored = pickle.loads(pickle.dumps(fitted))
    for other in (again, restored):
        np.testing.assert_array_equal(other.predict_proba(X), fitted.predict_proba(X))


def search(X, y, network: es.Network, jobs: int) -> GridSearchCV:
    settings = {"optimiser": [es.Optimiser(learning_rate=rate) for rate in (0.001, 0.01)]}
    classifier = SpikingClassifier(network, epochs=2, batch_size=5)
    return GridSearchCV(classifier, settings, cv=2, n_jobs=jobs, error_score="raise").fit(X, y)


def check_searches_agree(X, y, network: es.Network) -> GridSearchCV:
    one, two = (search(X, y, network, jobs) for jobs in (1, 2))
    for key in ("split0_test_score", "split1_test_score"):
        np.testing.assert_array_equal(one.cv_results_[key], two.cv_results_[key])
    for layer, weights in one.best_estimator_.network_.weights.items():
        np.testing.assert_array_equal(two.best_estimator_.network_.weights[layer], weights)
    return one


def test_a_search_in_two_processes_gives_the_same() -> None:
    found = check_searches_agree(*make_recordings(100, seed=4), make_network())
    assert found.best_score_ > 0.8


def test_a_search_over_real_recordings_in_two_processes_gives_the_same() -> None:
    paths = [
        path
        for digit in range(10)
        for path in sorted((real_data("nmnist-1k", "Train") / str(digit)).glob("*.bin"))[:20]
    ]
    y = np.array([int(path.parent.name) for path in paths])
    assert len(paths) == 200
    network = es.Network(es.Input(34, 34, 2), es.Dense(50, threshold=5), es.Dense(10, threshold=2), seed=1)
    found = check_searches_agree(paths, y, network)
    trained = found.best_estimator_.network_.weights
    assert all((trained[layer] != weights).any() for layer, weights in network.weights.items())


# -- tables
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", ["latency", "poisson"])
def test_tables_are_learned(coding) -> None:
    X, y = load_iris(return_X_y=True)
    found = SpikingClassifier(coding=coding, epochs=30, batch_size=5).fit(X[::2], y[::2])
    assert found.score(X[1::2], y[1::2]) > 0.8


def test_a_row_gives_the_same_wherever_it_stands() -> None:
    X, y = load_iris(return_X_y=True)
    found = SpikingClassifier(hidden=(20,), coding="poisson", epochs=1).fit(X, y)
    np.testing.assert_array_equal(found.predict_proba(X)[::-7], found.predict_proba(X[::-7]))


def test_values_beyond_those_of_fit_are_clipped() -> None:
    X, y = load_iris(return_X_y=True)
    found = SpikingClassifier(hidden=(20,), epochs=1).fit(X, y)
    far = [np.full((1, 4), sign * 1e9) for sign in (-1, 1)]
    for given, edge in zip(far, (X.min(axis=0), X.max(axis=0)), strict=True):
        np.testing.assert_array_equal(found.predict_proba(given), found.predict_proba(edge[None]))


# -- what is refused
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network": None}, "recordings need a network"),
        ({"network": 3}, "network must be a Network"),
        ({"network": make_network(classes=("0", "2"))}, "classes 1 that are not among"),
        ({"network": make_network(), "epochs": 0}, "epochs"),
    ],
)
def test_settings_that_do_not_fit(recordings, settings, message) -> None:
    with pytest.raises(es.TrainingError, match=message):
        SpikingClassifier(**settings).fit(*recordings)


def test_more_classes_than_outputs(recordings) -> None:
    with pytest.raises(es.TrainingError, match="y holds 40 classes, and the output layer 'output' has 2"):
        SpikingClassifier(make_network()).fit(recordings[0], np.arange(40))


def test_labels_that_are_too_few(recordings) -> None:
    with pytest.raises(es.TrainingError, match="X holds 40 recordings, y 3 labels"):
        SpikingClassifier(make_network()).fit(recordings[0], recordings[1][:3])


def test_something_among_the_recordings_that_is_none(recordings) -> None:
    with pytest.raises(es.TrainingError, match="recording 1 is no EventStream"):
        SpikingClassifier(make_network()).fit([recordings[0][0], 7], [0, 1])


@pytest.mark.parametrize("coding", ["rate", 3])
def test_codings_that_are_none(coding) -> None:
    with pytest.raises(es.TrainingError, match="coding must be"):
        SpikingClassifier(coding=coding).fit(*load_iris(return_X_y=True))


def test_tables_and_recordings_are_not_mixed_up(recordings, fitted) -> None:
    X, y = load_iris(return_X_y=True)
    with pytest.raises(es.TrainingError, match="was fitted with recordings: give"):
        fitted.predict(X)
    table = SpikingClassifier(hidden=(5,), epochs=1).fit(X, y)
    with pytest.raises(es.TrainingError, match="was fitted with a table"):
        table.predict(recordings[0])
