"""scikit-learn's own checks of an estimator, on tables."""

from __future__ import annotations

import pytest

pytest.importorskip("sklearn", minversion="1.6")

from sklearn.utils.estimator_checks import parametrize_with_checks

from eventsnn.sklearn import SpikingClassifier

# None is expected to fail. Small, for time's sake; large enough to learn three clouds of points.
CLASSIFIER = SpikingClassifier(hidden=(50,), epochs=5, batch_size=5)


@parametrize_with_checks([CLASSIFIER])
def test_an_estimator_as_scikit_learn_wants_it(estimator, check) -> None:
    check(estimator)
