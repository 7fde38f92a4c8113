"""The macro level of HM2-BP: rate-coded errors, and what S-PSPs do to them.

Jin, Zhang & Li, NeurIPS 2018, sections 3.2-3.4; the rules for silent neurons and the penalties are those of the
authors' released program. Small pure functions on float64 arrays. Indices: i post-synaptic, j pre-synaptic neuron;
o spike counts; e (post, pre) S-PSPs; nu thresholds.
"""

from __future__ import annotations

import numpy as np

from eventsnn.learning.hm2bp import HM2BP


def count_loss(counts: np.ndarray, label: int, rule: HM2BP) -> tuple[float, np.ndarray]:
    """E = 1/2 sum_i d_i^2 with d_i = o_i - y_i, taken for 0 within the margin (eq. 13).

    Parameters
    ----------
    counts : int array (outputs,)
    label : int

    Returns
    -------
    loss : float
    d : float64 array (outputs,)
    """
    target = np.full(len(counts), float(rule.undesired))
    target[label] = rule.desired
    d = counts - target
    d[np.abs(d) <= rule.margin] = 0.0
    return 0.5 * float(d @ d), d


def softmax_loss(counts: np.ndarray, label: int, rule: HM2BP) -> tuple[float, np.ndarray]:
    """Cross-entropy of softmax over the counts: loss = -log p_label, d = p - onehot; no margin."""
    shifted = counts - counts.max()
    log_sum = float(np.log(np.exp(shifted).sum()))
    d = np.exp(shifted - log_sum)
    d[label] -= 1.0
    return log_sum - float(shifted[label]), d


def forced_spike_times(duration_ms: float, desired: int) -> np.ndarray:
    """Spikes given to a silent label neuron for its S-PSPs: m T / desired, m = 1 .. desired; float64, ms."""
    return np.arange(1, desired + 1) * (duration_ms / desired)


def apply_silent_rule(e: np.ndarray, pre_counts: np.ndarray, post_counts: np.ndarray, rule: HM2BP) -> np.ndarray:
    """S-PSPs (post, pre) with a small constant where the post-synaptic neuron is silent and the other fired."""
    silent = (post_counts == 0)[:, None] & (pre_counts > 0)[None, :]
    return np.where(silent, rule.silent_post_spsp, e)


def effect_ratio(e: np.ndarray, pre_counts: np.ndarray, post_counts: np.ndarray, rule: HM2BP) -> np.ndarray:
    """rho_{i|j} ~ d e_{i|j} / d o_j ~ e_{i|j} / o_j (eq. 17), 1 where either neuron is silent; (post, pre)."""
    if not rule.effect_ratio:
        return np.ones_like(e)
    both = (post_counts > 0)[:, None] & (pre_counts > 0)[None, :]
    return np.where(both, e / np.maximum(pre_counts, 1)[None, :], 1.0)


def self_term(
    weights: np.ndarray, e: np.ndarray, post_counts: np.ndarray, threshold: float, rule: HM2BP
) -> np.ndarray:
    """s_i = (1/nu_i) sum_l w_il e_{i|l} / o_i: o_i appears inside e_{i|l} too (eq. 19); float64 (post,).

    It is 1 for a neuron with feed-forward input only that fired. A silent neuron has `silent_post_ratio` for e / o.
    """
    ratio = np.where((post_counts > 0)[:, None], e / np.maximum(post_counts, 1)[:, None], rule.silent_post_ratio)
    return (weights * ratio).sum(axis=1) / threshold


def lateral_factor(
    e: np.ndarray, counts: np.ndarray, active: np.ndarray, threshold: float, strength: float
) -> np.ndarray:
    """lambda_i = 1 / (1 - w0^2 sum_{l != i} q_il q_li), q_ab = (e_{b|a} / o_a) h_b (eq. 20-22); float64 (n,).

    Parameters
    ----------
    e : float64 array (post, pre)
        S-PSPs between the output neurons.
    counts : int array (n,)
    active : bool array (n,)
        h_b = 1/nu for these neurons, those that fired and the label, else 0.
    threshold : float
    strength : float
        w0 of the mutual inhibition.
    """
    both = (counts > 0)[:, None] & (counts > 0)[None, :]
    # rho (post b, pre a) as everywhere: 1 where either neuron is silent.
    rho = np.where(both, e / np.maximum(counts, 1)[None, :], 1.0)
    q = rho.T * np.where(active, 1.0 / threshold, 0.0)[None, :]
    loops = q * q.T
    np.fill_diagonal(loops, 0.0)
    return 1.0 / (1.0 - strength**2 * loops.sum(axis=1))


def hidden_error(delta: np.ndarray, weights: np.ndarray, rho: np.ndarray, threshold_pre: float) -> np.ndarray:
    """Error of the layer below: delta_j = (1/nu_j) sum_i delta_i w_ij rho_{i|j} (eq. 16); float64 (pre,)."""
    return (delta @ (weights * rho)) / threshold_pre


def weight_gradient(delta: np.ndarray, e: np.ndarray, own: np.ndarray, lateral: np.ndarray) -> np.ndarray:
    """dE/dw_ij = delta_i e_{i|j} (1 + s_i) lambda_i (eq. 18); float64 (post, pre)."""
    return (delta * (1.0 + own) * lateral)[:, None] * e


def penalty_factor(mean_square: np.ndarray, rule: HM2BP) -> np.ndarray:
    """What the weight penalties multiply the weights by to give their gradient, per post-synaptic neuron.

    ``weight_decay + lam beta / L exp(beta (mean_j (w_ij/L)^2 - 1))``; `mean_square` is mean_j w_ij^2.
    """
    if not rule.penalty_lambda:
        return np.full(np.shape(mean_square), rule.weight_decay)
    scaled = np.asarray(mean_square) / rule.weight_limit**2
    strength = rule.penalty_lambda * rule.penalty_beta / rule.weight_limit
    return rule.weight_decay + strength * np.exp(rule.penalty_beta * (scaled - 1.0))


def penalty_gradient(weights: np.ndarray, rule: HM2BP) -> np.ndarray:
    """Gradient (post, pre) of the weight penalties.

    The exponential one, lam beta (w/L) exp(beta (mean_j (w_ij/L)^2 - 1)), is the gradient of
    ``lam L n / 2 exp(beta (mean_j (w_ij/L)^2 - 1))``, n the number of pre-synaptic neurons.
    """
    return penalty_factor((weights**2).mean(axis=1), rule)[:, None] * weights


def boost_weights(weights: np.ndarray, wrong: np.ndarray, labels: np.ndarray, rule: HM2BP) -> np.ndarray:
    """Sample weights for the next epoch: within class c, err_c = weight of the wrong / weight of all, and the wrong
    ones grow by exp(err_c / divisor); float64 (samples,).

    Parameters
    ----------
    weights : float64 array (samples,)
    wrong : bool array (samples,)
    labels : int array (samples,)
    """
    boosted = np.array(weights, dtype=np.float64)
    for label in np.unique(labels):
        members = labels == label
        error = weights[members & wrong].sum() / weights[members].sum()
        boosted[members & wrong] *= np.exp(error / rule.boosting_divisor)
    return boosted
