"""What training on a graphics card does not do, said before it begins."""

from __future__ import annotations

from eventsnn._util.ranks import Ranks
from eventsnn.errors import TrainingError
from eventsnn.learn.optimisers import Optimiser
from eventsnn.learn.rule import Rule
from eventsnn.model import Network
from eventsnn.simulate.engines import gpu

DEVICES = ("cpu", "cuda")


def check_device(
    network: Network, rule: Rule, optimiser: Optimiser, step_ms: float | None, ranks: Ranks
) -> None:
    """Raise TrainingError, saying why, for what device "cuda" cannot train.

    Parameters
    ----------
    network : Network
        Without the frozen prefix, which runs on the CPU; the rule can train it (`check_learner`).
    step_ms : float or None
        Length of the clock's step; None: exact time.
    """
    reason = _refusal(network, rule, optimiser, step_ms, ranks)
    if reason is not None:
        raise TrainingError(f"device cuda {reason}; use device cpu")


def _refusal(
    network: Network, rule: Rule, optimiser: Optimiser, step_ms: float | None, ranks: Ranks
) -> str | None:
    if step_ms is not None:
        return "trains in exact time, and engine clocked takes steps"
    exact = rule.sends == "derivatives"
    if not rule.usual_charges or (exact and rule.pulls() is None):
        return (
            f"trains with rules whose charges kernels know, such as 'hm2bp' and 'eventprop', and not with "
            f"{rule.name!r}"
        )
    reason = gpu.refusal(network)
    if reason is not None:
        return f"trains chains of layers, and {reason}"
    if not network.layers[0].fires:
        return f"trains layers that fire, and there is none below {network.output.name!r}"
    if network.decides != "count" and not exact:
        return "trains networks in which the most spikes decide, and in this one the first does"
    for layer in network.layers if exact else ():
        if layer.lateral_inhibition:
            return (
                "has exact derivatives of chains without lateral inhibition, and layer "
                f"{layer.name!r} has some"
            )
        if layer.learn:
            return f"trains weights alone, and layer {layer.name!r} is to learn {', '.join(layer.learn)}"
    for layer in network.layers:
        if layer.ties_weights:
            return (
                f"trains layers whose weights are all their own, and those of layer {layer.name!r} are tied"
            )
    if optimiser.method.constants(optimiser.learning_rate, 1) is None:
        return f"has no kernel for optimiser {optimiser.name!r}, but for adam, adamw, sgd and nesterov"
    if ranks.size > 1:
        return f"trains in one process, and there are {ranks.size}"
    return None
