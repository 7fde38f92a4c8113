"""Derivatives of spike times: the states of neurons at their spikes, and the adjoint sweep in reverse time.

Twin: eventsnn/reference/sensitivity.py, which goes through all pairs of spikes instead. The formulas, and what the
arrays are, stand in eventsnn/trace/adjoint.py, which prepares them. All is float64.
"""

from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t, uint8_t

from eventsnn._ext.lif cimport lif_respond, lif_t

import numpy as np

# Kinds of synapses.
cdef enum:
    DENSE = 0    # all to all: a row of weights for each source neuron
    SPARSE = 1   # those that exist, source neuron by source neuron
    LATERAL = 2  # from every neuron to every other one of its layer, the one weight being minus a strength
    BRANCHED = 3  # sparse, each with a delay of its own: what arrives is numbered by synapse


cdef class SynapseTable:
    """Synapses of all projections, by source neuron, and the derivatives that the sweep collects for their weights.

    Parameters
    ----------
    kinds : int32 (projections,)
        0 dense, 1 sparse, 2 lateral, 3 branched.
    sizes : int64 (projections,)
        Neurons of the target.
    starts : int64 (projections,)
        Where the weights of source neuron 0 begin in `weights`; of a sparse one, where its pointer is in `ptr`, of
        a branched one in `links`.
    weights, found : float64 (n,)
        Weights, and what is collected for each. Of a lateral one: its strength, and the derivative by that.
    ptr : int64
        Sparse synapses of source neuron j are [ptr[start + j], ptr[start + j + 1]).
    post : int32
        Target neuron of each sparse or branched synapse, numbered as `weights` are.
    links : int64
        Of a branched projection: where in `weights` that of each branch is.
    """

    cdef const int32_t[::1] kinds
    cdef const int64_t[::1] sizes
    cdef const int64_t[::1] starts
    cdef const double[::1] weights
    cdef double[::1] found
    cdef const int64_t[::1] ptr
    cdef const int32_t[::1] post
    cdef const int64_t[::1] links

    def __init__(self, const int32_t[::1] kinds, const int64_t[::1] sizes, const int64_t[::1] starts,
                 const double[::1] weights, double[::1] found, const int64_t[::1] ptr, const int32_t[::1] post,
                 const int64_t[::1] links):
        self.kinds, self.sizes, self.starts = kinds, sizes, starts
        self.weights, self.found, self.ptr, self.post, self.links = weights, found, ptr, post, links

    cdef void act(self, int64_t p, int64_t pre, double* current) noexcept nogil:
        """A spike of source neuron `pre` arrives at the currents (post,)."""
        cdef int64_t n, k, at = self.starts[p], size = self.sizes[p]
        cdef double own
        if self.kinds[p] == DENSE:
            at += pre * size
            for n in range(size):
                current[n] += self.weights[at + n]
        elif self.kinds[p] == SPARSE:
            for k in range(self.ptr[at + pre], self.ptr[at + pre + 1]):
                current[self.post[k]] += self.weights[k]
        elif self.kinds[p] == BRANCHED:
            k = self.links[at + pre]
            current[self.post[k]] += self.weights[k]
        else:
            own = current[pre]
            for n in range(size):
                current[n] -= self.weights[at]
            current[pre] = own

    cdef void act_ahead(self, int64_t p, int64_t branch, double h, double b, double* free,
                        double* current) noexcept nogil:
        """What arrives through a branch, seen from a later time: `h` and `b` are propagators from here to there."""
        cdef int64_t k = self.links[self.starts[p] + branch]
        free[self.post[k]] += self.weights[k] * h
        current[self.post[k]] += self.weights[k] * b

    cdef void pull_back(self, int64_t p, int64_t branch, double a, double h, double b, const double* ahead,
                        const double* response, double* strength, double* time) noexcept nogil:
        """The same as `pull`, of one branch, from the state P and G of a later time."""
        cdef int64_t k = self.links[self.starts[p] + branch], n = self.post[k]
        cdef double per_weight = response[n] * b + ahead[n] * h
        self.found[k] += per_weight
        strength[0] = self.weights[k] * per_weight
        time[0] = self.weights[k] * (per_weight - ahead[n] * a)

    cdef void pull(self, int64_t p, int64_t pre, const double* per_weight, const double* per_time,
                   double* strength, double* time) noexcept nogil:
        """Collect `per_weight` (post,) for the weights of `pre`; both arrays, summed with the weights."""
        cdef int64_t n, k, at = self.starts[p], size = self.sizes[p]
        cdef double by_weight = 0.0, by_time = 0.0
        if self.kinds[p] == DENSE:
            at += pre * size
            for n in range(size):
                self.found[at + n] += per_weight[n]
                by_weight += self.weights[at + n] * per_weight[n]
                by_time += self.weights[at + n] * per_time[n]
        elif self.kinds[p] == SPARSE:
            for k in range(self.ptr[at + pre], self.ptr[at + pre + 1]):
                n = self.post[k]
                self.found[k] += per_weight[n]
                by_weight += self.weights[k] * per_weight[n]
                by_time += self.weights[k] * per_time[n]
        else:
            for n in range(size):
                if n != pre:
                    by_weight -= per_weight[n]
                    by_time -= per_time[n]
            self.found[at] += by_weight
            by_weight *= self.weights[at]
            by_time *= self.weights[at]
        strength[0] = by_weight
        time[0] = by_time


cdef struct waiting_t:
    double ahead     # P and G at `since`; of `read_states_apart` V and I
    double response
    double since     # ms; infinite: nothing has reached the neuron yet
    double end       # ms, of the refractory period before its spike that was last visited; -infinite: there is none
    double charge    # what is added to P there


cdef class ApartNeurons:
    """Neurons whose states are each taken to a time when something reaches them, and not before.

    So an arrival costs what it reaches, not what there is: of a convolution some hundred neurons of a million. The
    others take the states of all their neurons from arrival to arrival, which is quicker where it reaches them all.

    Parameters
    ----------
    layers : uint8 (layers,)
        Of which layers the neurons are taken apart.
    constants : lif_t (layers,)
    size : int
        Neurons of all layers.
    """

    cdef const uint8_t[::1] layers
    cdef const lif_t[::1] constants
    cdef double[:, ::1] states

    def __init__(self, const uint8_t[::1] layers, const lif_t[::1] constants, int64_t size):
        self.layers, self.constants = layers, constants
        self.states = rest(size)

    cdef void charge(self, int32_t layer, int64_t neuron, double t, double now, double end,
                     double at_end) noexcept nogil:
        """A spike at `t` acts as the charge `now`, and as the charge `at_end` at the `end` of what is before it."""
        cdef waiting_t* one = <waiting_t*> &self.states[neuron, 0]
        if one.since == INFINITY:
            one.since = t
        else:
            if one.end >= t:
                go_back_to_end(&self.constants[layer], one)
            go_back(&self.constants[layer], one, t)
        one.ahead += now
        one.end, one.charge = end, at_end

    cdef void pull(self, SynapseTable synapses, int32_t layer, int64_t first, int64_t p, int64_t pre, double t,
                   double* strength, double* time) noexcept nogil:
        """What `pull` of `SynapseTable` does, for an arrival at `t`; the layer's neurons begin at `first`."""
        cdef int64_t k, begin, end, at = synapses.starts[p] + pre
        cdef double by_weight = 0.0, by_time = 0.0
        cdef waiting_t* one
        if synapses.kinds[p] == BRANCHED:
            begin = synapses.links[at]
            end = begin + 1
        else:
            begin, end = synapses.ptr[at], synapses.ptr[at + 1]
        for k in range(begin, end):
            one = <waiting_t*> &self.states[first + synapses.post[k], 0]
            if one.since == INFINITY:
                continue
            if one.end > t:
                go_back_to_end(&self.constants[layer], one)
            go_back(&self.constants[layer], one, t)
            synapses.found[k] += one.response
            by_weight += synapses.weights[k] * one.response
            by_time += synapses.weights[k] * (one.response - one.ahead)
        strength[0] = by_weight
        time[0] = by_time


cdef void go_back(const lif_t* constants, waiting_t* one, double t) noexcept nogil:
    """Take P and G back to `t`."""
    cdef double a, h, b
    if one.since > t:
        lif_respond(constants, one.since - t, &a, &h, &b)
        one.response = one.response * b + one.ahead * h
        one.ahead *= a
        one.since = t


cdef void go_back_to_end(const lif_t* constants, waiting_t* one) noexcept nogil:
    """Take P and G back to the end of the refractory period, and add its charge."""
    go_back(constants, one, one.end)
    one.ahead += one.charge
    one.end = -INFINITY


cdef void go_on(const lif_t* constants, waiting_t* one, double t) noexcept nogil:
    """Take V and I on to `t`."""
    cdef double a, h, b
    if one.since == INFINITY:
        one.since = t
    elif one.since < t:
        lif_respond(constants, t - one.since, &a, &h, &b)
        one.ahead = one.ahead * a + one.response * h
        one.response *= b
        one.since = t


def read_states_apart(SynapseTable synapses, const lif_t[::1] constants, const int32_t[::1] projection,
                      const int32_t[::1] pre, const double[::1] arrivals, const int64_t[::1] ends,
                      const int32_t[::1] neurons, const double[::1] points, double[:, ::1] states,
                      double[:, ::1] out, int64_t start, int64_t stop):
    """`read_states` of a layer whose neurons are taken apart; V and I at the points themselves.

    Parameters
    ----------
    constants : lif_t (1,)
    projection, pre, ends, neurons
        As of `read_states`.
    arrivals : float64 (arrivals,), points : float64 (points,), ms
        When something arrives, and when to read; the latter ascend within what is read after one arrival.
    states : float64 (neurons, 5)
        See `rest`.
    out : float64 (2, points)
    """
    cdef int64_t k, n, point, at
    cdef waiting_t* one
    with nogil:
        for k in range(start, stop):
            at = synapses.starts[projection[k]] + pre[k]
            if synapses.kinds[projection[k]] == BRANCHED:
                n = synapses.links[at]
                one = <waiting_t*> &states[synapses.post[n], 0]
                go_on(&constants[0], one, arrivals[k])
                one.response += synapses.weights[n]
            else:
                for n in range(synapses.ptr[at], synapses.ptr[at + 1]):
                    one = <waiting_t*> &states[synapses.post[n], 0]
                    go_on(&constants[0], one, arrivals[k])
                    one.response += synapses.weights[n]
            for point in range(ends[k], ends[k + 1]):
                one = <waiting_t*> &states[neurons[point], 0]
                go_on(&constants[0], one, points[point])
                out[0, point] = one.ahead
                out[1, point] = one.response


def rest(int64_t size):
    """States of `size` neurons that nothing has reached, for `read_states_apart`: float64 (size, 5)."""
    return np.tile([0.0, 0.0, np.inf, -np.inf, 0.0], (size, 1))


def read_states(SynapseTable synapses, int64_t size, const int32_t[::1] projection, const int32_t[::1] pre,
                const double[:, ::1] steps, const uint8_t[::1] full, const int64_t[::1] ends,
                const int32_t[::1] neurons, double[::1] free, double[::1] current, double[:, ::1] out,
                int64_t start, int64_t stop):
    """Free PSP V and synaptic current I of a layer's neurons, just after the arrivals start .. stop - 1.

    Parameters
    ----------
    size : int
        Neurons of the layer.
    projection, pre : int32 (arrivals,)
        Of each arrival at the layer, in order of time; the branch, of one through branches.
    steps : float64 (arrivals, 3)
        Propagators (a, h, b) from each arrival to the next one that is full.
    full : uint8 (arrivals,)
        Whether the state is taken to the arrival. Those through branches are not where no point follows: they reach
        one neuron, and are added as what they amount to at the next one that is full.
    ends : int64 (arrivals,)
        Points [ends[k - 1], ends[k]) are to be read after arrival k; those before ends[-1] of the first arrival
        come before all arrivals.
    neurons : int32 (points,)
        Neuron of each point.
    free, current : float64 (size,)
        The state, zero before the first arrival.
    out : float64 (2, points)
        V and I at the last arrival before each point.
    """
    cdef int64_t k, n, point
    cdef double a, h, b
    with nogil:
        for k in range(start, stop):
            if k > 0 and full[k - 1]:
                a, h, b = steps[k - 1, 0], steps[k - 1, 1], steps[k - 1, 2]
                if a != 1.0 or h != 0.0:
                    for n in range(size):
                        free[n] = free[n] * a + current[n] * h
                        current[n] = current[n] * b
            if not full[k]:
                synapses.act_ahead(projection[k], pre[k], steps[k, 1], steps[k, 2], &free[0], &current[0])
                continue
            synapses.act(projection[k], pre[k], &current[0])
            for point in range(ends[k], ends[k + 1]):
                out[0, point] = free[neurons[point]]
                out[1, point] = current[neurons[point]]


def sweep_back(SynapseTable synapses, const int32_t[::1] codes, const int64_t[::1] rows,
               const int64_t[:, ::1] layers, const double[::1] tau_s,
               const int32_t[::1] projection, const int64_t[::1] source, const int32_t[::1] pre,
               const double[:, ::1] steps, const uint8_t[::1] full,
               const int32_t[::1] neurons, const int64_t[:, ::1] places, const double[:, ::1] factors,
               double[:, ::1] state, uint8_t[::1] charged, int64_t[::1] pending, int64_t[::1] following,
               double[:, ::1] charges, double[::1] totals, double[::1] strengths,
               const int64_t[:, ::1] delay_places, double[::1] delays, ApartNeurons apart,
               const double[::1] arrivals, const double[:, ::1] moments, int64_t start, int64_t stop):
    """Go back in time through the items start .. stop - 1: arrivals and spikes.

    Parameters
    ----------
    codes : int32 (items,), rows : int64 (items,)
        Arrival `rows` if codes is a layer, spike `rows` of layer ~codes otherwise; in reverse order of time.
    layers : int64 (layers, 2)
        Where the neurons of each layer begin in `state`, and their number.
    tau_s : float64 (layers,), ms
    projection, source, pre : (arrivals,)
        Of each arrival; `source` is the place of its spike in `totals`.
    steps : float64 (arrivals, 3), full : uint8 (arrivals,)
        As of `read_states`, each layer's; the state moves back from full arrival to full arrival.
    neurons : int32 (spikes,)
    places : int64 (spikes, 3)
        The arrival before the spike, the arrival before the end of the refractory period that precedes it, the
        neuron's spike before; -1: there is none.
    factors : float64 (spikes, 5)
        Of the spike's total: what it adds to P and G at the first of these arrivals, at the second, and to the
        total of the spike before.
    state : float64 (3, neurons)
        P, G and G - P of all layers; charged : uint8 (layers,), whether any is not 0.
    pending : int64 (arrivals,), following : int64 (2 spikes,), charges : float64 (2 spikes, 2)
        Lists of charges that wait for their arrival: number 2 k and 2 k + 1 are those of spike k. -1 ends a list.
    totals : float64 (spikes and input events,)
        Derivatives with respect to their times.
    strengths : float64, like totals
        The same with respect to a factor on all their synapses.
    delay_places : int64 (projections, 2), delays : float64
        Where in `delays` the derivative by a projection's delay is, and 1 where it has one for each sender, else 0.
    apart : ApartNeurons
        The neurons of layers to which `steps`, `full`, `places` but for the last column, `state` and the lists of
        charges do not apply.
    arrivals : float64 (arrivals,), moments : float64 (spikes, 2)
        ms: when they arrive; of spikes when they are, and the end of the refractory period before, -infinite where
        there is none.
    """
    cdef int64_t item, k, n, at, first, size
    cdef int32_t layer
    cdef double total, a, h, b, strength, time
    cdef double* ahead
    cdef double* response
    cdef double* rising
    with nogil:
        for item in range(start, stop):
            layer, k = codes[item], rows[item]
            if layer < 0:
                total = totals[k]
                if total == 0.0:
                    continue
                charged[~layer] = 1
                if apart.layers[~layer]:
                    apart.charge(~layer, layers[~layer, 0] + neurons[k], moments[k, 0], total * factors[k, 0],
                                 moments[k, 1], total * factors[k, 2])
                else:
                    for n in range(2):
                        at = places[k, n]
                        if at >= 0:
                            charges[2 * k + n, 0] = total * factors[k, 2 * n]
                            charges[2 * k + n, 1] = total * factors[k, 2 * n + 1]
                            following[2 * k + n] = pending[at]
                            pending[at] = 2 * k + n
                if places[k, 2] >= 0:
                    totals[places[k, 2]] += total * factors[k, 4]
                continue
            if not charged[layer]:
                continue
            first, size = layers[layer, 0], layers[layer, 1]
            if apart.layers[layer]:
                apart.pull(synapses, layer, first, projection[k], pre[k], arrivals[k], &strength, &time)
            else:
                ahead, response, rising = &state[0, first], &state[1, first], &state[2, first]
                a, h, b = steps[k, 0], steps[k, 1], steps[k, 2]
                if full[k]:
                    if a != 1.0 or h != 0.0:
                        for n in range(size):
                            response[n] = response[n] * b + ahead[n] * h
                            ahead[n] = ahead[n] * a
                    at = pending[k]
                    while at >= 0:
                        n = neurons[at // 2]
                        ahead[n] += charges[at, 0]
                        response[n] += charges[at, 1]
                        at = following[at]
                    a, h, b = 1.0, 0.0, 1.0
                if synapses.kinds[projection[k]] == BRANCHED:
                    synapses.pull_back(projection[k], pre[k], a, h, b, ahead, response, &strength, &time)
                else:
                    for n in range(size):
                        rising[n] = response[n] - ahead[n]
                    synapses.pull(projection[k], pre[k], response, rising, &strength, &time)
            time /= tau_s[layer]
            totals[source[k]] += time
            strengths[source[k]] += strength
            delays[delay_places[projection[k], 0] + delay_places[projection[k], 1] * pre[k]] += time
