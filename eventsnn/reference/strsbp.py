"""ST-RSBP in plain loops over pairs of spikes: HM2-BP with trained recurrent and skip connections.

Source: Zhang & Li, NeurIPS 2019, on Jin, Zhang & Li, NeurIPS 2018. Symbols as in
`eventsnn.reference.hm2bp`; the formulas are derived in docs/theory/strsbp.md. With all synapses onto a layer,
those of recurrent connections included, in one sum:

    a_i       = sum_j w_ij e_{i|j}                                      total PSP; o_i = a_i / nu_i
    direct_p  = (1/nu_p) sum_i delta_i w_ip rho_{i|p}                   i in other layers; or that of the loss
    delta_p   = direct_p + (1/nu_p) sum_i delta_i w_ip rho_{i|p}        i in its own layer, if it fired: a
                                                                        linear system
    dE/dw_ij  = delta_i e_{i|j} (1 + s_i) lambda_i
"""

from __future__ import annotations

from typing import Any

import numpy as np

from eventsnn.model import Network
from eventsnn.model.layers import BIAS
from eventsnn.reference import macro
from eventsnn.reference.hm2bp import Trains, count_errors, lateral_factors, resting_spsp, spsp_pairs, trains


def gradients(
    network: Network, record: Any, label: int, duration_ms: float, rule: Any, sample_weight: float = 1.0
) -> dict[str, np.ndarray]:
    """Gradients of one sample for the weights of every projection, without penalty and weight decay.

    Parameters
    ----------
    network : Network
        Of dense layers, with connections from a layer to itself or to a later one.
    record : SpikeRecord
        Its spikes on the sample.
    label, duration_ms, rule, sample_weight
        See `eventsnn.reference.hm2bp.gradients`.

    Returns
    -------
    dict of str to float64 array (post, pre)
        By key of the projection; with biases their column is the last. Also for synapses that sparse weights
        do not have.
    """
    fired = [trains(record[name]) for name in network.names]
    sources = {BIAS: trains(record.bias), -1: trains(record.input)} | dict(enumerate(fired))
    output = network.output
    d = count_errors([len(train) for train in fired[-1]], label, rule)
    lam = lateral_factors(fired[-1], label, output, spsp_pairs)
    direct = [np.zeros(layer.neurons) for layer in network.layers]
    direct[-1] += sample_weight * np.array(d) / output.threshold
    post = list(fired)
    if rule.force_label_spikes and not fired[-1][label]:
        forced = [m * (duration_ms / rule.desired) for m in range(1, rule.desired + 1)]
        post[-1] = [forced if i == label else train for i, train in enumerate(fired[-1])]

    columns: dict[str, list[np.ndarray]] = {}
    for number in reversed(range(len(network.layers))):
        layer, spikes = network.layers[number], post[number]
        counts = np.array([len(train) for train in spikes])
        e_resting = np.array([[resting_spsp(train, layer.lif)] for train in spikes])
        resting = np.full(e_resting.shape, layer.resting)  # the weight of one more input
        self_term = macro.self_term(resting, e_resting, counts, layer.threshold, rule)
        coupling, projections = np.zeros((layer.neurons, layer.neurons)), []
        for p in network.projections:
            if p.target != number or p.lateral:
                continue
            pre = _until(sources[p.source], p.delay, duration_ms if network.is_recurrent else np.inf)
            weights = network.projection_weights(p).astype(float)
            e = np.array(spsp_pairs(pre, spikes, layer.lif)).reshape(layer.neurons, len(pre))
            pre_counts = np.array([len(train) for train in pre])
            e = macro.apply_silent_rule(e, pre_counts, counts, rule)
            self_term += macro.self_term(weights, e, counts, layer.threshold, rule)
            rho = macro.effect_ratio(e, pre_counts, counts, rule)
            if p.source == number:
                coupling += np.where(counts[:, None] > 0, weights * rho / layer.threshold, 0.0)
            projections.append((p, e, weights * rho))
        delta = np.linalg.solve(np.eye(layer.neurons) - coupling.T, direct[number]).astype(np.float64)
        factors = lam if number == len(fired) - 1 else 1.0
        for p, e, effect in projections:
            key = str(layer.name) if p.source == BIAS else p.key
            columns.setdefault(key, []).append(macro.weight_gradient(delta, e, self_term, factors))
            if p.source >= 0 and p.source != number:
                direct[p.source] += delta @ effect / network.layers[p.source].threshold
    return {key: np.hstack(blocks) for key, blocks in columns.items()}


def _until(spikes: Trains, delay: float, end: float) -> Trains:
    """Arrivals up to the end of the sample."""
    return [[t + delay for t in train if t + delay <= end] for train in spikes]
