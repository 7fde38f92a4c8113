"""Errors within a recurrent layer: spike-train level back-propagation of recurrent networks (ST-RSBP).

A neuron's spike count acts on the neurons of its own layer, and through them on itself. With the total PSP
a_i = sum_j w_ij e_{i|j} over all synapses, recurrent ones included, o_p = a_p / nu_p and
d e_{i|p} / d o_p ~ rho_{i|p}, the derivatives delta_i = dE/da_i of the neurons of a layer solve

    delta_p = direct_p + sum_i delta_i C_ip,        C_ip = w_ip rho_{i|p} / nu_p

with the errors `direct` from the layers above or from the loss (docs/theory/strsbp.md). The solution is
the series of the ways around the loops, direct (1 + C + C^2 + ...). C_ip is 0 where i is silent: its count
stays 0 for small changes of a_i, so that it is no part of a loop.

Source of the method: Zhang & Li, Spike-Train Level Backpropagation for Training Deep Recurrent Spiking Neural
Networks, NeurIPS 2019.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

ROUNDS = 100
"""Most ways around that are added up."""
RESIDUAL = 1e-9
"""The series ends where a term is this small, relative to the largest error."""


def recurrent_errors(direct: Floats, coupling: Floats) -> Floats:
    """The errors delta of the neurons of a recurrent layer.

    Where the terms of the series grow, an error gains on every way around: the linear model says nothing
    about such a layer, and the direct errors are taken, as the lateral factor is 1 where its series diverges.

    Parameters
    ----------
    direct : float64 array (n,)
        Errors from the layers above, or from the loss.
    coupling : float64 array (n, n)
        C[i, p]: effect on neuron i of neuron p.
    """
    total, term, first = direct.copy(), direct, float(np.abs(direct).max())
    for _ in range(ROUNDS):
        # Not a product of BLAS: its sums depend on its number of threads.
        term = np.einsum("i,ip->p", term, coupling)
        total += term
        largest = float(np.abs(term).max())
        if largest <= RESIDUAL * first or not largest < np.inf:
            break
    return total if largest < first else direct
