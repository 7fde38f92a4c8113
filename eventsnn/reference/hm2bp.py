"""The learning rule in plain Python loops over spike pairs: slow, the oracle of everything faster."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from eventsnn.errors import TrainingError
from eventsnn.model import LIF, Layer, Network, bias
from eventsnn.reference.lif import constants, respond

Trains = list[list[float]]  # spike times of each neuron, ms, ascending
Matrix = list[list[float]]  # [post][pre]

_constants = lru_cache(constants)


def kernel(s: float, t: float, lif: LIF) -> float:
    """PSP at a post-synaptic spike of one arrival, `s` ms after the last reset and `t` ms after the arrival.

    eps(s, t) = k e^{-max(t-s, 0)/tau_s} (e^{-min(s,t)/tau_m} - e^{-min(s,t)/tau_s}) with
    k = tau_m / (tau_m - tau_s), the kernel of Jin, Zhang & Li (NeurIPS 2018).
    """
    acting = min(s, t)
    if acting <= 0.0:
        return 0.0
    return math.exp(-max(t - s, 0.0) / lif.tau_s) * respond(_constants(lif), acting)[1]


def spsp_pairs(pre: Trains, post: Trains, lif: LIF) -> Matrix:
    """S-PSPs [post][pre]: the kernel summed over all pairs of an arrival and a later post-synaptic spike."""
    e = [[0.0] * len(pre) for _ in post]
    for i, spikes in enumerate(post):
        for f, spike in enumerate(spikes):
            s = spike - (spikes[f - 1] + lif.refractory) if f else math.inf
            for j, arrivals in enumerate(pre):
                for arrival in arrivals:
                    if arrival < spike:
                        e[i][j] += kernel(s, spike - arrival, lif)
    return e


def resting_spsp(spikes: list[float], lif: LIF, start: float = 0.0) -> float:
    """S-PSP of the resting potential E on a neuron: sum over its spikes of 1 - e^{-(t - r)/tau_m}.

    After a reset at r, or after the `start` of time, the potential has a share E (1 - e^{-(t-r)/tau_m}): that
    of an input of weight E. The S-PSPs of other inputs do not depend on E.
    """
    resets = [start, *(t + lif.refractory for t in spikes[:-1])][: len(spikes)]
    return sum(-math.expm1(-max(t - r, 0.0) / lif.tau_m) for t, r in zip(spikes, resets, strict=True))


def trains(spikes: Any, delay: float | tuple[float, ...] = 0.0) -> Trains:
    """Spike times of every neuron of a layer, `delay` ms later, or each by its own."""
    each = delay if isinstance(delay, tuple) else (delay,) * spikes.size
    return [[t + each[neuron] for t in spikes.of(neuron).tolist()] for neuron in range(spikes.size)]


def gradients(
    network: Network,
    record: Any,
    label: int,
    duration_ms: float,
    rule: Any,
    sample_weight: float = 1.0,
    *,
    spsp: Callable[[Trains, Trains, LIF], Matrix] | None = None,
    forced: list[float] | None = None,
    latency: float = 0.0,
) -> dict[str, np.ndarray]:
    """Gradients of one sample for every trainable weight, without penalty and weight decay.

    Parameters
    ----------
    network : Network
        A chain of convolution, pooling and dense layers; the output layer may have lateral inhibition.
    record : SpikeRecord
        Its spikes on the sample.
    label : int
        Output neuron of the right class.
    duration_ms : float
        Length of the sample, over which the forced spikes of a silent label neuron are spread.
    rule : HM2BP
    sample_weight : float
        Boosting weight.
    spsp : callable, optional
        S-PSPs of trains; `spsp_pairs` by default, `spsp_clocked.spsp_steps` for clocked spikes.
    forced : list of float, optional
        Times of the forced spikes of a silent label neuron, ms, in place of those spread over `duration_ms`.
    latency : float
        How much of a delay every spike has anyway, ms: on a clock the one step that `spsp` knows of.

    Returns
    -------
    dict of str to float64 array (post, pre), of a convolution (channels, source channels, y, x)
        By layer name; with biases their column is the last.

    Raises
    ------
    TrainingError
        For a network that the rule is not defined for, or a label without an output neuron.
    """
    check_trainable(network, label)
    spsp = spsp or spsp_pairs
    output = network.output
    fired = trains(record.output)
    d = count_errors([len(train) for train in fired], label, rule)
    lam = lateral_factors(spsp(fired, fired, output.lif), fired, label, output)
    delta = [sample_weight * error / output.threshold for error in d]
    if rule.force_label_spikes and not fired[label]:
        spread = [m * (duration_ms / rule.desired) for m in range(1, rule.desired + 1)]
        fired[label] = spread if forced is None else forced

    result = {}
    for number in reversed(range(len(network.layers))):
        layer, name = network.layers[number], network.names[number]
        below = record.input if number == 0 else record[network.names[number - 1]]
        delay = max(layer.bias_delay - latency, 0.0)
        arrivals = trains(below, delay if layer.each_delay is None else layer.each_delay)
        if layer.has_bias:
            last = float(np.max(record.input.times, initial=0.0))
            arrivals.append([t + delay for t in bias.spike_times(network.input, last).tolist()])
        weights = layer.shared_weights(network.weights.get(name))
        gradient, errors = _learn_layer(
            layer, weights.ravel().tolist(), spsp, arrivals, fired, delta, lam, rule, latency
        )
        if layer.trainable:
            result[name] = layer.own_gradient(np.reshape(gradient, weights.shape))
        if number > 0:
            divisor = error_divisor(layer, network.layers[number - 1])
            delta = [error / divisor for error in errors[: below.size]]
            fired, lam = trains(below), [1.0] * below.size
    return {name: result[name] for name in network.names if name in result}


def uses_effect_ratio(layer: Layer, rule: Any) -> bool:
    """Whether a layer passes its errors down through rho: the option is one of dense layers."""
    return rule.effect_ratio or layer.uses_effect_ratio


def error_divisor(layer: Layer, below: Layer) -> float:
    """The divisor of ``sum_i delta_i w_ij rho_{i|j}`` that gives the errors of the layer below.

    Each trained layer's delta has its own 1/nu. That of a pooling layer has none: it only hands down, to each
    cell of a window its share, 1 / area.
    """
    return layer.error_divisor * below.potential_per_spike


def _learn_layer(
    layer: Layer,
    weights: list[float],
    spsp: Callable[[Trains, Trains, LIF], Matrix],
    pre: Trains,
    post: Trains,
    delta: list[float],
    lam: list[float],
    rule: Any,
    start: float,
) -> tuple[list[float], list[float]]:
    """Gradients of shared weights, and the errors that go down before their division; synapse by synapse.

    The total PSP has a share of the resting potential, as of an input of that weight. Time begins at `start`.
    """
    gradient, errors = [0.0] * len(weights), [0.0] * len(pre)
    for i, inputs in enumerate(_synapses(layer)):
        e = spsp([pre[j] for j, _ in inputs], [post[i]], layer.lif)[0]
        if not post[i]:
            e = [rule.silent_post_spsp if pre[j] else 0.0 for j, _ in inputs]
        ratios = [value / len(post[i]) if post[i] else rule.silent_post_ratio for value in e]
        weighted = [weights[place] * ratio for (_, place), ratio in zip(inputs, ratios, strict=True)]
        self_ratio = (
            resting_spsp(post[i], layer.lif, start) / len(post[i]) if post[i] else rule.silent_post_ratio
        )
        self_term = (sum(weighted) + layer.resting * self_ratio) / layer.threshold
        for (j, place), value in zip(inputs, e, strict=True):
            gradient[place] += delta[i] * value * (1.0 + self_term) * lam[i]
            both = pre[j] and post[i] and uses_effect_ratio(layer, rule)
            errors[j] += delta[i] * weights[place] * (value / len(pre[j]) if both else 1.0)
    return gradient, errors


def _synapses(layer: Layer) -> list[list[tuple[int, int]]]:
    """(source neuron, place of the shared weight) of the inputs of each neuron; none outside the image."""
    rows, connected = layer.rows.tolist(), layer.connected.tolist()
    return [
        [(j, channel * layer.inputs + k) for k, j in enumerate(row) if j >= 0 and connected[channel][k]]
        for channel in range(layer.channels)
        for row in rows
    ]


def check_trainable(network: Network, label: int) -> None:
    """Refuse networks that the rule is not defined for, and labels without an output neuron.

    Raises
    ------
    TrainingError
        Naming the connection, the layer or the label.
    """
    if network.connections:
        key = network.connections[0].key
        raise TrainingError(f"connection {key!r}: HM2-BP trains chains of layers; remove the connection")
    for layer in network.layers[:-1]:
        if layer.lateral_inhibition:
            raise TrainingError(
                f"layer {layer.name!r}: HM2-BP knows lateral inhibition in the output layer only"
            )
    if not 0 <= label < network.output.neurons:
        raise TrainingError(f"label {label}: the output layer has {network.output.neurons} neurons")


def count_errors(counts: list[int], label: int, rule: Any) -> list[float]:
    """Derivatives of the loss by the output counts; the readable form of the heads ``count`` and ``softmax``.

    Raises
    ------
    TrainingError
        For another head, which has no readable form here.
    """
    if rule.head not in ("count", "softmax"):
        raise TrainingError(f"head {rule.head!r} has no readable form; there are count, softmax")
    if rule.head == "softmax":
        powers = [math.exp(count - max(counts)) for count in counts]
        return [power / sum(powers) - (i == label) for i, power in enumerate(powers)]
    d = [count - (rule.desired if i == label else rule.undesired) for i, count in enumerate(counts)]
    return [error if abs(error) > rule.margin else 0.0 for error in d]


def lateral_factors(e: Matrix, fired: Trains, label: int, output: Any) -> list[float]:
    """lambda_i of an output layer, from its true spikes and their S-PSPs on each other."""
    n, strength = len(fired), output.lateral_inhibition

    def q(a: int, b: int) -> float:
        rho = e[b][a] / len(fired[a]) if fired[a] and fired[b] else 1.0
        return rho / output.threshold if fired[b] or b == label else 0.0

    loops = [sum(q(i, other) * q(other, i) for other in range(n) if other != i) for i in range(n)]
    rests = [1.0 - strength**2 * loop for loop in loops]
    return [1.0 / denominator if denominator > 0.0 else 1.0 for denominator in rests]
