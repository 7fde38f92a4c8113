"""Readouts of leaky integrators that never fire. Twin: eventsnn/reference/readout.py, with the mathematics."""

from libc.math cimport log1p
from libc.stdint cimport int32_t, int64_t

from eventsnn._ext.lif cimport decay_e, lif_reach, lif_respond, lif_t

cdef enum:
    POTENTIAL, CURRENT, HIGHEST, WHEN, SLOPE, WEIGHT
    STATE_ROWS

ROWS = STATE_ROWS


cdef inline void keep(double* state, int64_t n, int64_t k, double value, double when, double slope) noexcept nogil:
    state[HIGHEST * n + k] = value
    state[WHEN * n + k] = when
    state[SLOPE * n + k] = slope


cdef void find_highest(const lif_t* c, double* state, int64_t n, int64_t k, double now, double then) noexcept nogil:
    """The highest potential of neuron k from `now` to `then`, where it is higher than that before."""
    cdef double u = state[POTENTIAL * n + k], i = state[CURRENT * n + k], rho = c.rate_s - c.rate_m, x, top
    cdef double slope = i * c.rate_s - u * c.rate_m
    if u > state[HIGHEST * n + k]:
        keep(state, n, k, u, now, slope)
    if not (slope > 0.0 and i > 0.0 and lif_reach(c, u, i) > state[HIGHEST * n + k]):
        return
    x = slope / (i * c.rate_s * c.rate_s)
    if rho != 0.0:
        if not x * rho < 1.0:  # it rises to 0 from below
            return
        x = -log1p(-x * rho) / rho
    if now + x < then:
        top = i * decay_e(x * c.rate_s) * (c.tau_m * c.rate_s)
        if top > state[HIGHEST * n + k]:
            keep(state, n, k, top, now + x, 0.0)


cdef void go_on(const lif_t* c, double* state, int64_t n, bint highest, double now, double then) noexcept nogil:
    """All neurons on to a later time without arrivals until then."""
    cdef double a = 0.0, h = 0.0, b = 0.0
    cdef int64_t k
    if then - now < 1e300:
        lif_respond(c, then - now, &a, &h, &b)
    for k in range(n):
        if highest:
            find_highest(c, state, n, k, now, then)
        state[POTENTIAL * n + k] = state[POTENTIAL * n + k] * a + state[CURRENT * n + k] * h
        state[CURRENT * n + k] = state[CURRENT * n + k] * b


def read_out(const double[::1] times, const int32_t[::1] sources, const double[:, ::1] weights,
             const lif_t[::1] constants, double tau, bint highest, double[:, ::1] state, double now, double end):
    """Take arrivals, and go on to an end; returns the time of the state.

    Parameters
    ----------
    times : float64 (n,), ms; sources : int32 (n,)
        Arrivals, ascending, none before `now`.
    weights : float64 (sources, neurons)
    constants : lif_t (1,)
    tau : float
        Time constant of the weight in a weighted mean, ms, or infinite.
    highest : bool
        Whether to look for the highest potentials; else weights are added up for a mean.
    state : float64 (ROWS, neurons)
        As at the last arrival, updated. Rows are the fields of `eventsnn.reference.readout.Neuron`.
    now : float
        Time of the state, ms.
    end : float
        ms, or infinite; below 0: stay at the last arrival.
    """
    cdef const lif_t* c = &constants[0]
    cdef int64_t n = weights.shape[1], g, k
    cdef double fade
    cdef double* s = &state[0, 0]
    cdef const double* row
    with nogil:
        for g in range(times.shape[0]):
            if times[g] > now:
                go_on(c, s, n, highest, now, times[g])
                now = times[g]
            row = &weights[sources[g], 0]
            for k in range(n):
                s[CURRENT * n + k] += row[k]
            if not highest:
                fade = decay_e(times[g] / tau)
                for k in range(n):
                    s[WEIGHT * n + k] += row[k] * fade
        if end >= 0.0:
            go_on(c, s, n, highest, now, end)
            now = end
            for k in range(n):
                if highest and s[POTENTIAL * n + k] > s[HIGHEST * n + k]:
                    keep(s, n, k, s[POTENTIAL * n + k], end, 0.0)
    return now
