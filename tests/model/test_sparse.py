"""Sparse weights: given, drawn, checked, saved; what cannot use them says so."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse

from eventsnn.errors import NetworkError, SimulationError, TrainingError
from eventsnn.model import Connection, Dense, Input, Network
from eventsnn.simulate.engines import sweep
from eventsnn.train.learner import check_trainable


def make_network(weights=None, **more) -> Network:
    layer = Dense(6, name="n")
    return Network(Input(4), layer, connections=[Connection("n", "n", delay=1.0, **more)], weights=weights)


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "dia"])
@pytest.mark.parametrize("kind", ["array", "matrix"])
def test_any_format_is_taken(form, kind):
    dense = np.where(np.arange(36).reshape(6, 6) % 5 == 0, 1.5, 0.0)
    given = getattr(sparse, f"coo_{kind}")(dense).asformat(form)
    network = make_network({"n": np.ones((6, 4)), "n->n": given})
    assert network.sparse_keys == ("n->n",)
    found = network.weights["n->n"]
    assert found.format == "csr"
    assert found.dtype == np.float64
    assert np.array_equal(network.projection_weights(network.projections[1]), dense)
    for post in range(6):
        assert np.array_equal(network.afferent_weights(network.projections[1], post), dense[post])
    with pytest.raises(ValueError, match="read-only"):
        found.data[0] = 2.0


def test_duplicates_are_added_up_and_whole_numbers_become_float64():
    given = sparse.coo_array(([1, 2, 4], ([0, 0, 5], [3, 3, 1])), shape=(6, 6))
    weights = make_network({"n": np.ones((6, 4), np.float32), "n->n": given}).weights["n->n"]
    assert (weights.dtype, weights.nnz, weights[0, 3], weights[5, 1]) == (np.float64, 2, 3.0, 4.0)


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        (sparse.eye_array(5), r"weights of 'n->n' must have shape \(6, 6\) \(post, pre\), got \(5, 5\)"),
        (sparse.eye_array(6, dtype=complex), "weights of 'n->n' must be numbers, got dtype complex128"),
        (
            sparse.coo_array(([np.nan], ([2], [4])), shape=(6, 6)),
            "weights of 'n->n': the weight of post 2, pre 4 is nan",
        ),
    ],
)
def test_bad_weights_are_named(weights, text):
    with pytest.raises(NetworkError, match=text):
        make_network({"n": np.ones((6, 4)), "n->n": weights})


def test_random_weights_are_drawn_from_the_seed():
    def draw(seed: int) -> Network:
        layers = Dense(300, name="a", probability=0.25, initial_weight=2.0), Dense(10)
        return Network(
            Input(200), *layers, connections=[Connection("a", "a", delay=1.0, probability=0.1)], seed=seed
        )

    one, again, other = draw(7), draw(7), draw(8)
    assert one.sparse_keys == ("a", "a->a")
    for key, probability in (("a", 0.25), ("a->a", 0.1)):
        weights = one.weights[key]
        cells = weights.shape[0] * weights.shape[1]
        # Five standard deviations of a binomial number.
        assert abs(weights.nnz - cells * probability) < 5.0 * (cells * probability * (1 - probability)) ** 0.5
        assert (weights != again.weights[key]).nnz == 0
        assert (weights != other.weights[key]).nnz > 0
        assert weights.dtype == np.float32
        per_row = np.diff(weights.indptr)
        assert 0 < per_row.min() < per_row.max()
    assert 1.9 < np.abs(one.weights["a"].data).max() <= 2.0
    # A dense layer's weights are what they were.
    assert np.array_equal(
        one.weights["output"], Network(Input(200), Dense(300), Dense(10), seed=7).weights["output"]
    )


@pytest.mark.parametrize("value", [0.0, -0.1, 1.5, float("nan"), "0.1", True])
def test_probability_is_checked(value):
    with pytest.raises(NetworkError, match="probability must be a finite number > 0 and <= 1, got"):
        Connection("a", "b", probability=value)
    with pytest.raises(NetworkError, match="probability must be a finite number > 0 and <= 1, got"):
        Dense(3, probability=value)


def test_saved_and_loaded(tmp_path):
    network = make_network(probability=0.4)
    network.save(tmp_path / "net.h5")
    loaded = Network.load(tmp_path / "net.h5")
    assert loaded.to_table() == network.to_table()
    assert loaded.sparse_keys == ("n->n",)
    a, b = network.weights["n->n"], loaded.weights["n->n"]
    assert (a.dtype, a.nnz) == (b.dtype, b.nnz)
    assert (a != b).nnz == 0
    assert list(tmp_path.iterdir()) == [tmp_path / "net.h5"]


@pytest.mark.parametrize("part", ["indices", "indptr"])
def test_damaged_files_are_refused(tmp_path, part):
    import h5py

    make_network(probability=0.4).save(tmp_path / "net.h5")
    with h5py.File(tmp_path / "net.h5", "r+") as file:
        file[f"weights/n->n/{part}"][1] = 99
    with pytest.raises(NetworkError, match=r"net\.h5: description or weights are damaged"):
        Network.load(tmp_path / "net.h5")


def test_who_cannot_use_them_says_so():
    network = Network(Input(4), Dense(6, name="n", probability=0.5), seed=1)
    with pytest.raises(SimulationError, match=r"the weights of 'n' are sparse; use engine='queue'"):
        sweep.run(network, np.array([1.0]), np.array([0]))
    with pytest.raises(TrainingError, match="cannot be trained: the weights of 'n' are sparse"):
        check_trainable(network)


def test_importing_eventsnn_does_not_import_scipy():
    code = "import sys, eventsnn; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
