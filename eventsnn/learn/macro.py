"""Macro level of HM2-BP: forced spikes, large weights and misclassified samples.

Source: Jin, Zhang & Li, NeurIPS 2018, and the authors' program. The errors and gradients themselves are
compiled; their readable form is `eventsnn.reference.macro`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from eventsnn.learn.hm2bp import HM2BP

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.integer]


def forced_spike_times(duration_ms: float, desired: int) -> Floats:
    """Forced spikes of a silent label neuron: ``m T / desired`` for m = 1, ..., desired, in ms.

    They enter its S-PSPs and its count there, never the loss.
    """
    return np.arange(1, desired + 1, dtype=np.float64) * (duration_ms / desired)


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
