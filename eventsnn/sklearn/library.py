"""What is taken of scikit-learn, or the error that names the extra."""

from __future__ import annotations

from eventsnn.errors import MissingExtraError

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import Tags, check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data
except ImportError as error:
    if error.name is not None and error.name.partition(".")[0] != "sklearn":
        raise  # it is there, and something that it needs is not
    raise MissingExtraError("scikit-learn 1.6 or newer", "sklearn", "eventsnn.sklearn") from None

__all__ = [
    "BaseEstimator",
    "ClassifierMixin",
    "Tags",
    "check_classification_targets",
    "check_is_fitted",
    "check_random_state",
    "column_or_1d",
    "validate_data",
]
