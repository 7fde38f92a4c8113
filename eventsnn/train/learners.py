"""Which learner trains a network: layer by layer in exact time or on a clock, or any graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from eventsnn.gpu.device import Device
from eventsnn.learn.constants import LearnedConstants
from eventsnn.learn.rule import Rule
from eventsnn.model import Network
from eventsnn.simulate.engines.division import WHOLE, Division
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.train.backward import ExactLearner
from eventsnn.train.clocked import ClockedLearner, check_clocked
from eventsnn.train.downward import Learner
from eventsnn.train.frozen_prefix import FrozenPrefix
from eventsnn.train.graph import GraphLearner
from eventsnn.train.graph_weights import GraphWeights
from eventsnn.train.learner import check_trainable, no_chain


def check_learner(network: Network, rule: Rule, step_ms: float | None) -> None:
    """Raise TrainingError, saying why, for a network that cannot be trained so; see `make_learner`."""
    check_trainable(network, rule)
    if step_ms is not None:
        check_clocked(network, step_ms, rule)


def make_learner(
    network: Network,
    rule: Rule,
    real: type[np.floating],
    step_ms: float | None,
    prefix: FrozenPrefix | None,
    constants: LearnedConstants,
    division: Division = WHOLE,
    device: Device | None = None,
) -> tuple[PackedNetwork | GraphWeights, Learner[Any]]:
    """The weights that are trained, and what trains them.

    Parameters
    ----------
    network : Network
        Without the frozen prefix.
    real : numpy.float32 or numpy.float64
        Precision of weights and state.
    step_ms : float or None
        Length of the clock's step; None: exact time.
    prefix : FrozenPrefix or None
        What the input spikes go through first.
    constants : LearnedConstants
        What is learned besides weights.
    division : Division
        What the processes of a launcher compute each.
    device : Device, optional
        Where chains of layers are trained in exact time; the CPU by default.
    """
    if device is not None:
        from eventsnn.train.device import DeviceLearner

        packed = PackedNetwork(network, real)
        return packed, DeviceLearner(packed, device, prefix, rule.sends == "derivatives")
    if step_ms is None and no_chain(network, rule):
        weights = GraphWeights(network, real)
        return weights, GraphLearner(weights, prefix, constants, division)
    if step_ms is None:
        packed = PackedNetwork(network, real, division)
        return packed, ExactLearner(packed, prefix, constants, rule)
    packed = PackedNetwork(network, real)
    return packed, ClockedLearner(packed, step_ms, prefix)
