"""The authors' checkpoint text: read into a network, and refused where it does not fit."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

import eventsnn as es
from eventsnn.data.images import Images
from eventsnn.model.authors import import_weights, published_cnn
from eventsnn.train.evaluate import evaluate
from tests.real_data import real_data


def small_network() -> es.Network:
    return es.Network(
        es.Input(4, 3),
        es.Conv(2, 2, threshold=1.0),
        es.Pool((1, 3), threshold=1.0),
        es.Dense(2, name="output", threshold=1.0, lateral_inhibition=0.5),
    )


# 2 x 1 x 2 x 2 weights and 2 biases; 2 x 4 weights, 2 x 2 lateral ones and 2 biases.
NUMBERS = [*range(8), 0, 0, *range(10, 18), 0, -0.5, -0.5, 7, 0, 0]


def write(path: Path, numbers: list, packed: bool = False) -> Path:
    text = " ".join(str(number) for number in numbers).encode() + b" \n"
    path.write_bytes(gzip.compress(text) if packed else text)
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_weights_in_the_order_of_the_file(tmp_path: Path, packed: bool) -> None:
    network = import_weights(write(tmp_path / "weights.txt", NUMBERS, packed), small_network())
    np.testing.assert_array_equal(network.weights["conv"], np.arange(8.0).reshape(2, 1, 2, 2))
    np.testing.assert_array_equal(network.weights["output"], np.arange(10.0, 18.0).reshape(2, 4))


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        (NUMBERS[:-1], r"holds 23 numbers, and network .* needs 24"),
        ([*NUMBERS[:-1], "x"], "not a text file of numbers"),
        ([*NUMBERS[:-1], "nan"], "number 23 is not finite"),
        ([*NUMBERS[:-1], 0.1], "layer 'output' has biases that are not 0"),
        ([*NUMBERS[:19], -1, -1, *NUMBERS[21:]], r"'output' are -1 .. -1, .* stands for -0\.5"),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, numbers: list, text: str) -> None:
    path = write(tmp_path / "weights.txt", numbers)
    with pytest.raises(es.NetworkError, match=text) as error:
        import_weights(path, small_network())
    assert str(path) in str(error.value)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(es.NetworkError, match="cannot be read"):
        import_weights(tmp_path / "none.txt", small_network())
    path = write(tmp_path / "cut.txt.gz", NUMBERS, packed=True)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(es.NetworkError, match="damaged or cut"):
        import_weights(path, small_network())


def test_published_weights_decide_as_published() -> None:
    # All 10,000 test images are for docs/clocked.md: 99.4 % and more of them are right.
    path = real_data("published", "hm2bp_cnn_mnist_checkpoint.txt.gz")
    network = import_weights(path, published_cnn())
    data = Images.open(real_data("mnist"), "test", limit=100)
    outcome = evaluate(network, data, engine="clocked")
    assert outcome.n == 100
    assert outcome.accuracy >= 0.98
