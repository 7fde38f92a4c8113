"""S-PSPs of clocked spikes as the authors of HM2-BP compute them: integer times, a last look at 4 tau_m.

Plain loops over pairs of spikes, the oracle of ``cython_ext/learn/spsp_clocked.pyx``. Source: the program
released with Jin, Zhang & Li, NeurIPS 2018.
"""

from __future__ import annotations

import math

from eventsnn.model import LIF

Trains = list[list[float]]  # spike times of each neuron, steps of 1 ms, ascending
Matrix = list[list[float]]  # [post][pre]


def spsp_steps(pre: Trains, post: Trains, lif: LIF) -> Matrix:
    """S-PSPs [post][pre] of spikes in whole steps.

    A pre-synaptic spike in step a acts on a post-synaptic one in step p, whose neuron was refractory until
    step l (1 at first), if a >= 1, a >= p - 4 tau_m and x = p - (a + refractory) >= 0. Its share is
    k e^{-max(x - s, 0)/tau_s} (e^{-min(s, x)/tau_m} - e^{-min(s, x)/tau_s}) with s = p - l and
    k = 1 / (1 - tau_s/tau_m).
    """
    e = [[0.0] * len(pre) for _ in post]
    k = 1.0 / (1.0 - lif.tau_s / lif.tau_m)
    for i, spikes in enumerate(post):
        for f, p in enumerate(spikes):
            s = p - (spikes[f - 1] + lif.refractory if f else 1.0)
            if s <= 0.0 and f:
                continue  # forced spikes may be closer than the refractory period
            for j, arrivals in enumerate(pre):
                for a in arrivals:
                    x = p - (a + lif.refractory)
                    if max(1.0, p - 4.0 * lif.tau_m) <= a < p and x >= 0.0:
                        acting = min(s, x)
                        rise = math.exp(-acting / lif.tau_m) - math.exp(-acting / lif.tau_s)
                        e[i][j] += k * math.exp(-max(x - s, 0.0) / lif.tau_s) * rise
    return e


def forced_steps(steps: int, desired: int) -> list[float]:
    """The steps of the forced spikes of a silent label neuron: evenly spaced, below `steps`."""
    interval = max(1, steps // desired)
    return [float(step) for step in range(interval, steps, interval)]
