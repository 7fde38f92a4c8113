"""Networks as scikit-learn classifiers (extra ``sklearn``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventsnn._util.lazy import on_demand

if TYPE_CHECKING:
    from eventsnn.sklearn.classifier import SpikingClassifier

# On demand, so that a missing scikit-learn is an error where it is needed, and names the extra.
__getattr__ = on_demand(__name__, {"SpikingClassifier": "eventsnn.sklearn.classifier"})

__all__ = ["SpikingClassifier"]
