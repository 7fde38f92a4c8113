"""Macro level of HM2-BP: silent neurons, lateral inhibition, large weights and misclassified samples.

Source: Jin, Zhang & Li, NeurIPS 2018, and the authors' program. The errors and gradients themselves are
compiled; their readable form is `eventsnn.reference.macro`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eventsnn.reference.macro import ratio_by_pre

if TYPE_CHECKING:
    from eventsnn.learn.hm2bp import HM2BP

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.integer]


def forced_spike_times(duration_ms: float, desired: int) -> Floats:
    """Forced spikes of a silent label neuron: ``m T / desired`` for m = 1, ..., desired, in ms.

    They enter its S-PSPs and its count there, never the loss.
    """
    return np.arange(1, desired + 1, dtype=np.float64) * (duration_ms / desired)


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


def penalty_factor(mean_square: Floats, rule: HM2BP) -> Floats:
    """Multiple of the weights that is the gradient of weight penalty and weight decay, array (post,).

    ``decay + lambda beta / L exp(beta (m_i / L^2 - 1))`` with `mean_square` m_i = mean_j w_ij^2; in a
    convolution i is a channel and j a weight of its kernels.
    """
    strength = rule.penalty_lambda * rule.penalty_beta / rule.weight_limit
    if strength == 0.0:
        return np.full_like(mean_square, rule.weight_decay)
    excess = mean_square / rule.weight_limit**2 - 1.0
    with np.errstate(over="ignore"):  # of weights that have grown out of all bounds; the caller says so
        return rule.weight_decay + strength * np.exp(rule.penalty_beta * excess)


def boost_weights(
    sample_weights: Floats, wrong: npt.NDArray[np.bool_], labels: Counts, rule: HM2BP
) -> Floats:
    """Weights of the samples for the next epoch, array (samples,).

    With err_c the weighted fraction of wrong samples of class c, a wrong sample's weight is multiplied by
    exp(err_c / ``rule.boosting_divisor``).

    Parameters
    ----------
    sample_weights : array (samples,)
    wrong : bool array (samples,)
        Which samples were classified wrongly in the epoch.
    labels : int array (samples,)
    """
    total = np.bincount(labels, weights=sample_weights)
    failed = np.bincount(labels, weights=np.where(wrong, sample_weights, 0.0))
    error = np.divide(failed, total, out=np.zeros_like(total), where=total > 0)
    return np.where(wrong, sample_weights * np.exp(error[labels] / rule.boosting_divisor), sample_weights)
