"""A neuron whose potential, counted from its resting potential, is reset to something other than 0.

Counted like that the equations are those of lif.h, with the threshold above rest in `lif_t`; see docs/exact.md. For a
reset to 0 these are lif.h's functions, to the bit. Twin: eventsnn/reference/queue.py.
"""

from libc.math cimport INFINITY

from eventsnn._ext.lif cimport (
    LIF_LIMIT_SLACK,
    lif_after_refractory,
    lif_next_crossing,
    lif_next_spike,
    lif_respond,
    lif_t,
)


cdef inline double rest_next_spike(const lif_t* c, double reset, double u, double i, double now, double end,
                                   double until) noexcept nogil:
    """`lif_next_spike` of a neuron that is held at `reset` (above rest) until `end`."""
    cdef double a, h, b
    if reset == 0.0 or end < now:
        return lif_next_spike(c, u, i, now, end, until)
    if end > until:
        return INFINITY
    lif_respond(c, end - now, &a, &h, &b)
    return end + lif_next_crossing(c, reset, i * b, until - end + LIF_LIMIT_SLACK)


cdef inline double rest_after_refractory(const lif_t* c, double reset, double i, double now, double end,
                                         double then) noexcept nogil:
    """`lif_after_refractory` of a neuron that is held at `reset` (above rest) until `end`."""
    cdef double a, h, b
    if reset == 0.0:
        return lif_after_refractory(c, i, now, end, then)
    lif_respond(c, then - end, &a, &h, &b)
    return reset * a + lif_after_refractory(c, i, now, end, then)
