"""Optimisers: one module each, found by name; the settings, and the state of a projection's weights."""

from __future__ import annotations

from eventsnn.learn.optimisers.method import Constants, Method, Option
from eventsnn.learn.optimisers.registry import OPTIMISERS
from eventsnn.learn.optimisers.settings import Optimiser
from eventsnn.learn.optimisers.state import OptimiserState, Step

__all__ = ["OPTIMISERS", "Constants", "Method", "Optimiser", "OptimiserState", "Option", "Step"]
