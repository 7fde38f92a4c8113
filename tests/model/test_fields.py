"""Weights as images over what a neuron sees."""

from __future__ import annotations

import numpy as np
import pytest

import eventsnn as es
from eventsnn.model.fields import receptive_fields, strongest_fields


def test_fields_of_a_dense_layer() -> None:
    weights = np.zeros((3, 2 * 4 * 5))
    weights[1, 7] = 2.0
    weights[2, 3] = -3.0
    network = es.Network(es.Input(5, 4, 2), es.Dense(3), weights={"output": weights})
    fields = receptive_fields(network)
    assert fields is not None
    np.testing.assert_array_equal(fields, weights.reshape(3, 2, 4, 5))
    assert strongest_fields(fields, 2).tolist() == [2, 1]


@pytest.mark.parametrize("bias", [False, True])
def test_fields_of_a_convolution_are_its_kernels(bias: bool) -> None:
    network = es.Network(es.Input(8, 8), es.Conv(4, kernel=3, bias=bias), es.Pool(2), es.Dense(2), seed=1)
    kernels = np.asarray(network.weights["conv"]).reshape(4, -1)[:, :9]
    np.testing.assert_array_equal(receptive_fields(network), kernels.reshape(4, 1, 3, 3))
    assert receptive_fields(network, "pool") is None
    assert np.shape(receptive_fields(network, "output")) == (2, 4, 3, 3)
