"""Training in either precision."""

import numpy as np
import pytest

from eventsnn.errors import TrainingError
from eventsnn.train.experiment import Experiment, TrainingOptions
from tests.train.toy import toy_network, toy_train


def test_the_precision_of_training_is_that_of_the_saved_weights(tmp_path):
    start = toy_network().weights
    single, double = (toy_train(tmp_path / d, dtype=d).network.weights for d in ("float32", "float64"))
    for name in start:
        assert single[name].dtype == np.float32
        assert double[name].dtype == np.float64
        assert not np.array_equal(single[name], double[name])
        # Same data, same order: float32 rounding moves spikes and Adam's steps a little, not the road.
        moved = np.abs(double[name] - start[name]).mean()
        assert np.abs(single[name] - double[name]).mean() < 0.01 * moved


def test_an_unknown_precision_is_refused_where_it_is_read():
    with pytest.raises(TrainingError, match="training: dtype must be 'float32' or 'float64', got 'half'"):
        TrainingOptions(dtype="half")
    with pytest.raises(TrainingError, match="training: dtype"):
        Experiment.from_table({"network": {}, "training": {"dtype": "float16"}})
