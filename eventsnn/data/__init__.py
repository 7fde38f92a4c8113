"""Sources of labelled recordings."""

from __future__ import annotations

from eventsnn.data.nmnist import NMNIST
from eventsnn.data.source import LabelledSource

__all__ = ["NMNIST", "LabelledSource"]
