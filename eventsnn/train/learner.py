"""What can be trained, and the forward pass of a mini-batch on packed weights."""

from __future__ import annotations

from eventsnn._util.threads import Pool
from eventsnn.errors import TrainingError
from eventsnn.learn.rule import Rule
from eventsnn.model import Connection, Layer, Network
from eventsnn.simulate.engines.arrivals import EVERYONE, Arrivals, Kept
from eventsnn.simulate.engines.batch import BatchRun, run_batch
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.simulate.engines.sweep import refusal
from eventsnn.train.frozen_prefix import FrozenPrefix


def check_trainable(network: Network, rule: Rule | None = None) -> None:
    """Raise TrainingError, saying why, for a network that the reverse sweep or the rule cannot train."""
    reason = no_chain(network, rule)
    if reason and rule is None:
        raise TrainingError(
            f"network cannot be trained: {reason}; on a clock training takes chains of convolution, pooling "
            "and dense layers"
        )
    if reason and rule is not None and rule.sends == "errors" and (obstacle := _no_way_down(network)):
        raise TrainingError(
            f"network cannot be trained: {obstacle}; rule {rule.name!r} takes chains of convolution, pooling "
            "and dense layers, and dense layers with connections to themselves and to later layers; "
            "rules of exact derivatives, such as 'eventprop', take any network"
        )
    if not network.output.fires and rule is not None and rule.sends != "derivatives":
        raise TrainingError(
            f"layer {network.output.name!r} is a readout, which never fires, and rule {rule.name!r} counts "
            "spikes: choose a rule of exact derivatives, such as 'eventprop', or a Dense last layer"
        )
    # Labels name output neurons; those of a convolution are positions of maps.
    if network.output.shares_weights:
        raise TrainingError(f"layer {network.output.name!r}: the last layer must be a Dense one")
    # Errors of spike counts do not say how a count changes with a delay or a time constant.
    owners: list[Layer | Connection] = [*network.layers, *network.connections]
    for owner in owners:
        if owner.learn and rule is not None and rule.sends != "derivatives":
            raise TrainingError(
                f"rule {rule.name!r} trains weights alone, and {owner.owner} is to learn "
                f"{', '.join(owner.learn)}: choose a rule of exact derivatives, such as 'eventprop', or "
                "leave learn out"
            )
    if reason and rule is not None and rule.sends == "errors":
        for p in network.projections:
            if p.branches is not None or "delays" in network.layers[p.target].learn:
                raise TrainingError(
                    f"rule {rule.name!r} takes one delay for all synapses of {p.key!r}, which has several, "
                    f"where the network is more than a chain of dense weights ({reason}): choose a rule of "
                    "exact derivatives, such as 'eventprop', or give it one delay"
                )
    reason = None if rule is None else rule.refusal(network)
    if reason:
        raise TrainingError(reason)


def _no_way_down(network: Network) -> str | None:
    """Why errors of neurons have no way down through a network that is no chain; None if they have."""
    for layer in network.layers:
        if layer.shares_weights:
            return f"layer {layer.name!r} shares weights in a network that is more than a chain of layers"
    # The way down goes from layer to layer: an error that led back would have to be known before it is made.
    for p in network.projections:
        if p.source > p.target:
            return f"connection {p.key!r} leads back to an earlier layer"
    return None


def no_chain(network: Network, rule: Rule | None = None) -> str | None:
    """Why a network cannot be trained layer by layer; None if it can."""
    reason = refusal(network)
    if reason is None and rule is not None and rule.sends == "derivatives":
        for layer in network.layers:
            if layer.lateral_inhibition:
                return f"layer {layer.name!r} has lateral inhibition"
    return reason


def run_forward(
    packed: PackedNetwork,
    samples: Arrivals,
    pool: Pool,
    prefix: FrozenPrefix | None = None,
    kept: Kept = EVERYONE,
    hold: bool = False,
    divide: bool = False,
) -> BatchRun:
    """Spikes of every layer for a mini-batch; see `run_batch` for arguments and errors.

    `prefix` is what the input spikes go through first.
    """
    ends = samples.ends  # of the input: after the prefix, a sample's last spike may come earlier or later
    if prefix is not None:
        samples = prefix.spikes(samples, pool)
    if 0 in kept:
        samples = samples.where(kept[0])
    return run_batch(packed, samples, ends, pool, kept, hold, divide)
