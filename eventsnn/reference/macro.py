"""HM2-BP on whole S-PSP matrices: how errors of spike counts reach the weights and the layers below.

Source: Jin, Zhang & Li, NeurIPS 2018; the rules for silent neurons are those of the authors' program.
Symbols: i post-synaptic, j pre-synaptic neuron; o spike counts; nu threshold; e of shape (post, pre) the
S-PSPs e_{i|j} of `eventsnn.reference.spsp`. Arrays are float64 unless said otherwise; counts are of any
integer type. `rule` is an `eventsnn.learn.HM2BP`, or anything with its fields.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.integer]


def apply_silent_rule(e: Floats, pre_counts: Counts, post_counts: Counts, rule: Any) -> Floats:
    """S-PSPs (post, pre), those of active on silent neurons set to ``rule.silent_post_spsp``; a new array."""
    silent_post = (np.asarray(post_counts) == 0)[:, None] & (np.asarray(pre_counts) > 0)[None, :]
    return np.where(silent_post, rule.silent_post_spsp, e)


def ratio_by_pre(e: Floats, pre_counts: Counts, post_counts: Counts) -> Floats:
    """e_{i|j} / o_j, and 1 where i or j is silent; (post, pre)."""
    pre = np.asarray(pre_counts, dtype=np.float64)[None, :]
    both = (np.asarray(post_counts) > 0)[:, None] & (pre > 0)
    return np.divide(e, pre, out=np.ones_like(e), where=both)


def effect_ratio(e: Floats, pre_counts: Counts, post_counts: Counts, rule: Any) -> Floats:
    """rho_{i|j}, (post, pre): approximates d e_{i|j} / d o_j by e_{i|j} / o_j.

    Of a dense layer: 1 where the pre- or the post-synaptic neuron is silent, and everywhere if
    ``rule.effect_ratio`` is off.
    """
    return ratio_by_pre(e, pre_counts, post_counts) if rule.effect_ratio else np.ones_like(e)


def self_term(weights: Floats, e: Floats, post_counts: Counts, threshold: float, rule: Any) -> Floats:
    """s_i = (1/nu) sum_l w_il e_{i|l} / o_i, array (post,): o_i acts on the S-PSPs too, through the resets.

    For a silent neuron ``rule.silent_post_ratio`` stands for e/o, whether l fired or not. The resting
    potential counts as one more input of that weight. In an exact feed-forward run s_i is 1, because the
    total PSP a_i equals nu o_i.
    """
    o = np.asarray(post_counts, dtype=np.float64)[:, None]
    ratio = np.divide(e, o, out=np.full(e.shape, float(rule.silent_post_ratio)), where=o > 0)
    return (weights * ratio).sum(axis=1) / threshold


def hidden_error(delta_post: Floats, weights: Floats, rho: Floats, divisor: float) -> Floats:
    """Error of the layer below: delta_j = (1/divisor) sum_i delta_i w_ij rho_{i|j}, array (pre,).

    Parameters
    ----------
    delta_post : array (post,)
        Of the output layer: sample weight * d / nu.
    weights, rho : array (post, pre)
    divisor : float
        `error_divisor` of the layer times `potential_per_spike` of the one below; between dense layers nu_j.
    """
    return delta_post @ (weights * rho) / divisor


def weight_gradient(delta: Floats, e: Floats, s: Floats, lam: Floats | float) -> Floats:
    """dE/dw_ij = delta_i e_{i|j} (1 + s_i) lambda_i, (post, pre); `lam` is 1 without lateral inhibition."""
    return (delta * (1.0 + s) * lam)[:, None] * e


def lateral_factor(
    e_lateral: Floats,
    counts: Counts,
    fired_or_label: npt.NDArray[np.bool_],
    threshold: float,
    strength: float,
) -> Floats:
    """lambda_i = 1 / (1 - w0^2 sum_{l != i} q_il q_li), array (n,), for mutual inhibition of strength w0.

    q_ab = (e_{b|a} / o_a) h_b, the quotient 1 where a or b is silent; h_b = 1/nu if b fired or is the label,
    else 0. To be computed from the true spikes, without forced ones. The factor is
    the sum of a geometric series of effects going around; where they grow on every round (denominator <= 0)
    there is no such sum, and the factor is 1.

    Parameters
    ----------
    e_lateral : array (post, pre)
        S-PSPs between the neurons of the layer, of undelayed spikes; the diagonal is not used.
    counts : int array (n,)
    fired_or_label : bool array (n,)
    threshold, strength : float
    """
    h = np.where(fired_or_label, 1.0 / threshold, 0.0)
    q = ratio_by_pre(e_lateral, counts, counts).T * h[None, :]
    loop = q * q.T
    np.fill_diagonal(loop, 0.0)
    denominator = 1.0 - strength**2 * loop.sum(axis=1)
    return np.where(denominator > 0.0, 1.0 / np.where(denominator > 0.0, denominator, 1.0), 1.0)
