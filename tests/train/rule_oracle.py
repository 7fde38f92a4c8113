"""HM2-BP by brute force: double sums over pairs of spikes, on networks written out synapse by synapse.

An oracle that shares nothing with the package but the description of a network. Written from the paper (Jin,
Zhang & Li, NeurIPS 2018: the kernel eps(s, t), the equations of output and hidden layers) and, for silent
neurons, pooling and whole steps, from what the authors' program computes. Spike trains are taken as given.

A layer is two arrays (post-synaptic neurons, synapses of each): `pre`, the source neuron or -1 outside the
image, and `place`, the position of the synapse's weight in the layer's flat weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eventsnn.model import Conv, Dense, Pool


@dataclass(frozen=True)
class Rule:
    """Constants of the rule: the authors' by default."""

    desired: int = 35
    undesired: int = 5
    margin: float = 5.0
    effect_ratio: bool = True
    silent_spsp: float = 0.1
    silent_ratio: float = 0.5
    softmax: bool = False

    @classmethod
    def of(cls, rule):
        """Those of a rule of the package."""
        names = ("desired", "undesired", "margin", "effect_ratio", "silent_post_spsp", "silent_post_ratio")
        return cls(*(getattr(rule, name) for name in names), softmax=rule.head == "softmax")


# -- S-PSPs


def pair_kernel(s, t, tau_m, tau_s):
    """eps(s, t) of the paper, s ms after the last reset, t ms after the arrival; without cancellation."""
    x = np.minimum(s, t)
    if tau_m == tau_s:
        rise = x / tau_m * np.exp(-x / tau_m)
    elif tau_m > tau_s:
        rise = -np.exp(-x / tau_m) * np.expm1(-x * (1 / tau_s - 1 / tau_m)) / (1 - tau_s / tau_m)
    else:
        rise = -np.exp(-x / tau_s) * np.expm1(-x * (1 / tau_m - 1 / tau_s)) / (tau_s / tau_m - 1)
    return np.exp(-np.maximum(t - s, 0) / tau_s) * rise


def spsp_exact(arrivals, spikes, layer):
    """e of one pair of neurons in exact time."""
    reset = np.concatenate([[-np.inf], spikes[:-1] + layer.refractory])
    s, t = (spikes - reset)[:, None], spikes[:, None] - arrivals
    acts = (t > 0) & (s > 0)
    return pair_kernel(np.where(acts, s, 0.0), np.where(acts, t, 0.0), layer.tau_m, layer.tau_s).sum()


def spsp_clock(arrivals, spikes, layer):
    """e of one pair of neurons in whole steps: times of the authors' loops."""
    tp, tj = spikes[:, None], arrivals
    tl = np.concatenate([[1], spikes[:-1] + layer.refractory])[:, None]
    s, t = tp - tl, tp - (tj + layer.refractory)
    acts = (tj >= np.maximum(1, tp - 4 * layer.tau_m)) & (tj < tp) & (t >= 0) & (s > 0)
    return pair_kernel(np.where(acts, s, 0.0), np.where(acts, t, 0.0), layer.tau_m, layer.tau_s).sum()


def spsp_resting(spikes, layer, clock):
    """e of the resting potential, an input of that weight: what it has brought by each spike since the reset.

    Between resets tau_m du/dt = E - u + ..., so that E's share is E (1 - exp(-s/tau_m)).
    """
    reset = np.concatenate([[1.0 if clock else 0.0], spikes[:-1] + layer.refractory])[: len(spikes)]
    return -np.expm1(-np.maximum(spikes - reset, 0.0) / layer.tau_m).sum()


def spsp_matrix(pre, trains, post, layer, clock):
    """e (post, synapses) of the written-out layer; 0 outside the image."""
    spsp = spsp_clock if clock else spsp_exact
    # On a clock every spike needs a step anyway, and spsp_clock knows of that one.
    delay = max(layer.delay - 1, 0) if clock else layer.delay
    arrivals = [np.asarray(train) + delay for train in trains]
    e = np.zeros(pre.shape)
    for i, spikes in enumerate(post):
        for k, j in enumerate(pre[i]):
            if j >= 0 and len(arrivals[j]) and len(spikes):
                e[i, k] = spsp(arrivals[j], spikes, layer)
    return e


# -- layers written out


def synapses(layer, source_size, bias):
    """(pre, place) of a layer; `bias` is 1 if it has biases: a neuron that follows the source's neurons."""
    if isinstance(layer, Dense):
        n = source_size + bias
        return np.tile(np.arange(n), (layer.neurons, 1)), np.arange(layer.neurons * n).reshape(-1, n)
    channels, height, width = layer.source_shape
    conv = isinstance(layer, Conv)
    ky, kx = layer.kernel if conv else layer.size
    (sy, sx), (py, px) = layer.stride, layer.padding if conv else (0, 0)
    dy, dx = layer.dilation if conv else (1, 1)
    pre, place = [], []
    for m, y, x in np.ndindex(*layer.shape):
        own, where = [], []
        for c, v, u in np.ndindex(channels, ky, kx):
            row, column = y * sy - py + v * dy, x * sx - px + u * dx
            inside = 0 <= row < height and 0 <= column < width
            if conv or c == m:
                own.append((c * height + row) * width + column if inside else -1)
                where.append(((m * channels + c) * ky + v) * kx + u + m * bias)
        if bias:
            own.append(channels * height * width)
            where.append((m + 1) * (channels * ky * kx + 1) - 1)
        pre.append(own)
        place.append(where)
    return np.array(pre), np.array(place)


# -- the rule


def gradients(network, trains, label, duration, rule, *, clock=False, weight=1.0, bias=None):
    """Gradients of one sample, dict of float64 arrays shaped as the network's weights.

    Parameters
    ----------
    trains : list of lists of arrays
        Spike times, ms or steps: of the input's neurons, then of each layer's.
    duration : float
        Of the sample, ms; in steps with `clock`.
    weight : float
        Boosting weight of the sample.
    bias : array, optional
        Spike times of the bias neuron.
    """
    output = network.layers[-1]
    post = [np.asarray(train) for train in trains[-1]]
    delta = weight * count_errors([len(t) for t in post], label, rule) / output.threshold
    factor = lateral_factors(post, label, output, clock)
    if not len(post[label]):
        post[label] = forced_spikes(duration, rule.desired, clock)
    found = {}
    for number in reversed(range(len(network.layers))):
        layer, source = network.layers[number], [np.asarray(t) for t in trains[number]]
        biased = bias is not None and not isinstance(layer, Pool)
        pre, place = synapses(layer, len(source), int(biased))
        source += [np.asarray(bias)] if biased else []
        inside = pre >= 0
        o_post = np.array([len(t) for t in post], float)[:, None]
        o_pre = np.where(inside, np.array([len(t) for t in source], float)[pre], 0.0)
        w = np.ones(pre.shape)
        if not isinstance(layer, Pool):
            w = np.asarray(network.weights[layer.name], float).ravel()[place] * inside
        e = spsp_matrix(pre, source, post, layer, clock)
        e[(o_post == 0) & (o_pre > 0)] = rule.silent_spsp
        if not isinstance(layer, Pool):
            ratio = np.where(o_post > 0, e / np.maximum(o_post, 1), rule.silent_ratio)
            rest = np.array(
                [spsp_resting(t, layer, clock) / len(t) if len(t) else rule.silent_ratio for t in post]
            )
            s = ((w * ratio * inside).sum(axis=1) + layer.resting * rest) / layer.threshold
            total = np.zeros(np.asarray(network.weights[layer.name]).size)
            np.add.at(total, place, (delta * (1 + s) * factor)[:, None] * e)
            found[layer.name] = total.reshape(np.shape(network.weights[layer.name]))
        if number:
            rho = np.where((o_pre > 0) & (o_post > 0), e / np.maximum(o_pre, 1), 1.0)
            if isinstance(layer, Dense) and not rule.effect_ratio:
                rho = np.ones(pre.shape)
            below = np.zeros(len(source))
            np.add.at(below, pre[inside], (delta[:, None] * w * rho)[inside])
            if isinstance(layer, Pool):
                below /= pre.shape[1]  # the area of a window
            if not isinstance(network.layers[number - 1], Pool):
                below /= network.layers[number - 1].threshold
            delta, post = below[: len(trains[number])], [np.asarray(t) for t in trains[number]]
            factor = np.ones(len(delta))
    return found


def count_errors(counts, label, rule):
    """d of every output neuron."""
    o, target = np.array(counts, float), np.full(len(counts), float(rule.undesired))
    if rule.softmax:
        p = np.exp(o - o.max()) / np.exp(o - o.max()).sum()
        return p - (np.arange(len(o)) == label)
    target[label] = rule.desired
    return np.where(np.abs(o - target) > rule.margin, o - target, 0.0)


def forced_spikes(duration, desired, clock):
    """Spikes of a silent label neuron: every duration / desired, on a clock rounded down."""
    if not clock:
        return np.arange(1, desired + 1) * (duration / desired)
    interval = max(1, int(duration) // desired)
    return np.arange(interval, int(duration), interval)


def lateral_factors(post, label, layer, clock):
    """lambda of every output neuron, from its true spikes."""
    n, spsp = len(post), spsp_clock if clock else spsp_exact
    if not layer.lateral_inhibition:
        return np.ones(n)
    q = np.zeros((n, n))
    for a, b in np.ndindex(n, n):
        if a != b and (len(post[b]) or b == label):
            both = len(post[a]) and len(post[b])
            q[a, b] = (spsp(post[a], post[b], layer) / len(post[a]) if both else 1.0) / layer.threshold
    rest = 1 - layer.lateral_inhibition**2 * (q * q.T).sum(axis=1)
    return np.where(rest > 0, 1 / np.where(rest > 0, rest, 1.0), 1.0)
