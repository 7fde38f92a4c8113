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
float64 times in ms and integer neurons. Spikes closer than the refractory period, which only forced ones can
be, leave no time to integrate: their S-PSPs are 0.
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
    in_their_order = np.empty_like(ends)
    in_their_order[order] = ends
    return in_their_order


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


def sum_charges(
    pre_times: Floats,
    pre_neurons: Neurons,
    weights: Floats,
    points: Floats,
    neurons: Neurons,
    charges: Floats,
    lif: LIF,
) -> tuple[Floats, Floats]:
    """The sweep in reverse time: sums of charges q_p at the arrivals, and derivatives by their times.

    With G_i(t) = sum_{p >= t} q_p eps(p - t) and P_i(t) = sum_{p >= t} q_p e^{-(p-t)/tau_m}, going back by D
    makes G e^{-D/tau_s} + P eps(D) of G and P e^{-D/tau_m} of P: the neuron's own propagators, transposed.

    Parameters
    ----------
    pre_times, pre_neurons : arrays (arrivals,)
    weights : array (n_post, n_pre)
    points, neurons, charges : arrays (points,)
        Times (ms) of the points in any order, their neurons, and their charges.

    Returns
    -------
    sums : array (n_post, n_pre)
        G_i summed over the arrivals from each source neuron.
    derivatives : array (arrivals,)
        sum_i w_ij G'_i(s) of each arrival at s from j, with G' = (G - P) / tau_s.
    """
    c = constants(lif)
    sums, derivatives = np.zeros(weights.shape), np.zeros(len(pre_times))
    response = np.zeros(len(weights))  # G_i
    decaying = np.zeros(len(weights))  # P_i
    times = np.concatenate([pre_times, points])
    now = times.max(initial=-np.inf)
    for which in np.argsort(times, kind="stable")[::-1]:
        a, h, b = respond(c, now - times[which])
        now = times[which]
        response, decaying = response * b + decaying * h, decaying * a
        if which < len(pre_times):
            sums[:, pre_neurons[which]] += response
            derivatives[which] = weights[:, pre_neurons[which]] @ (response - decaying) / lif.tau_s
        else:
            point = which - len(pre_times)
            decaying[neurons[point]] += charges[point]
    return sums, derivatives


def derivative_charges(
    times: Floats, neurons: Neurons, currents: Floats, derivatives: Floats, lif: LIF, least_slope: float = 0.0
) -> Floats:
    """Charges whose sums are exact derivatives; see `eventsnn.learn.charges.derivative_charges`.

    Parameters
    ----------
    times, neurons, derivatives : arrays (spikes,)
        Spikes in any order, and the derivatives of the loss by their times.
    currents : array (spikes, 2)
        Synaptic currents of the spike's neuron at the spike and at the end of its refractory period.

    Returns
    -------
    array (spikes, 2)
        At each spike, and at the end of the refractory period that follows it.
    """
    charges = np.zeros((len(times), 2))
    for neuron in np.unique(neurons):
        spikes = np.flatnonzero(neurons == neuron)
        spikes = spikes[np.argsort(times[spikes])]
        passed = 0.0  # from the reset of the next spike to the time of this one
        for number in range(len(spikes) - 1, -1, -1):
            f = spikes[number]
            slope = currents[f, 0] / lif.tau_s - (lif.threshold - lif.resting) / lif.tau_m
            slope, total = max(slope, least_slope), derivatives[f] + passed
            charges[f, 0] = -total / slope
            if number:
                before = spikes[number - 1]
                left = np.exp(-(times[f] - times[before] - lif.refractory) / lif.tau_m) * total / slope
                charges[before, 1] = left
                passed = left * (currents[before, 1] / lif.tau_s + lif.resting / lif.tau_m)
    return charges


def spsp_reverse(
    pre_times: Floats,
    pre_neurons: Neurons,
    n_pre: int,
    post_times: Floats,
    post_neurons: Neurons,
    n_post: int,
    lif: LIF,
) -> Floats:
    """The same as `spsp_direct` in reverse time: the charges c_p of the evaluation points, summed."""
    points = evaluation_points(post_times, post_neurons, lif)
    return sum_charges(pre_times, pre_neurons, np.zeros((n_post, n_pre)), *points, lif)[0]


def unit_contributions(t: float | Floats, reset: float | Floats, arrivals: Floats, lif: LIF) -> Floats:
    """Share that spikes of weight 1 have in the potential at `t`, without cancellation.

    Arrivals before the last reset act through the synaptic current left at its end.

    Parameters
    ----------
    t : float or float64 array (n,)
        Time, ms; at or after `reset`.
    reset : float or float64 array (n,)
        End of the last refractory period before `t`, ms; -inf when the neuron has not fired yet.
    arrivals : float64 array (n,)
        Times of arrival, ms. Arrivals from `t` on contribute 0.
    lif : LIF

    Returns
    -------
    float64 array (n,)
    """
    shares = psp(t - np.maximum(arrivals, reset), lif)
    earlier = arrivals <= reset
    before = reset[earlier] if isinstance(reset, np.ndarray) else reset
    shares[earlier] *= np.exp((arrivals[earlier] - before) / lif.tau_s)
    return shares


def spsp_per_spike(
    pre_times: Floats,
    pre_neurons: Neurons,
    n_pre: int,
    post_times: Floats,
    post_neurons: Neurons,
    n_post: int,
    lif: LIF,
) -> Floats:
    """Contribution of each post-synaptic spike to e: (post spikes, n_pre), rows in the spikes' order.

    Its product with the weights is the membrane potential at the spike: nu in a run without other input.
    """
    rows = np.zeros((len(post_times), n_pre))
    ends = refractory_ends(post_times, post_neurons, lif)
    for row, t, end in zip(rows, post_times, ends, strict=True):
        row += np.bincount(pre_neurons, unit_contributions(t, end, pre_times, lif), n_pre)
    return rows
