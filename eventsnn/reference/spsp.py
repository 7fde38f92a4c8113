"""Micro level of HM2-BP: spike-train level post-synaptic potentials (S-PSPs), in readable form.

The free PSP of a pre-synaptic train is V_j(t) = sum_g eps(t - t_j^g). With t^f the spikes of neuron i and
r^{f-1} the end of the refractory period before t^f, the S-PSP of j on i is

    e_{i|j} = sum_f [ V_j(t^f) - e^{-(t^f - r^{f-1})/tau_m} V_j(r^{f-1}) ]        (no second term for f = 1)

which equals the double sum over spike pairs of Jin, Zhang & Li (NeurIPS 2018); see
`eventsnn.reference.hm2bp`.
As a weighted sum over evaluation points p, with weight c_p = 1 at spikes and
-e^{-(t^f - r^{f-1})/tau_m} at ends of refractory periods, it can be taken in two orders:

    e_{i|j} = sum_p c_p V_j(p)  =  sum_g G_i(t_j^g),        G_i(t) = sum_{p >= t} c_p eps(p - t)

Every function takes pre-synaptic *arrivals* (spike plus axonal delay) and post-synaptic spikes in any order,
float64 times in ms and integer neurons. Spikes closer than the refractory period, which only forced
ones can be, leave no time to integrate: their S-PSPs are 0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eventsnn.model import LIF
from eventsnn.reference.lif import constants, psp, respond

Floats = npt.NDArray[np.float64]
Neurons = npt.NDArray[np.integer]


def refractory_ends(post_times: Floats, post_neurons: Neurons, lif: LIF) -> Floats:
    """End (ms) of the refractory period before each spike, in their order; -inf for a neuron's first."""
    order = np.lexsort((post_times, post_neurons))
    times, neurons = post_times[order], post_neurons[order]
    ends = np.full(len(times), -np.inf)
    again = neurons[1:] == neurons[:-1]
    ends[1:][again] = np.minimum(times[:-1] + lif.refractory, times[1:])[again]
    found = np.empty_like(ends)
    found[order] = ends
    return found


def evaluation_points(post_times: Floats, post_neurons: Neurons, lif: LIF) -> tuple[Floats, Neurons, Floats]:
    """Evaluation points of all post-synaptic neurons: times (ms, ascending), neurons, weights c_p."""
    ends = refractory_ends(post_times, post_neurons, lif)
    later = np.isfinite(ends)
    decay = -np.exp(-(post_times[later] - ends[later]) / lif.tau_m)
    times = np.concatenate([post_times, ends[later]])
    neurons = np.concatenate([post_neurons, post_neurons[later]])
    weights = np.concatenate([np.ones(len(post_times)), decay])
    order = np.argsort(times, kind="stable")
    return times[order], neurons[order], weights[order]


def spsp_direct(
    pre_times: Floats,
    pre_neurons: Neurons,
    n_pre: int,
    post_times: Floats,
    post_neurons: Neurons,
    n_post: int,
    lif: LIF,
) -> Floats:
    """S-PSPs, (n_post, n_pre): the free PSPs of all pre-synaptic trains, read at the evaluation points."""
    points, neurons, weights = evaluation_points(post_times, post_neurons, lif)
    c = constants(lif)
    e = np.zeros((n_post, n_pre))
    free = np.zeros(n_pre)  # V_j
    current = np.zeros(n_pre)  # the synaptic current behind it
    times = np.concatenate([pre_times, points])
    now = times.min(initial=np.inf)
    for which in np.argsort(times, kind="stable"):
        a, h, b = respond(c, times[which] - now)
        now = times[which]
        free, current = free * a + current * h, current * b
        if which < len(pre_times):
            current[pre_neurons[which]] += 1.0
        else:
            point = which - len(pre_times)
            e[neurons[point]] += weights[point] * free
    return e


def spsp_reverse(
    pre_times: Floats,
    pre_neurons: Neurons,
    n_pre: int,
    post_times: Floats,
    post_neurons: Neurons,
    n_post: int,
    lif: LIF,
) -> Floats:
    """The same as `spsp_direct` in reverse time: G_i of all post-synaptic neurons, read at the arrivals.

    With P_i(t) = sum_{p >= t} c_p e^{-(p-t)/tau_m}, going back by D makes G e^{-D/tau_s} + P eps(D) of G and
    P e^{-D/tau_m} of P. These are the neuron's own propagators, transposed.
    """
    points, neurons, weights = evaluation_points(post_times, post_neurons, lif)
    c = constants(lif)
    e = np.zeros((n_post, n_pre))
    response = np.zeros(n_post)  # G_i
    ahead = np.zeros(n_post)  # P_i
    times = np.concatenate([pre_times, points])
    now = times.max(initial=-np.inf)
    for which in np.argsort(times, kind="stable")[::-1]:
        a, h, b = respond(c, now - times[which])
        now = times[which]
        response, ahead = response * b + ahead * h, ahead * a
        if which < len(pre_times):
            e[:, pre_neurons[which]] += response
        else:
            point = which - len(pre_times)
            ahead[neurons[point]] += weights[point]
    return e


def spsp_per_spike(
    pre_times: Floats,
    pre_neurons: Neurons,
    n_pre: int,
    post_times: Floats,
    post_neurons: Neurons,
    n_post: int,
    lif: LIF,
) -> Floats:
    """What each post-synaptic spike contributes to e, (post spikes, n_pre), rows in the spikes' order.

    Its product with the weights is the membrane potential at the spike: nu in a run without other input.
    Without cancellation: arrivals before the last reset act through the synaptic current left at its end.
    """
    rows = np.zeros((len(post_times), n_pre))
    ends = refractory_ends(post_times, post_neurons, lif)
    for row, t, end in zip(rows, post_times, ends, strict=True):
        lags = t - np.maximum(pre_times, end)  # how long each arrival could act on the potential
        acting = (pre_times < t) & (lags > 0.0)
        left = np.exp(-np.maximum(end - pre_times[acting], 0.0) / lif.tau_s)
        row += np.bincount(pre_neurons[acting], weights=left * psp(lags[acting], lif), minlength=n_pre)
    return rows
