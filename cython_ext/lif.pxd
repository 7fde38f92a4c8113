"""The neuron in closed form. Twin: eventsnn/engines/lif.py, operation for operation (same bits)."""

from libc.math cimport INFINITY, exp, expm1

cdef extern from *:
    """
    #define LIF_TOUCH (4.0 * 2.220446049250313e-16)  /* relative distance that counts as touching the threshold */
    #define LIF_CONVERGED 1e-15                      /* a Newton step below this fraction no longer moves */
    #define LIF_CANDIDATE (1.0 - 0.0009765625)       /* candidates are searched with a threshold lowered by 2^-10 */
    #define LIF_MAX_STEPS 200
    #define LIF_LIMIT_SLACK 1e-9                     /* ms: limits only cut a search short, generously */
    """
    const double LIF_TOUCH
    const double LIF_CONVERGED
    const double LIF_CANDIDATE
    const int LIF_MAX_STEPS
    const double LIF_LIMIT_SLACK


cdef struct lif_t:
    double threshold   # firing threshold of the membrane potential, > 0
    double tau_m       # membrane time constant, ms, > 0
    double tau_s       # synaptic time constant, ms, > 0
    double refractory  # refractory period, ms, >= 0
    double gain        # |tau_m / (tau_m - tau_s)|; 0 marks equal time constants
    double rate        # |1/tau_s - 1/tau_m|, 1/ms
    double tau_slow    # the larger time constant, ms
    double psp_max     # maximum of the unit post-synaptic potential


cdef inline void lif_fill(lif_t* c, const double* row) noexcept nogil:
    """From the eight numbers of eventsnn.engines.lif.Constants, in its order."""
    c.threshold = row[0]
    c.tau_m = row[1]
    c.tau_s = row[2]
    c.refractory = row[3]
    c.gain = row[4]
    c.rate = row[5]
    c.tau_slow = row[6]
    c.psp_max = row[7]


cdef inline void lif_respond(const lif_t* c, double d, double* a, double* h, double* b) noexcept nogil:
    """Propagators over d >= 0 ms: u(d) = u a + I h, I(d) = I b."""
    a[0] = exp(-d / c.tau_m)
    b[0] = exp(-d / c.tau_s)
    if c.gain == 0.0:
        h[0] = a[0] * (d / c.tau_s)
    else:
        h[0] = (a[0] if c.tau_m > c.tau_s else b[0]) * (c.gain * -expm1(-d * c.rate))


cdef inline double lif_next_crossing(const lif_t* c, double u0, double i0, double limit) noexcept nogil:
    """Time until a neuron in state (u0, i0) fires, ms; INFINITY if it does not before `limit`."""
    cdef double d = 0.0, u = u0, i = i0, slope, step, a, h, b
    cdef int _n
    for _n in range(LIF_MAX_STEPS):
        if d > 0.0:
            lif_respond(c, d, &a, &h, &b)
            u = u0 * a + i0 * h
            i = i0 * b
        # Also while u rises: below a flat maximum that misses by rounding alone, the next step leaps past it.
        if u >= c.threshold * (1.0 - LIF_TOUCH):
            return d
        slope = i / c.tau_s - u / c.tau_m
        if not (i > 0.0 and slope > 0.0):
            return INFINITY
        step = (c.threshold - u) / slope
        d = d + step
        if step <= LIF_CONVERGED * d:
            return d
        if d > limit:
            return INFINITY
    return d


cdef inline double lif_next_spike(const lif_t* c, double u, double i, double now, double end,
                                  double until) noexcept nogil:
    """Absolute time of the next spike of a neuron in state (u, i) committed at `now`; INFINITY if none by `until`.

    `end` is the end of its refractory period: while it lies ahead, u is 0 and the search starts there. So too at
    `end` itself: without a refractory period a neuron may fire at `now`, before its reset is committed.
    """
    cdef double d
    if end >= now:
        if end > until:
            return INFINITY
        d = lif_next_crossing(c, 0.0, i * exp(-(end - now) / c.tau_s), until - end + LIF_LIMIT_SLACK)
        return end + d
    return now + lif_next_crossing(c, u, i, until - now + LIF_LIMIT_SLACK)


cdef inline double lif_after_refractory(const lif_t* c, double i, double now, double end, double then) noexcept nogil:
    """Membrane potential at `then` of a neuron whose refractory period ends at `end`, now <= end <= then."""
    cdef double a, h, b
    lif_respond(c, then - end, &a, &h, &b)
    return (i * exp(-(end - now) / c.tau_s)) * h
