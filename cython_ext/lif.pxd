"""The neuron in closed form. Twin: eventsnn/engines/lif.py, operation for operation (same bits)."""

from libc.math cimport INFINITY, sqrt

cdef extern from "decay.h":
    void decay(double x, double* e, double* rise) noexcept nogil
    double decay_e(double x) noexcept nogil

cdef extern from *:
    """
    #define LIF_TOUCH (4.0 * 2.220446049250313e-16)  /* relative distance that counts as touching the threshold */
    #define LIF_CONVERGED 1e-15                      /* error of a spike time, in slower time constants */
    #define LIF_CANDIDATE (1.0 - 0.00006103515625)   /* candidates are searched with a threshold lowered by 2^-14 */
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
    double rate_m      # 1/tau_m, 1/ms
    double rate_s      # 1/tau_s, 1/ms
    double apart       # tau_m / (tau_m - tau_s) if the time constants are well apart, else 0


cdef inline void lif_fill(lif_t* c, const double* row) noexcept nogil:
    """From the eleven numbers of eventsnn.engines.lif.Constants, in its order."""
    c.threshold = row[0]
    c.tau_m = row[1]
    c.tau_s = row[2]
    c.refractory = row[3]
    c.gain = row[4]
    c.rate = row[5]
    c.tau_slow = row[6]
    c.psp_max = row[7]
    c.rate_m = row[8]
    c.rate_s = row[9]
    c.apart = row[10]


cdef inline void lif_respond(const lif_t* c, double d, double* a, double* h, double* b) noexcept nogil:
    """Propagators over d >= 0 ms: u(d) = u a + I h, I(d) = I b."""
    cdef double unused, rise_m, rise_s, rise
    decay(d * c.rate_m, a, &rise_m)
    decay(d * c.rate_s, b, &rise_s)
    if c.apart != 0.0:
        h[0] = c.apart * (rise_s - rise_m if rise_m < 0.5 else a[0] - b[0])
    elif c.gain == 0.0:
        h[0] = a[0] * (d * c.rate_s)
    else:
        decay(d * c.rate, &unused, &rise)
        h[0] = (a[0] if c.tau_m > c.tau_s else b[0]) * (c.gain * rise)


cdef inline double lif_next_crossing(const lif_t* c, double u0, double i0, double limit) noexcept nogil:
    """Time until a neuron in state (u0, i0) fires, ms; INFINITY if it does not before `limit`."""
    cdef double d, u, i, slope, slope0, bend, square, step, a, h, b
    cdef double gap = c.threshold - u0, touch = c.threshold * (1.0 - LIF_TOUCH), close = LIF_CONVERGED * c.tau_slow
    cdef bint leapt
    cdef int _n
    if u0 >= touch:
        return 0.0
    slope0 = i0 * c.rate_s - u0 * c.rate_m
    if not (i0 > 0.0 and slope0 > 0.0):
        return INFINITY
    # The parabola with the state's slope and curvature; it may lie to the right of the crossing, a tangent never.
    bend = slope0 * c.rate_m + i0 * c.rate_s * c.rate_s
    square = slope0 * slope0 - 2.0 * bend * gap
    leapt = square > 0.0
    d = 2.0 * gap / (slope0 + sqrt(square)) if leapt else gap / slope0
    for _n in range(LIF_MAX_STEPS):
        lif_respond(c, d, &a, &h, &b)
        u = u0 * a + i0 * h
        i = i0 * b
        slope = i * c.rate_s - u * c.rate_m
        if leapt and not slope > 0.0:
            # Past the maximum: start again, from the left.
            leapt = False
            d = gap / slope0
            continue
        # Also while u rises: below a flat maximum that misses by rounding alone, the next step leaps past it.
        if u >= touch and not (leapt and u > c.threshold):
            return d
        if not slope > 0.0:
            return INFINITY
        leapt = False
        step = (c.threshold - u) / slope
        d = d + step
        # What Newton's method leaves is its step squared times half the curvature over the slope.
        if (slope * c.rate_m + i * c.rate_s * c.rate_s) * (step * step) <= 2.0 * slope * close:
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
        d = lif_next_crossing(c, 0.0, i * decay_e((end - now) * c.rate_s), until - end + LIF_LIMIT_SLACK)
        return end + d
    return now + lif_next_crossing(c, u, i, until - now + LIF_LIMIT_SLACK)


cdef inline double lif_after_refractory(const lif_t* c, double i, double now, double end, double then) noexcept nogil:
    """Membrane potential at `then` of a neuron whose refractory period ends at `end`, now <= end <= then."""
    cdef double a, h, b
    lif_respond(c, then - end, &a, &h, &b)
    return (i * decay_e((end - now) * c.rate_s)) * h
