"""HM2-BP with S-PSPs from loops over pairs of spikes: slow, the oracle of everything faster.

S-PSPs come from one of two functions, `spsp_pairs` or `eventsnn.reference.spsp_clocked.spsp_steps`; what
follows from them is the same in exact time and on a clock (`eventsnn.reference.macro`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from eventsnn._util.words import number_of
from eventsnn.errors import TrainingError
from eventsnn.model import LIF, Layer, Network, bias
from eventsnn.reference import macro
from eventsnn.reference.lif import constants, respond

Trains = list[list[float]]  # spike times of each neuron, ms, ascending
Matrix = list[list[float]]  # [post][pre]


def kernel(s: float, t: float, lif: LIF) -> float:
    """PSP at a post-synaptic spike of one arrival, `s` ms after the last reset and `t` ms after the arrival.

    eps(s, t) = k e^{-max(t-s, 0)/tau_s} (e^{-min(s,t)/tau_m} - e^{-min(s,t)/tau_s}) with
    k = tau_m / (tau_m - tau_s), the kernel of Jin, Zhang & Li (NeurIPS 2018).
    """
    acting = min(s, t)
    if acting <= 0.0:
        return 0.0
    return math.exp(-max(t - s, 0.0) / lif.tau_s) * respond(constants(lif), acting)[1]


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
    lam = lateral_factors(fired, label, output, spsp)
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
            layer, weights.ravel(), spsp, arrivals, fired, delta, lam, rule, latency
        )
        if layer.trainable:
            result[name] = layer.own_gradient(gradient.reshape(weights.shape))
        if number > 0:
            divisor = error_divisor(layer, network.layers[number - 1])
            delta = (errors[: below.size] / divisor).tolist()
            fired, lam = trains(below), np.ones(below.size)
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
    weights: np.ndarray,
    spsp: Callable[[Trains, Trains, LIF], Matrix],
    pre: Trains,
    post: Trains,
    delta: list[float],
    lam: np.ndarray,
    rule: Any,
    start: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of shared weights, and the errors that go down before their division; neuron by neuron.

    The total PSP has a share of the resting potential, as of an input of that weight. Time begins at `start`.
    """
    gradient, errors = np.zeros(len(weights)), np.zeros(len(pre))
    for i, inputs in enumerate(_synapses(layer)):
        sources, places = map(list, zip(*inputs, strict=True))
        own_count, pre_counts = np.array([len(post[i])]), np.array([len(pre[j]) for j in sources])
        e = np.array(spsp([pre[j] for j in sources], [post[i]], layer.lif))
        e = macro.apply_silent_rule(e, pre_counts, own_count, rule)
        w = weights[places][None].astype(float)
        resting = resting_spsp(post[i], layer.lif, start)
        with_resting = np.append(w, [[layer.resting]], axis=1), np.append(e, [[resting]], axis=1)
        s = macro.self_term(*with_resting, own_count, layer.threshold, rule)
        gradient[places] += macro.weight_gradient(np.array([delta[i]]), e, s, lam[i])[0]
        ratio = macro.ratio_by_pre(e, pre_counts, own_count)
        rho = ratio if uses_effect_ratio(layer, rule) else np.ones_like(e)
        errors[sources] += (delta[i] * w * rho)[0]
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
        raise TrainingError(
            f"label {label}: the output layer has {number_of(network.output.neurons, 'neuron')}"
        )


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


def lateral_factors(
    fired: Trains, label: int, output: Layer, spsp: Callable[[Trains, Trains, LIF], Matrix]
) -> np.ndarray:
    """lambda_i of an output layer, from its true spikes and their S-PSPs on each other."""
    counts = np.array([len(train) for train in fired])
    active = (counts > 0) | (np.arange(len(fired)) == label)
    e = np.array(spsp(fired, fired, output.lif))
    return macro.lateral_factor(e, counts, active, output.threshold, output.lateral_inhibition)
