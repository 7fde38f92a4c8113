"""Steps of the clock: the step of a time, the number of steps of a sample, the networks that it can run."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from eventsnn._util.arguments import check_kind
from eventsnn.errors import NetworkError, SimulationError
from eventsnn.model import Layer, Network, Projection
from eventsnn.model.layers import BIAS, SLACK

MOST_STEPS = 1_000_000

# Times are multiples of 1 us, and steps of 0.1 ms, say, no binary number: 0.3 / 0.1 must be 3, not 2.99...96.
# The quotient of two float64 is wrong by 2e-10 at the most, up to MOST_STEPS.
_NEAR = 1e-9
# A refractory period or a delay of 1.2 ms is 2 steps of 0.6 ms up to its rounding.
_WHOLE = 1e-6


def to_steps(times: np.ndarray, step_ms: float) -> np.ndarray:
    """The steps that times in ms fall into, floor(t / step_ms); float64, whole.

    A time within 1e-9 of a step before the next one belongs to that.
    """
    steps: np.ndarray = np.floor(times / step_ms + _NEAR)
    return steps


def last_step(time_ms: float, step_ms: float) -> int:
    """The step that a time falls into; 2^62 beyond that."""
    return math.floor(min(time_ms / step_ms + _NEAR, 2.0**62))


def count_steps(duration_ms: float, step_ms: float) -> int:
    """Steps of a sample that lasts so long: those that begin before its end; 2^62 for more than that."""
    return math.ceil(min(duration_ms / step_ms - _NEAR, 2.0**62))


def latency_steps(delay_ms: float, step_ms: float) -> int:
    """Steps from a spike to its effect: at least the one that it takes anyway, and no more than a run has."""
    return max(1, round(min(delay_ms / step_ms, MOST_STEPS)))


def further_connections(network: Network) -> list[Projection]:
    """Connections besides the chain of layers that the clock follows, those within reservoirs included."""
    chain = {*network.names}
    return [p for p in network.projections if p.source != BIAS and not p.lateral and p.key not in chain]


def sparse_weights(network: Network, projection: Projection) -> Any:
    """Weights (post, pre) of a connection that are not 0, as ``scipy.sparse.coo_array``."""
    from scipy.sparse import coo_array

    return coo_array(network.projection_weights(projection))


def check_network(network: object) -> None:
    """Raise NetworkError unless the argument is a network (it may be the name of a file, for instance)."""
    check_kind("network", network, Network, NetworkError, "; Network.load reads a model file")


def check_length(steps: int, step_ms: float, what: str) -> None:
    """Raise SimulationError, naming the argument `what`, for more steps than the clock can count."""
    if steps > MOST_STEPS:
        raise SimulationError(
            f"{what}: engine 'clocked' takes up to {MOST_STEPS} steps of {step_ms:g} ms, got "
            f"{steps * step_ms:.10g} ms"
        )


def refusal(network: Network, step_ms: float) -> str | None:
    """Why the clock cannot run this network in steps of `step_ms`; None if it can."""
    if not network.output.fires:
        return f"layer {network.output.name!r} is a readout, which takes exact time"
    for layer in network.layers:
        problem = _layer_refusal(layer, step_ms)
        if problem:
            return f"layer {layer.name!r}{problem}"
    for key in network.delays:
        return f"connection {key!r}: a delay for each synapse is for exact time; give one number"
    for p in further_connections(network):
        if not _is_whole(p.delay / step_ms):
            return f"connection {p.key!r}: delay must be whole steps of {step_ms:g} ms, got {p.delay:g} ms"
    return None


def _layer_refusal(layer: Layer, step_ms: float) -> str | None:
    if layer.each_delay is not None:
        return ": a delay for each source neuron is for exact time; give one number"
    for name in ("refractory", "delay"):
        time = getattr(layer, name)
        if not _is_whole(time / step_ms):
            return f": {name} must be whole steps of {step_ms:g} ms, got {time:g} ms"
    for name in ("tau_m", "tau_s"):
        tau = getattr(layer, name)
        if tau / step_ms < 1.0 - _WHOLE:
            return f": {name} must not be shorter than a step of {step_ms:g} ms, got {tau:g} ms"
    if layer.threshold <= SLACK:
        return f": threshold must be above {SLACK:g}, got {layer.threshold:g}"
    # What float32 may add to the potential of a neuron at rest, step after step.
    rounding = 2.0**-22 * layer.resting * max(1.0, layer.tau_m / step_ms)
    if layer.threshold - layer.resting <= SLACK + rounding:
        return (
            f": resting = {layer.resting:.10g} is so near to threshold = {layer.threshold:.10g} that a "
            "neuron would fire without input; take them further from each other"
        )
    return None


def _is_whole(steps: float) -> bool:
    return abs(steps - round(steps)) <= _WHOLE * max(1.0, steps)
