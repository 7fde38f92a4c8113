from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsnn.data import k_fold, split_validation
from eventsnn.errors import TrainingError

LABELS = st.lists(st.integers(0, 4), min_size=4, max_size=60)


@given(LABELS, st.floats(0.2, 0.8), st.integers(0, 100))
def test_validation_split_is_stratified(labels, fraction, seed):
    train, valid = split_validation(labels, fraction, seed)
    assert sorted([*train, *valid]) == list(range(len(labels)))
    assert list(train) == sorted(train)
    aside = round(fraction * len(labels))
    assert len(valid) == aside
    for label in set(labels):
        share = labels.count(label) * aside / len(labels)
        assert np.floor(share) <= sum(labels[i] == label for i in valid) <= np.ceil(share)


@given(LABELS, st.integers(2, 4), st.integers(0, 100))
def test_folds_partition_and_are_stratified(labels, k, seed):
    folds = k_fold(labels, k, seed)
    assert sorted(index for _, valid in folds for index in valid) == list(range(len(labels)))
    for train, valid in folds:
        assert sorted([*train, *valid]) == list(range(len(labels)))
    for label in {None, *labels}:
        sizes = [sum(label in (None, labels[i]) for i in valid) for _, valid in folds]
        assert max(sizes) - min(sizes) <= 1


def test_seed_decides():
    labels = np.arange(100) % 10
    first, again, other = (split_validation(labels, 0.2, seed)[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    # Written down: a split must not change between versions, or published accuracies would.
    assert split_validation(labels, 0.05, 0)[1].tolist() == [7, 33, 41, 79, 95]


def test_bad_arguments():
    with pytest.raises(TrainingError, match=r"fraction must be a finite number > 0 and < 1, got 1\.0"):
        split_validation([0, 1], 1.0, 0)
    with pytest.raises(TrainingError, match=r"fraction of 0\.1 of 3 samples leaves one part empty"):
        split_validation([0, 1, 1], 0.1, 0)
    with pytest.raises(TrainingError, match=r"2 parts or more, and no more than samples \(3\): got 4"):
        k_fold([0, 1, 1], 4, 0)
    with pytest.raises(TrainingError, match=r"labels must be a list of int: got shape \(2,\), dtype float64"):
        k_fold([0.0, 1.0], 2, 0)
